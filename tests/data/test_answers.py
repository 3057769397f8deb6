"""Answers in a context: their column type, and the tokens of windows that they cover."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nlpmtl.data import (
    Answers,
    Example,
    Input,
    TokenSequence,
    answer_tokens,
    context_tokens,
    strip_span,
    tokenize_windows,
)
from tests.tiny_tokenizers import TOKENIZERS

CONTEXT = "Ada lives in Turin. É, ada lives."
EXAMPLE = Example(Input("Where?", CONTEXT))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([], []),
        ({"text": [], "answer_start": []}, []),
        ({"text": ["Turin"], "answer_start": [13]}, [[13, 18]]),
        ({"text": ["Turin"], "answer_start": [13.0]}, [[13, 18]]),
        ([{"text": "Turin", "answer_start": 13}], [[13, 18]]),
        ({"text": np.array(["Turin", "in"]), "answer_start": np.array([13, 10])}, [[13, 18], [10, 12]]),
        ([{"start": 20, "end": 21, "label": "x"}], [[20, 21]]),
        ('{"text": ["É"], "answer_start": [20]}', [[20, 21]]),
        ("[]", []),
    ],
)
def test_parse(value: Any, expected: list[list[int]]) -> None:
    assert Answers.parse(value, EXAMPLE) == expected
    assert Answers.from_stored(Answers.store(expected)) == expected


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("Turin", "answers were expected"),
        ("{'text': ['Turin']}", "answers were expected"),
        (3, "answers were expected"),
        ({"text": ["Turin"]}, "answers were expected"),
        ({"text": "Turin", "answer_start": 13}, "answers were expected"),
        (
            {"text": ["Turin"], "answer_start": [True]},
            r"answer_start: a whole number was expected, found True \(bool\)",
        ),
        ([{"text": "Turin", "answer_start": "13"}], r"answer_start: a whole number was expected, found '13' \(str\)"),
        ([{"start": 13, "end": 17.5}], r"end: a whole number was expected, found 17.5 \(float\)"),
        ([{"text": "Turin"}], "answers were expected"),
        ("[" * 100_000, "answers were expected"),
        ({"text": ["Turin"], "answer_start": []}, "`text` has 1 answers, `answer_start` has 0"),
        ({"text": ["Turin"], "answer_start": [12]}, "is not at answer_start = 12.* it begins at 13"),
        ({"text": ["Turin"], "answer_start": [-20]}, "is not at answer_start = -20"),
        ({"text": ["turin"], "answer_start": [13]}, "the context has 'Turin'; the context does not contain it"),
        ({"text": [""], "answer_start": [0]}, "an answer is empty: write an empty list"),
        ([{"start": 3}], "answers were expected"),
        ([[3, 4]], "answers were expected"),
        ([{"start": 3, "end": 3}], "0 ≤ start < end ≤ 33, .* found start = 3 and end = 3"),
        ([{"start": 3, "end": 34}], "found start = 3 and end = 34"),
        ([{"start": 3, "end": 4.0}], "the answer from 3 to 4 is white space"),
    ],
)
def test_rules(value: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        Answers.parse(value, EXAMPLE)


def test_a_context_that_is_the_text_is_recognised() -> None:
    answers = {"text": ["Turin"], "answer_start": [13]}
    with pytest.raises(ValueError, match="the answers are in `text`: write the context as `pair` in"):
        Answers.parse(answers, Example(Input(EXAMPLE.pair or "", EXAMPLE.text)))


def windows_of(name: str, question: str, context: str, *, max_length: int) -> list[TokenSequence]:
    windows = tokenize_windows(TOKENIZERS[name](), [question], pairs=[context], max_length=max_length, offsets=True)
    return [windows.pieces.sequence(i) for i in range(len(windows.text))]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_an_answer_is_in_each_window_that_contains_it(name: str) -> None:
    context = f"{CONTEXT} {CONTEXT}"
    sequences = windows_of(name, "ada?", context, max_length=18)
    windows = context_tokens(sequences, context)
    assert len(windows) > 1
    found = 0
    for text in ("Ada", "in", "lives.", context):
        start, end = context.index(text), context.index(text) + len(text)
        for (indices, spans), answer in zip(windows, answer_tokens(windows, (start, end), context), strict=True):
            assert (answer is not None) is bool(spans[0, 0] <= start and end <= spans[-1, 1]), text
            if answer is not None:
                first, last = np.searchsorted(indices, [answer.first, answer.last])
                assert strip_span(context, spans[first, 0], spans[last, 1]) == (start, end)
                assert answer.exact
                found += 1
    assert found >= 3


def test_an_answer_inside_a_token() -> None:
    context = "ada lives in turin"
    (sequence,) = windows_of("token", "where?", context, max_length=32)
    tokens = context_tokens([sequence], context)
    (whole,) = answer_tokens(tokens, (13, 18), context)
    (part,) = answer_tokens(tokens, (14, 18), context)
    assert whole is not None
    assert part is not None
    assert (whole.first, whole.last, whole.exact) == (part.first, part.last, True)
    assert not part.exact


@pytest.mark.parametrize("context", ["", "  "])
def test_a_context_without_tokens(context: str) -> None:
    (sequence,) = windows_of("token", "where?", context, max_length=32)
    (tokens,) = context_tokens([sequence], context)
    assert len(tokens.indices) == 0
    assert answer_tokens([tokens], (0, 0), context) == [None]


def test_strip_span() -> None:
    assert strip_span(" ab  ", 0, 5) == (1, 3)
    assert strip_span("abc", 1, 2) == (1, 2)
