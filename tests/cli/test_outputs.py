"""Outputs that are not UTF-8 are refused by every verb that writes, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Nlpmtl

NAME = "out-\udce9"


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "quickstart", "--output", NAME],
        ["train", "quickstart", "--output", NAME, "--resume"],
        ["compare", "quickstart", "--output", NAME],
        ["relate", "quickstart", "--output", NAME],
        ["export", "no/model", "--output", NAME],
        ["predict", "no/model", "a cat", "--output", f"{NAME}.jsonl"],
        ["submit", "no/model", "--output", f"{NAME}.zip"],
        ["schema", "--output", NAME],
    ],
    ids=lambda arguments: " ".join(arguments[:1]),
)
def test_an_output_that_is_not_utf8(
    arguments: list[str], nlpmtl_: Nlpmtl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = nlpmtl_(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "is not valid UTF-8: choose another name" in done.stderr
    assert "output: the path 'out-\\udce9" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_utf8(nlpmtl_: Nlpmtl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / NAME
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder)
    for output in ("out", tmp_path / "link" / "out"):
        done = nlpmtl_("train", "quickstart", "--output", output)
        assert done.exit_code == 2
        assert "is not valid UTF-8" in done.stderr
    assert not list(folder.iterdir())
