"""Output paths that are not paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import nlpmtl
from nlpmtl import ConfigError
from nlpmtl.config import check_output


@pytest.mark.parametrize("output", [b"out", 5, "", ["out"], True], ids=repr)
@pytest.mark.parametrize("function", [nlpmtl.train, nlpmtl.compare, nlpmtl.relate], ids=lambda one: one.__name__)
def test_an_output_that_is_no_path(function: Any, output: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="output: a directory was expected, as a string or a Path, found "):
        function("quickstart", output=output)
    assert not list(tmp_path.iterdir())


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ConfigError, match="output: 'out' is relative, and the working directory no longer exists"):
        check_output("out")
