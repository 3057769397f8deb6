"""Label Studio (https://labelstud.io/guide/export): its exports JSON and JSON-MIN."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from nlpmtl.data.annotation_tools.spans import SpanError, find_offsets
from nlpmtl.data.json_values import parse_json
from nlpmtl.data.lines import UTF_8
from nlpmtl.data.raw_rows import MalformedRow, RawRow

_MIN_KEYS = {"annotation_id", "lead_time"}
"""Keys of each row of the export JSON-MIN."""
_VALUES = ("rating", "number", "text", "datetime")
"""Keys of the results of other controls."""
_ATTRIBUTES = ("choices", "taxonomy", "textarea", "rating", "number", "datetime")
"""Types of results that describe a span, which has a result of its own."""


def detect(value: Any) -> bool:
    """Return whether a JSON value is a task of one of the two exports."""
    if not isinstance(value, dict):
        return False
    full = isinstance(value.get("data"), dict) and not value.keys().isdisjoint({"annotations", "completions"})
    return full or value.keys() >= _MIN_KEYS


def convert(value: Any) -> Iterator[RawRow]:
    """Yield the row of a task: its data, the spans of all controls as ``label``, and the choices of each control.

    ``text`` is that of the data, or their only string. Of several annotations the one marked as ground truth is read,
    otherwise the last that was not cancelled. Without one, ``label`` is None.
    """
    if not isinstance(value, dict):
        yield MalformedRow(value, "a JSON object was expected")
    elif isinstance(value.get("data"), dict):
        yield _from_task(value)
    else:
        yield _from_minimal(value)


def _from_task(task: Mapping[str, Any]) -> RawRow:
    """Return the row of a task of the export JSON."""
    row = dict(task["data"])
    strings = [text for text in row.values() if isinstance(text, str)]
    if "text" not in row and len(strings) == 1:
        row["text"] = strings[0]
    results = _results(task.get("annotations", task.get("completions")))
    if results is None:
        return {**row, "label": None}
    spans: list[Any] = []
    controls: dict[str, Any] = {}
    for result in results:
        value, control = result.get("value"), str(result.get("from_name"))
        if not isinstance(value, dict):
            continue  # a relation between spans
        if "start" in value and result.get("type") in _ATTRIBUTES:
            continue
        if "start" in value:
            spans.append({**value, "labels": value.get(str(result.get("type")), value.get("labels"))})
        elif isinstance(value.get("choices"), list):
            controls.setdefault(control, []).extend(value["choices"])
        else:
            controls.update((control, value[key]) for key in _VALUES if key in value)
    return _with_spans({**row, **controls}, spans, column="label" if "label" not in controls else "spans")


def _results(annotations: Any) -> Sequence[dict[str, Any]] | None:
    """Return the results of the annotation that is read; None without one."""
    if not isinstance(annotations, list):
        return None
    valid = [
        annotation
        for annotation in annotations
        if isinstance(annotation, dict) and not (annotation.get("was_cancelled") or annotation.get("skipped"))
    ]
    if not valid:
        return None
    results = max(reversed(valid), key=_rank).get("result")
    return [result for result in results if isinstance(result, dict)] if isinstance(results, list) else []


def _rank(annotation: Mapping[str, Any]) -> tuple[bool, str]:
    """Return a key by which the annotation that is read comes last; of equal ones, the last of the export is read."""
    return bool(annotation.get("ground_truth")), str(annotation.get("created_at") or "")


def _from_minimal(task: Mapping[str, Any]) -> RawRow:
    """Return the row of a task of the export JSON-MIN, which has the result of each control by its name."""
    row = {name: _choices(value) for name, value in task.items()}
    if task.get("annotation_id") is None:
        return {"label": None, **row}
    controls = [name for name, value in task.items() if _are_spans(value)]
    spans = [span for name in controls for span in task[name]]
    return _with_spans(row, spans, column="label" if "label" in controls or "label" not in row else "spans")


def list_choices(row: RawRow, *, labels: Collection[str], sets: Collection[str]) -> RawRow:
    """Return a row of JSON-MIN or of a table with the choices of each control as a list; another row is unchanged.

    These exports have one choice as a string, and several as an object, which a table has as JSON.

    Args:
        row: the row.
        labels: the label columns, in which objects become lists.
        sets: those of them in which strings become lists too.

    >>> row = {"annotation_id": 1, "lead_time": 2.5, "topics": "news", "tone": '{"choices": ["calm", "sad"]}'}
    >>> list_choices(row, labels=["topics", "tone"], sets=["topics"])
    {'annotation_id': 1, 'lead_time': 2.5, 'topics': ['news'], 'tone': ['calm', 'sad']}
    """
    if isinstance(row, MalformedRow) or not row.keys() >= _MIN_KEYS:
        return row
    lists: dict[str, Any] = {}
    for column in labels:
        value = row.get(column)
        if not isinstance(value, str):
            continue
        choices = _choices(parse_json(value, encoding=UTF_8)) if value.lstrip().startswith("{") else None
        if isinstance(choices, list):
            lists[column] = choices
        elif column in sets and value.strip() not in ("", "null") and not value.lstrip().startswith("["):
            lists[column] = [value]
    return {**row, **lists}


def _choices(value: Any) -> Any:
    """Return several choices as a list; other values are unchanged."""
    return value["choices"] if isinstance(value, dict) and isinstance(value.get("choices"), list) else value


def _are_spans(value: Any) -> bool:
    return isinstance(value, list) and value != [] and all(isinstance(item, dict) and "start" in item for item in value)


def _with_spans(row: Mapping[str, Any], spans: Sequence[Mapping[str, Any]], *, column: str) -> RawRow:
    """Return a row with its spans in a column; malformed if their offsets are not those of their texts."""
    text = row.get("text")
    converted: list[Any] = []
    try:
        for span in spans:
            start, end, labels = span["start"], span.get("end"), span.get("labels")
            if type(start) is not int or type(end) is not int:
                raise SpanError(f"a span in HTML, from {start!r} to {end!r}; only spans of plain texts are read")
            if not isinstance(labels, list) or not labels:
                raise SpanError(f"the span {start} to {end} has no label")
            if isinstance(text, str):
                start, end = find_offsets(text, start, end, covered=span.get("text"))
                converted += [[start, end, name] for name in labels]
            else:  # the column of the text is unknown: offsets are checked when the spans are parsed
                converted += [{**span, "label": name} for name in labels]
    except SpanError as error:
        return MalformedRow(None, f"{column}: {error}")
    return {**row, column: converted}
