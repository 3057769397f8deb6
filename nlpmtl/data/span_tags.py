"""Character spans as tags of words: a text is split into words, and its spans become BIO tags."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from nlpmtl.data.annotation_tools.spans import SpanError, parse_span
from nlpmtl.data.label_spelling import Spelling
from nlpmtl.data.word_alignment import Span
from nlpmtl.data.word_splitting import split_at_marks

_OUTSIDE = "O"


class ColumnError(SpanError):
    """A rule that a span in a column breaks."""

    def __init__(self, column: str, rule: str) -> None:
        super().__init__(rule)
        self.column = column


def tag_spans(row: Mapping[str, Any], *, words: str, tags: Collection[str]) -> Mapping[str, Any]:
    """Return a row with the words of its text, and a BIO tag per word instead of each list of spans.

    A row that has a list of words, or lists of anything but spans, is returned unchanged.

    Args:
        row: the row.
        words: the column of the words, which may hold a text.
        tags: the columns of the tags, which may hold spans: ``[start, end, label]`` or objects with these keys.

    Raises:
        ColumnError: a span cuts a word, overlaps another one, or is outside the text.

    >>> tag_spans({"text": "in New York.", "label": [[3, 11, "city"]]}, words="text", tags=["label"])
    {'text': ['in', 'New', 'York', '.'], 'label': ['O', 'B-city', 'I-city', 'O']}
    """
    text = row.get(words)
    if not isinstance(text, str) or not all(_may_be_spans(row.get(column)) for column in tags):
        return row
    word_spans = split_at_marks(text)
    tagged = dict(row) | {words: [text[start:end] for start, end in word_spans]}
    for column in tags:
        spans = row.get(column)
        if spans is not None:
            try:
                tagged[column] = spans_to_tags(text, word_spans, spans)
            except SpanError as error:
                raise ColumnError(column, str(error)) from None
    return tagged


def spans_to_tags(text: str, words: Sequence[Span], spans: Sequence[Any]) -> list[str]:
    """Return a BIO tag for each word. Equal spans count once.

    Args:
        text: the text.
        words: start and end of each word, in order.
        spans: the spans, in any order.

    Raises:
        SpanError: a span is invalid, cuts a word, overlaps another one, or is outside the text.
    """
    tags = [_OUTSIDE] * len(words)
    starts, ends = [start for start, _ in words], [end for _, end in words]
    spelling = Spelling()
    parsed = (parse_span(span, text=text) for span in spans)
    distinct = {(start, end, spelling(name)): name for start, end, name in parsed}
    for (start, end, _), name in sorted(distinct.items()):
        shown = f"the span {start} to {end} ({name})"
        if not 0 <= start < end <= len(text):
            raise SpanError(f"{shown} is not inside the text, which has {len(text)} characters")
        first, last = bisect_right(ends, start), bisect_left(starts, end)
        if first >= last:
            raise SpanError(f"{shown} covers no word")
        if starts[first] < start or ends[last - 1] > end:
            word = first if starts[first] < start else last - 1
            raise SpanError(f"{shown}, {text[start:end]!r}, cuts the word {text[starts[word] : ends[word]]!r}")
        if tags[first] != _OUTSIDE:
            raise SpanError(f"{shown} overlaps another span")
        tags[first:last] = [_tag("B", name), *[_tag("I", name)] * (last - first - 1)]
    return tags


def _tag(prefix: str, name: str) -> str:
    """Return a tag. White space around the name is kept around the tag, as it is removed, and reported, from tags.

    >>> _tag("B", " person")
    ' B-person'
    """
    label = name.strip()
    return name.replace(label, f"{prefix}-{label}", 1)


def _may_be_spans(value: Any) -> bool:
    """Return whether a value is a list of spans, or null; an empty list is one."""
    return value is None or (
        isinstance(value, list | tuple) and all(isinstance(item, list | tuple | Mapping) for item in value)
    )
