"""Docstrings as Markdown, for the generated pages, and as reStructuredText, for the Python API."""

from __future__ import annotations

import inspect
import re
import textwrap

_CODE_SECTIONS = ("Args:", "Returns:", "Raises:", "Example:")
_SECTIONS = (*_CODE_SECTIONS, "References:")
_EXAMPLE = re.compile(r"^Example:\n(?P<code>(?:    .*(?:\n|\Z)|\n)+)", flags=re.MULTILINE)


def prose(member: object) -> list[str]:
    """Convert a docstring to Markdown, without the sections that describe arguments, results and errors."""
    text = inspect.getdoc(member) or ""
    lines: list[str] = []
    for chunk in re.split(rf"\n(?=(?:{'|'.join(_SECTIONS)})\n)", text):
        title, _, rest = chunk.partition("\n")
        if title == "References:":
            lines += ["", title, "", *_items(textwrap.dedent(rest).strip().replace("``", "`"))]
        elif title not in _CODE_SECTIONS:
            lines += _paragraphs(chunk.strip())
    return lines


def _items(body: str) -> list[str]:
    return [f"- {' '.join(item.split())}" for item in re.split(r"\n(?=\S)", body)]


def _paragraphs(text: str) -> list[str]:
    """Join paragraphs and list items into lines; indented paragraphs are code or formulas."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        if lines:
            lines.append("")
        if all(line.startswith("    ") for line in paragraph.splitlines()):
            lines += ["```text", *(line.removeprefix("    ") for line in paragraph.splitlines()), "```"]
        else:
            text, *items = (" ".join(part.replace("``", "`").split()) for part in re.split(r"\n(?=- )", paragraph))
            lines += [text, *([""] if items and not text.startswith("- ") else []), *items]
    return lines


def example(docstring: str) -> str:
    """Return the code of the section `Example`; empty if there is none."""
    section = _EXAMPLE.search(docstring)
    return textwrap.dedent(section["code"]).strip() if section else ""


def restructured_text(docstring: str) -> str:
    """Mark the example of a docstring as code, as Sphinx expects it."""
    return _EXAMPLE.sub(
        lambda section: f"Example:\n    .. code-block:: python\n\n{textwrap.indent(section['code'], '    ')}", docstring
    )
