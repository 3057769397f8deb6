"""What reports show of each task type: wrong rows, probabilities of items, and baselines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nlpmtl.data import Example, Input
from nlpmtl.tasks import Prediction, Task, task_from_config
from nlpmtl.tasks.labeling import WordScores
from nlpmtl.tasks.reporting import as_text
from tests.tasks.kinds import SPECS, TEXT, WORDS, decode, logits_of, make

EXAMPLE = Example(Input(TEXT, given=WORDS))
GOLD: dict[str, Any] = {
    "classification": "a",
    "sentiment": "bad",
    "regression": 2.0,
    "multilabel": ["x"],
    "labeling": ["O"] * len(WORDS),
}


def labeling(scheme: str, labels: list[str]) -> Task:
    config = {"kind": "labeling", "labels": labels, "metrics": None, "input": "words", "scheme": scheme}
    return task_from_config("t", config)


def words_prediction(tags: list[str | None], probability: float = 0.9) -> Prediction:
    """Return a prediction of tags, of which each has the same probability."""
    count = len(tags)
    scores = WordScores(np.zeros(count, np.int64), np.full((count, 3), probability), np.ones(count, np.bool_))
    return Prediction(tags, [probability] * count, extra=scores)


@pytest.mark.parametrize("kind", SPECS)
def test_a_correct_row_has_no_error_and_a_wrong_one_names_both_labels(kind: str) -> None:
    task = make(kind)
    for seed in range(6):
        prediction = decode(task, logits_of(task, seed=seed))
        assert task.row_error(prediction, prediction.value, EXAMPLE) is None
        error = task.row_error(prediction, GOLD[kind], EXAMPLE)
        if error is None:
            assert prediction.value == GOLD[kind]
        else:
            assert error.gold != error.predicted
            assert error.severity > 0
            assert error.confidence is None or 0 <= error.confidence <= 1
            assert (error.confidence is None) == (kind == "regression")


def test_the_confidence_is_that_of_the_wrong_label() -> None:
    task = make("classification")
    prediction = Prediction("b", 0.7, extra=np.array([0.2, 0.7, 0.1]))
    error = task.row_error(prediction, "a", EXAMPLE)
    assert error is not None
    assert (error.gold, error.predicted, error.confidence) == ("a", "b", 0.7)


def test_multilabel_compares_sets_and_takes_the_most_confident_wrong_label() -> None:
    task = make("multilabel")
    prediction = Prediction(["x", "y"], extra=np.array([0.9, 0.6, 0.3]))
    assert task.row_error(prediction, ["y", "x"], EXAMPLE) is None
    error = task.row_error(prediction, ["x", "z"], EXAMPLE)
    assert error is not None
    assert (error.gold, error.predicted) == ("x, z", "x, y")
    assert error.confidence == pytest.approx(0.7), "z is predicted to be absent with 0.7, y to be present with 0.6"
    unknown = task.row_error(prediction, ["x", "y", "other"], EXAMPLE)
    assert unknown is not None
    assert unknown.confidence is None


def test_spans_are_listed_with_their_words() -> None:
    task = labeling("bio", ["O", "B-p", "I-p"])
    error = task.row_error(
        words_prediction(["B-p", "O", "O", "O", "O"]),
        ["B-p", "O", "O", "B-p", "I-p"],
        Example(Input(TEXT, given=WORDS)),
    )
    assert error is not None
    assert (error.gold, error.predicted, error.confidence) == ("Ada/p, Turin./p", "Ada/p", 0.9)
    nothing = task.row_error(words_prediction(["O"] * 5), ["B-p", "O", "O", "O", "O"], EXAMPLE)
    assert nothing is not None
    assert nothing.predicted == "(none)"


def test_plain_tags_are_listed_where_they_differ() -> None:
    task = labeling("plain", ["N", "V", "P"])
    error = task.row_error(words_prediction(["N", "V", None, "N", "P"]), ["N", "N", "P", "N", "P"], EXAMPLE)
    assert error is not None
    assert (error.gold, error.predicted) == ("lives/N, in/P", "lives/V, in/(no prediction)")


@pytest.mark.parametrize("kind", SPECS)
def test_items_have_one_probability_per_label_and_known_gold_labels(kind: str) -> None:
    task = make(kind)
    predictions = [decode(task, logits_of(task, seed=seed)) for seed in range(3)]
    unknown = {"classification": "?", "sentiment": "?", "multilabel": ["?"], "labeling": ["?"] * len(WORDS)}
    gold = [GOLD[kind], GOLD[kind], unknown.get(kind, 1.0)]
    problems = task.item_probabilities(predictions, gold)
    assert len(problems) == {"regression": 0, "multilabel": 3}.get(kind, 1)
    for problem in problems:
        assert problem.rows.shape == problem.gold.shape == problem.probabilities.shape[:1]
        assert (problem.gold < problem.probabilities.shape[1]).all()
        assert problem.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
        assert set(problem.rows.tolist()) <= {0, 1, 2}
        if kind != "multilabel":
            assert 2 not in problem.rows, "its label is unknown"
    if kind == "labeling":
        assert len(problems[0].rows) == 2 * (len(WORDS) - 1), "one word has no token"


@pytest.mark.parametrize("kind", SPECS)
def test_baselines_predict_labels_of_train_for_every_row(kind: str) -> None:
    task = make(kind)
    train: Any = {
        "classification": ["b", "a", "b"],
        "sentiment": ["good", "bad", "good"],
        "regression": [1.0, 2.0, 6.0],
        "multilabel": [["x"], ["x", "z"], ["x", "z"]],
        "labeling": [["B-p", "I-p", "O", "O"], ["O"]],
    }[kind]
    gold = [GOLD[kind]] * 4
    baselines = task.baselines(train, gold, np.random.default_rng(0))
    names = list(baselines)
    assert names == (["mean", "random"] if kind == "regression" else ["majority", "random"])
    assert all(len(values) == 4 for values in baselines.values())
    constant = {"classification": "b", "sentiment": "good", "regression": 3.0, "multilabel": ["x", "z"]}
    assert baselines[names[0]] == [constant.get(kind, ["O"] * len(WORDS))] * 4
    for values in baselines.values():
        assert "score" in task.score(values, gold)


@pytest.mark.parametrize("kind", SPECS)
def test_random_baselines_depend_on_the_generator_only(kind: str) -> None:
    task = make(kind)
    gold = [GOLD[kind]] * 30
    first, second = (task.baselines(gold[:1] * 2, gold, np.random.default_rng(3)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (["a", "b"], "a, b"), ([], "(none)"), (0.123456, "0.1235"), ({"é": 1}, '{"é": 1}'), (None, "null")],
)
def test_labels_as_text(value: Any, text: str) -> None:
    assert as_text(value) == text
