"""Temperature scaling, thresholds and calibration error."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from nlpmtl.tasks import Classification, Labeling
from nlpmtl.tasks.calibration import (
    best_threshold,
    expected_calibration_error,
    fit_detection,
    fit_temperature,
    sigmoid,
)
from tests.tasks.kinds import confidence, formatted, items_of, named


def drawn(count: int, *, labels: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return logits, and labels drawn with the probabilities of the logits."""
    source = np.random.default_rng(seed)
    logits = source.normal(size=(count, labels)) * 1.5
    gumbel = source.gumbel(size=logits.shape)
    return logits, (logits + gumbel).argmax(axis=-1)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    logits, gold = drawn(20_000)
    assert fit_temperature(logits * temperature, gold) == pytest.approx(temperature, rel=0.05)


def test_calibration_error_by_hand() -> None:
    confidences = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    right = np.array([True, True, True, False, True, False])
    assert expected_calibration_error(confidences, right) == pytest.approx((4 * 0.2 + 2 * 0.05) / 6)
    assert expected_calibration_error(np.ones(5), np.ones(5, dtype=bool)) == 0
    assert expected_calibration_error(np.zeros(0), np.zeros(0, dtype=bool)) is None


def test_no_threshold_has_a_better_f1() -> None:
    source = np.random.default_rng(1)
    for _ in range(6):
        scores = source.random(60)
        right = source.random(60) < scores**2
        ours = f1_score(right, scores > best_threshold(scores, right))
        assert ours >= max(f1_score(right, scores > cut) for cut in (0.001, *scores)) - 1e-12, (
            "F1 changes only at these thresholds"
        )
    assert best_threshold(scores, np.zeros(60, dtype=bool)) == 0.5
    assert best_threshold(np.array([0.9, 0.8, 0.1]), np.array([True, True, False])) == 0.5, "equal F1, nearest to 0.5"


def test_a_classification_is_calibrated() -> None:
    logits, gold = drawn(4_000)
    task = Classification(name="t", labels=["a", "b", "c", "d"], metrics=None, input="text")
    before = expected_calibration_error(*confidence(task, list(5 * logits), named(task.labels, gold.tolist())))
    task.calibrate(
        items_of(list(5 * logits)), [*named(task.labels, gold[:-1].tolist()), "e"]
    )  # the last label is unknown
    after = expected_calibration_error(*confidence(task, list(5 * logits), named(task.labels, gold.tolist())))
    assert before is not None
    assert after is not None
    assert after < 0.03 < 0.1 < before
    shown = formatted(task, 5 * logits[0], text="x", words=[])
    assert shown["label"] == task.labels[int(logits[0].argmax())]
    assert task.to_config()["temperature"] == task.temperature != 1.0


def test_a_labeling_is_calibrated_on_words_with_a_token() -> None:
    logits, gold = drawn(4_000, labels=3)
    task = Labeling(name="t", labels=["a", "b", "c"], metrics=None, input="words", scheme="plain")
    rows = [2 * logits[i : i + 10].copy() for i in range(0, 4_000, 10)]
    tags = [gold[i : i + 10].tolist() for i in range(0, 4_000, 10)]
    rows[0][3] = np.nan
    names = [named(task.labels, row) for row in tags]
    task.calibrate(items_of(rows), names)
    assert task.temperature == pytest.approx(2.0, rel=0.1)
    confidences, right = confidence(task, rows, names)
    assert len(confidences) == len(right) == 3_999


def test_gold_items_that_are_never_predicted_lower_the_best_threshold() -> None:
    probabilities, is_gold = np.array([0.9, 0.8, 0.7, 0.6, 0.55]), np.array([True, False, False, False, True])
    assert best_threshold(probabilities, is_gold) == pytest.approx(0.85), "F1 of 2/3 with one prediction, 4/7 with five"
    assert best_threshold(probabilities, is_gold, missed=3) == 0.5, "F1 of 1/3 with one prediction, 2/5 with five"


def test_a_detector_is_fitted_on_the_scored_items_and_the_number_of_gold_ones() -> None:
    scores, is_gold = np.array([4.0, 3.0, 2.0, 1.0, 0.5]), np.array([True, False, False, False, True])
    fitted = fit_detection(scores, is_gold, gold=2)
    assert fitted is not None
    temperature, threshold = fitted
    assert (sigmoid(scores / temperature) > threshold).sum() == 1
    with_others = fit_detection(scores, is_gold, gold=5)
    assert with_others is not None
    assert with_others[0] == temperature
    assert (sigmoid(scores / temperature) > with_others[1]).sum() == 5
    assert fit_detection(scores, np.zeros(5, dtype=np.bool_), gold=3) is None
