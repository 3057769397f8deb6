"""The cache of the Hub on this machine: what is in it is whole, of one commit, and what the Hub says that it is."""

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
from nlpmtl.hub.response_checks import UntrustedResponseError, check_inside_cache, is_commit
from nlpmtl.hub.retry import CorruptDownloadError, call_with_retry, is_interrupted_download
from nlpmtl.saved_config import OWN_TYPE

_ONLY: Any = {"allow_patterns": list(FILES), "ignore_patterns": ["*/*/*"]}
"""What to fetch; in these patterns a star stands for slashes too."""
_CACHE = "; with HF_HUB_OFFLINE=1 it is loaded from the cache, if it was loaded before"
_COMMIT = re.compile("[0-9a-f]{40}")


def download(name: str, *, revision: str | None, token: str | None, failed: str) -> Path:
    """Where a model is in the cache, after it was fetched, all files from one commit."""
    commit = revision
    if commit is None or not _COMMIT.fullmatch(commit):
        look = partial(HfApi(token=token).model_info, name, revision=revision, timeout=retry.TIMEOUT)
        commit = str(call_with_retry(look, failed=failed, hint=_CACHE).sha)
    directory = call_with_retry(
        partial(_snapshot, name, commit=commit, token=token), failed=failed, again=is_interrupted_download, hint=_CACHE
    )
    if commit != revision:
        _remember(directory, revision or constants.DEFAULT_REVISION)
    return directory


def _snapshot(name: str, *, commit: str, token: str | None) -> Path:
    if not is_commit(commit):
        raise UntrustedResponseError(f"the Hub names the commit {quote(commit, limit=80)}, which is not 40 hex digits")
    directory = Path(snapshot_download(name, revision=commit, token=token, library_name=OWN_TYPE, **_ONLY))
    check_inside_cache(directory)
    damaged = _damaged(directory)
    for path in damaged:
        (path.parent / path.readlink()).unlink(missing_ok=True)
        path.unlink()
    if damaged:
        raise CorruptDownloadError(f"{damaged[0].name} arrived damaged. Try again")
    return directory


def cached(name: str, *, revision: str | None, failed: str) -> Path:
    """Where a model is in the cache, without asking the Hub."""
    asked = f"{failed}: HF_HUB_OFFLINE is set, and {constants.HF_HUB_CACHE}"
    try:
        directory = Path(snapshot_download(name, revision=revision, local_files_only=True, **_ONLY))
    except LocalEntryNotFoundError as error:
        raise ModelError(f"{asked} does not have the whole of it. Load it once without that variable") from error
    try:
        check_inside_cache(directory)
    except UntrustedResponseError as error:
        raise ModelError(f"{failed}: {error}") from error
    if damaged := _damaged(directory):
        raise ModelError(f"{asked} has it with a damaged {damaged[0].name}. Load it once without that variable")
    return directory


def _damaged(directory: Path) -> list[Path]:
    """Files of the cache that are not what they are called: the client looks at their sizes alone.

    Where there are no symbolic links, the cache does not keep what they are called.
    """
    links = (path for pattern in FILES for path in directory.glob(pattern) if path.is_symlink())
    return [path for path in links if not matches_digest(path, path.readlink().name)]


def _remember(directory: Path, revision: str) -> None:
    """Keep what a branch or a tag is, for whoever asks offline: where the client does, once all of it is there."""
    note = directory.parents[1] / "refs" / revision
    with suppress(OSError):  # a cache that cannot be written is good enough to read
        note.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(note, directory.name.encode())
