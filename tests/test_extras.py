"""Every extra can be installed under constraints.txt, separately and with all others. Needs a package index."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.minimum_versions import PROJECT, ROOT, minimum_versions, requirements

EXTRAS = PROJECT["optional-dependencies"]


@pytest.mark.slow
@pytest.mark.parametrize("extras", [*([extra] for extra in EXTRAS), list(EXTRAS)], ids=",".join)
def test_extras_resolve_under_the_constraints(extras: list[str]) -> None:
    options = ["--dry-run", "--quiet", "--ignore-installed", "--constraint", str(ROOT / "constraints.txt")]
    command = [sys.executable, "-m", "pip", "install", *options, *requirements(extras)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


def test_every_requirement_declares_a_lowest_version() -> None:
    versions = minimum_versions(list(EXTRAS))
    assert len(versions) == len(requirements(list(EXTRAS)))
    assert versions["torchjd"] == "0.18"  # declared as torchjd[full]>=0.18,<0.19


def test_a_pin_replaces_the_lowest_version() -> None:
    assert minimum_versions([], pins=["torch==2.13.0"]) == {**minimum_versions([]), "torch": "2.13.0"}
    with pytest.raises(ValueError, match=r"expected name==version of a dependency, found 'torhc==2.13.0'"):
        minimum_versions([], pins=["torhc==2.13.0"])
