"""A hostile mirror of the Hub cannot make the client write outside of its cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import close_session, constants, get_session
from transformers import AutoConfig, BartForConditionalGeneration

from nlpmtl.hub_response_checks import UntrustedResponseError, validated_responses
from tests.every_architecture import write_any_architecture
from tests.hub.test_repository import put
from tests.hub_server import Hub, Repo, model_files, serve_hub
from tests.hub_server.client import Client, open_client
from tests.hub_server.messages import Response
from tests.tiny import write_encoder


@pytest.fixture
def hostile(hub: Hub) -> Iterator[Hub]:
    yield hub
    hub.rewrite = None


@pytest.fixture(scope="module")
def nested_client(served: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Path]]:
    """A client with a cache several directories below the directory that the test checks."""
    home = tmp_path_factory.mktemp("victim") / "a" / "b" / "home"
    with open_client(served, home) as opened:
        yield opened, home


def set_headers(*calls: str, **headers: str) -> Callable[[str, Response], Response]:
    """Set headers of the responses of some calls."""
    overrides = {name.replace("_", "-"): value for name, value in headers.items()}

    def rewrite(call: str, response: Response) -> Response:
        if call not in calls or response.status >= 400:
            return response
        unchanged = {
            name: value for name, value in response.headers.items() if name.lower() not in map(str.lower, overrides)
        }
        return replace(response, headers={**unchanged, **overrides})

    return rewrite


def change_body(call: str, change: Callable[[object], object]) -> Callable[[str, Response], Response]:
    """Change the JSON of a call's responses."""

    def rewrite(name: str, response: Response) -> Response:
        if name != call:
            return response
        return replace(response, body=json.dumps(change(json.loads(response.body))).encode())

    return rewrite


def change_untyped_body(call: str, change: Callable[[object], object]) -> Callable[[str, Response], Response]:
    """Change the JSON of a call's responses, without the JSON content type."""

    def rewrite(name: str, response: Response) -> Response:
        changed = change_body(call, change)(name, response)
        return changed if name != call else replace(changed, headers={"Content-Type": "text/plain"})

    return rewrite


def redirect(call: str, address: str) -> Callable[[str, Response], Response]:
    """Redirect a call."""

    def rewrite(name: str, response: Response) -> Response:
        return Response(302, b"", {"Location": address}) if name == call else response

    return rewrite


def change_readme_entry(**values: object) -> Callable[[object], object]:
    def change(content: object) -> object:
        assert isinstance(content, list)
        return [{**entry, **values} if entry["path"] == "README.md" else entry for entry in content]

    return change


OUTSIDE = "../../../../outside"
ATTACKS = {
    "etag": set_headers("head", ETag=f'"{OUTSIDE}"'),
    "weak etag": set_headers("head", ETag=f'W/"{OUTSIDE}"'),
    "absolute etag": set_headers("head", ETag='"/tmp/outside"'),
    "bare etag": set_headers("head", ETag=OUTSIDE),
    "linked etag": set_headers("head", X_Linked_ETag=f'"{OUTSIDE}"'),
    "backslashes": set_headers("head", ETag='"..\\\\..\\\\outside"'),
    "empty etag": set_headers("head", ETag='""'),
    "commit": set_headers("head", X_Repo_Commit=OUTSIDE),
    "short commit": set_headers("head", X_Repo_Commit="abc"),
    "upper case": set_headers("head", X_Repo_Commit="A" * 40),
    "commit in the description": change_body("info", lambda info: {**info, "sha": OUTSIDE}),  # type: ignore[dict-item]
    "digest in the listing": change_body(
        "tree", change_readme_entry(lfs={"oid": OUTSIDE, "size": 5, "pointerSize": 1})
    ),
    "object in the listing": change_body("tree", change_readme_entry(oid=OUTSIDE)),
    "file name": change_body("tree", change_readme_entry(path="../README.md")),
    "absolute file name": change_body("tree", change_readme_entry(path="/images/a.png")),
    "escape sequence in a file name": change_body("tree", change_readme_entry(path="images/\x1b]0;title\x07.png")),
    "right-to-left file name": change_body("tree", change_readme_entry(path="images/\u202egnp.exe.png")),
    "listing without JSON content type": change_untyped_body("tree", change_readme_entry(path="../README.md")),
    "description without JSON content type": change_untyped_body("info", lambda info: {**info, "sha": OUTSIDE}),  # type: ignore[dict-item]
    "redirect to another address": redirect("info", "/elsewhere"),
    "redirect to an address of files": redirect("info", "/resolve/api/models/org/model"),
    "redirect to a file": redirect("tree", "/org/model/resolve/main/config.json"),
    "redirect to cached files": redirect("tree", "/api/resolve-cache/models/org/model/main/config.json"),
    "next page at another address": set_headers("tree", Link='</elsewhere>; rel="next"'),
}
RULES = ("40 hex digits", "SHA-1 or SHA-256", "leaves the repository", "control characters", "not one of the Hub's API")


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_response_with_a_path_in_it_is_refused(
    attack: str, hostile: Hub, name: str, nested_client: tuple[Client, Path]
) -> None:
    client, home = nested_client
    put(hostile, name, model_files.files())
    hostile.rewrite = ATTACKS[attack]
    message = client.error("fetch", name=name)
    assert f"ModelError: the model '{name}' cannot be loaded: " in message
    assert any(rule in message for rule in RULES), message
    assert not list(home.parents[2].rglob("*outside*"))
    files = [path for path in home.rglob("*") if path.is_file()]
    assert all(path.resolve().is_relative_to(home) for path in files)
    hostile.rewrite = None
    assert Path(client("fetch", name=name)).name == hostile.models[name].branches["main"]


