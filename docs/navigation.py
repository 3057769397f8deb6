"""Navigation of the documentation site: docs/README.md itself, then its sections and the links of their lists."""

from __future__ import annotations

import re
from pathlib import Path

_SECTION = re.compile(r"^## (?P<title>.+)\n(?P<text>(?:(?!## ).*\n?)*)", flags=re.MULTILINE)
_ENTRY = re.compile(r"^- \[[^\]]+\]\((?P<target>[^)#]+\.(?:md|ipynb))\)", flags=re.MULTILINE)


def navigation(index: Path) -> str:
    """Return a hidden table of contents per section of the index that lists pages, with addresses from the root."""
    root = index.resolve().parents[1]
    sections: list[tuple[str, list[Path]]] = []
    for section in _SECTION.finditer(index.read_text(encoding="utf-8")):
        targets = [(index.parent / entry["target"]).resolve() for entry in _ENTRY.finditer(section["text"])]
        if targets:
            sections.append((section["title"], targets if sections else [index.resolve(), *targets]))
    return "".join(_toctree(title, targets, root=root) for title, targets in sections)


def _toctree(title: str, pages: list[Path], *, root: Path) -> str:
    entries = "\n".join(f"/{page.relative_to(root).with_suffix('')}" for page in pages)
    return f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n{entries}\n```\n"
