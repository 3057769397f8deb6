"""The lowest versions of the dependencies that pyproject.toml declares, as a constraints file for pip.

    python tests/minimum_versions.py --extra dev --pin torch==2.13.0 > constraints-minimum.txt

Needs only the standard library, since it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROJECT: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[[\w,.-]+\])?>=(?P<version>[\w.]+)(,.*)?")
_PIN = re.compile(r"(?P<name>[\w.-]+)==(?P<version>[\w.]+)")


def requirements(extras: Sequence[str]) -> list[str]:
    """Return the requirements of the package and of some extras, with those of extras that these include."""
    dependencies = list(PROJECT["dependencies"])
    for extra in extras:
        for requirement in PROJECT["optional-dependencies"][extra]:
            included = re.fullmatch(rf"{PROJECT['name']}\[(.*)\]", requirement)
            dependencies += requirements(included[1].split(",")) if included else [requirement]
    return list(dict.fromkeys(dependencies))


def minimum_versions(extras: Sequence[str], *, pins: Sequence[str] = ()) -> dict[str, str]:
    """Return the lowest declared version of each dependency, by package name.

    Args:
        extras: extras whose dependencies are included.
        pins: ``"name==version"``: versions to use in place of the lowest.

    Raises:
        ValueError: a requirement declares no lowest version, or a pin is not a version of a dependency.
    """
    versions: dict[str, str] = {}
    for requirement in requirements(extras):
        match = _REQUIREMENT.fullmatch(requirement)
        if match is None:
            raise ValueError(f'pyproject.toml: no lowest version in {requirement!r}: write "name>=version"')
        versions[match["name"]] = match["version"]
    for pin in pins:
        match = _PIN.fullmatch(pin)
        if match is None or match["name"] not in versions:
            raise ValueError(f"--pin: expected name==version of a dependency, found {pin!r}")
        versions[match["name"]] = match["version"]
    return versions


def main() -> None:
    """Print one constraint per line."""
    parser = argparse.ArgumentParser(description="Print the lowest versions that pyproject.toml declares.")
    parser.add_argument("--extra", action="append", default=[], choices=list(PROJECT["optional-dependencies"]))
    parser.add_argument("--pin", action="append", default=[], metavar="NAME==VERSION")
    arguments = parser.parse_args()
    versions = minimum_versions(arguments.extra, pins=arguments.pin)
    sys.stdout.writelines(f"{name}=={version}\n" for name, version in versions.items())


if __name__ == "__main__":
    main()
