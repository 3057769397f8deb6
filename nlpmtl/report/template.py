"""Rendering of the HTML templates of this package with Jinja2."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    return environment


def render(template: str, **values: Any) -> bytes:
    """Return an HTML page in UTF-8. All values are escaped; a value without a Unicode encoding is replaced by ``?``.

    Args:
        template: file name of the template in this package.
        values: values of its variables.
    """
    version = metadata.version("nlpmtl")
    return _environment().get_template(template).render(version=version, **values).encode("utf-8", errors="replace")
