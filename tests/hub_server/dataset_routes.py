"""Routes of dataset repositories with a single commit."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.hub_server.messages import Request, Response, as_json, refuse
from tests.hub_server.state import COMMIT, Hub

_OWN = {"X-Repo-Commit": COMMIT}


def info(hub: Hub, request: Request) -> Response:
    """Return the description of a repository, or the content of a folder."""
    files = hub.repos.get(request.path_values["repo"])
    if files is None:
        return refuse(404, "RepoNotFound")
    if (request.path_values["rev"] or "main") not in ("main", COMMIT):
        return refuse(404, "RevisionNotFound")
    if request.path_values["verb"] == "tree":
        return as_json(_tree(files, request.path_values["path"]), X_Repo_Commit=COMMIT)
    siblings = [{"rfilename": name} for name in files]
    about = {"id": request.path_values["repo"], "sha": COMMIT, "private": False, "tags": [], "siblings": siblings}
    return as_json(about, X_Repo_Commit=COMMIT)


def file(hub: Hub, request: Request) -> Response:
    """Return a file."""
    files = hub.repos.get(request.path_values["repo"])
    if files is None:
        return refuse(404, "RepoNotFound")
    if request.path_values["rev"] not in ("main", COMMIT):
        return refuse(404, "RevisionNotFound")
    if request.path_values["repo"] in hub.gated:
        return refuse(401, "GatedRepo")
    content = files.get(request.path_values["path"])
    if content is None:
        return refuse(404, "EntryNotFound")
    return Response(200, content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', **_OWN})


def _file_info(name: str, content: bytes) -> dict[str, object]:
    return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}


def _folder_info(name: str) -> dict[str, object]:
    return {"type": "directory", "path": name, "size": 0, "oid": hashlib.sha1(name.encode()).hexdigest()}


def _folders(files: dict[str, bytes]) -> set[str]:
    return {str(parent) for name in files for parent in Path(name).parents} - {"."}


def _tree(files: dict[str, bytes], folder: str) -> list[dict[str, object]]:
    names = [name for name in files if Path(name).parent == Path(folder)]
    folders = [name for name in sorted(_folders(files)) if Path(name).parent == Path(folder)]
    return [_folder_info(name) for name in folders] + [_file_info(name, files[name]) for name in names]
