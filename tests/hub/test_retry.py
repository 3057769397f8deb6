"""Faults of the connection to the Hub; benchmarks/hub_faults.py tests every call with every fault."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.hub_server import Hub, Kind, Repo, model_files
from tests.hub_server.client import Client, open_client


def slow(*values: object) -> ParameterSet:
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture
def repo(hub: Hub, name: str) -> Repo:
    """A repository with a model."""
    repository = hub.models[name] = Repo(private=False)
    repository.commit("main", model_files.files(1), message="put here by the test")
    return repository


@pytest.fixture
def model_dir(model_dir: Path, hub: Hub) -> Path:
    """A model with new weights, so that a push uploads them."""
    return model_files.write(model_dir, {"model.safetensors": model_files.weights(0, count=1000 + len(hub.requests))})


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ("create", "reset"),
        slow("info", 429),
        slow("preupload", 503),
        slow("put", "reset"),
        slow("validate", "truncated"),
        ("commit", 500),
        slow("commit", "slow"),
        ("commit", "lost"),
    ],
)
def test_transient_errors_are_retried(
    client: Client, hub: Hub, repo: Repo, model_dir: Path, name: str, call: str, kind: Kind
) -> None:
    fault, start = hub.fail(call, kind), time.monotonic()
    url = client("push", directory=model_dir, repo_id=name)
    assert fault.triggered.is_set()
    assert time.monotonic() - start < 20  # a stuck server takes longer
    assert repo.files() == model_files.read(model_dir)
    assert len(repo.commits) == 2  # none twice, even if the response to the first was lost
    assert url.endswith(repo.branches["main"])


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        slow("info", 401, "the Hub rejects the access token"),
        slow("info", 404, "the repository does not exist or is private"),
        ("put", 403, "the Hub denies access"),
        ("commit", 409, "the Hub responds with 409: There is a conflict"),
        slow("commit", 412, "the Hub responds with 412"),
        slow("commit", 503, "the Hub responds with 503"),
        ("info", "reset", "the connection to http://127.0.0.1"),
    ],
)
def test_permanent_errors_are_reported_and_leave_the_branch_unchanged(
    client: Client, hub: Hub, repo: Repo, model_dir: Path, name: str, call: str, kind: Kind, message: str
) -> None:
    fault = hub.fail(call, kind, times=100)
    error = client.error("push", directory=model_dir, repo_id=name)
    hub.faults.clear()
    assert error.startswith(f"ModelError: the model cannot be pushed to '{name}': {message}")
    tries = 100 - fault.times
    assert tries == (3 if kind in (503, "reset") else 1)
    assert repo.files() == model_files.files(1)
    client("push", directory=model_dir, repo_id=name)
    assert repo.files() == model_files.read(model_dir)


def test_concurrent_commits_are_not_overwritten(
    client: Client, hub: Hub, repo: Repo, model_dir: Path, name: str
) -> None:
    fault = hub.fail("commit", "slow")
    with ThreadPoolExecutor(1) as other:
        pushed = other.submit(client, "push", directory=model_dir, repo_id=name)
        assert fault.triggered.wait(30)
        repo.commit("main", model_files.files(9), message="somebody else")
        with pytest.raises(RuntimeError, match="the branch 'main' changed during the upload"):
            pushed.result()
    assert repo.files() == model_files.files(9)


def test_a_pull_request_with_a_lost_response_is_not_opened_twice(
    client: Client, hub: Hub, repo: Repo, model_dir: Path, name: str
) -> None:
    hub.fail("commit", "lost")
    assert "the connection to" in client.error("push", directory=model_dir, repo_id=name, create_pr=True)
    assert set(repo.branches) == {"main", "refs/pr/1"}


def test_an_invalid_card_is_reported(client: Client, repo: Repo, model_dir: Path, name: str) -> None:
    model_files.write(model_dir, {"README.md": b"---\nno end"})
    error = client.error("push", directory=model_dir, repo_id=name)
    assert "Invalid metadata in README.md" in error
    assert repo.files() == model_files.files(1)


@pytest.mark.parametrize("call", ["put", pytest.param("commit", marks=pytest.mark.slow)])
@pytest.mark.slow
def test_a_killed_push_leaves_the_branch_unchanged(
    hub: Hub, repo: Repo, model_dir: Path, name: str, tmp_path: Path, call: str
) -> None:
    fault = hub.fail(call, "slow")
    with open_client(hub, tmp_path / "home") as client:
        client.start("push", directory=model_dir, repo_id=name)
        assert fault.triggered.wait(30)
        client.kill()
    assert repo.files() == model_files.files(1)
    with open_client(hub, tmp_path / "home") as client:
        client("push", directory=model_dir, repo_id=name)
    assert repo.files() == model_files.read(model_dir)


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        slow("info", "slow"),
        slow("tree", 429),
        slow("head", 503),
        ("large", 503),
        slow("large", "reset"),
        ("large", "truncated"),
        ("large", "wrong"),
        slow("file", "wrong"),
    ],
)
def test_an_interrupted_download_is_resumed(
    client: Client, hub: Hub, repo: Repo, name: str, call: str, kind: Kind
) -> None:
    fault = hub.fail(call, kind)
    assert model_files.read(Path(client("fetch", name=name))) == model_files.files(1)
    assert fault.triggered.is_set()


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        ("info", 500, "the Hub responds with 500"),
        slow("large", 403, "the Hub denies access"),
        slow("large", 503, "the Hub responds with 503"),
        ("large", "wrong", "model.safetensors is corrupt. Try again"),
        slow("file", "wrong", "is corrupt. Try again"),
    ],
)
@pytest.mark.slow
def test_a_download_that_fails_gives_no_model(
    client: Client, hub: Hub, repo: Repo, name: str, tmp_path: Path, call: str, kind: Kind, message: str
) -> None:
    home = tmp_path / "home"
    hub.fail(call, kind, times=100)
    with open_client(hub, home) as client:
        error = client.error("fetch", name=name)
    assert error.startswith(f"ModelError: the model '{name}' cannot be loaded: ")
    assert message in error
    with open_client(hub, home, HF_HUB_OFFLINE="1") as client:
        assert "does not contain all files of the model" in client.error("fetch", name=name)
    hub.faults.clear()
    with open_client(hub, home) as client:
        assert model_files.read(Path(client("fetch", name=name))) == model_files.files(1)


@pytest.mark.slow
def test_a_killed_fetch_gives_no_model(hub: Hub, repo: Repo, name: str, tmp_path: Path) -> None:
    home, fault = tmp_path / "home", hub.fail("large", "slow")
    with open_client(hub, home) as client:
        client.start("fetch", name=name)
        assert fault.triggered.wait(30)
        client.kill()
    with open_client(hub, home, HF_HUB_OFFLINE="1") as client:
        assert "does not contain all files of the model" in client.error("fetch", name=name)
    with open_client(hub, home) as client:
        assert model_files.read(Path(client("fetch", name=name))) == model_files.files(1)
