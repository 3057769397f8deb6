"""Character spans as BIO tags: alignment, and spans that cannot be tags."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpmtl.config.dataset import InputConfig
from nlpmtl.data.annotation_tools.spans import SpanError, find_offsets, parse_span
from nlpmtl.data.raw_rows import RawRows
from nlpmtl.data.span_tags import ColumnError, spans_to_tags, tag_spans
from nlpmtl.data.validation import ValidationIssues, validate_rows
from nlpmtl.data.word_counts import AT_MARKS, WordCounts
from nlpmtl.data.word_splitting import WordSplitting, split_at_marks


def tags(text: str, *spans: Any) -> list[str]:
    return spans_to_tags(text, split_at_marks(text), spans)


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in split_at_marks(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("in New York.", ["in", "New", "York", "."]),
        ("New York-based firms' 3.5%", ["New", "York", "-", "based", "firms", "'", "3", ".", "5", "%"]),
        ("don’t a_b", ["don", "’", "t", "a", "_", "b"]),
        ("北京大学 (PKU)。", ["北", "京", "大", "学", "(", "PKU", ")", "。"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("  \n\t ", []),
        ("東京\u3000大阪\u2003a\u3000", ["東", "京", "大", "阪", "a"]),
        ("", []),
    ],
)
def test_words_end_at_white_space_and_punctuation(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_a_span_before_a_full_stop_or_inside_a_compound_is_not_cut() -> None:
    assert tags("in New York.", [3, 11, "city"]) == ["O", "B-city", "I-city", "O"]
    assert tags("New York-based", [0, 8, "city"]) == ["B-city", "I-city", "O", "O"]
    assert tags("“Ada” (1815)", [1, 4, "per"], [7, 11, "year"]) == ["O", "B-per", "O", "O", "B-year", "O"]
    assert tags("北京大学", [0, 2, "city"]) == ["B-city", "I-city", "O", "O"]


def test_adjacent_spans_begin_anew_in_any_order() -> None:
    assert tags("Ada Rome", [4, 8, "x"], [0, 3, "x"]) == ["B-x", "B-x"]


def test_white_space_at_the_ends_of_a_span_is_not_part_of_it() -> None:
    assert tags("in  Rome  now", [2, 10, "city"]) == ["O", "B-city", "O"]


def test_objects_numbers_as_names_and_equal_spans() -> None:
    assert tags("Ada", {"start": 0, "end": 3, "label": "per", "id": 7}, (0, 3, "per")) == ["B-per"]
    assert tags("Ada", [0, 3, 5]) == ["B-5"]


@pytest.mark.parametrize(
    ("spans", "rule"),
    [
        ([[3, 10, "x"]], r"the span 3 to 10 \(x\), 'New Yor', cuts the word 'York'"),
        ([[4, 11, "x"]], r"the span 4 to 11 \(x\), 'ew York', cuts the word 'New'"),
        ([[3, 6, "x"], [3, 11, "y"]], r"the span 3 to 11 \(y\) overlaps another span"),
        ([[0, 11, "x"], [3, 6, "y"]], r"the span 3 to 6 \(y\) overlaps another span"),
        ([[3, 6, "x"], [3, 6, "y"]], r"overlaps another span"),
        ([[2, 3, "x"]], r"the span 2 to 3 \(x\) covers no word"),
        ([[3, 3, "x"]], "is not inside the text"),
        ([[6, 3, "x"]], "is not inside the text"),
        ([[-1, 2, "x"]], "is not inside the text"),
        ([[3, 13, "x"]], "is not inside the text, which has 12 characters"),
        ([[3, 6]], r"a span was expected: \[start, end, label\]"),
        ([["a", "b", "c"]], "whole numbers"),
        ([[3, 6.5, "x"]], "whole numbers"),
        ([[True, 6, "x"]], "whole numbers"),
        ([[3, 6, None]], "has no label"),
        ([[3, 6, ""]], "has no label"),
        ([{"start": 3, "end": 6}], "has no label"),
    ],
)
def test_spans_that_cannot_be_tags(spans: list[Any], rule: str) -> None:
    with pytest.raises(SpanError, match=rule):
        tags("in New York.", *spans)


@given(text=st.text(max_size=40), data=st.data())
def test_tags_of_spans_of_words_are_those_spans(text: str, data: st.DataObject) -> None:
    places = split_at_marks(text)
    assert "".join(text[a:b] for a, b in places) == "".join(text.split())
    starts = data.draw(st.lists(st.integers(0, max(0, len(places) - 1)), unique=True, max_size=4)) if places else []
    expected = ["O"] * len(places)
    for start in starts:
        expected[start] = "B-x"
    assert tags(text, *([*places[start], "x"] for start in starts)) == expected


class TestRows:
    def test_a_row_becomes_words_and_tags(self) -> None:
        row = {"text": "in Rome.", "label": [[3, 7, "city"]], "topic": "places"}
        assert tag_spans(row, words="text", tags=["label"]) == {
            "text": ["in", "Rome", "."],
            "label": ["O", "B-city", "O"],
            "topic": "places",
        }

    def test_no_spans_and_no_labels(self) -> None:
        assert tag_spans({"text": "a b", "label": []}, words="text", tags=["label"])["label"] == ["O", "O"]
        assert tag_spans({"text": "a b", "label": None}, words="text", tags=["label"]) == {
            "text": ["a", "b"],
            "label": None,
        }

    @pytest.mark.parametrize(
        "row",
        [
            {"text": ["a"], "label": ["O"]},
            {"text": "a b", "label": ["O", "O"]},
            {"text": "a b", "label": "O O"},
            {"text": None, "label": []},
            {"text": 3, "label": []},
        ],
    )
    def test_other_rows_are_unchanged(self, row: dict[str, Any]) -> None:
        assert tag_spans(row, words="text", tags=["label"]) is row

    def test_a_text_without_a_column_of_tags(self) -> None:
        assert tag_spans({"text": "a b."}, words="text", tags=[]) == {"text": ["a", "b", "."]}

    def test_an_error_has_its_column(self) -> None:
        with pytest.raises(ColumnError) as caught:
            tag_spans({"text": "ab", "a": [], "b": [[0, 1, "x"]]}, words="text", tags=["a", "b"])
        assert caught.value.column == "b"


@pytest.mark.parametrize(
    ("text", "start", "end", "covered", "expected"),
    [
        ("in Rome", 3, 7, "Rome", (3, 7)),
        ("in Rome", 3, 7, None, (3, 7)),
        ("😀😀 in Rome", 8, 12, "Rome", (6, 10)),
        ("a 😀 b", 2, 4, "😀", (2, 3)),
        ("a\nb", 0, 3, "a b", (0, 3)),
        ("a\nb", 0, 3, "a\\nb", (0, 3)),
    ],
)
def test_offsets_in_utf_16_are_converted(
    text: str, start: int, end: int, covered: str | None, expected: tuple[int, int]
) -> None:
    assert find_offsets(text, start, end, covered=covered) == expected


def test_offsets_of_another_text_are_refused() -> None:
    with pytest.raises(SpanError, match=r"the span 3 to 7 is 'Rome' in the text, and 'Bonn' in the export"):
        find_offsets("in Rome", 3, 7, covered="Bonn")


def test_a_span_as_a_list_or_an_object() -> None:
    assert parse_span([1, 2, "x"]) == parse_span({"start": 1, "end": 2, "label": "x"}) == (1, 2, "x")
    assert parse_span({"start": 1, "end": 2, "text": "b", "labels": ["x"]}) == (1, 2, "x")
    with pytest.raises(SpanError, match=r"a span with one label was expected, found \['x', 'y'\]"):
        parse_span({"start": 1, "end": 2, "labels": ["x", "y"]})


@pytest.mark.parametrize(
    "texts",
    [
        ["New York-based Ada's firm.", "It's a well-known, state-of-the-art 3.5% rise.", "Don't", "U.S.-based"] * 3,
        ["北京大学在北京。", "他住在上海, 中国"] * 5,
    ],
)
def test_raw_text_is_split_as_the_training_texts_were(texts: list[str]) -> None:
    counted = WordCounts({AT_MARKS: len(texts)})
    counted.add([words(text) for text in texts])
    splitting = counted.splitting()
    assert splitting == WordSplitting("every_mark")
    for text in texts:
        assert [text[a:b] for a, b in splitting.split(text)] == words(text)


class TestMixedColumns:
    """The first row decides whether a column has texts, whose spans are tagged, or lists of words."""

    def problems(self, rows: list[dict[str, Any]]) -> list[str]:
        issues = ValidationIssues()
        stream = RawRows("a.jsonl", ":", iter(enumerate(rows, 1)))
        words = InputConfig(words="text")
        validate_rows(stream, inputs=words, labels={"label": "tags"}, required=(), issues=issues)
        return issues.messages

    def test_a_text_among_lists_of_words(self) -> None:
        rows: list[dict[str, Any]] = [{"text": ["a"], "label": ["O"]}, {"text": "a b"}, {"text": "a", "label": []}]
        assert [message.partition(" (")[0] for message in self.problems(rows)] == [
            "a.jsonl:2: text: a list of words was expected",
            "a.jsonl:3: text: a list of words was expected",
        ]

    def test_a_list_of_words_among_texts(self) -> None:
        rows: list[dict[str, Any]] = [{"text": None}, {"text": "a"}, {"text": ["a"], "label": ["O"]}, {"text": "b"}]
        assert [message.partition(" (")[0] for message in self.problems(rows)] == [
            "a.jsonl:1: text: missing or null",
            "a.jsonl:3: text: a text was expected, as in the rows before",
        ]
