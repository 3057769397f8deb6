"""Prodigy (https://prodi.gy/docs/api-interfaces): JSON Lines of ``prodigy db-out``, with spans, choices or a label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nlpmtl.data.annotation_tools.spans import SpanError, parse_span
from nlpmtl.data.raw_rows import MalformedRow, RawRow

_ANSWERS = ("accept", "reject", "ignore")


def detect(value: Any) -> bool:
    """Return whether a JSON value is an annotated task with spans or choices.

    A task with one label, of which an annotator accepted or rejected each, also looks like an ordinary row.
    """
    if not isinstance(value, dict) or value.get("answer") not in _ANSWERS or not isinstance(value.get("text"), str):
        return False
    return isinstance(value.get("spans"), list) or (isinstance(value.get("accept"), list) and "options" in value)


def convert(value: Any) -> Iterator[RawRow]:
    """Yield the row: ``label`` has the spans, the ids of the choices, or the label.

    It is None if the answer is "reject" or "ignore". A span that was accepted by itself (``_is_binary``) says nothing
    about the rest of its text, so the row is malformed.
    """
    if not isinstance(value, dict):
        yield MalformedRow(value, "a JSON object was expected")
        return
    row = dict(value)
    answer = row.get("answer", "accept")
    if answer not in _ANSWERS:
        yield MalformedRow(answer, f"answer: one of {', '.join(_ANSWERS)} was expected")
    elif answer != "accept":
        yield {**row, "label": None}
    elif "accept" in row:
        yield {**row, "label": row["accept"]}
    elif isinstance(row.get("spans"), list) and row.get("_is_binary"):
        yield MalformedRow(row["spans"], "a binary answer (`_is_binary`) labels one span, not the whole text")
    elif "label" in row and not row.get("spans"):
        yield row
    else:
        try:
            yield {**row, "label": [list(parse_span(span)) for span in row.get("spans") or ()]}
        except (SpanError, TypeError) as error:
            yield MalformedRow(row.get("spans"), f"spans: {error}")
