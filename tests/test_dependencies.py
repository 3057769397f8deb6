"""Every package that nlpmtl imports is declared in pyproject.toml."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import nlpmtl
from tests.minimum_versions import PROJECT, requirements


def imported_packages() -> Iterator[tuple[str, Path]]:
    """Yield the top-level name of each absolute import, with the file."""
    for path in Path(nlpmtl.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((alias.name.partition(".")[0], path) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0], path


def test_every_imported_package_is_declared() -> None:
    extras = [extra for extra in PROJECT["optional-dependencies"] if extra != "dev"]
    declared = {_normalize(re.split(r"[\[<>=]", requirement)[0]) for requirement in requirements(extras)}
    provided = {package for name in declared for package in _packages(name)}
    undeclared = {
        f"{path.name}: {name}"
        for name, path in imported_packages()
        if name not in sys.stdlib_module_names
        and name not in ("nlpmtl", "IPython")  # a running Jupyter kernel has it
        and name not in provided
    }
    assert not undeclared


def _packages(distribution: str) -> set[str]:
    """Return the top-level packages and modules of a distribution; of one that is not installed, its name."""
    try:
        files = metadata.files(distribution) or ()
    except metadata.PackageNotFoundError:
        return {distribution}
    return {file.parts[0].partition(".")[0] for file in files if file.suffix in (".py", ".so", ".pyd")}


def _normalize(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()
