"""Downloads to the Hub cache: complete, from a single commit, with verified digests."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from nlpmtl.errors import ModelError, quote
from nlpmtl.fs import write_atomic
from nlpmtl.hub import retry
from nlpmtl.hub.model_files import FILES, matches_digest
from nlpmtl.hub.retry import CorruptDownloadError, call_with_retry, is_interrupted_download
from nlpmtl.hub_response_checks import UntrustedResponseError, check_inside_cache, is_commit
from nlpmtl.saved_config import OWN_TYPE

_PATTERNS: Any = {"allow_patterns": list(FILES), "ignore_patterns": ["*/*/*"]}
"""Files to download; in these patterns `*` also matches slashes."""
_OFFLINE_HINT = ", or set HF_HUB_OFFLINE=1 to load the model from the cache, if it was downloaded before"
_COMMIT = re.compile("[0-9a-f]{40}")


def download(name: str, *, revision: str | None, token: str | None, error_prefix: str) -> Path:
    """Download a model, all files from one commit, and return its directory in the cache."""
    commit = revision
    if commit is None or not _COMMIT.fullmatch(commit):
        get_info = partial(HfApi(token=token).model_info, name, revision=revision, timeout=retry.TIMEOUT)
        commit = str(call_with_retry(get_info, error_prefix=error_prefix, hint=_OFFLINE_HINT).sha)
    directory = call_with_retry(
        partial(_snapshot, name, commit=commit, token=token),
        error_prefix=error_prefix,
        retry_on=is_interrupted_download,
        hint=_OFFLINE_HINT,
    )
    if commit != revision:
        _store_ref(directory, revision or constants.DEFAULT_REVISION)
    return directory


def _snapshot(name: str, *, commit: str, token: str | None) -> Path:
    if not is_commit(commit):
        raise UntrustedResponseError(
            f"the Hub returned the commit {quote(commit, limit=80)}, which is not 40 hex digits"
        )
    directory = Path(snapshot_download(name, revision=commit, token=token, library_name=OWN_TYPE, **_PATTERNS))
    check_inside_cache(directory)
    corrupt = _corrupt_files(directory)
    for path in corrupt:
        (path.parent / path.readlink()).unlink(missing_ok=True)
        path.unlink()
    if corrupt:
        raise CorruptDownloadError(f"{corrupt[0].name} is corrupt. Try again")
    return directory


def cached(name: str, *, revision: str | None, error_prefix: str) -> Path:
    """Return the directory of a model in the cache, without a request to the Hub."""
    offline = f"{error_prefix}: HF_HUB_OFFLINE is set, and {constants.HF_HUB_CACHE}"
    try:
        directory = Path(snapshot_download(name, revision=revision, local_files_only=True, **_PATTERNS))
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"{offline} does not contain all files of the model. Load the model once online (unset HF_HUB_OFFLINE)"
        ) from error
    try:
        check_inside_cache(directory)
    except UntrustedResponseError as error:
        raise ModelError(f"{error_prefix}: {error}") from error
    if corrupt := _corrupt_files(directory):
        raise ModelError(
            f"{offline} contains a corrupt {corrupt[0].name}. Load the model once online (unset HF_HUB_OFFLINE)"
        )
    return directory


def _corrupt_files(directory: Path) -> list[Path]:
    """Return the cached files whose content does not match their digest: the client checks their sizes only.

    The digest is the name of the file that a symbolic link points to; without links, the cache does not keep it.
    """
    links = (path for pattern in FILES for path in directory.glob(pattern) if path.is_symlink())
    return [path for path in links if not matches_digest(path, path.readlink().name)]


def _store_ref(directory: Path, revision: str) -> None:
    """Store the commit of a branch or tag for offline use, in the client's own format, once all files are there."""
    ref = directory.parents[1] / "refs" / revision
    with suppress(OSError):  # a read-only cache can be used, too
        ref.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(ref, directory.name.encode())
