"""Model repositories on the Hub: upload in one commit, download from a single commit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypedDict, Unpack

import yaml
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelInfo,
    constants,
    get_token,
    is_offline_mode,
)
from huggingface_hub.errors import HFValidationError, RevisionNotFoundError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from nlpmtl.card import with_repo_id
from nlpmtl.config import check_flag, find_directory
from nlpmtl.errors import ConfigError, ModelError, escape_control_characters
from nlpmtl.hub import retry
from nlpmtl.hub.cache import cached, download
from nlpmtl.hub.model_files import CARD, FILES, GRAPH, check_complete, matches_digest
from nlpmtl.hub.retry import call_with_retry, is_transient
from nlpmtl.saved_config import OWN_TYPE

_COMMIT = re.compile("[0-9a-f]{40}")


class PushOptions(TypedDict, total=False):
    """Optional arguments of `push`, which `Predictor.push_to_hub` passes on and documents."""

    private: bool | None
    revision: str | None
    message: str | None
    create_pr: bool
    token: str | None


def push(directory: str | Path, repo_id: str, **options: Unpack[PushOptions]) -> str:
    """Upload a model directory to the Hub in one commit.

    Files of an earlier model that are not part of this one are removed in the same commit.

    Args:
        directory: a model directory; only the files of the model are sent.
        repo_id: the repository, as ``"name/model"``; created if missing.
        options: the keyword arguments of `Predictor.push_to_hub`.

    Returns:
        The URL of the commit, or of the pull request.

    Raises:
        TypeError: an option is unknown.
        ConfigError: an argument is invalid, no access token is set, or HF_HUB_OFFLINE is set. No file was uploaded.
        ModelError: the directory does not hold a complete model, it links to files outside of it, or a request to the
            Hub failed. The branch is unchanged.
    """
    unknown = options.keys() - PushOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"push() got unexpected keyword arguments: {', '.join(sorted(unknown))}")
    _check_strings(repo_id=repo_id, **{key: options.get(key) for key in ("revision", "message", "token")})
    for name in ("private", "create_pr"):
        if (value := options.get(name)) is not None:
            check_flag(value, name=name)
    private, revision, create_pr = options.get("private"), options.get("revision"), options.get("create_pr", False)
    error_prefix = f"{directory} cannot be pushed"
    directory = find_directory(directory, error_prefix=error_prefix) or Path(directory)
    files = check_complete(directory, error_prefix=error_prefix)
    _check_links(Path(directory), files)
    error_prefix = f"the model cannot be pushed to {repo_id!r}"
    _check_target(repo_id, revision=revision, error_prefix=error_prefix)
    token = options.get("token") or get_token()
    if token is None:
        raise ConfigError(f"{error_prefix}: no access token is set. Log in with `hf auth login`, or set HF_TOKEN")
    api = HfApi(token=_check_token(token), library_name=OWN_TYPE)
    if not create_pr:
        repo_id = call_with_retry(
            partial(api.create_repo, repo_id, private=private, exist_ok=True), error_prefix=error_prefix
        ).repo_id
    with TemporaryDirectory() as scratch:
        return _upload(
            api,
            repo_id,
            files={**files, **_card_for_repo(files, repo_id=repo_id, scratch=Path(scratch), error_prefix=error_prefix)},
            private=private,
            branch=revision or constants.DEFAULT_REVISION,
            message=options.get("message") or f"Upload nlpmtl model ({len(files)} files)",
            create_pr=create_pr,
            error_prefix=error_prefix,
            check_links=partial(_check_links, Path(directory), files),
        )


def fetch(name: str | Path, *, revision: str | None = None, token: str | None = None) -> Path:
    """Return the local directory of a model; a model on the Hub is downloaded to the cache.

    All files are from one commit, and their digests are verified.

    Args:
        name: a model directory, the directory of a run (for its model), or a Hub id.
        revision: a commit, tag or branch on the Hub; None: ``"main"``.
        token: access token; None: that of `hf auth login`, or HF_TOKEN.

    Raises:
        ConfigError: a revision is given for a directory, or the token is invalid.
        ModelError: the model does not exist or was not written by nlpmtl, access is denied, or the request failed.
    """
    error_prefix = f"the model {str(name)!r} cannot be loaded"
    _check_strings(revision=revision, token=token)
    local = find_directory(name, error_prefix=error_prefix)
    if local is not None:
        if revision is not None:
            raise ConfigError(
                f"{error_prefix}: a revision applies only to a Hub model, and this is a local directory: remove "
                f"revision={revision!r}"
            )
        return local
    try:
        validate_repo_id(str(name))
    except HFValidationError as error:
        raise ModelError(
            f'{error_prefix}: there is no such directory, and it is not a Hub id such as "name/model"'
        ) from error
    if "/" not in str(name) or is_offline_mode():  # perhaps meant as a directory, not as a Hub id
        error_prefix = f"{error_prefix} (no directory of that name exists)"
    if is_offline_mode():
        directory = cached(str(name), revision=revision, error_prefix=error_prefix)
    else:
        _check_token(token or get_token())
        directory = download(str(name), revision=revision, token=token, error_prefix=error_prefix)
    check_complete(directory, error_prefix=error_prefix)
    return directory


def _check_strings(**arguments: object) -> None:
    """Raise ConfigError if an argument is neither a string nor None."""
    for name, value in arguments.items():
        if not (value is None or isinstance(value, str)):
            shown = "a value" if name == "token" else repr(value)
            raise ConfigError(f"{name}: a string was expected, found {shown} of type {type(value).__name__}")


def _check_links(directory: Path, files: Mapping[str, Path]) -> None:
    """Raise ModelError if a file is a link to outside of the directory, which could publish a private file.

    In the Hub cache, a model consists of links to the folder of its repository.
    """
    root = directory.resolve()
    cache = Path(constants.HF_HUB_CACHE).resolve()
    if root.is_relative_to(cache) and root.parent.name == "snapshots":
        root = root.parents[1]
    for name, path in files.items():
        if not path.resolve().is_relative_to(root):
            link, target = escape_control_characters(name), escape_control_characters(path.resolve())
            raise ModelError(
                f"{directory} cannot be pushed: {link} is a link to {target}, outside of the directory. Replace the "
                "link with a copy of the file if it belongs to the model"
            )


def _card_for_repo(files: Mapping[str, Path], *, repo_id: str, scratch: Path, error_prefix: str) -> dict[str, Path]:
    """Return the model card with its repository id instead of ``from_pretrained(".")``, as {file name: path}.

    Empty if the card is unchanged.
    """
    if CARD not in files:
        return {}
    card = files[CARD].read_bytes().decode("utf-8", "replace")
    try:
        text = with_repo_id(card, repo=repo_id)
    except (ValueError, yaml.YAMLError) as error:
        raise ModelError(f"{error_prefix}: the front matter of its {CARD} cannot be read: {error}") from error
    if text == card:
        return {}
    (scratch / CARD).write_text(text, encoding="utf-8", newline="\n")
    return {CARD: scratch / CARD}


def _upload(
    api: HfApi,
    repo_id: str,
    *,
    files: Mapping[str, Path],
    private: bool | None,
    branch: str,
    message: str,
    create_pr: bool,
    error_prefix: str,
    check_links: Callable[[], None],
) -> str:
    """Upload the files to an existing repository, and create one commit."""
    head = call_with_retry(partial(_head, api, repo_id, branch, create_branch=not create_pr), error_prefix=error_prefix)
    if private is not None and head.private is not private:
        actual, requested = ("private", "public") if head.private else ("public", "private")
        raise ConfigError(
            f"{error_prefix}: the repository is {actual}, but a {requested} one was requested. Change its visibility "
            "in its settings first"
        )
    operations = call_with_retry(partial(_read_files, files), error_prefix=error_prefix, retry_on=None)
    check_links()  # again: a file may have been replaced by a link meanwhile
    preupload = partial(api.preupload_lfs_files, repo_id, operations, revision=branch, create_pr=create_pr)
    call_with_retry(preupload, error_prefix=error_prefix, retry_on=None)
    commit = partial(
        _commit,
        api,
        repo_id,
        head=head,
        files=files,
        operations=operations,
        branch=branch,
        message=message,
        create_pr=create_pr,
        error_prefix=error_prefix,
    )
    # A retry of `_commit` recognises a commit whose response was lost. A pull request would be created twice, so it is
    # not retried.
    return call_with_retry(commit, error_prefix=error_prefix, retry_on=None if create_pr else is_transient)


def _read_files(files: Mapping[str, Path]) -> list[CommitOperationAdd]:
    """Read small files into memory, and compute the digests of large files, which their uploads must match."""
    large = (".safetensors", GRAPH, f"{GRAPH}.data")
    return [
        CommitOperationAdd(name, path if name.endswith(large) else path.read_bytes()) for name, path in files.items()
    ]


def _check_target(repo_id: str, *, revision: str | None, error_prefix: str) -> None:
    """Raise ConfigError if the repository id or the revision is invalid, or HF_HUB_OFFLINE is set."""
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        reason = str(error).partition(" Use `repo_type`")[0]  # an argument of huggingface_hub
        raise ConfigError(f'{error_prefix}: write "name/model". {reason}') from error
    if revision is not None and _COMMIT.fullmatch(revision):
        raise ConfigError(f"{error_prefix}: {revision} is a commit, and commits are immutable. Pass a branch name")
    if is_offline_mode():
        raise ConfigError(f"{error_prefix}: HF_HUB_OFFLINE is set. Unset it to push")


def _check_token(token: str | None) -> str | None:
    """Return the token; ConfigError if it is not a valid header value, because the HTTP client would print it."""
    if token is not None and not re.fullmatch("[!-~]+", token):
        raise ConfigError("the access token has a space or an invalid character. Copy it again")
    return token


def _head(api: HfApi, repo_id: str, branch: str, *, create_branch: bool = False) -> ModelInfo:
    """Return the metadata of a branch; with `create_branch`, create it if it does not exist."""
    get_info = partial(api.model_info, repo_id, revision=branch, files_metadata=True, timeout=retry.TIMEOUT)
    try:
        return get_info()
    except RevisionNotFoundError:
        if not create_branch:
            raise
    api.create_branch(repo_id, branch=branch, exist_ok=True)
    return get_info()


def _commit(
    api: HfApi,
    repo_id: str,
    *,
    head: ModelInfo,
    files: Mapping[str, Path],
    operations: Sequence[CommitOperationAdd],
    branch: str,
    message: str,
    create_pr: bool,
    error_prefix: str,
) -> str:
    """Create the commit on top of `head`, and return its URL.

    If the branch already has these files, return the URL of its latest commit.
    """
    current = _head(api, repo_id, branch)
    obsolete = sorted(_obsolete_files(current, files))
    if not obsolete and _has_same_files(current, files):
        return f"{api.endpoint}/{repo_id}/commit/{current.sha}"
    if current.sha != head.sha:
        raise ModelError(f"{error_prefix}: the branch {branch!r} changed during the upload. Push again")
    created = api.create_commit(
        repo_id,
        [*operations, *map(CommitOperationDelete, obsolete)],
        commit_message=message,
        revision=branch,
        create_pr=create_pr,
        parent_commit=head.sha,
    )
    return str(created.pr_url or created.commit_url)


def _obsolete_files(head: ModelInfo, files: Mapping[str, Path]) -> Iterator[str]:
    """Yield the model files in the repository that are not part of this model, except the model card."""
    for sibling in head.siblings or ():
        name = sibling.rfilename
        patterns = (pattern for pattern in FILES if pattern != CARD and pattern.count("/") == name.count("/"))
        if name not in files and any(fnmatchcase(name, pattern) for pattern in patterns):
            yield name


def _has_same_files(head: ModelInfo, files: Mapping[str, Path]) -> bool:
    """Return whether the repository has all of the files with the same content."""
    remote = {sibling.rfilename: sibling for sibling in head.siblings or ()}
    if any(name not in remote or remote[name].size != path.stat().st_size for name, path in files.items()):
        return False
    return all(
        matches_digest(path, large.sha256 if (large := remote[name].lfs) else remote[name].blob_id or "")
        for name, path in files.items()
    )
