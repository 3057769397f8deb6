"""F1 scores, by hand and compared with scikit-learn."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from nlpmtl.metrics import F1, MacroF1, MicroF1

QUICK = settings(deadline=None, max_examples=25)
LABELS = st.tuples(st.integers(0, 3), st.integers(0, 3))
SETS = st.tuples(*[st.lists(st.integers(0, 1), min_size=3, max_size=3)] * 2)
PREDICTIONS, REFERENCES = [0, 1, 1, 2, 2, 2], [0, 1, 2, 2, 2, 0]  # F1: 2/3 each
PREDICTED_SETS, REFERENCE_SETS = [[1, 0, 0], [1, 1, 0], [0, 1, 0]], [[1, 0, 0], [0, 1, 0], [0, 0, 0]]  # F1: 2/3, 2/3, 0


class TestF1:
    @pytest.mark.parametrize(("positive", "value"), [(0, 0.5), (1, 0.8), (2, 0.0)])
    def test_by_hand(self, positive: int, value: float) -> None:
        # 0: tp 1, fp 1, fn 1; 1: tp 2, fp 1, fn 0; 2: tp 0, fn 1.
        rows = {"predictions": [0, 0, 1, 1, 1], "references": [0, 2, 1, 1, 0]}
        assert F1().compute(**rows, pos_label=positive) == {"f1": pytest.approx(value)}

    def test_without_a_positive_class(self) -> None:
        with pytest.raises(ValueError, match="pos_label=<class id>"):
            F1().compute(predictions=[0, 1], references=[0, 1])

    @pytest.mark.parametrize(("predictions", "value"), [([0, 0], None), ([1, 0], 0.0)])
    def test_an_absent_class_is_undefined(self, predictions: list[int], value: float | None) -> None:
        assert F1().compute(predictions=predictions, references=[0, 0], pos_label=1) == {"f1": value}

    @QUICK
    @given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1), st.integers(0, 1))
    def test_the_score_equals_scikit_learn(self, rows: list[tuple[int, int]], positive: int) -> None:
        predictions, references = (list(column) for column in zip(*rows, strict=True))
        score = F1().compute(predictions=predictions, references=references, pos_label=positive)
        if positive in predictions + references:
            [expected] = f1_score(references, predictions, labels=[positive], average=None)
            assert score == {"f1": pytest.approx(expected)}
        else:
            assert score == {"f1": None}


class TestMacroF1:
    def test_labels_by_hand(self) -> None:
        # 0: tp 1, fn 1; 1: tp 1, fp 1; 2: tp 2, fp 1, fn 1; 3 does not occur and does not count.
        assert MacroF1().compute(predictions=PREDICTIONS, references=REFERENCES) == {"macro_f1": pytest.approx(2 / 3)}

    def test_a_class_that_is_only_predicted_counts(self) -> None:
        assert MacroF1().compute(predictions=[0, 7], references=[0, 0]) == {"macro_f1": pytest.approx((2 / 3 + 0) / 2)}

    def test_every_column_of_a_set_counts(self) -> None:
        score = MacroF1(reads_as="label_set").compute(predictions=PREDICTED_SETS, references=REFERENCE_SETS)
        assert score == {"macro_f1": pytest.approx((2 / 3 + 2 / 3 + 0) / 3)}

    def test_a_set_of_one_column_is_one_class(self) -> None:
        rows = {"predictions": [[1], [1], [0], [0]], "references": [[1], [0], [0], [0]]}
        assert MacroF1(reads_as="label_set").compute(**rows) == {"macro_f1": pytest.approx(2 / 3)}

    @QUICK
    @given(st.lists(LABELS, min_size=1))
    def test_label_accuracy_equals_scikit_learn(self, rows: list[tuple[int, int]]) -> None:
        predictions, references = (list(column) for column in zip(*rows, strict=True))
        expected = f1_score(references, predictions, average="macro", zero_division=0)
        assert MacroF1().compute(predictions=predictions, references=references) == {
            "macro_f1": pytest.approx(expected)
        }

    @QUICK
    @given(st.lists(SETS, min_size=1))
    def test_set_scores_equal_scikit_learn(self, rows: list[tuple[list[int], list[int]]]) -> None:
        predictions, references = (list(column) for column in zip(*rows, strict=True))
        expected = f1_score(references, predictions, average="macro", zero_division=0)
        score = MacroF1(reads_as="label_set").compute(predictions=predictions, references=references)
        assert score == {"macro_f1": pytest.approx(expected)}


class TestMicroF1:
    def test_labels_by_hand(self) -> None:
        assert MicroF1().compute(predictions=PREDICTIONS, references=REFERENCES) == {"micro_f1": pytest.approx(4 / 6)}

    def test_sets_by_hand(self) -> None:
        # tp 2, fp 2, fn 0.
        score = MicroF1(reads_as="label_set").compute(predictions=PREDICTED_SETS, references=REFERENCE_SETS)
        assert score == {"micro_f1": pytest.approx(4 / 6)}

    def test_a_set_of_one_column_is_one_class(self) -> None:
        rows = {"predictions": [[1], [1], [0], [0]], "references": [[1], [0], [0], [0]]}
        assert MicroF1(reads_as="label_set").compute(**rows) == {"micro_f1": pytest.approx(2 / 3)}

    @QUICK
    @given(st.lists(LABELS, min_size=1))
    def test_label_accuracy_equals_scikit_learn(self, rows: list[tuple[int, int]]) -> None:
        predictions, references = (list(column) for column in zip(*rows, strict=True))
        expected = f1_score(references, predictions, average="micro", zero_division=0)
        assert MicroF1().compute(predictions=predictions, references=references) == {
            "micro_f1": pytest.approx(expected)
        }

    @QUICK
    @given(st.lists(SETS, min_size=1))
    def test_set_scores_equal_scikit_learn(self, rows: list[tuple[list[int], list[int]]]) -> None:
        predictions, references = (list(column) for column in zip(*rows, strict=True))
        expected = f1_score(references, predictions, average="micro", zero_division=0)
        score = MicroF1(reads_as="label_set").compute(predictions=predictions, references=references)
        assert score == {"micro_f1": pytest.approx(expected)}
