"""Docstrings and signatures as Markdown."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import Any

_WIDE = 110
_PYTHON_SECTIONS = ("Args:", "Returns:", "Raises:", "Example:")
_SECTIONS = (*_PYTHON_SECTIONS, "References:")


def prose(member: object, *, sections: bool = True) -> list[str]:
    """Convert a docstring to Markdown: indented code as blocks, Google-style sections as lists.

    Without `sections`, the sections that describe arguments, results and errors are omitted.
    """
    text = inspect.getdoc(member) or ""
    lines: list[str] = []
    for chunk in re.split(rf"\n(?=(?:{'|'.join(_SECTIONS)})\n)", text):
        title, _, rest = chunk.partition("\n")
        if title in _PYTHON_SECTIONS and not sections:
            continue
        if title == "Example:":
            lines += ["", title, "", "```python", *textwrap.dedent(rest).strip().splitlines(), "```"]
        elif title in _SECTIONS:
            lines += ["", *_section(title.removesuffix(":"), textwrap.dedent(rest).strip().replace("``", "`"))]
        else:
            lines += _paragraphs(chunk.strip())
    return lines


def _section(title: str, body: str) -> list[str]:
    if title == "Returns":
        return [f"Returns: {' '.join(body.split())}"]
    items = re.split(r"\n(?=\S)", body)
    heading = "Arguments" if title == "Args" else title
    return [f"{heading}:", "", *(_item(" ".join(item.split())) for item in items)]


def _item(text: str) -> str:
    name, sign, rest = text.partition(": ")
    return f"- `{name}`: {rest}" if sign and " " not in name else f"- {text}"


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


class _Annotation:
    """An annotation with the text of the source as its repr."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def signature(name: str, value: Any) -> list[str]:
    """Return the signature of a function or class as a code block, with annotations as in the source."""
    declared = inspect.signature(value)
    parameters = [
        p.replace(annotation=_source_annotation(p.annotation)) for n, p in declared.parameters.items() if n != "self"
    ]
    returned = declared.empty if inspect.isclass(value) else _source_annotation(declared.return_annotation)
    line = f"{name}{declared.replace(parameters=parameters, return_annotation=returned)}"
    if len(line) > _WIDE:
        tail = "" if returned is declared.empty else f" -> {returned}"
        star = next((i for i, p in enumerate(parameters) if p.kind is p.KEYWORD_ONLY), len(parameters))
        lines = [*map(str, parameters[:star]), *(["*"] if star < len(parameters) else []), *map(str, parameters[star:])]
        line = "\n".join([f"{name}(", *(f"    {parameter}," for parameter in lines), f"){tail}"])
    return ["```text", line, "```"]


def _source_annotation(annotation: Any) -> Any:
    return _Annotation(annotation) if isinstance(annotation, str) else annotation
