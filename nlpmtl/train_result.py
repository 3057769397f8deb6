"""Result of a finished run: its scores, history, learning curve and model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpmtl.deprecation import RenamedAttribute
from nlpmtl.errors import RunError
from nlpmtl.evaluation import Predictions, Scores
from nlpmtl.training import read_lines

if TYPE_CHECKING:
    from PIL.Image import Image

    from nlpmtl.inference.predictor import Predictor


@dataclass(frozen=True)
class TrainResult:
    """Result of a finished run.

    Args:
        scores: scores of the best model on validation; None if no dataset has a validation split.
        model_dir: the model directory.
        step: step of that model.
        skipped: number of steps that were skipped because a loss or gradient was not finite.
        predictions: predictions and gold labels of that model on validation, by task; on rank 0 only.
        seconds: duration of each stage of the run, such as "tokenizing" and "training"; of a resumed run since it was
            resumed.

    Example:
        import pandas

        result = nlpmtl.train("run.toml", output="runs/result")
        result.plot().save("curve.png")
        pandas.DataFrame(result.history)[["step", "loss", "score/mean"]]
    """

    scores: Scores | None
    model_dir: Path
    step: int
    skipped: int = 0
    predictions: Mapping[str, Predictions] = field(default_factory=dict, repr=False)
    seconds: Mapping[str, float] = field(default_factory=dict, repr=False, compare=False)

    answered = RenamedAttribute("predictions")

    @cached_property
    def predictor(self) -> Predictor:
        """The model, loaded on first use."""
        from nlpmtl.inference.predictor import Predictor

        return Predictor.from_pretrained(self.model_dir)

    @property
    def history(self) -> list[dict[str, Any]]:
        """Losses and scores of every step of the run, in order: the rows of a table, as `pandas.DataFrame` takes them.

        A row has ``"step"``, ``"loss"``, ``"lr"``, ``"tokens_per_second"`` and ``"seconds"``, and for each task with
        labels in the step its mean loss, ``"loss/<task>"``. A step that was evaluated has ``"score/<task>"`` for each
        task, and ``"score/mean"``.

        Raises:
            RunError: metrics.jsonl or evaluations.jsonl in the directory of the run cannot be read.
        """
        keys = ("step", "loss", "lr", "tokens_per_second", "seconds")
        rows = {
            line["step"]: {
                **{key: line[key] for key in keys},
                **{f"loss/{task}": loss for task, loss in line["losses"].items()},
            }
            for line in self._lines("metrics.jsonl")
        }
        for line in self._lines("evaluations.jsonl"):
            row = rows.setdefault(line["step"], {"step": line["step"]})
            row |= {f"score/{task}": values["score"] for task, values in line["tasks"].items()}
            row["score/mean"] = line["mean"]
        return [rows[step] for step in sorted(rows)]

    def plot(self) -> Image:
        """Draw the learning curve: the train loss and the validation score of each task over the steps.

        Returns:
            An image, which a notebook displays, and which has the methods ``show()`` and ``save("curve.png")``.

        Raises:
            RunError: the logs in the directory of the run cannot be read, or have no steps.
        """
        from nlpmtl.plots import learning_curve_image  # imports matplotlib only now

        metrics = self._lines("metrics.jsonl")
        if not metrics:
            raise RunError(f"{self.model_dir.parent / 'metrics.jsonl'} has no steps to plot")
        tasks = list(dict.fromkeys(task for line in metrics for task in line["losses"]))
        return learning_curve_image(metrics, self._lines("evaluations.jsonl"), tasks=tasks, step=self.step)

    def _lines(self, name: str) -> list[dict[str, Any]]:
        path = self.model_dir.parent / name
        try:
            return read_lines(path)
        except (OSError, ValueError) as error:
            relative = "" if path.is_absolute() else "; the path is relative to the working directory of the run"
            raise RunError(f"{path} cannot be read: {error}{relative}") from error

    def __repr__(self) -> str:
        """Return the model directory, its step, and the table of scores."""
        scores = "not evaluated: no dataset has a validation split" if self.scores is None else repr(self.scores)
        return f"TrainResult: {self.model_dir}, step {self.step}\n{scores}"
