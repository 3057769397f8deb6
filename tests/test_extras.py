"""Every extra can be installed under constraints.txt, by itself and with all others. Needs a package index."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def requirements(extras: list[str]) -> list[str]:
    """Return the package's dependencies with those of some extras."""
    dependencies = list(PROJECT["dependencies"])
    for extra in extras:
        for dependency in EXTRAS[extra]:
            inner = re.fullmatch(rf"{PROJECT['name']}\[(.*)\]", dependency)
            dependencies += requirements(inner[1].split(",")) if inner else [dependency]
    return list(dict.fromkeys(dependencies))


@pytest.mark.slow
@pytest.mark.parametrize("extras", [*([extra] for extra in EXTRAS), list(EXTRAS)], ids=",".join)
def test_extras_resolve_under_the_constraints(extras: list[str]) -> None:
    options = ["--dry-run", "--quiet", "--ignore-installed", "--constraint", str(ROOT / "constraints.txt")]
    command = [sys.executable, "-m", "pip", "install", *options, *requirements(extras)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
