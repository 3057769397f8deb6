"""Class weights, softmax and options that task types share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.utils.class_weight import compute_class_weight

from nlpmtl.errors import ConfigError
from nlpmtl.registry import TASKS
from nlpmtl.tasks.classification import check_class_weights, class_weights, upcast
from nlpmtl.tasks.outputs import softmax
from tests.tasks.kinds import make, score

LABELS = ("a", "b", "c")


class TestClassWeights:
    @settings(deadline=None, max_examples=30)
    @given(st.lists(st.integers(0, 2), min_size=1, max_size=40))
    def test_balanced_weights_equal_sklearns(self, more: list[int]) -> None:
        ids = [0, 1, 2, *more]
        weights = class_weights("balanced", labels=LABELS, counts=np.bincount(ids, minlength=3).tolist())
        assert weights is not None
        expected = compute_class_weight("balanced", classes=np.arange(3), y=np.array(ids))
        assert weights.numpy() == pytest.approx(expected, rel=1e-6)

    def test_a_label_without_rows_has_weight_0(self) -> None:
        weights = class_weights("balanced", labels=LABELS, counts=[2, 0, 2])
        assert weights is not None
        assert weights.tolist() == pytest.approx([2 / 3, 0, 2 / 3])

    def test_weights_by_name_default_to_1(self) -> None:
        weights = class_weights({"c": 0.5, "a": 0}, labels=LABELS, counts=None)
        assert weights is not None
        assert weights.tolist() == [0, 1, 0.5]

    def test_no_weights_if_all_are_1_or_unknown(self) -> None:
        assert class_weights(None, labels=LABELS, counts=[1, 2, 3]) is None
        assert class_weights("balanced", labels=LABELS, counts=None) is None

    def test_an_unknown_label_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="task 't': class_weights: 'd' is not a label; known: a, b, c"):
            check_class_weights({"d": 1.0}, task="t", labels=LABELS)


@settings(deadline=None, max_examples=60)
@given(arrays(np.float64, array_shapes(max_dims=2, max_side=5), elements=st.floats(-1e6, 1e6)))
def test_softmax_equals_torch(logits: np.ndarray) -> None:
    expected = torch.from_numpy(logits).softmax(-1).numpy()
    assert softmax(logits) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_half_precision_is_upcast(dtype: torch.dtype, expected: torch.dtype) -> None:
    assert upcast(torch.ones(2, dtype=dtype)).dtype == expected


@pytest.mark.parametrize("kind", ["classification", "sentiment", "labeling", "multilabel"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("label_smoothing", 1),
        ("label_smoothing", -0.1),
        ("label_smoothing", "0.1"),
        ("class_weights", "balancd"),
        ("class_weights", {"a": -1}),
        ("class_weights", [1, 2]),
        ("labels", ["a", "a"]),
        ("labels", []),
        ("labels", "ab"),
        ("labels", [[1], None]),
    ],
)
def test_bad_options_are_refused(kind: str, key: str, value: object) -> None:
    with pytest.raises(ValueError, match=key):
        TASKS.parse({"kind": kind, "label": "l", "labels": ["a", "b"], key: value})


def test_rows_with_unknown_labels_lower_the_score() -> None:
    """A label that only a test split has is never predicted."""
    task = make("classification", metrics=["accuracy"], pos_label=None)
    scores = score(task, predicted=[0, 1, 2, 2], gold=[0, 1, 2, 3], names=["a", "b", "c", "new"])
    assert scores == {"accuracy": 0.75, "score": 0.75}


def test_a_score_is_the_mean_of_the_metrics() -> None:
    task = make("classification")
    scores = score(task, predicted=[1, 1, 0], gold=[1, 0, 0], names=task.labels)
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert scores["f1"] == pytest.approx(2 / 3)
    assert scores["score"] == pytest.approx(2 / 3)
