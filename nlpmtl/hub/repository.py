"""Repositories of models on the Hub: a model directory is pushed in one commit, and fetched as one commit has it."""

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
from nlpmtl.config import find_directory
from nlpmtl.errors import ConfigError, ModelError, plain
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
        ConfigError: an argument is invalid, there is no token, or HF_HUB_OFFLINE is set. Nothing was sent.
        ModelError: the directory holds no complete model or links to files outside of it, or the Hub refused or failed:
            the branch is unchanged.
    """
    unknown = options.keys() - PushOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"push() got unexpected keyword arguments: {', '.join(sorted(unknown))}")
    private, revision, create_pr = options.get("private"), options.get("revision"), options.get("create_pr", False)
    failed = f"{directory} cannot be pushed"
    directory = find_directory(directory, failed=failed) or Path(directory)
    files = check_complete(directory, failed=failed)
    _check_links(Path(directory), files)
    failed = f"the model cannot be pushed to {repo_id!r}"
    _check_target(repo_id, revision=revision, failed=failed)
    token = options.get("token") or get_token()
    if token is None:
        raise ConfigError(f"{failed}: there is no token. Log in with `hf auth login`, or set HF_TOKEN")
    api = HfApi(token=_checked(token), library_name=OWN_TYPE)
    if not create_pr:
        repo_id = call_with_retry(
            partial(api.create_repo, repo_id, private=private, exist_ok=True), failed=failed
        ).repo_id
    with TemporaryDirectory() as scratch:
        return _send(
            api,
            repo_id,
            files={**files, **_card_for_repo(files, repo_id=repo_id, scratch=Path(scratch), failed=failed)},
            private=private,
            branch=revision or constants.DEFAULT_REVISION,
            message=options.get("message") or f"Upload a model of nlpmtl ({len(files)} files)",
            create_pr=create_pr,
            failed=failed,
            check=partial(_check_links, Path(directory), files),
        )


def fetch(name: str | Path, *, revision: str | None = None, token: str | None = None) -> Path:
    """Where a model is on this machine: a directory as it is; anything else is fetched from the Hub into its cache.

    All files are those of one commit, and each is what the repository says that it is, byte for byte.

    Args:
        name: a model directory, the directory of a run (for the model in it), or a Hub id.
        revision: a commit, tag or branch of the Hub's model; None: ``"main"``.
        token: None: the one that `hf auth login` saved, or HF_TOKEN.

    Raises:
        ConfigError: a directory has no revisions; a token that cannot be one.
        ModelError: there is no such model, it may not be read, it is not one of nlpmtl's, or the Hub failed.
    """
    failed = f"the model {str(name)!r} cannot be loaded"
    found = find_directory(name, failed=failed)
    if found is not None:
        if revision is not None:
            raise ConfigError(f"{failed}: it is a directory, which has no revision {revision!r}")
        return found
    try:
        validate_repo_id(str(name))
    except HFValidationError as error:
        raise ModelError(f'{failed}: there is no such directory, and a Hub id looks like "name/model"') from error
    if "/" not in str(name):  # more likely a directory than a Hub id
        failed = f"{failed} (there is no directory of that name)"
    if is_offline_mode():
        directory = cached(str(name), revision=revision, failed=failed)
    else:
        _checked(token or get_token())
        directory = download(str(name), revision=revision, token=token, failed=failed)
    check_complete(directory, failed=failed)
    return directory


def _check_links(directory: Path, files: Mapping[str, Path]) -> None:
    """Raise ModelError if a file to be sent is elsewhere: a link may lead to what its owner does not want to publish.

    A model in the cache of the Hub consists of links to the same repository's folder in the cache.
    """
    root = directory.resolve()
    cache = Path(constants.HF_HUB_CACHE).resolve()
    if root.is_relative_to(cache) and root.parent.name == "snapshots":
        root = root.parents[1]
    for name, path in files.items():
        if not path.resolve().is_relative_to(root):
            raise ModelError(
                f"{directory} cannot be pushed: {plain(name)} is a link to {plain(path.resolve())}, outside of the "
                "directory. Replace the link by a copy of the file if it belongs to the model"
            )


def _card_for_repo(files: Mapping[str, Path], *, repo_id: str, scratch: Path, failed: str) -> dict[str, Path]:
    """The card, if there is one that speaks of its directory, with the repository in its place."""
    if CARD not in files:
        return {}
    card = files[CARD].read_bytes().decode("utf-8", "replace")
    try:
        named = with_repo_id(card, repo=repo_id)
    except (ValueError, yaml.YAMLError) as error:
        raise ModelError(f"{failed}: the front matter of its {CARD} cannot be read: {error}") from error
    if named == card:
        return {}
    (scratch / CARD).write_text(named, encoding="utf-8", newline="\n")
    return {CARD: scratch / CARD}


def _send(
    api: HfApi,
    repo_id: str,
    *,
    files: Mapping[str, Path],
    private: bool | None,
    branch: str,
    message: str,
    create_pr: bool,
    failed: str,
    check: Callable[[], None],
) -> str:
    """Send the files to a repository that is there, and make one commit of them."""
    head = call_with_retry(partial(_head, api, repo_id, branch, make=not create_pr), failed=failed)
    if private is not None and head.private is not private:
        now, asked = ("private", "public") if head.private else ("public", "private")
        raise ConfigError(f"{failed}: it is {now}, not {asked}; nothing was sent. Change that in its settings first")
    adding = call_with_retry(partial(_read, files), failed=failed, again=None)
    check()  # again: a file may have been replaced by a link before it was read
    send = partial(api.preupload_lfs_files, repo_id, adding, revision=branch, create_pr=create_pr)
    call_with_retry(send, failed=failed, again=None)
    commit = partial(
        _commit,
        api,
        repo_id,
        head=head,
        files=files,
        adding=adding,
        branch=branch,
        message=message,
        create_pr=create_pr,
        failed=failed,
    )
    # A commit whose answer is lost is found when it is asked for again; a pull request would be opened twice.
    return call_with_retry(commit, failed=failed, again=None if create_pr else is_transient)


def _read(files: Mapping[str, Path]) -> list[CommitOperationAdd]:
    """Read what is sent: small files as a whole, and the digests of large ones, which their upload has to match."""
    large = (".safetensors", GRAPH, f"{GRAPH}.data")
    return [
        CommitOperationAdd(name, path if name.endswith(large) else path.read_bytes()) for name, path in files.items()
    ]


def _check_target(repo_id: str, *, revision: str | None, failed: str) -> None:
    """Raise ConfigError if nothing can be pushed there."""
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ConfigError(f'{failed}: write its name as "name/model". {error}') from error
    if revision is not None and _COMMIT.fullmatch(revision):
        raise ConfigError(f"{failed}: {revision} is a commit, which stays as it is. Give a branch")
    if is_offline_mode():
        raise ConfigError(f"{failed}: HF_HUB_OFFLINE is set. Unset it to push")


def _checked(token: str | None) -> str | None:
    """The token, unless a header could not hold it: the error of that would show it."""
    if token is not None and not re.fullmatch("[!-~]+", token):
        raise ConfigError("the token has a space or a character that no token has. Copy it again")
    return token


def _head(api: HfApi, repo_id: str, branch: str, *, make: bool = False) -> ModelInfo:
    """What a branch has; it is made on demand."""
    look = partial(api.model_info, repo_id, revision=branch, files_metadata=True, timeout=retry.TIMEOUT)
    try:
        return look()
    except RevisionNotFoundError:
        if not make:
            raise
    api.create_branch(repo_id, branch=branch, exist_ok=True)
    return look()


def _commit(
    api: HfApi,
    repo_id: str,
    *,
    head: ModelInfo,
    files: Mapping[str, Path],
    adding: Sequence[CommitOperationAdd],
    branch: str,
    message: str,
    create_pr: bool,
    failed: str,
) -> str:
    """Make the commit on the head that was seen, and on no other; if it is there already, say where."""
    now = _head(api, repo_id, branch)
    stale = sorted(_obsolete_files(now, files))
    if not stale and _already_there(now, files):
        return f"{api.endpoint}/{repo_id}/commit/{now.sha}"
    if now.sha != head.sha:
        raise ModelError(f"{failed}: somebody else has changed {branch!r} meanwhile; it is as they left it. Push again")
    done = api.create_commit(
        repo_id,
        [*adding, *map(CommitOperationDelete, stale)],
        commit_message=message,
        revision=branch,
        create_pr=create_pr,
        parent_commit=head.sha,
    )
    return str(done.pr_url or done.commit_url)


def _obsolete_files(head: ModelInfo, files: Mapping[str, Path]) -> Iterator[str]:
    """Files of another model; a card that somebody wrote on the Hub is none."""
    for one in head.siblings or ():
        depth = one.rfilename.count("/")
        ours = any(depth == name.count("/") and fnmatchcase(one.rfilename, name) for name in FILES if name != CARD)
        if ours and one.rfilename not in files:
            yield one.rfilename


def _already_there(head: ModelInfo, files: Mapping[str, Path]) -> bool:
    """Whether all of the files are there, as they are here."""
    there = {one.rfilename: one for one in head.siblings or ()}
    if any(name not in there or there[name].size != path.stat().st_size for name, path in files.items()):
        return False
    return all(
        matches_digest(path, large.sha256 if (large := there[name].lfs) else there[name].blob_id or "")
        for name, path in files.items()
    )
