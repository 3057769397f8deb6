"""Plugins: user modules that register task types, metrics, samplers, weightings and sharing schemes.

A run file, an option or an argument names them. Loading a model never imports a plugin.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from nlpmtl.errors import ConfigError, NlpmtlError

HINT = "if a plugin registers it, name the plugin's module: --plugins MODULE, or plugins=[…] in Python and in run files"
"""End of errors about an unknown kind or metric of a model."""
_INSTALLED = {"site-packages", "dist-packages"}
"""Directories of installed packages, which are next to each other without belonging together."""


def import_plugins(names: Iterable[str]) -> None:
    """Import modules from installed packages or from the working directory, which stays on `sys.path`.

    Raises:
        ConfigError: a name is not a module name, or the module cannot be imported.
    """
    if isinstance(names, str | bytes) or not isinstance(names, Iterable):
        raise ConfigError(f'plugins: a list of module names was expected, such as ["my_kinds"]; found {names!r}')
    for name in names:
        if not isinstance(name, str):
            raise ConfigError(f"plugins: the name of a module was expected, found {name!r}")
        _import(name)


def digest_plugins(names: Iterable[str]) -> dict[str, str]:
    """Return the digest of each plugin's source; see `digest_module`."""
    digests = {name: digest_module(name) for name in names}
    return {name: digest for name, digest in digests.items() if digest is not None}


def digest_module(name: str) -> str | None:
    """Return the SHA-256 digest of the source that a module depends on; None if it is unknown, as in a Python shell.

    It covers all Python files of the module's top-level package; for a module outside of packages, its file, and the
    modules and packages next to it that it imports. A module of nlpmtl is its file, since caches depend on the version.
    """
    digest = hashlib.sha256()
    files = _sources(name)
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest() if files else None


def _sources(name: str) -> list[Path]:
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    files = [Path(file)] if file and Path(file).is_file() else []
    top = (getattr(module, "__package__", None) or name).partition(".")[0]
    packages: Sequence[str] = list(getattr(sys.modules.get(top), "__path__", ()))
    return files if top == "nlpmtl" else _files_of_packages(packages) or _files_next_to(files)


def _files_of_packages(directories: Iterable[str | Path]) -> list[Path]:
    return [path for directory in directories for path in sorted(Path(directory).rglob("*.py")) if path.is_file()]


def _files_next_to(files: Sequence[Path]) -> list[Path]:
    """Return the files of modules, and of the modules and packages in their directory that they import."""
    sources = dict.fromkeys(files)
    pending = list(files)
    while pending:
        file = pending.pop()
        for name in _imported(file):
            module, package = file.with_name(f"{name}.py"), file.with_name(name)
            if module.is_file() and module not in sources:
                sources[module] = None
                pending.append(module)
            elif name != "nlpmtl" and (package / "__init__.py").is_file() and not _INSTALLED & {*file.parts}:
                sources |= dict.fromkeys(_files_of_packages([package]))
    return list(sources)


def _imported(file: Path) -> list[str]:
    """Return the top-level modules that a file imports, in order; none if it is not Python source."""
    try:
        nodes = list(ast.walk(ast.parse(file.read_bytes())))
    except (SyntaxError, ValueError):
        return []
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return list(dict.fromkeys(name.partition(".")[0] for name in names))


def _import(name: str) -> None:
    hint = _hint(name)
    if not all(part.isidentifier() for part in name.split(".")):
        rule = "it is not the name of a module, such as my_package.my_kinds"
        raise ConfigError(f"plugins: {name!r} cannot be imported: {rule}{hint}")
    here = str(Path.cwd())
    is_added = here not in sys.path
    if is_added:  # for good, since a method of the plugin may import a module that is next to it
        sys.path.append(here)
    try:
        importlib.import_module(name)
    except (Exception, SystemExit) as error:  # a module may raise anything while it is imported, as scripts do
        if is_added and here in sys.path:
            sys.path.remove(here)
        reason = _describe(error)
        raise ConfigError(f"plugins: {name!r} cannot be imported: {reason}{hint}") from error


def _hint(name: str) -> str:
    """Return the advice for a path of a file or of a directory instead of the name of a module."""
    path = PureWindowsPath(name) if "\\" in name else PurePosixPath(name)
    if path.suffix != ".py" and len(path.parts) < 2:
        return ""
    outer = path.is_absolute() or ".." in path.parts or name.startswith("~")
    parts = [path.stem] if outer else [*path.parts[:-1], path.stem]
    if not all(part.isidentifier() for part in parts):
        return f" (rename it: a module has a name of letters, digits and _, not {'.'.join(parts)!r})"
    module = ".".join(parts)
    if not outer:
        ending = ", without the ending" if path.suffix == ".py" else ""
        return f" (write {module!r}{ending}; the module is searched for in the working directory and on PYTHONPATH)"
    directory = str(path.parent)
    return f" (write {module!r}, and put its directory on PYTHONPATH: PYTHONPATH={directory}; or run from {directory})"


def _describe(error: BaseException) -> str:
    """Return the end of an error about a module that cannot be imported."""
    from pydantic import PydanticUserError  # imported here, since it is slow

    from nlpmtl.registry import TASKS

    if isinstance(error, PydanticUserError) and error.code == "model-field-missing-annotation":
        name = error.message.partition(": ")[2].partition(". ")[0]
        if new_name := TASKS.renamed.get(name.strip("`").partition(" ")[0]):
            return f"{name} in a task type is written for nlpmtl 0.1: it is now called `{new_name}`"
        return (
            f"{name} in a task type has no annotation: write the type of a config key, such as `size: int = 16`, or "
            "`ClassVar[int]` for a constant"
        )
    is_clear = isinstance(error, ImportError | SyntaxError | NlpmtlError)
    return str(error) if is_clear else f"{type(error).__name__}: {error}"
