"""F1 of nested spans and of relations between them."""

from __future__ import annotations

from typing import Any

import pytest

from nlpmtl.metrics import RelationF1, SpanF1, scores, task_score

ADA, TURIN, ROME = [0, 3, "person"], [13, 18, "place"], [22, 26, "place"]


def test_span_f1_of_nested_spans() -> None:
    predictions = [[ADA, [0, 18, "clause"]], [TURIN], []]
    references = [[ADA, [0, 18, "phrase"]], [TURIN, ROME], []]
    assert SpanF1(reads_as="spans").value(predictions, references) == pytest.approx(2 * 2 / (3 + 4))
    assert SpanF1(reads_as="spans").value([[ADA], []], [[], [ADA]]) == 0.0, "the same span in another row"
    assert SpanF1(reads_as="spans").value([[]], [[]]) is None


def test_span_f1_of_spans_is_that_of_their_tags() -> None:
    tags = [["B-a", "I-a", "O", "B-b"]], [["B-a", "O", "O", "B-b"]]
    spans = [[[0, 2, "a"], [3, 4, "b"]]], [[[0, 1, "a"], [3, 4, "b"]]]
    assert SpanF1(reads_as="spans").value(*spans) == SpanF1().value(*tags) == 0.5


@pytest.mark.parametrize(
    ("predictions", "references", "value"),
    [
        ([[[ADA, TURIN, "lives_in"]]], [[[ADA, TURIN, "lives_in"]]], 1.0),
        ([[[ADA, TURIN, "lives_in"], [ADA, ROME, "lives_in"]]], [[[ADA, TURIN, "lives_in"]]], 2 / 3),
        ([[[ADA, TURIN, "lives_in"]]], [[[TURIN, ADA, "lives_in"]]], 0.0),
        ([[[ADA, TURIN, "lives_in"]]], [[[ADA, TURIN, "works_in"]]], 0.0),
        ([[[[0, 3, "place"], TURIN, "lives_in"]]], [[[ADA, TURIN, "lives_in"]]], 0.0),
        ([[[ADA, TURIN, "lives_in"]], [[ADA, ROME, "x"]]], [[[ADA, TURIN, "lives_in"]], None], 1.0),
        ([[], []], [[], None], None),
        ([None], [None], None),
    ],
    ids=["equal", "precision", "direction", "label", "label of the head", "row without relations", "none", "no row"],
)
def test_relation_f1(predictions: Any, references: Any, value: float | None) -> None:
    result = RelationF1().value(predictions, references)
    assert result == (None if value is None else pytest.approx(value))


def test_scores_by_name() -> None:
    values = scores(["span_f1"], predictions=[[ADA]], references=[[ADA]], reads="spans")
    values |= scores(["relation_f1"], predictions=[[]], references=[[[ADA, TURIN, "x"]]], reads="relations")
    assert values == {"span_f1": 1.0, "relation_f1": 0.0}
    assert task_score(values) == 1.0, "the first metric"
