"""Repositories of models: created, written to in whole commits, read."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.hub_server.answers import Request, Response, as_json, refuse
from tests.hub_server.state import READER, WRITER, Commit, Hub, Repo

_LARGE = (".safetensors", ".onnx", ".data", ".png", ".model", ".bin")
_PAGE = 5
"""Files on a page of a listing."""


def whoami(hub: Hub, request: Request) -> Response:
    """Whose token it is."""
    return _barred(request) or as_json({"name": "me", "type": "user", "orgs": [], "auth": {"type": "access_token"}})


def create(hub: Hub, request: Request) -> Response:
    """Make a repository, with a first commit as the Hub makes it."""
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
    """Check the head of a card."""
    content = json.loads(request.body)["content"]
    if content.startswith("---\n") and "\n---\n" not in content[4:]:
        return as_json({"errors": [{"message": "the front matter has no end"}], "warnings": []}, status=400)
    return as_json({"errors": [], "warnings": []})


def preupload(hub: Hub, request: Request) -> Response:
    """Which files are large, and what is there of them."""
    repo = _open(hub, request, write="create_pr" not in request.query)
    if isinstance(repo, Response):
        return repo
    there = repo.find(request.found["rev"])
    if there is None:
        return refuse(404, "RevisionNotFound")
    modes = []
    for file in json.loads(request.body)["files"]:
        mode = "lfs" if file["path"].endswith(_LARGE) else "regular"
        content = there.files.get(file["path"])
        oid = None if content is None else _sha256(content) if mode == "lfs" else _git(content)
        modes.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return as_json({"files": modes})


def batch(hub: Hub, request: Request) -> Response:
    """Where large files go."""
    repo = _open(hub, request)
    if isinstance(repo, Response):
        return repo
    objects: list[dict[str, Any]] = json.loads(request.body)["objects"]
    for item in objects:
        if item["oid"] not in hub.large:
            item["actions"] = {"upload": {"href": f"{hub.storage}/large/{item['oid']}?signature=secret"}}
    return as_json({"transfer": "basic", "objects": objects})


def put(hub: Hub, request: Request) -> Response:
    """Take a large file; its address is signed, so a token has no business there."""
    if request.token is not None:
        return refuse(400, message="Only one way to authenticate is allowed")
    if _sha256(request.body) != request.found["oid"]:
        return refuse(400, message="The content is not what was announced")
    hub.large[request.found["oid"]] = request.body
    return Response()


def commit(hub: Hub, request: Request) -> Response:
    """Put all of it onto a branch, or into a pull request; or nothing at all."""
    proposed = "create_pr" in request.query
    repo = _open(hub, request, write=not proposed)
    if isinstance(repo, Response):
        return repo
    head = repo.find(request.found["rev"])
    lines = [json.loads(line) for line in request.body.splitlines()]
    about = lines[0]["value"]
    if head is None or (not proposed and request.found["rev"] not in repo.branches):
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
    branch = f"refs/pr/{number}" if proposed else request.found["rev"]
    made = repo.commit(branch, files, message=about["summary"], onto=head.sha)
    page = f"{hub.url}/{request.found['repo']}"
    pull = {"pullRequestUrl": f"{page}/discussions/{number}"} if proposed else {}
    return as_json({"success": True, "commitUrl": f"{page}/commit/{made.sha}", "commitOid": made.sha, **pull})


def branch(hub: Hub, request: Request) -> Response:
    """Make a branch where `main` is."""
    repo = _open(hub, request, write=True)
    if isinstance(repo, Response):
        return repo
    if request.found["rev"] in repo.branches:
        return refuse(409, message="Reference already exists")
    repo.branches[request.found["rev"]] = repo.branches["main"]
    return as_json({"success": True})


def info(hub: Hub, request: Request) -> Response:
    """What a repository has at a revision."""
    repo = _open(hub, request)
    if isinstance(repo, Response):
        return repo
    commit = repo.find(request.found["rev"] or "main")
    if commit is None:
        return refuse(404, "RevisionNotFound")
    siblings = [
        {"rfilename": entry.pop("path"), "blobId": entry.pop("oid"), **entry}
        if "blobs" in request.query
        else {"rfilename": entry["path"]}
        for entry in _list(commit)
    ]
    name = request.found["repo"]
    about = {"_id": "1", "id": name, "modelId": name, "private": repo.private, "gated": repo.gated, "tags": []}
    return as_json({**about, "sha": commit.sha, "siblings": siblings, "downloads": 0, "likes": 0})


def tree(hub: Hub, request: Request) -> Response:
    """A page of the list of files."""
    repo = _open(hub, request)
    if isinstance(repo, Response):
        return repo
    commit = repo.find(request.found["rev"])
    if commit is None:
        return refuse(404, "RevisionNotFound")
    start = int(request.query.get("cursor", 0))
    files = _list(commit)
    page = f"{hub.url}/api/models/{request.found['repo']}/tree/{quote(request.found['rev'], safe='')}"
    response = as_json(files[start : start + _PAGE])
    if start + _PAGE >= len(files):
        return response
    following = f'<{page}?recursive=true&cursor={start + _PAGE}>; rel="next"'
    return replace(response, headers={**response.headers, "Link": following})


def file(hub: Hub, request: Request) -> Response:
    """A file; a large one is said to lie elsewhere."""
    repo = _open(hub, request)
    if isinstance(repo, Response):
        return repo
    if repo.gated and request.token is None:
        return refuse(401, "GatedRepo", message="Access to this model is restricted")
    commit = repo.find(request.found["rev"])
    if commit is None:
        return refuse(404, "RevisionNotFound")
    content, headers = commit.files.get(request.found["path"]), {"X-Repo-Commit": commit.sha}
    if content is None:
        return Response(404, b"", {"X-Error-Code": "EntryNotFound", **headers})
    if not request.found["path"].endswith(_LARGE):
        return Response(200, content, {"ETag": f'"{_git(content)}"', **headers})
    oid = _sha256(content)
    hub.large[oid] = content
    linked = {"X-Linked-ETag": f'"{oid}"', "X-Linked-Size": str(len(content))}
    return Response(302, b"", {"Location": f"{hub.storage}/large/{oid}?signature=secret", **linked, **headers})


def large(hub: Hub, request: Request) -> Response:
    """A large file."""
    if request.token is not None:
        return refuse(400, message="Only one way to authenticate is allowed")
    return Response(200, hub.large[request.found["oid"]], {"ETag": f'"{request.found["oid"]}"'})


def _barred(request: Request, *, write: str | None = None) -> Response | None:
    """Why the token is not good enough to act, or to write to that repository."""
    if request.token not in (WRITER, READER):
        return refuse(401)
    if write is not None and (request.token != WRITER or not write.startswith("me/")):
        return refuse(403)
    return None


def _open(hub: Hub, request: Request, *, write: bool = False) -> Repo | Response:
    """The repository, if it is there and may be read or written to; the Hub does not tell which of them it is."""
    name = request.found["repo"]
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
