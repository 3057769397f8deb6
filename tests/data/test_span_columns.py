"""Spans and relations in columns: the plain form, and the rules that a value may break."""

from __future__ import annotations

from typing import Any

import pytest

from nlpmtl.data import Example, Relations, Spans, to_input

TEXT = Example(to_input("Ada lives in Turin"))
WORDS = Example(to_input({"words": ["Ada", "lives", "in", "Turin"]}))


def test_characters_of_a_text_and_words_of_a_list() -> None:
    nested = [{"start": 0, "end": 18, "label": "clause"}, {"start": 13, "end": 18, "label": "place"}, [0, 3, "person"]]
    assert Spans.parse(nested, TEXT) == [[0, 18, "clause"], [13, 18, "place"], [0, 3, "person"]]
    assert Spans.parse([{"start": 3, "end": 4, "label": "place"}], WORDS) == [[3, 4, "place"]]
    assert Spans.parse([], TEXT) == []
    assert Spans.parse([{"start": 0, "end": 3, "label": 7, "text": "Ada", "id": 5}], TEXT) == [[0, 3, "7"]]
    assert [*Spans.names([[0, 18, "clause"], [13, 18, "place"]])] == ["clause", "place"]


def test_spans_of_label_studio() -> None:
    """Its tables have the text of a span, a list of labels, and offsets that count an emoji as two characters."""
    value = [{"start": 5, "end": 6, "text": "I", "labels": ["P"]}]
    assert Spans.parse(value, Example(to_input("👍👍 I m ok"))) == [[3, 4, "P"]]
    assert Spans.parse(value, Example(to_input({"words": ["I"] * 6}))) == [[5, 6, "P"]], "offsets of words"
    with pytest.raises(ValueError, match="span 1: the span 5 to 6 is 'i' in the text, and 'I' in the export"):
        Spans.parse(value, TEXT)


@pytest.mark.parametrize(
    ("value", "example", "message"),
    [
        ("Ada", TEXT, "a list of spans was expected"),
        ([{"start": 0, "end": 3, "type": "a"}], TEXT, "span 1: no key 'label'; the keys are start, end, label"),
        ([{"start": 0, "end": 3, "label": "a"}, {"start": 3, "end": 3, "label": "a"}], TEXT, "span 2: it is empty"),
        ([{"start": 5, "end": 3, "label": "a"}], TEXT, "it ends before it starts: start 5, end 3"),
        ([{"start": 13, "end": 19, "label": "a"}], TEXT, "13 to 19 is outside the text, which has 18 characters"),
        ([{"start": -1, "end": 3, "label": "a"}], TEXT, "-1 to 3 is outside the text"),
        ([{"start": 3, "end": 5, "label": "a"}], WORDS, "3 to 5 is outside the text, which has 4 words"),
        ([{"start": 0, "end": 3, "label": None}], TEXT, "has no label"),
        (
            [{"start": 0, "end": 3, "label": ["a"]}],
            TEXT,
            r"its label: a label name was expected: a string, a number, true or false, found \['a'\]",
        ),
        ([{"start": 0, "end": 3, "label": ""}], TEXT, "has no label"),
        ([{"start": 0, "end": 3, "label": "\ud800"}], TEXT, "label: not valid Unicode"),
        ([{"start": "0", "end": 3, "label": "a"}], TEXT, "whole numbers, found '0' and 3"),
        ([{"start": 0.0, "end": 3, "label": "a"}], TEXT, "whole numbers, found 0.0 and 3"),
        ([3], TEXT, r"a span was expected: \[start, end, label\]"),
    ],
)
def test_a_span_that_breaks_a_rule(value: Any, example: Example, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Spans.parse(value, example)


ROW = Example(TEXT.input, labels={"label": [[0, 3, "person"], [13, 18, "place"]]})


def test_relations_refer_to_the_spans_of_the_row() -> None:
    assert Relations.parse([{"head": 1, "tail": 0, "label": "home_of"}], ROW) == [[1, 0, "home_of"]]
    assert Relations.parse([{"id": 3, "head": 1, "tail": 0, "label": 7}], ROW) == [[1, 0, "7"]]
    assert Relations.parse([{"head": 5, "tail": 0, "label": "x"}], TEXT) == [[5, 0, "x"]], "its spans are invalid"
    assert [*Relations.names([[1, 0, "home_of"]])] == ["home_of"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "a list of relations was expected"),
        ([[0, 1, "x"]], 'relation 1: an object was expected: {"head": 0'),
        ([{"head": 0, "tail": 2, "label": "x"}], r"`tail` is 2, and the row has 2 span\(s\), numbered from 0"),
        ([{"head": -1, "tail": 1, "label": "x"}], "`head` must be the index of a span, from 0, found -1"),
        ([{"head": True, "tail": 1, "label": "x"}], "`head` must be the index of a span, from 0, found True"),
        ([{"head": 0, "tail": 1, "label": None}], "it has no label"),
        (
            [{"head": 0, "tail": 1, "label": float("nan")}],
            "its label: a label name was expected: a string, a number, true or false, found nan",
        ),
        ([{"head": 0, "tail": 1, "type": "x"}], "no key 'label'; the keys are head, tail, label"),
        ([{"head": 1, "tail": 1, "label": "x"}], "its head and its tail are both span 1"),
    ],
)
def test_a_relation_that_breaks_a_rule(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Relations.parse(value, ROW)


def test_copies_of_a_span_are_not_two_spans() -> None:
    row = Example(TEXT.input, labels={"label": [[0, 3, "person"], [13, 18, "place"], [0, 3, "person"], [0, 3, "name"]]})
    assert Relations.parse([{"head": 2, "tail": 1, "label": "x"}], row) == [[2, 1, "x"]]
    assert Relations.parse([{"head": 0, "tail": 3, "label": "x"}], row) == [[0, 3, "x"]]
    with pytest.raises(
        ValueError, match="relation 1: its head and its tail, 0 and 2, are the same span: 0 to 3, 'person'"
    ):
        Relations.parse([{"head": 0, "tail": 2, "label": "x"}], row)
