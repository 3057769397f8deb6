"""Column types of labelled spans and of relations between them.

Offsets are half-open. They count words where the input is words, and characters (code points) otherwise.

Example:
    >>> from nlpmtl.data import Example, to_input
    >>> from nlpmtl.data.span_columns import Relations, Spans
    >>> text = to_input("Ada lives in Turin")
    >>> spans = [{"start": 0, "end": 3, "label": "person"}, {"start": 13, "end": 18, "label": "place"}]
    >>> label = Spans.parse(spans, Example(text))
    >>> label
    [[0, 3, 'person'], [13, 18, 'place']]
    >>> Relations.parse([{"head": 0, "tail": 1, "label": "lives_in"}], Example(text, labels={"label": label}))
    [[0, 1, 'lives_in']]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nlpmtl.data.annotation_tools.spans import parse_name, parse_span
from nlpmtl.data.column_types import ColumnType
from nlpmtl.data.example import Example
from nlpmtl.data.label_spelling import Spelling
from nlpmtl.errors import quote
from nlpmtl.registry import COLUMN_TYPES


@COLUMN_TYPES.register("spans")
class Spans(ColumnType):
    """A list of spans with labels: objects with start, end and label, or lists of these three.

    In objects of Label Studio, ``labels`` is a list of one label. If an object has the ``text`` of a span of
    characters, its offsets are checked.

    A parsed value is a list of ``[start, end, label]``, in the order of the data, to which relations refer.
    """

    in_list = True
    min_labels = 1

    @staticmethod
    def parse(value: Any, example: Example) -> list[list[Any]]:
        return _parse_each(value, lambda item: _parse_span(item, example), name="span")

    @staticmethod
    def names(value: Any) -> Iterable[str]:
        return (label for _, _, label in value)

    @staticmethod
    def rename(value: Any, rename: Callable[[str], str]) -> list[list[Any]]:
        return [[start, end, rename(label)] for start, end, label in value]


def _parse_span(item: Any, example: Example) -> list[Any]:
    is_of_label_studio = isinstance(item, Mapping) and isinstance(item.get("labels"), list)
    _check_keys(item, ("start", "end", "labels" if is_of_label_studio else "label"))
    by_word = example.input is not None and example.input.given is not None
    start, end, label = parse_span(item, text=None if by_word else example.text)
    if start > end:
        raise ValueError(f"it ends before it starts: start {start}, end {end}")
    if start == end:
        raise ValueError(f"it is empty, because its end is exclusive: start {start}, end {end}")
    size, unit = (len(example.words), "words") if by_word else (len(example.text), "characters")
    if start < 0 or end > size:
        raise ValueError(f"{start} to {end} is outside the text, which has {size} {unit}")
    return [start, end, label]


@COLUMN_TYPES.register("relations")
class Relations(ColumnType):
    """A list of relations, objects with head, tail and label; head and tail are indices into the spans of the row.

    A parsed value is a list of ``[head, tail, label]``.
    """

    in_list = True

    @staticmethod
    def parse(value: Any, example: Example) -> list[list[Any]]:
        spans = example.labels.get("label")
        return _parse_each(value, lambda item: _parse_relation(item, spans), name="relation")

    @staticmethod
    def names(value: Any) -> Iterable[str]:
        return (label for _, _, label in value)

    @staticmethod
    def rename(value: Any, rename: Callable[[str], str]) -> list[list[Any]]:
        return [[head, tail, rename(label)] for head, tail, label in value]


def _parse_relation(item: Any, spans: Sequence[Any] | None) -> list[Any]:
    """Return a relation, given the spans of the row; None if they are invalid, which is reported itself."""
    if not isinstance(item, Mapping):
        raise ValueError('an object was expected: {"head": 0, "tail": 1, "label": "…"}')
    _check_keys(item, ("head", "tail", "label"))
    head, tail = item["head"], item["tail"]
    label = parse_name(item["label"])
    for key, index in (("head", head), ("tail", tail)):
        if type(index) is not int or index < 0:
            raise ValueError(f"`{key}` must be the index of a span, from 0, found {index!r}")
        if spans is not None and index >= len(spans):
            raise ValueError(f"`{key}` is {index}, and the row has {len(spans)} span(s), numbered from 0")
    if head == tail:
        raise ValueError(f"its head and its tail are both span {head}")
    if spans is not None and _normalize_label(spans[head]) == _normalize_label(spans[tail]):
        start, end, name = spans[head]
        raise ValueError(
            f"its head and its tail, {head} and {tail}, are the same span: {start} to {end}, {quote(name, limit=60)}"
        )
    return [head, tail, label]


def _normalize_label(span: Sequence[Any]) -> list[Any]:
    """Return a span with its label name in NFC, without white space at its ends."""
    start, end, label = span
    return [start, end, Spelling()(label)]


def _parse_each(value: Any, parse: Callable[[Any], list[Any]], *, name: str) -> list[list[Any]]:
    """Return the parsed items of a list; an error names the item, counted from 1."""
    if not isinstance(value, list):
        raise ValueError(f"a list of {name}s was expected")
    parsed = []
    for number, item in enumerate(value, 1):
        try:
            parsed.append(parse(item))
        except ValueError as error:
            raise ValueError(f"{name} {number}: {error}") from None
    return parsed


def _check_keys(item: Any, keys: Sequence[str]) -> None:
    """Check that an object has the keys; others, such as the text of a span, are not read."""
    missing = [key for key in keys if key not in item] if isinstance(item, Mapping) else []
    if missing:
        raise ValueError(f"no key {missing[0]!r}; the keys are {', '.join(keys)}")
