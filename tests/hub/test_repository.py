"""Push and fetch with the real client, in a separate process, and a local Hub server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nlpmtl.hub import push
from nlpmtl.model import MultiTaskConfig
from nlpmtl.saved_config import OWN_TYPE
from tests.hub_server import READER, WRITER, Hub, Repo, model_files
from tests.hub_server.client import Client, open_client

STRAY = {
    "optimizer.bin": b"1",
    ".env": b"SECRET=1",
    "training_args.bin": b"hf_",
    "model-00001-of-00002.safetensors": b"of another",
    "images/deep/one.png": b"1",
    "notes/config.json": b"1",
    "run.json": b"{}",
}


@pytest.fixture(scope="module")
def anonymous(served: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with open_client(served, tmp_path_factory.mktemp("anonymous"), token=None) as opened:
        yield opened


def without_git(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if name != ".gitattributes"}


def put(hub: Hub, name: str, files: dict[str, bytes], *, gated: bool = False, private: bool = False) -> Repo:
    repo = hub.models[name] = Repo(private=private, gated=gated)
    repo.commit("main", files, message="put here by the test")
    return repo


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"push\(\) got unexpected keyword arguments: privat$"):
        push(tmp_path, "me/x", privat=True)  # type: ignore[call-arg]


def test_the_loaded_type_is_that_of_the_class() -> None:
    assert MultiTaskConfig.model_type == OWN_TYPE


def test_a_push_is_one_commit_with_only_the_model(client: Client, hub: Hub, model_dir: Path, name: str) -> None:
    model_files.write(model_dir, STRAY)
    before = len(hub.authorized)
    url = client("push", directory=model_dir, repo_id=name, message="The first")
    repo = hub.models[name]
    head = repo.commits[repo.branches["main"]]
    assert url == f"{hub.url}/{name}/commit/{head.sha}"
    assert (len(repo.commits), head.message, repo.private) == (2, "The first", False)
    assert without_git(head.files) == model_files.files()
    assert {token for _, token in hub.authorized[before:]} == {WRITER}
    assert {"create", "preupload", "batch", "commit"} <= {call for call, _ in hub.authorized[before:]}


def test_an_unchanged_model_is_not_committed_again(client: Client, hub: Hub, model_dir: Path, name: str) -> None:
    first = client("push", directory=model_dir, repo_id=name)
    assert client("push", directory=model_dir, repo_id=name) == first
    assert len(hub.models[name].commits) == 2


def test_a_pushed_model_replaces_all_files_of_an_earlier_one(
    client: Client, hub: Hub, model_dir: Path, name: str, tmp_path: Path
) -> None:
    model_files.write(model_dir, {"model.onnx": b"graph", "model.onnx.data": b"numbers"})
    client("push", directory=model_dir, repo_id=name)
    main = hub.models[name].files()
    hub.models[name].commit("main", {**main, "LICENSE": b"theirs", "README.md": b"# Theirs"}, message="by hand")
    other = {**model_files.files(7), "vocab.txt": b"a"}
    del other["README.md"], other["images/scores.png"]
    client("push", directory=model_files.write(tmp_path / "other", other), repo_id=name)
    expected = {**other, "LICENSE": b"theirs", "README.md": b"# Theirs"}
    assert without_git(hub.models[name].files()) == expected


def test_a_graph_without_weights_can_be_pushed(client: Client, hub: Hub, model_dir: Path, name: str) -> None:
    (model_dir / "model.safetensors").unlink()
    model_files.write(model_dir, {"model.onnx": b"a graph"})
    client("push", directory=str(model_dir), repo_id=name)
    assert hub.models[name].files()["model.onnx"] == b"a graph"
    assert (Path(client("fetch", name=name)) / "model.onnx").read_bytes() == b"a graph"


def test_the_card_names_its_repository(client: Client, hub: Hub, model_dir: Path, name: str) -> None:
    ours = b'---\nlibrary_name: nlpmtl\n---\nmodel = nlpmtl.Predictor.from_pretrained(".")\n'
    client("push", directory=model_files.write(model_dir, {"README.md": ours}), repo_id=name)
    assert hub.models[name].files()["README.md"] == ours.replace(b'"."', f'"{name}"'.encode())
    assert (model_dir / "README.md").read_bytes() == ours
    model_files.write(model_dir, {"README.md": ours.replace(b"nlpmtl\n---", b"[\n---")})
    assert "the front matter of its README.md cannot be read" in client.error("push", directory=model_dir, repo_id=name)


def test_sharded_weights(client: Client, hub: Hub, model_dir: Path, name: str) -> None:
    (model_dir / "model.safetensors").unlink()
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = b'{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}'
    model_files.write(model_dir, {part: model_files.weights(i) for i, part in enumerate(names)})
    model_files.write(model_dir, {"model.safetensors.index.json": index, "model-00001-of-00003.safetensors": b"stray"})
    client("push", directory=model_dir, repo_id=name)
    sent = {part for part in hub.models[name].files() if "safetensors" in part}
    assert sent == {*names, "model.safetensors.index.json"}
    (model_dir / names[1]).unlink()
    assert "it has no file model-00002-of-00002" in client.error("push", directory=model_dir, repo_id=name)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", None, "it has no file config.json"),
        ("config.json", b"{", "config.json cannot be read"),
        ("config.json", b"[]", "config.json is not a JSON object"),
        ("config.json", b'{"model_type": "bert"}', "is not that of an nlpmtl model: model_type is 'bert'"),
        ("model.safetensors", None, "it has no file model.safetensors"),
        ("model.safetensors", model_files.weights(0)[:-1], "model.safetensors is damaged"),
        ("tokenizer.json", None, "it has no file tokenizer.json"),
    ],
)
def test_an_incomplete_model_is_refused_before_any_request(
    client: Client, hub: Hub, model_dir: Path, file: str, content: bytes | None, message: str
) -> None:
    (model_dir / file).unlink()
    if content is not None:
        (model_dir / file).write_bytes(content)
    before = len(hub.requests)
    error = client.error("push", directory=model_dir, repo_id="me/half")
    assert error.startswith(f"ModelError: {model_dir} cannot be pushed: ")
    assert message in error
    assert len(hub.requests) == before


def test_bad_arguments_are_refused_before_any_request(
    client: Client, anonymous: Client, hub: Hub, model_dir: Path
) -> None:
    before = len(hub.requests)
    assert "there is no such directory" in client.error("push", directory=model_dir / "x", repo_id="me/x")
    error = client.error("push", directory=model_dir, repo_id="./local/directory")
    assert 'write "name/model"' in error
    assert "repo_type" not in error
    for wrong in ("a/b/c", "me/x--y", "me/x.git", "", "me/ü"):
        assert "ConfigError: the model cannot be pushed to" in client.error("push", directory=model_dir, repo_id=wrong)
    assert "is a commit" in client.error("push", directory=model_dir, repo_id="me/x", revision="a" * 40)
    assert "hf auth login" in anonymous.error("push", directory=model_dir, repo_id="me/x")
    for call in ({"directory": model_dir, "repo_id": "me/x"}, {"name": "me/x"}):
        verb = "push" if "repo_id" in call else "fetch"
        error = client.error(verb, **call, token="hf_secret\n")
        assert error.startswith("ConfigError: the access token has a space")
        assert "secret" not in error
    assert len(hub.requests) == before


def test_private(client: Client, anonymous: Client, hub: Hub, model_dir: Path, name: str) -> None:
    client("push", directory=model_dir, repo_id=name, private=True)
    assert hub.models[name].private
    assert "does not exist or is private" in anonymous.error("fetch", name=name)
    assert model_files.read(Path(client("fetch", name=name))) == model_files.files()
    assert model_files.read(Path(anonymous("fetch", name=name, token=READER))) == model_files.files()


def test_a_public_repository_does_not_become_private_unnoticed(
    client: Client, hub: Hub, model_dir: Path, name: str
) -> None:
    repo = put(hub, name, {})
    error = client.error("push", directory=model_dir, repo_id=name, private=True)
    assert "the repository is public, but a private one was requested. Change its visibility" in error
    assert repo.files() == {}
    client("push", directory=model_dir, repo_id=name)
    assert without_git(repo.files()) == model_files.files()


def test_a_branch(client: Client, hub: Hub, model_dir: Path, name: str) -> None:
    client("push", directory=model_dir, repo_id=name)
    model_files.write(model_dir, model_files.files(3))
    url = client("push", directory=model_dir, repo_id=name, revision="try/three")
    repo = hub.models[name]
    assert url.endswith(repo.branches["try/three"])
    assert without_git(repo.files()) == model_files.files()
    assert without_git(repo.files("try/three")) == model_files.files(3)
    for revision, seed in ((None, 0), ("try/three", 3), (repo.branches["try/three"], 3), ("main", 0)):
        assert model_files.read(Path(client("fetch", name=name, revision=revision))) == model_files.files(seed)


def test_a_pull_request(client: Client, hub: Hub, model_dir: Path, name: str) -> None:
    error = client.error("push", directory=model_dir, repo_id=name, create_pr=True)
    assert "the repository does not exist" in error
    assert name not in hub.models
    repo = put(hub, "them/" + name.removeprefix("me/"), model_files.files(1))
    theirs = "them/" + name.removeprefix("me/")
    assert "the Hub denies access" in client.error("push", directory=model_dir, repo_id=theirs)
    assert "no such revision" in client.error("push", directory=model_dir, repo_id=theirs, create_pr=True, revision="x")
    url = client("push", directory=model_dir, repo_id=theirs, create_pr=True)
    assert url == f"{hub.url}/{theirs}/discussions/1"
    assert without_git(repo.files()) == model_files.files(1)
    assert without_git(repo.files("refs/pr/1")) == model_files.files()
    assert model_files.read(Path(client("fetch", name=theirs, revision="refs/pr/1"))) == model_files.files()


def test_a_fetched_model_is_complete_and_of_one_commit(client: Client, hub: Hub, name: str) -> None:
    repo = put(hub, name, {**model_files.files(), **STRAY, "pytorch_model.bin": b"pickle"})
    del repo.files()["model-00001-of-00002.safetensors"]
    directory = Path(client("fetch", name=name))
    assert directory.name == repo.branches["main"]
    assert model_files.read(directory) == model_files.files()
    repo.commit("main", model_files.files(5), message="later")
    assert model_files.read(Path(client("fetch", name=name))) == model_files.files(5)
    assert model_files.read(directory) == model_files.files()
    before = len(hub.requests)
    assert client("fetch", name=name, revision=directory.name) == str(directory)
    assert len(hub.requests) == before  # commits are immutable


def test_a_local_directory_is_returned_unchanged(client: Client, model_dir: Path) -> None:
    assert client("fetch", name=model_dir) == str(model_dir)
    assert "remove revision='main'" in client.error("fetch", name=model_dir, revision="main")


def test_fetch_errors_state_the_cause(client: Client, anonymous: Client, hub: Hub, name: str, model_dir: Path) -> None:
    put(hub, f"{name}.gated", model_files.files(), gated=True)
    put(hub, f"{name}.bert", {**model_files.files(), "config.json": b'{"model_type": "bert"}'})
    put(
        hub,
        f"{name}.half",
        {repo_name: content for repo_name, content in model_files.files().items() if "safetensors" not in repo_name},
    )
    expected = {
        model_dir / "absent": "there is no such directory, and it is not a Hub id such as",
        f"{name}.missing": "the repository does not exist or is private. Check its name; if it is private, log in",
        f"{name}.gated": "the repository is gated. Request access on its page, then log in with `hf auth login`, or",
        f"{name}.bert": "its config.json is not that of an nlpmtl model: model_type is 'bert'",
        f"{name}.half": "it has no file model.safetensors",
    }
    for repo_name, message in expected.items():
        error = anonymous.error("fetch", name=repo_name)
        assert error.startswith(f"ModelError: the model '{repo_name}' cannot be loaded: {message}"), error
    assert "no such revision" in client.error("fetch", name=f"{name}.gated", revision="v9")
    assert "no such revision" in client.error("fetch", name=f"{name}.gated", revision="0" * 40)
    assert "rejects the access token" in client.error("fetch", name=f"{name}.gated", token="hf_wrong")


@pytest.mark.slow
def test_offline_mode_returns_only_complete_downloads(hub: Hub, model_dir: Path, tmp_path: Path, name: str) -> None:
    repo = put(hub, name, model_files.files())
    home = tmp_path / "home"
    with open_client(hub, home) as client:
        directory = Path(client("fetch", name=name))
        assert directory.is_relative_to(home)
    before = len(hub.requests)
    with open_client(hub, home, HF_HUB_OFFLINE="1") as client:
        assert (
            client("fetch", name=name) == client("fetch", name=name, revision=repo.branches["main"]) == str(directory)
        )
        assert "HF_HUB_OFFLINE is set" in client.error("push", directory=model_dir, repo_id=name)
        assert "HF_HUB_OFFLINE is set, and" in client.error("fetch", name="me/other")
        blob = directory / (directory / "model.safetensors").readlink()
        blob.write_bytes(model_files.weights(1))
        assert "contains a corrupt model.safetensors" in client.error("fetch", name=name)
        (directory / "model.safetensors").unlink()
        assert "does not contain all files of the model" in client.error("fetch", name=name)
    assert len(hub.requests) == before
