"""Span F1 and token accuracy, by hand and compared with seqeval."""

from __future__ import annotations

from itertools import chain

import pytest
import seqeval.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB2
from sklearn.metrics import accuracy_score

from nlpmtl.metrics import Metric, SpanF1, TokenAccuracy, spans

QUICK = settings(deadline=None, max_examples=25)
TAGS = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-a-b", "I-a-b"])
ROWS = st.lists(st.lists(st.tuples(TAGS, TAGS), max_size=8), min_size=1, max_size=4)
BOTH = pytest.mark.parametrize("metric", [SpanF1(), TokenAccuracy()], ids=lambda metric: metric.name)


def columns(rows: list[list[tuple[str, str]]]) -> tuple[list[list[str]], list[list[str]]]:
    return [[predicted for predicted, _ in row] for row in rows], [[gold for _, gold in row] for row in rows]


class TestSpans:
    @pytest.mark.parametrize(
        ("tags", "expected"),
        [
            ("", []),
            ("O O", []),
            ("B-PER", [("PER", 0, 1)]),
            ("O B-PER I-PER I-PER O", [("PER", 1, 4)]),
            ("B-PER B-PER", [("PER", 0, 1), ("PER", 1, 2)]),
            ("B-PER I-LOC I-LOC", [("PER", 0, 1), ("LOC", 1, 3)]),
            ("I-PER I-PER O I-PER", [("PER", 0, 2), ("PER", 3, 4)]),
            ("B-a-b I-a-b I-a", [("a-b", 0, 2), ("a", 2, 3)]),
        ],
    )
    def test_by_hand(self, tags: str, expected: list[tuple[str, int, int]]) -> None:
        assert spans(tags.split()) == expected

    @QUICK
    @given(st.lists(TAGS))
    def test_spans_equal_seqeval(self, tags: list[str]) -> None:
        assert spans(tags) == [(kind, start, last + 1) for kind, start, last in get_entities(tags)]


class TestSpanF1:
    def test_by_hand(self) -> None:
        # Gold 3, predicted 3, correct 1: a wrong end, a wrong type and, in the second row, a match.
        predictions = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "I-LOC"]]
        gold = [["B-PER", "O", "O", "B-PER"], ["B-LOC", "I-LOC"]]
        assert SpanF1().compute(predictions=predictions, references=gold) == {"span_f1": pytest.approx(1 / 3)}

    def test_spans_of_different_rows_do_not_match(self) -> None:
        rows = {"predictions": [["B-PER"], ["O"]], "references": [["O"], ["B-PER"]]}
        assert SpanF1().compute(**rows) == {"span_f1": 0.0}

    def test_span_f1_without_spans_is_undefined(self) -> None:
        rows = {"predictions": [["O", "O"], []], "references": [["O", "O"], []]}
        assert SpanF1().compute(**rows) == {"span_f1": None}

    @pytest.mark.parametrize(("predicted", "gold"), [("O", "B-PER"), ("B-PER", "O")])
    def test_span_f1_with_spans_on_one_side_only_is_zero(self, predicted: str, gold: str) -> None:
        assert SpanF1().compute(predictions=[[predicted]], references=[[gold]]) == {"span_f1": 0.0}

    def test_seqevals_strict_mode_differs_on_stray_tags(self) -> None:
        predictions, gold = [["I-PER", "O", "B-LOC"]], [["B-PER", "O", "B-LOC"]]
        assert SpanF1().compute(predictions=predictions, references=gold) == {"span_f1": 1.0}
        assert seqeval.metrics.f1_score(gold, predictions, mode="strict", scheme=IOB2) == pytest.approx(2 / 3)

    @QUICK
    @given(ROWS)
    def test_spans_equal_seqeval(self, rows: list[list[tuple[str, str]]]) -> None:
        predictions, gold = columns(rows)
        score = SpanF1().compute(predictions=predictions, references=gold)["span_f1"]
        if any(tag != "O" for row in predictions + gold for tag in row):
            assert score == pytest.approx(seqeval.metrics.f1_score(gold, predictions, zero_division=0))
        else:
            assert score is None


class TestTokenAccuracy:
    def test_by_hand(self) -> None:
        rows = {"predictions": [["DET", "NOUN", "VERB"], ["NOUN"]], "references": [["DET", "NOUN", "NOUN"], ["VERB"]]}
        assert TokenAccuracy().compute(**rows) == {"token_accuracy": 0.5}

    def test_token_accuracy_without_words_is_undefined(self) -> None:
        assert TokenAccuracy().compute(predictions=[[], []], references=[[], []]) == {"token_accuracy": None}

    @QUICK
    @given(ROWS)
    def test_the_score_equals_scikit_learn(self, rows: list[list[tuple[str, str]]]) -> None:
        predictions, gold = columns(rows)
        score = TokenAccuracy().compute(predictions=predictions, references=gold)["token_accuracy"]
        if any(gold):
            assert score == pytest.approx(accuracy_score([*chain(*gold)], [*chain(*predictions)]))
        else:
            assert score is None


@BOTH
def test_rows_of_different_length_are_refused(metric: Metric) -> None:
    with pytest.raises(ValueError, match="found 1 for 2 in row 1"):
        metric.compute(predictions=[["O"], ["O"]], references=[["O"], ["O", "O"]])
