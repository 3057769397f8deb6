"""Attachment scores by hand."""

from __future__ import annotations

from typing import Any

import pytest

from nlpmtl.metrics import LabeledAttachment, UnlabeledAttachment

GOLD = [
    [{"head": 2, "deprel": "det"}, {"head": 0, "deprel": "root"}, {"head": 2, "deprel": "punct"}],
    [{"head": 0, "deprel": "root"}],
]


def test_by_hand() -> None:
    predicted: list[Any] = [
        [{"head": 2, "deprel": "amod"}, {"head": 0, "deprel": "root"}, {"head": 1, "deprel": "punct"}],
        [{"head": 0, "deprel": "root"}],
    ]
    assert UnlabeledAttachment().value(predicted, GOLD) == pytest.approx(3 / 4), "over words, not over rows"
    assert LabeledAttachment().value(predicted, GOLD) == pytest.approx(2 / 4)


def test_subtypes_are_compared() -> None:
    gold, predicted = [[{"head": 0, "deprel": "nsubj:pass"}]], [[{"head": 0, "deprel": "nsubj"}]]
    assert LabeledAttachment().value(predicted, gold) == 0.0
    assert UnlabeledAttachment().value(predicted, gold) == 1.0


@pytest.mark.parametrize("metric", [LabeledAttachment(), UnlabeledAttachment()], ids=lambda metric: metric.name)
def test_undefined_without_words_and_refused_with_too_few(metric: Any) -> None:
    assert metric.value([[]], [[]]) is None
    with pytest.raises(ValueError, match="found 1 for 3 in row 0"):
        metric.value([GOLD[1], GOLD[1]], GOLD)
