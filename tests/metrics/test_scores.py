"""Scores of several metrics, including those of `evaluate`."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlpmtl.errors import ConfigError
from nlpmtl.metrics import PredictionType, check, reads_losses, scores, task_score
from nlpmtl.metrics.accuracy import Accuracy
from nlpmtl.registry import METRICS

FOREIGN = """
import datasets
import evaluate


class Foreign(evaluate.Metric):
    def _info(self):
        value = datasets.Value("int64")
        features = datasets.Features({"predictions": value, "references": value})
        return evaluate.MetricInfo(description="", citation="", features=features)

    def _compute(self, predictions, references):
        shares = [0.25, float("nan")]
        return {"first": shares[predictions[0]], "second": -1.0}
"""


class TestScores:
    def test_several_metrics_keep_their_order(self) -> None:
        names = ["macro_f1", "f1", "accuracy"]
        result = scores(names, predictions=[0, 1, 1, 1], references=[0, 1, 1, 0], reads="label", pos_label=1)
        assert result == {"macro_f1": pytest.approx((2 / 3 + 4 / 5) / 2), "f1": pytest.approx(4 / 5), "accuracy": 0.75}
        assert list(result) == names

    def test_the_positive_class_may_be_zero(self) -> None:
        assert scores(["f1"], predictions=[0, 0], references=[0, 1], reads="label", pos_label=0) == {"f1": 2 / 3}

    @pytest.mark.parametrize(
        ("name", "reads", "predictions", "references", "value"),
        [
            ("accuracy", "label_set", [[1, 0], [0, 1]], [[1, 0], [1, 1]], 0.5),
            ("mae", "number", [1.0, 2.0], [1.0, 1.0], 0.5),
            ("token_accuracy", "tags", [["O", "B-a"]], [["O", "O"]], 0.5),
        ],
    )
    def test_every_prediction_type(
        self, name: str, reads: PredictionType, predictions: list[Any], references: list[Any], value: float
    ) -> None:
        assert scores([name], predictions=predictions, references=references, reads=reads) == {name: value}

    def test_an_undefined_score_is_none(self) -> None:
        result = scores(["pearsonr", "mae"], predictions=[1.0, 1.0], references=[1.0, 2.0], reads="number")
        assert result == {"pearsonr": None, "mae": 0.5}

    @pytest.mark.parametrize(
        ("name", "reads", "message"),
        [
            ("acuracy", "label", "did you mean 'accuracy'"),
            ("pearsonr", "label", "pearsonr reads number"),
            ("f1", "label", "f1 needs to know the positive class"),
        ],
    )
    def test_invalid_metric_arguments(self, name: str, reads: PredictionType, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            scores([name], predictions=[0, 1], references=[0, 1], reads=reads)


class TestMetricsOfEvaluate:
    @pytest.mark.slow
    def test_the_first_value_of_a_foreign_metric(self, tmp_path: Path) -> None:
        # In a separate process: evaluate keeps loaded code in its cache and on the import path.
        script = tmp_path / "foreign" / "foreign.py"
        script.parent.mkdir()
        script.write_text(FOREIGN)
        code = f"""
from nlpmtl.metrics import scores

for predictions in ([0, 0], [1, 0]):
    print(scores(["evaluate:{script}", "accuracy"], predictions=predictions, references=[0, 0], reads="label"))
