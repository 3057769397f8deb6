"""Answers of extractive question answering: their column type, and the tokens of a context that they cover."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.column_types import ColumnType
from nlpmtl.data.example import Example, TokenSequence, describe_value
from nlpmtl.data.word_alignment import Span
from nlpmtl.errors import quote
from nlpmtl.registry import COLUMN_TYPES

_RULE = (
    'answers were expected, as {"text": ["…"], "answer_start": [3]}, [{"text": "…", "answer_start": 3}, …] or '
    '[{"start": 3, "end": 8}, …]; an empty list for no answer, null for an unlabelled row'
)


@COLUMN_TYPES.register("answers")
class Answers(ColumnType):
    """Answers in the second text of a pair: start and end of each in characters, ``[[start, end], …]``.

    A raw value has the form of SQuAD, ``{"text": […], "answer_start": […]}`` or a list of ``{"text",
    "answer_start"}``, or is a list of ``{"start", "end"}``; each may be JSON text, as in the cells of a table.
    """

    @staticmethod
    def parse(value: Any, example: Example) -> list[list[int]]:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise ValueError(_RULE) from None
        try:
            return _read_answers(value, example.pair or "")
        except ValueError as error:
            if _fits(value, example.text):
                raise ValueError(
                    f"{error}; the answers are in `text`: write the context as `pair` in [input]"
                ) from None
            raise


def _fits(value: Any, text: str) -> bool:
    """Return whether a text has answers, and each at its place."""
    try:
        return bool(_read_answers(value, text))
    except ValueError:
        return False


def _read_answers(value: Any, context: str) -> list[list[int]]:
    """Return the start and end of each answer in a context.

    Raises:
        ValueError: the value has another form, or an answer is not in the context.
    """
    if not isinstance(value, Mapping):
        return [_read_item(item, context) for item in _to_list(value)]
    texts, starts = (_to_list(value.get(key)) for key in ("text", "answer_start"))
    if len(texts) != len(starts):
        raise ValueError(f"`text` has {len(texts)} answers, `answer_start` has {len(starts)}")
    return [_find(text, start, context) for text, start in zip(texts, starts, strict=True)]


def _to_list(value: Any) -> list[Any]:
    """Return a list, also of an array of NumPy, which pandas has inside of rows; ValueError for other values."""
    value = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(value, list | tuple):
        raise ValueError(_RULE)
    return list(value)


def _to_position(value: Any, key: str) -> int:
    """Return a position in a context; a float is one that a table with missing values had as an integer."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if type(value) is not int:
        raise ValueError(f"{key}: a whole number was expected, found {describe_value(value)}")
    return value


def _read_item(item: Any, context: str) -> list[int]:
    """Return the start and end of an answer of a list."""
    if isinstance(item, Mapping) and {"start", "end"} <= item.keys():
        return _check_span(item["start"], item["end"], context)
    if isinstance(item, Mapping) and {"text", "answer_start"} <= item.keys():
        return _find(item["text"], item["answer_start"], context)
    raise ValueError(_RULE)


def _find(text: Any, start: Any, context: str) -> list[int]:
    """Return the start and end of an answer, given its text and start."""
    if not isinstance(text, str):
        raise ValueError(_RULE)
    if not text.strip():
        raise ValueError("an answer is empty: write an empty list for a question without an answer")
    start = _to_position(start, "answer_start")
    end = start + len(text)
    if start < 0 or context[start:end] != text:
        place = context.find(text)
        hint = "the context does not contain it" if place < 0 else f"it begins at {place}, in Unicode code points"
        answer, there = quote(text, limit=60), quote(context[max(start, 0) : max(end, 0)], limit=60)
        raise ValueError(f"the answer {answer} is not at answer_start = {start}, where the context has {there}; {hint}")
    return [start, end]


def _check_span(start: Any, end: Any, context: str) -> list[int]:
    """Return the start and end of an answer, given as ``{"start", "end"}``."""
    start, end = _to_position(start, "start"), _to_position(end, "end")
    if not 0 <= start < end <= len(context):
        raise ValueError(
            f"0 ≤ start < end ≤ {len(context)}, the characters of the context, was expected for an answer, found "
            f"start = {start} and end = {end}"
        )
    if not context[start:end].strip():
        raise ValueError(f"the answer from {start} to {end} is white space")
    return [start, end]


class ContextTokens(NamedTuple):
    """The tokens of a context in one window, without those of white space only.

    Args:
        indices: their indices in the window, ``[tokens]``.
        spans: start and end of each in the context, in characters, ``[tokens, 2]``.
    """

    indices: NDArray[np.int64]
    spans: NDArray[np.integer]


class AnswerTokens(NamedTuple):
    """The tokens of an answer in one window.

    Args:
        first: index of the first one in the window.
        last: index of the last one.
        exact: whether the answer begins and ends where they do.
    """

    first: int
    last: int
    exact: bool


def context_tokens(sequences: Sequence[TokenSequence], context: str) -> list[ContextTokens]:
    """Return the tokens of a context in each window of a pair of texts, of which it is the second one.

    Args:
        sequences: the windows, with offsets.
        context: the second text.
    """
    visible = np.cumsum([0, *(not character.isspace() for character in context)])
    tokens = []
    for sequence in sequences:
        assert sequence.offsets is not None, "the windows have offsets"
        indices = np.flatnonzero((sequence.offsets[:, 0] >= 0) & (sequence.offsets[:, 0] < sequence.offsets[:, 1]))
        spans = sequence.offsets[indices]
        kept = visible[spans[:, 1]] > visible[spans[:, 0]]
        tokens.append(ContextTokens(indices[kept], spans[kept]))
    return tokens


def answer_tokens(windows: Sequence[ContextTokens], answer: Span, context: str) -> list[AnswerTokens | None]:
    """Return the tokens of an answer in each window; None where the window does not contain the whole answer.

    If the answer begins or ends inside a token, or inside characters without a token, they are the tokens around it.

    Args:
        windows: the tokens of the context in each window; together they cover the context.
        answer: its start and end in the context, without white space around it.
        context: the context.
    """
    first = min((int(spans[:, 0].min()) for _, spans in windows if len(spans)), default=0)
    last = max((int(spans[:, 1].max()) for _, spans in windows if len(spans)), default=0)
    return [_answer_in_window(tokens, answer, context, first=first, last=last) for tokens in windows]


def _answer_in_window(
    tokens: ContextTokens, answer: Span, context: str, *, first: int, last: int
) -> AnswerTokens | None:
    """Return the tokens of an answer in a window; `first` and `last` are the ends of the tokens of all windows."""
    indices, spans = tokens
    if not len(indices):
        return None
    (start, end), low, high = answer, int(spans[:, 0].min()), int(spans[:, 1].max())
    if (start < low and low > first) or (end > high and high < last):
        return None
    covered = np.flatnonzero((spans[:, 1] > start) & (spans[:, 0] < end))
    if not len(covered):
        return None
    begins, ends = int(spans[covered[0], 0]), int(spans[covered[-1], 1])
    exact = not context[begins:start].strip() and not context[end:ends].strip()
    return AnswerTokens(int(indices[covered[0]]), int(indices[covered[-1]]), exact)


def strip_span(text: str, start: int, end: int) -> Span:
    """Return the start and end of a part of a text without the white space around it.

    >>> strip_span("in  Turin.", 2, 9)
    (4, 9)
    """
    part = text[start:end]
    stripped = start + len(part) - len(part.lstrip())
    return stripped, stripped + len(part.strip())
