"""SQuAD F1 and exact match, by hand and compared with a transcription of the official script of SQuAD 2.0."""

from __future__ import annotations

import collections
import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpmtl.metrics import ExactMatch, Metric, SquadF1, answer_f1, is_exact_match
from nlpmtl.metrics.squad import normalized_words

ANSWERS = st.lists(st.sampled_from(["the", "a", "cat", "Cat,", "dog", "...", "U.S.", "", "in"]), max_size=4).map(
    " ".join
)


def official_f1(gold: str, predicted: str) -> float:
    """`compute_f1` of evaluate-v2.0.py (Rajpurkar et al., 2018)."""
    gold_tokens, predicted_tokens = official_normalize(gold).split(), official_normalize(predicted).split()
    same = sum((collections.Counter(gold_tokens) & collections.Counter(predicted_tokens)).values())
    if len(gold_tokens) == 0 or len(predicted_tokens) == 0:
        return float(gold_tokens == predicted_tokens)
    if same == 0:
        return 0.0
    precision, recall = same / len(predicted_tokens), same / len(gold_tokens)
    return (2 * precision * recall) / (precision + recall)


def official_normalize(text: str) -> str:
    """`normalize_answer` of the same script."""
    text = "".join(character for character in text.lower() if character not in set(string.punctuation))
    return " ".join(re.sub(re.compile(r"\b(a|an|the)\b", re.UNICODE), " ", text).split())


@settings(deadline=None, max_examples=50)
@given(ANSWERS, st.lists(ANSWERS, max_size=3))
def test_official_script(predicted: str, answers: list[str]) -> None:
    gold = [answer for answer in answers if official_normalize(answer)] or [""]
    assert answer_f1(predicted, answers) == pytest.approx(max(official_f1(answer, predicted) for answer in gold))
    exact = max(official_normalize(answer) == official_normalize(predicted) for answer in gold)
    assert is_exact_match(predicted, answers) == exact


@pytest.mark.parametrize(
    ("predicted", "answers", "f1", "exact"),
    [
        ("", [], 1.0, True),
        ("", ["Turin"], 0.0, False),
        ("Turin", [], 0.0, False),
        ("the Turin!", ["turin"], 1.0, True),
        ("Ada of Turin", ["Ada", "Turin of Ada"], 1.0, False),
        ("a cat a dog", ["cat cat"], 0.5, False),
        ("the", ["a", "cat"], 0.0, False),
    ],
)
def test_by_hand(predicted: str, answers: list[str], f1: float, exact: bool) -> None:
    assert answer_f1(predicted, answers) == pytest.approx(f1)
    assert is_exact_match(predicted, answers) is exact


@pytest.mark.parametrize(("kind", "expected"), [(SquadF1, 0.75), (ExactMatch, 0.5)])
def test_mean_over_rows(kind: type[Metric], expected: float) -> None:
    metric, predictions, references = kind(), ["the city of Turin", ""], [["Turin", "in Turin"], []]
    assert metric.value(predictions, references) == pytest.approx(expected)
    assert metric.compute(predictions=predictions, references=references) == {metric.name: pytest.approx(expected)}
    assert metric.value([], []) is None


def test_words_of_other_languages_are_kept() -> None:
    assert normalized_words("Die Stadt «Zürich»") == ["die", "stadt", "«zürich»"]