"""
        result = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.stdout.splitlines() == [
            f"{{'evaluate:{script}': 0.25, 'accuracy': 1.0}}",
            f"{{'evaluate:{script}': None, 'accuracy': 0.5}}",
        ], result.stderr

    def test_no_rows_load_nothing(self) -> None:
        assert scores(["evaluate:none/such"], predictions=[], references=[], reads="label") == {
            "evaluate:none/such": None
        }


class TestTaskScore:
    @pytest.mark.parametrize(
        ("values", "score"),
        [
            ({"accuracy": 0.8}, 0.8),
            ({"accuracy": 0.8, "f1": 0.6}, 0.8),
            ({"spearmanr": None, "pearsonr": -0.5}, 0.0),
            ({"pearsonr": 0.9, "mae": 3.0, "mse": 9.0}, 0.9),
            ({"mae": 3.0, "pearsonr": 0.9}, -3.0),
            ({"evaluate:bleu": 0.5, "mae": 3.0}, 0.5),
            ({"loss": 0.5, "accuracy": 0.7}, -0.5),
            ({"perplexity": math.exp(0.5)}, -0.5),
            ({"perplexity": None}, -1e9),
            ({"mae": None}, -1e9),
        ],
    )
    def test_by_hand(self, values: dict[str, float | None], score: float) -> None:
        assert task_score(values) == pytest.approx(score)

    def test_a_perfect_error_is_a_plain_zero(self) -> None:
        assert str(task_score({"mae": 0.0})) == "0.0"

    def test_no_metric_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at least one metric"):
            task_score({})

    def test_an_unknown_metric_is_refused(self) -> None:
        with pytest.raises(ValueError, match="did you mean 'span_f1'"):
            task_score({"span_f": 1.0})


class TestCheckMetrics:
    def test_an_unknown_metric(self) -> None:
        with pytest.raises(ConfigError, match="unknown metric 'span_f'; did you mean 'span_f1'"):
            check("span_f", reads="tags", pos_label=None)

    def test_a_metric_for_another_prediction_type(self) -> None:
        message = (
            "the metric 'matthews_correlation' scores predictions of type label, found label_set; "
            "metrics for label_set: accuracy, loss, macro_f1, micro_f1, micro_macro_f1, perplexity"
        )
        with pytest.raises(ConfigError, match=message):
            check("matthews_correlation", reads="label_set", pos_label=None)

    def test_f1_without_a_positive_class(self) -> None:
        with pytest.raises(ConfigError, match="'f1' needs the positive class; write `pos_label = \"<label>\"`"):
            check("f1", reads="label", pos_label=None)

    @pytest.mark.parametrize("positive", [0, "not_entailment"])
    def test_f1_with_a_positive_class(self, positive: int | str) -> None:
        check("f1", reads="label", pos_label=positive)

    def test_names_of_evaluate_are_accepted(self) -> None:
        check("evaluate:bleu", reads="tags", pos_label=None)

    @pytest.mark.parametrize("reads", ["label", "label_set", "number", "tags", "toy"])
    def test_the_loss_scores_every_type(self, reads: PredictionType) -> None:
        check("loss", reads=reads, pos_label=None)
        check("perplexity", reads=reads, pos_label=None)

    @pytest.mark.parametrize("name", [name for name in METRICS.names() if not reads_losses(name)])
    def test_accepted_metrics_can_be_computed(self, name: str) -> None:
        rows: dict[PredictionType, list[Any]] = {
            "label": [0, 1],
            "label_set": [[0], [1]],
            "number": [0.0, 1.0],
            "tags": [["O"]],
            "answers": [["a"]],
            "tree": [[{"head": 0, "deprel": "root"}]],
            "embedding": [[[1.0], [1.0]]],
            "relevances": [[0.0, 1.0]],
            "relations": [[]],
            "text": ["a"],
        }
        passed = 0
        for reads, row in rows.items():
            gold = ["a text"] if reads == "embedding" else row
            try:
                check(name, reads=reads, pos_label=1)
            except ConfigError:
                with pytest.raises(ValueError, match=f"{name} reads"):
                    scores([name], predictions=row, references=gold, reads=reads, pos_label=1)
            else:
                passed += 1
                predictions = ["a"] if reads == "answers" else row
                assert name in scores([name], predictions=predictions, references=gold, reads=reads, pos_label=1)
        assert passed > 0


def test_a_metric_that_overrides_score_gets_lists() -> None:
    """Such a metric was written for lists, although its base class accepts arrays."""
    types: list[type] = []

    class Lists(Accuracy):
        name = "lists"

        def score(self, predictions: Any, references: Any) -> float:
            types.append(type(predictions))
            return 0.25

    METRICS.register("lists")(Lists)
    try:
        hot: Any = np.array([[True, False], [False, True]])
        result = scores(["accuracy", "lists"], predictions=hot, references=hot, reads="label_set")
    finally:
        METRICS._members.pop("lists")
    assert (result, types) == ({"accuracy": 1.0, "lists": 0.25}, [list])
