"""Character spans of annotated texts: their offsets, checked against the text that they cover."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nlpmtl.data.labels import to_label

_KEYS = ("start", "end", "label")


class SpanError(ValueError):
    """A rule that a span breaks."""


def parse_span(value: Any, *, text: str | None = None) -> tuple[int, int, str]:
    """Return start, end and name of a span: a list ``[start, end, label]``, or an object with these keys.

    The table of Label Studio has ``labels``, a list of one label, instead of ``label``.

    Args:
        value: the span.
        text: the annotated text, if offsets count characters. An object may have the text that the span covers as
            ``text``, a string: its offsets are then checked, and converted as by `find_offsets`.

    Raises:
        SpanError: the value is not a span, or covers another text.

    >>> parse_span({"start": 3, "end": 7, "text": "Rome", "labels": ["city"]}, text="\N{GRINNING FACE} Rome")
    (2, 6, 'city')
    """
    covered = None
    if isinstance(value, Mapping):
        covered = value.get("text")
        labels = value.get("labels")
        if "label" not in value and isinstance(labels, list) and len(labels) > 1:
            raise SpanError(f"a span with one label was expected, found {labels!r}: write a span for each label")
        if "label" not in value and isinstance(labels, list) and labels:
            value = {**value, "label": labels[0]}
        value = [value.get(key) for key in _KEYS]
    if not isinstance(value, list | tuple) or len(value) != len(_KEYS):
        raise SpanError("a span was expected: [start, end, label]")
    start, end, name = value
    if type(start) is not int or type(end) is not int:
        raise SpanError(f"the start and the end of a span are whole numbers, found {start!r} and {end!r}")
    name = parse_name(name, of=f"the span {start} to {end}")
    if text is not None and isinstance(covered, str):
        start, end = find_offsets(text, start, end, covered=covered)
    return start, end, name


def parse_name(value: Any, *, of: str = "it") -> str:
    """Return the name of a label, as a column of single labels has it.

    Args:
        value: the value.
        of: what has the label, for the error.

    Raises:
        SpanError: the value is not the name of a label.
    """
    try:
        name: str | None = to_label(value, type="class")
    except ValueError as error:
        raise SpanError(f"its label: {error}, found {value!r}") from None
    if name is None:
        raise SpanError(f"{of} has no label")
    return name


def find_offsets(text: str, start: int, end: int, *, covered: Any) -> tuple[int, int]:
    """Return the offsets of a span in characters, given the text that it covers according to the tool.

    Tools that run in a browser count a character outside the Basic Multilingual Plane, such as an emoji, as two.

    Args:
        text: the annotated text.
        start: the start in the export.
        end: the end in the export.
        covered: the text of the span in the export; None if it is not there.

    Raises:
        SpanError: there is another text at these offsets, or `covered` is not a text.

    >>> find_offsets("\N{GRINNING FACE} Rome", 3, 7, covered="Rome")
    (2, 6)
    """
    if covered is None or text[start:end] == covered:
        return start, end
    if not isinstance(covered, str):
        raise SpanError(f"the `text` of the span {start} to {end} is a string, found {covered!r}")
    units = text.encode("utf-16-le", "surrogatepass")
    first, last = (len(units[: 2 * offset].decode("utf-16-le", "replace")) for offset in (start, end))
    if text[first:last] == covered:
        return first, last
    if _plain(text[start:end]) == _plain(covered):
        return start, end
    if _plain(text[first:last]) == _plain(covered):
        return first, last
    raise SpanError(f"the span {start} to {end} is {text[start:end]!r} in the text, and {covered!r} in the export")


def _plain(text: str) -> str:
    """Return a text with single spaces: tools write line ends in several ways."""
    return " ".join(text.replace("\\n", "\n").split())
