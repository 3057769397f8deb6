"""Multi-label classification: loss, thresholds and calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from nlpmtl.errors import ConfigError
from nlpmtl.registry import TASKS
from nlpmtl.tasks import Multilabel, OutputOptions
from nlpmtl.tasks.calibration import expected_calibration_error
from tests.tasks.kinds import batch_of, confidence, formatted, ids_of, items_of, loss, named, score

LABELS = ("joy", "fear", "anger")
TASK: dict[str, Any] = {"name": "t", "labels": LABELS, "metrics": None, "input": "text"}


def loss_of(**options: Any) -> float:
    task = Multilabel(**TASK, **options)
    logits, labels, _ = batch_of(task)
    return float(loss(task, logits, labels))


def torchs(*, targets: Any = None, pos_weight: Any = None) -> float:
    logits, labels, _ = batch_of(Multilabel(**TASK))
    labels = labels if targets is None else targets(labels)
    summed = functional.binary_cross_entropy_with_logits(logits, labels, pos_weight=pos_weight, reduction="sum")
    return float(summed / 3)


def test_the_loss_equals_torch_averaged_over_labels() -> None:
    assert loss_of() == pytest.approx(torchs(), rel=1e-6)


def test_weights_and_smoothing() -> None:
    weight = torch.tensor([1.0, 0.5, 2.0])
    assert loss_of(class_weights={"fear": 0.5, "anger": 2.0}) == pytest.approx(torchs(pos_weight=weight), rel=1e-6)
    smooth = torchs(targets=lambda labels: labels * 0.8 + 0.1)  # with smoothing: 0 is 0.1, 1 is 0.9
    assert loss_of(label_smoothing=0.2) == pytest.approx(smooth, rel=1e-6)


def test_weights_keep_the_mean_loss_of_the_task() -> None:
    """With logits of 0, every target has the same loss, which gives the mean weight over the train rows."""
    targets = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    plain = float(loss(Multilabel(**TASK), torch.zeros(2, 3), targets))
    for weights in ({"anger": 10.0}, {"joy": 0.0, "fear": 7.0}, {"joy": 3.0, "fear": 3.0, "anger": 3.0}):
        task = Multilabel(**TASK, class_weights=weights)
        assert float(loss(task, torch.zeros(2, 3), targets)) != pytest.approx(plain, rel=1e-3)
        task.fit({"label": [["joy", "anger"], ["anger"]]})
        assert float(loss(task, torch.zeros(2, 3), targets)) == pytest.approx(plain, rel=1e-6)


def test_balanced_weights_are_the_rows_without_a_label_per_row_with_it() -> None:
    """Positive and negative targets then have equal weight; a label of all rows or of none has weight 1."""
    labels = ["joy", "fear", "sick", "all"]
    task = Multilabel(**{**TASK, "labels": labels}, class_weights="balanced")
    task.fit({"label": [["joy", "all"], ["all"], ["all", "fear"], ["all", "fear"]]})
    weights = task.label_weights(torch.zeros(4))
    assert weights is not None
    assert weights.tolist() == [3.0, 1.0, 1.0, 1.0]


def test_labels_above_the_threshold_are_predicted_most_confident_first() -> None:
    task = Multilabel(**TASK)
    logits = np.array([0.5, -0.1, 2.0])
    assert ids_of(task, logits) == [0, 2]
    joy, fear, anger = (1 / (1 + np.exp(-logits))).tolist()
    chosen = [{"label": "anger", "score": pytest.approx(anger)}, {"label": "joy", "score": pytest.approx(joy)}]
    assert formatted(task, logits, text="x", words=[]) == {"labels": chosen}
    scores = {"joy": pytest.approx(joy), "fear": pytest.approx(fear), "anger": pytest.approx(anger)}
    assert formatted(task, logits, text="x", words=[], options=OutputOptions(all_scores=True)) == {
        "labels": chosen,
        "scores": scores,
    }


def test_no_label_may_be_predicted_and_one_half_is_below_the_threshold() -> None:
    task = Multilabel(**TASK)
    assert ids_of(task, np.array([0.0, -1.0, -2.0])) == []
    assert formatted(task, np.array([0.0, -1.0, -2.0]), text="x", words=[]) == {"labels": []}


def test_each_label_has_its_own_threshold() -> None:
    task = Multilabel(**TASK, thresholds=[0.9, 0.9, 0.1])
    logits = np.array([2.0, 2.5, -2.0])
    assert ids_of(task, logits) == [1, 2]
    assert [label["label"] for label in formatted(task, logits, text="x", words=[])["labels"]] == ["fear", "anger"]
    assert task.to_config()["thresholds"] == [0.9, 0.9, 0.1]
    assert "thresholds" not in Multilabel(**TASK).to_config()
    with pytest.raises(ConfigError, match="task 't': 3 labels have 2 `thresholds`"):
        Multilabel(**TASK, thresholds=[0.5, 0.5])


@pytest.mark.slow
def test_calibration_finds_the_temperature_and_the_thresholds_of_its_data() -> None:
    """Logits that are too large by a factor of 2, and a label with a best threshold of 0.2."""
    source = np.random.default_rng(0)
    true = source.normal(size=(20_000, 3)) * 1.5
    gold = [np.flatnonzero(row).tolist() for row in source.random((20_000, 3)) < 1 / (1 + np.exp(-true))]
    task = Multilabel(**TASK)
    before = expected_calibration_error(*confidence(task, list(2 * true), named(LABELS, gold)))
    task.calibrate(items_of(list(2 * true)), named(LABELS, gold))
    assert task.temperature == pytest.approx(2.0, rel=0.05)
    after = expected_calibration_error(*confidence(task, list(2 * true), named(LABELS, gold)))
    assert before is not None
    assert after is not None
    assert after < 0.01 < 0.05 < before
    task.calibrate(
        items_of([np.array([x, x, x]) for x in np.linspace(-3, 3, 61)]),
        [[LABELS[0]] if x > -1.42 else [] for x in np.linspace(-3, 3, 61)],
    )
    assert ids_of(task, np.array([-1.38, -1.38, -1.38]))[:1] == [0]
    assert ids_of(task, np.array([-1.52, -1.52, -1.52]))[:1] != [0]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(allow_nan=False, width=32), min_size=3, max_size=3))
def test_decode_and_format_agree_on_random_logits(logits: list[float]) -> None:
    task = Multilabel(**TASK)
    predicted = formatted(task, np.array(logits), text="x", words=[])["labels"]
    assert sorted(LABELS.index(label["label"]) for label in predicted) == ids_of(task, np.array(logits))
    assert [label["score"] for label in predicted] == sorted((label["score"] for label in predicted), reverse=True)
    assert all(0.5 < label["score"] <= 1 for label in predicted)


def test_one_label_is_enough() -> None:
    assert Multilabel(**{**TASK, "labels": ["spam"]}).outputs == 1


def test_scores_are_over_sets_and_an_unknown_label_counts_as_missed() -> None:
    scores = score(
        Multilabel(**{**TASK, "metrics": ["micro_f1"]}),
        predicted=[[0, 1], [], [2]],
        gold=[[0], [], [2, 3]],
        names=[*LABELS, "new"],
    )
    assert scores["micro_f1"] == pytest.approx(2 * 2 / (3 + 3))


@pytest.mark.parametrize("weights", ["equal", {"joy": -1.0}, {"joy": "much"}])
def test_other_weights_are_refused(weights: object) -> None:
    with pytest.raises(ValueError, match="class_weights"):
        TASKS.parse({"kind": "multilabel", "label": "l", "class_weights": weights})
