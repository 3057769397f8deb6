"""Atomic writes of files and directories, also when the process is killed, and file digests."""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from nlpmtl import fs
from nlpmtl.fs import (
    PART,
    atomic_directory,
    clear_leftovers,
    hidden_sibling,
    link_or_copy,
    open_atomic,
    replace_directory,
    sha256_file,
    write_atomic,
    write_json,
)


def directory(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "file").write_text(content)
    return path


@pytest.fixture(params=[True, False], ids=["exchanged", "renamed twice"])
def exchanges(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both ways to replace a directory; the second is for systems that cannot exchange two."""
    if not request.param:
        monkeypatch.setattr(fs, "_AT_FDCWD", {})
    return bool(request.param)


def test_a_file_is_replaced(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        write_atomic(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_that_cannot_be_replaced_stays(tmp_path: Path) -> None:
    directory(tmp_path / "file", "mine")
    with pytest.raises(OSError, match="file"):
        write_atomic(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_target_of_a_link_is_unchanged(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("other")
    for name in ("file", ".file.part"):
        (tmp_path / name).symlink_to(tmp_path / "other")
    write_atomic(tmp_path / "file", b"new")
    assert (tmp_path / "other").read_text() == "other"
    assert not (tmp_path / "file").is_symlink()


def test_a_directory_is_replaced(tmp_path: Path, exchanges: bool) -> None:
    for content in ("one", "two"):
        replace_directory(directory(hidden_sibling(tmp_path / "model", ".part"), content), tmp_path / "model")
        assert (tmp_path / "model" / "file").read_text() == content
        assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_link_or_a_file_is_replaced_by_a_directory(tmp_path: Path, exchanges: bool, kind: str) -> None:
    other = directory(tmp_path / "other", "other")
    if kind == "link":
        (tmp_path / "model").symlink_to(other)
    else:
        (tmp_path / "model").write_text("a file")
    replace_directory(directory(hidden_sibling(tmp_path / "model", ".part"), "new"), tmp_path / "model")
    assert (tmp_path / "model" / "file").read_text() == "new"
    assert (other / "file").read_text() == "other"


@pytest.mark.parametrize("kill_point", range(1, 8))
def test_a_complete_directory_exists_after_a_kill(
    tmp_path: Path, exchanges: bool, kill_point: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kill at each file change: with an exchange the directory always exists, otherwise once it is restored."""
    target = directory(tmp_path / "model", "old")
    new = directory(hidden_sibling(target, ".part"), "new")
    calls = 0

    def deadly(name: str, original: object) -> object:
        def call(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == kill_point:
                raise KeyboardInterrupt(name)
            return original(*arguments, **options)  # type: ignore[operator]

        return call

    for owner, name in (
        (Path, "rename"),
        (Path, "unlink"),
        (shutil, "rmtree"),
        (fs, "fsync"),
        (fs, "_exchange"),
    ):
        monkeypatch.setattr(owner, name, deadly(name, getattr(owner, name)))
    try:
        replace_directory(new, target)
    except KeyboardInterrupt:
        pass
    else:
        assert calls < kill_point
    monkeypatch.undo()
    if exchanges:
        assert (target / "file").read_text() in ("old", "new")
    clear_leftovers(tmp_path)
    assert (target / "file").read_text() in ("old", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_only_named_leftovers_are_removed(tmp_path: Path) -> None:
    for name in (".model.part", ".other.part", "model.part"):
        directory(tmp_path / name, "x")
    clear_leftovers(tmp_path, ["model"])
    assert {path.name for path in tmp_path.iterdir()} == {".other.part", "model.part"}


def test_without_hard_links_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError("no links here")

    (tmp_path / "one").write_text("1")
    monkeypatch.setattr("os.link", refuse)
    link_or_copy(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").read_text() == "1"


def test_json_is_written_with_its_directory(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "b.json", {"loss": float("nan")})
    assert json.loads((tmp_path / "a" / "b.json").read_text()) == {"loss": None}


def test_a_text_file_is_replaced_when_it_is_complete(tmp_path: Path) -> None:
    for content in ("one", "two"):
        with open_atomic(tmp_path / "file") as file:
            file.write(content)
        assert (tmp_path / "file").read_text() == content
    with suppress(KeyboardInterrupt), open_atomic(tmp_path / "file") as file:
        file.write("three")
        raise KeyboardInterrupt
    assert (tmp_path / "file").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_directory_is_replaced_when_it_is_complete(tmp_path: Path, exchanges: bool) -> None:
    for content in ("one", "two"):
        with atomic_directory(tmp_path / "model") as part:
            (part / "file").write_text(content)
            (part / "link").symlink_to("nowhere")
        assert (tmp_path / "model" / "file").read_text() == content
    with suppress(KeyboardInterrupt), atomic_directory(tmp_path / "model") as part:
        (part / "file").write_text("three")
        raise KeyboardInterrupt
    assert (tmp_path / "model" / "file").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_digest_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    expected = hashlib.sha256(b"content").hexdigest()
    with (tmp_path / "file").open("rb") as file:
        assert sha256_file(file) == sha256_file(tmp_path / "file") == sha256_file(str(tmp_path / "file")) == expected


def test_a_link_that_was_left_is_not_written_through(tmp_path: Path) -> None:
    other, path = tmp_path / "other.txt", tmp_path / "out.jsonl"
    other.write_text("kept")
    hidden_sibling(path, PART).symlink_to(other)
    with open_atomic(path) as file:
        file.write("new")
    assert (other.read_text(), path.read_text(), path.is_symlink()) == ("kept", "new", False)
    hidden_sibling(path, PART).write_text("of a killed process, which is longer")
    with open_atomic(path) as file:
        file.write("newer")
    assert path.read_text() == "newer"