@pytest.mark.parametrize("repository", ["resolve-ai/model", "org/resolver", "resolve/resolve", "resolve/api"])
def test_responses_about_a_repository_named_resolve_are_checked(
    repository: str, hostile: Hub, nested_client: tuple[Client, Path]
) -> None:
    client, _ = nested_client
    put(hostile, repository, model_files.files())
    hostile.rewrite = ATTACKS["file name"]
    assert "leaves the repository" in client.error("fetch", name=repository)
    hostile.rewrite = None
    assert Path(client("fetch", name=repository)).name == hostile.models[repository].branches["main"]


def test_a_renamed_repository_and_files_in_a_directory_named_api(
    hostile: Hub, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    put(hostile, name, {"api/paths.json": b'{"path": "../x"}'})
    moved = Response(307, b"", {"Location": f"{hostile.url}/api/models/{name}"})
    hostile.rewrite = lambda call, response: moved if call == "info" and response.status >= 400 else response
    with validated_responses():
        commit = hostile.models[name].branches["main"]
        info = get_session().get(f"{hostile.url}/api/models/old/{name.partition('/')[2]}")
        assert (info.status_code, info.json()["sha"], len(info.history)) == (200, commit, 1)
        file = get_session().get(f"{hostile.url}/{name}/resolve/main/api/paths.json")
        assert file.json() == {"path": "../x"}


def test_a_replaced_http_client_is_guarded_too(hostile: Hub, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the client as `huggingface_hub` does after a failed connection, during a download."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    put(hostile, name, model_files.files())
    with validated_responses():
        close_session()
        assert get_session().head(f"{hostile.url}/{name}/resolve/main/config.json").status_code == 200
        hostile.rewrite = set_headers("head", ETag=f'"{OUTSIDE}"')
        with pytest.raises(UntrustedResponseError):
            get_session().head(f"{hostile.url}/{name}/resolve/main/config.json")
    assert get_session().head(f"{hostile.url}/{name}/resolve/main/config.json").status_code == 200


@pytest.mark.slow
def test_a_link_out_of_the_cache_is_not_read(client: Client, hub: Hub, name: str, tmp_path: Path) -> None:
    put(hub, name, model_files.files())
    directory = Path(client("fetch", name=name))
    (tmp_path / "secret").write_text("secret")
    (directory / "README.md").unlink()
    (directory / "README.md").symlink_to(tmp_path / "secret")
    assert "outside of it" in client.error("fetch", name=name)


CODE = """
import sys, nlpmtl
from nlpmtl.errors import NlpmtlError
from nlpmtl.run import load_config, load_inputs
try:
    load_inputs(load_config(__import__("json").load(sys.stdin)))
except NlpmtlError as error:
    print(f"{type(error).__name__}: {error}")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "rewrite",
    [
        set_headers("head", ETag=f'"{OUTSIDE}"'),
        set_headers("head", X_Repo_Commit=OUTSIDE),
        set_headers("head", X_Linked_ETag=OUTSIDE),
        set_headers("dataset-head", ETag=f'"{OUTSIDE}"'),
        set_headers("dataset-head", X_Repo_Commit=OUTSIDE),
    ],
)
def test_encoders_and_datasets_are_guarded_too(rewrite: Callable[[str, Response], Response], tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "encoder")
    rows = "".join(json.dumps({"text": f"a cat {n}", "label": "ab"[n % 2]}) + "\n" for n in range(20))
    with serve_hub() as hub:
        repo = hub.models["org/encoder"] = Repo(private=False)
        repo.commit("main", {path.name: path.read_bytes() for path in encoder.iterdir()}, message="encoder")
        hub.repos["org/data"] = {"train.jsonl": rows.encode(), "validation.jsonl": rows.encode()}
        tasks = {"label": {"kind": "classification", "label": "label"}}
        run = {
            "encoder": {"name": "org/encoder", "max_length": 32},
            "datasets": {"data": {"data": {"hub": "org/data"}, "input": {"text": "text"}, "tasks": tasks}},
            "train": {"steps": 1},
        }

        def load() -> str:
            environment = {**hub.environment(tmp_path / "a" / "b" / "home"), "PYTHONPATH": str(Path.cwd())}
            environment = {**environment, "HF_HUB_OFFLINE": "0", "NLPMTL_CACHE": str(tmp_path / "cache")}
            command = [sys.executable, "-c", CODE]
            result = subprocess.run(command, input=json.dumps(run), env=environment, capture_output=True, text=True)
            assert result.returncode == 0, result.stderr
            return result.stdout

        hub.rewrite = rewrite
        assert "Nothing was written" in load()
        assert not list(tmp_path.rglob("*outside*"))
        hub.rewrite = None
        assert load() == ""


STOCK = """
import sys
from nlpmtl.model import load_encoder
encoder = load_encoder("org/encoder")
print("loaded", flush=True)
sys.stdin.readline()
encoder.load_stock("AutoModelForSeq2SeqLM")
"""


@pytest.mark.slow
def test_the_second_download_of_an_encoder_is_guarded_too(tmp_path: Path) -> None:
    """A decoder is loaded with another class of transformers, which requests `generation_config.json` as well."""
    source = write_any_architecture("bart", tmp_path / "encoder", decoder_start_token_id=2)
    BartForConditionalGeneration(AutoConfig.from_pretrained(source)).save_pretrained(source)
    with serve_hub() as hub:
        repo = hub.models["org/encoder"] = Repo(private=False)
        repo.commit("main", {path.name: path.read_bytes() for path in source.iterdir()}, message="encoder")
        environment = {**hub.environment(tmp_path / "a" / "b" / "c" / "home"), "PYTHONPATH": str(Path.cwd())}
        with subprocess.Popen(
            [sys.executable, "-c", STOCK],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**environment, "HF_HUB_OFFLINE": "0"},
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "loaded\n"
            requests: list[str] = []

            def rewrite(call: str, response: Response) -> Response:
                requests.append(call)
                return set_headers("head", ETag=f'"{OUTSIDE}"')(call, response)

            hub.rewrite = rewrite
            process.communicate("\n")
    assert process.returncode == 0
    assert "head" in requests
    assert not list(tmp_path.rglob("*outside*"))


@pytest.mark.parametrize("linked", ["README.md", "model.safetensors", "config.json", "images"])
def test_links_out_of_the_directory_are_not_pushed(
    linked: str, client: Client, hub: Hub, model_dir: Path, name: str, tmp_path: Path
) -> None:
    target = tmp_path / "elsewhere"
    (model_dir / linked).rename(target)
    (model_dir / linked).symlink_to(target)
    message = client.error("push", directory=model_dir, repo_id=name)
    assert f"is a link to {target}" in message
    assert "outside of the directory" in message
    assert name not in hub.models


def test_links_inside_and_models_of_the_cache_are_pushed(client: Client, hub: Hub, model_dir: Path, name: str) -> None:
    (model_dir / "README.md").rename(model_dir / "CARD.md")
    (model_dir / "README.md").symlink_to("CARD.md")
    alias = model_dir.with_name("alias")
    alias.symlink_to(model_dir)
    client("push", directory=alias, repo_id=name)
    client("push", directory=client("fetch", name=name), repo_id=f"{name}-2")
    assert hub.models[f"{name}-2"].files() == hub.models[name].files()


@pytest.mark.parametrize("moment", ["create", "info"])
def test_a_file_that_a_link_replaces_after_the_check_is_not_pushed(
    moment: str, client: Client, hostile: Hub, model_dir: Path, name: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("SECRET")

    def replace_file(call: str, response: Response) -> Response:
        if call == moment and not (model_dir / "README.md").is_symlink():
            (model_dir / "README.md").unlink()
            (model_dir / "README.md").symlink_to(tmp_path / "secret")
        return response

    hostile.rewrite = replace_file
    assert "README.md is a link to" in client.error("push", directory=model_dir, repo_id=name)
    assert all(
        b"SECRET" not in file for commit in hostile.models[name].commits.values() for file in commit.files.values()
    )


def test_a_file_that_a_link_replaces_during_the_upload_is_sent_as_it_was(
    client: Client, hostile: Hub, model_dir: Path, name: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("SECRET")

    def replace_file(call: str, response: Response) -> Response:
        if call == "preupload" and not (model_dir / "scores.json").is_symlink():
            (model_dir / "scores.json").unlink()
            (model_dir / "scores.json").symlink_to(tmp_path / "secret")
        return response

    hostile.rewrite = replace_file
    client("push", directory=model_dir, repo_id=name)
    repo = hostile.models[name]
    assert repo.commits[repo.branches["main"]].files["scores.json"] == model_files.files()["scores.json"]


@pytest.mark.parametrize("file", ["config.json", "model.safetensors.index.json"])
def test_a_pipe_in_place_of_a_file_is_not_read(client: Client, model_dir: Path, name: str, file: str) -> None:
    (model_dir / ("config.json" if file == "config.json" else "model.safetensors")).unlink()
    os.mkfifo(model_dir / file)
    assert f"{file} is not a regular file" in client.error("push", directory=model_dir, repo_id=name)
