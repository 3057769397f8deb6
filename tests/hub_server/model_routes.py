"""Routes of model repositories: create, commit, read."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.hub_server.messages import Request, Response, as_json, refuse
from tests.hub_server.state import READER, WRITER, Commit, Hub, Repo

_LARGE = (".safetensors", ".onnx", ".data", ".png", ".model", ".bin")
_PAGE = 5
"""Files per page of a listing."""


def whoami(hub: Hub, request: Request) -> Response:
    """Return the user of the token."""
    return _barred(request) or as_json({"name": "me", "type": "user", "orgs": [], "auth": {"type": "access_token"}})


def create(hub: Hub, request: Request) -> Response:
    """Create a repository with a first commit, like the Hub."""
    options = json.loads(request.body)
    name = f"{options.get('organization') or 'me'}/{options['name']}"
    if barred := _barred(request, write=name):
        return barred
    url = f"{hub.url}/{name}"
    if name in hub.models:
        return refuse(409, message="You already created this model repo", url=url)
    repo = hub.models[name] = Repo(private=options.get("visibility") == "private" or options.get("private") is True)
    repo.commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"}, message="initial commit")
    return as_json({"url": url, "name": name, "id": name})


def validate(hub: Hub, request: Request) -> Response:
    """Validate the front matter of a card."""
    content = json.loads(request.body)["content"]
    if content.startswith("---\n") and "\n---\n" not in content[4:]:
        return as_json({"errors": [{"message": "the front matter has no end"}], "warnings": []}, status=400)
    return as_json({"errors": [], "warnings": []})


def preupload(hub: Hub, request: Request) -> Response:
    """Return which files are large, and which are already stored."""
    repo = _open(hub, request, write="create_pr" not in request.query)
    if isinstance(repo, Response):
        return repo
    head = repo.find(request.path_values["rev"])
    if head is None:
        return refuse(404, "RevisionNotFound")
    modes = []
    for file in json.loads(request.body)["files"]:
        mode = "lfs" if file["path"].endswith(_LARGE) else "regular"
        content = head.files.get(file["path"])
        oid = None if content is None else _sha256(content) if mode == "lfs" else _git(content)
        modes.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return as_json({"files": modes})


def batch(hub: Hub, request: Request) -> Response:
    """Return the upload addresses of large files."""
    repo = _open(hub, request)
    if isinstance(repo, Response):
        return repo
    objects: list[dict[str, Any]] = json.loads(request.body)["objects"]
    for item in objects:
        if item["oid"] not in hub.large:
            item["actions"] = {"upload": {"href": f"{hub.storage}/large/{item['oid']}?signature=secret"}}
    return as_json({"transfer": "basic", "objects": objects})


def put(hub: Hub, request: Request) -> Response:
    """Store a large file; its address is signed, so the request must not have a token."""
    if request.token is not None:
        return refuse(400, message="Only one way to authenticate is allowed")
    if _sha256(request.body) != request.path_values["oid"]:
        return refuse(400, message="The content is not what was announced")
    hub.large[request.path_values["oid"]] = request.body
    return Response()


def commit(hub: Hub, request: Request) -> Response:
    """Add a commit to a branch or a pull request, completely or not at all."""
    proposed = "create_pr" in request.query
    repo = _open(hub, request, write=not proposed)
    if isinstance(repo, Response):
        return repo
    head = repo.find(request.path_values["rev"])
    lines = [json.loads(line) for line in request.body.splitlines()]
    about = lines[0]["value"]
    if head is None or (not proposed and request.path_values["rev"] not in repo.branches):
        return refuse(404, "RevisionNotFound")
    if about.get("parentCommit", head.sha) != head.sha:
        return refuse(412, "")
    files = dict(head.files)
    for line in lines[1:]:
        value = line["value"]
        if line["key"] == "deletedFile":
            del files[value["path"]]
        elif line["key"] == "lfsFile" and value["oid"] not in hub.large:
            return refuse(400, message=f"Your push was rejected: {value['path']} was not uploaded")
        else:
            content = hub.large[value["oid"]] if line["key"] == "lfsFile" else base64.b64decode(value["content"])
            files[value["path"]] = content
    number = sum(name.startswith("refs/pr/") for name in repo.branches) + 1
    branch = f"refs/pr/{number}" if proposed else request.path_values["rev"]
    new_commit = repo.commit(branch, files, message=about["summary"], onto=head.sha)
    page = f"{hub.url}/{request.path_values['repo']}"
    pull = {"pullRequestUrl": f"{page}/discussions/{number}"} if proposed else {}
    return as_json(
        {"success": True, "commitUrl": f"{page}/commit/{new_commit.sha}", "commitOid": new_commit.sha, **pull}
    )


def branch(hub: Hub, request: Request) -> Response:
    """Create a branch from `main`."""
    repo = _open(hub, request, write=True)
    if isinstance(repo, Response):
        return repo
    if request.path_values["rev"] in repo.branches:
        return refuse(409, message="Reference already exists")
    repo.branches[request.path_values["rev"]] = repo.branches["main"]
    return as_json({"success": True})


def info(hub: Hub, request: Request) -> Response:
    """Return the files of a repository at a revision."""
    repo = _open(hub, request)
    if isinstance(repo, Response):
        return repo
    commit = repo.find(request.path_values["rev"] or "main")
    if commit is None:
        return refuse(404, "RevisionNotFound")
    siblings = [
        {"rfilename": entry.pop("path"), "blobId": entry.pop("oid"), **entry}
        if "blobs" in request.query
        else {"rfilename": entry["path"]}
        for entry in _list(commit)
    ]
    name = request.path_values["repo"]
    about = {"_id": "1", "id": name, "modelId": name, "private": repo.private, "gated": repo.gated, "tags": []}
    return as_json({**about, "sha": commit.sha, "siblings": siblings, "downloads": 0, "likes": 0})


def tree(hub: Hub, request: Request) -> Response:
    """Return a page of the list of files."""
    repo = _open(hub, request)
    if isinstance(repo, Response):
        return repo
    commit = repo.find(request.path_values["rev"])
    if commit is None:
        return refuse(404, "RevisionNotFound")
    start = int(request.query.get("cursor", 0))
    files = _list(commit)
    page = f"{hub.url}/api/models/{request.path_values['repo']}/tree/{quote(request.path_values['rev'], safe='')}"
    response = as_json(files[start : start + _PAGE])
    if start + _PAGE >= len(files):
        return response
    following = f'<{page}?recursive=true&cursor={start + _PAGE}>; rel="next"'
    return replace(response, headers={**response.headers, "Link": following})


def file(hub: Hub, request: Request) -> Response:
    """Return a file, or a redirect for a large one."""
    repo = _open(hub, request)
    if isinstance(repo, Response):
        return repo
    if repo.gated and request.token is None:
        return refuse(401, "GatedRepo", message="Access to this model is restricted")
    commit = repo.find(request.path_values["rev"])
    if commit is None:
        return refuse(404, "RevisionNotFound")
    content, headers = commit.files.get(request.path_values["path"]), {"X-Repo-Commit": commit.sha}
    if content is None:
        return Response(404, b"", {"X-Error-Code": "EntryNotFound", **headers})
    if not request.path_values["path"].endswith(_LARGE):
        return Response(200, content, {"ETag": f'"{_git(content)}"', **headers})
    oid = _sha256(content)
    hub.large[oid] = content
    linked = {"X-Linked-ETag": f'"{oid}"', "X-Linked-Size": str(len(content))}
    return Response(302, b"", {"Location": f"{hub.storage}/large/{oid}?signature=secret", **linked, **headers})


def large(hub: Hub, request: Request) -> Response:
    """Return a large file."""
    if request.token is not None:
        return refuse(400, message="Only one way to authenticate is allowed")
    return Response(200, hub.large[request.path_values["oid"]], {"ETag": f'"{request.path_values["oid"]}"'})


def _barred(request: Request, *, write: str | None = None) -> Response | None:
    """Return an error response if the token may not write to a repository, or None."""
    if request.token not in (WRITER, READER):
        return refuse(401)
    if write is not None and (request.token != WRITER or not write.startswith("me/")):
        return refuse(403)
    return None


def _open(hub: Hub, request: Request, *, write: bool = False) -> Repo | Response:
    """Return the repository if it exists and the token has access; like the Hub, do not distinguish the two."""
    name = request.path_values["repo"]
    if request.token is not None and (barred := _barred(request)):
        return barred
    repo = hub.models.get(name)
    if repo is None or (repo.private and request.token is None):
        return refuse(401 if request.token is None else 404, "RepoNotFound")
    return (_barred(request, write=name) or repo) if write else repo


def _list(commit: Commit) -> list[dict[str, Any]]:
    files = []
    for name, content in sorted(commit.files.items()):
        entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": _git(content)}
        if Path(name).suffix in _LARGE:
            entry["lfs"] = {
                "sha256": _sha256(content),
                "oid": _sha256(content),
                "size": len(content),
                "pointerSize": 130,
            }
        files.append(entry)
    return files


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _git(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()
