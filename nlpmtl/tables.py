"""Tables as plain text and as HTML, without control characters."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape

from nlpmtl.errors import escape_line


def text_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: Collection[str]) -> str:
    """Return a table as aligned text.

    Args:
        columns: headings.
        rows: cells.
        left: headings of the columns that are aligned to the left; the others are aligned to the right.

    >>> print(text_table(["task", "rows"], [["topic", "8"], ["mood", "12"]], left=["task"]))
    task   rows
    topic     8
    mood     12
    """
    cells = [list(columns), *([escape_line(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    pads = [str.ljust if column in left else str.rjust for column in columns]
    lines = ("  ".join(pad(cell, width) for pad, cell, width in zip(pads, row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def html_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as HTML.

    >>> html_table(["task"], [["<b>"]])
    '<table><tr><th>task</th></tr><tr><td>&lt;b&gt;</td></tr></table>'
    """
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = ("".join(f"<td>{escape(escape_line(cell))}</td>" for cell in row) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
