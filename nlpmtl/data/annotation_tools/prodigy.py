"""Prodigy (https://prodi.gy/docs/api-interfaces): JSON Lines of ``prodigy db-out``, with spans, choices or a label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nlpmtl.data.annotation_tools.spans import SpanError, parse_span
from nlpmtl.data.raw_rows import MalformedRow, RawRow

_DECISION = "answer"
"""Key of the annotator's decision on a text."""
_ACCEPT, _REJECT, _IGNORE = _DECISIONS = ("accept", "reject", "ignore")
_REPLACED = (_DECISION, _ACCEPT, "spans", "options", "tokens")
"""Keys that are removed: ``label`` replaces them, or they only describe what the annotator saw."""


def detect(value: Any) -> bool:
    """Return whether a JSON value is an annotated text with spans or choices.

    A text with one label, which an annotator accepted or rejected, also looks like an ordinary row.
    """
    if not isinstance(value, dict) or value.get(_DECISION) not in _DECISIONS or not isinstance(value.get("text"), str):
        return False
    return isinstance(value.get("spans"), list) or (isinstance(value.get("accept"), list) and "options" in value)


def convert(value: Any) -> Iterator[RawRow]:
    """Yield the row. Its column ``label`` replaces Prodigy's keys: it has the spans, the ids of the choices or a label.

    Of a text with spans and choices, ``label`` has the choices, and both are also in ``spans`` and ``accept``. The
    label is None for a text that was rejected or ignored. A single span that was accepted (``_is_binary``) says
    nothing about the rest of its text, so the row is malformed.
    """
    if not isinstance(value, dict):
        yield MalformedRow(value, "a JSON object was expected")
        return
    row = {key: field for key, field in value.items() if key not in _REPLACED}
    decision, spans = value.get(_DECISION, _ACCEPT), value.get("spans")
    if decision not in _DECISIONS:
        yield MalformedRow(decision, f"{_DECISION}: {', '.join(_DECISIONS)} was expected")
    elif decision in (_REJECT, _IGNORE):
        yield {**row, "label": None}
    elif _ACCEPT in value:
        both = {"spans": spans, _ACCEPT: value[_ACCEPT]} if isinstance(spans, list) else {}
        yield {**row, **both, "label": value[_ACCEPT]}
    elif isinstance(spans, list) and row.get("_is_binary"):
        yield MalformedRow(spans, "a binary annotation (`_is_binary`) labels one span, not the whole text")
    elif "label" in row and not spans:
        yield row
    else:
        try:
            yield {**row, "label": [list(parse_span(span)) for span in spans or ()]}
        except (SpanError, TypeError) as error:
            yield MalformedRow(spans, f"spans: {error}")
