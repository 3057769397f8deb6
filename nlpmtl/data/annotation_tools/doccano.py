"""doccano (https://doccano.github.io/doccano/): JSON Lines of spans and their relations, label names, or both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nlpmtl.data.raw_rows import MalformedRow, RawRow

_LABELS = ("entities", "labels", "annotations")
"""Columns of the labels, other than ``label``, in the exports of different versions."""


def detect(value: Any) -> bool:
    """Return whether a JSON value is a row of doccano: a text with a list of labels."""
    if not isinstance(value, dict) or not isinstance(value.get("text", value.get("data")), str):
        return False
    if isinstance(value.get("label"), list):
        return True
    lists = (value[key] for key in _LABELS if isinstance(value.get(key), list))
    return any(_is_span(item) for labels in lists for item in labels[:1])


def convert(value: Any) -> Iterator[RawRow]:
    """Yield the row. Its column ``label`` has the spans, or the label names of the text."""
    if not isinstance(value, dict):
        yield MalformedRow(value, "a JSON object was expected")
        return
    row = dict(value)
    if "text" not in row and "data" in row:
        row["text"] = row["data"]
    items: list[Any] = []
    if isinstance(row.get("label"), list):
        items = row["label"]
        row["label"] = [_to_label(item) if _is_span(item) else item for item in items]
    elif "label" not in row:
        key = next((key for key in _LABELS if isinstance(row.get(key), list)), None)
        items = [] if key is None else row.pop(key)
        row["label"] = None if key is None else [_to_label(item) for item in items]
    if isinstance(row.get("relations"), list):
        ids = [item.get("id") if isinstance(item, dict) else None for item in items]
        indices = {id_: index for index, id_ in enumerate(ids) if isinstance(id_, int | str)}
        row["relations"] = [_to_relation(item, indices) for item in row["relations"]]
    yield row


def _to_relation(item: Any, indices: Mapping[Any, int]) -> Any:
    """Return a relation with the indices of spans as its head and tail; other values are returned unchanged.

    Args:
        item: the relation, between the ids of spans.
        indices: id of a span → its index in the row.
    """
    if not isinstance(item, dict) or not {"from_id", "to_id"} <= item.keys():
        return item
    head, tail = (indices.get(item[key]) if isinstance(item[key], int | str) else None for key in ("from_id", "to_id"))
    return {"head": head, "tail": tail, "label": item.get("type")}


def _is_span(item: Any) -> bool:
    """Return whether an item is a span, not a label name."""
    return (isinstance(item, list) and len(item) == 3) or (isinstance(item, dict) and "start_offset" in item)


def _to_label(item: Any) -> Any:
    """Return a span as ``[start, end, name]``, and a label name as it is. In old exports, labels are numbers."""
    if not isinstance(item, dict) or {"start", "end"} <= item.keys():  # a span that was converted before
        return item
    name = item.get("label_name", item.get("label"))
    name = str(name) if type(name) is int else name
    return [item["start_offset"], item.get("end_offset"), name] if "start_offset" in item else name
