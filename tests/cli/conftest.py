"""Fixtures: the command line in this process, and the run file of the tiny trained model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from nlpmtl.cli import app

if TYPE_CHECKING:
    from tests.tiny import Trained

RunCli = Callable[..., Result]


@pytest.fixture(scope="session")
def run_cli() -> RunCli:
    """`run_cli("train", "quickstart", input=b"…")`."""

    def invoke(*arguments: object, input: bytes | None = None) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=input)

    return invoke


@pytest.fixture(scope="session")
def run_file(
    trained: Trained, to_toml: Callable[[Mapping[str, Any]], str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("runs") / "tiny.toml"
    path.write_text(to_toml(trained.run), encoding="utf-8")
    return path
