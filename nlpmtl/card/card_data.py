"""Contents of a model card as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nlpmtl.tasks import Task

LEARNING_CURVE_PLOT = "images/learning-curve.png"
DYNAMICS_PLOT = "images/choices.png"
"""Paths of the plots of the training; all other plots are of predictions."""


@dataclass(frozen=True)
class CardTask:
    """A task of the model.

    Args:
        kind: its task type.
        input: shape of the input that it predicts for: "text", "pair" or "words".
        labels: names of its labels.
        output: what it predicts besides its labels, in a few words.
        pipeline_tag: the Hub's name of the task type.
        single_label: whether it predicts exactly one of its labels for any input.
        windowed: whether it reads a long text to its end, in windows.
        extra_inputs: keys of the further inputs that it needs.
        plugin: module that defines its type; None for a type of nlpmtl.
    """

    kind: str
    input: str
    labels: Sequence[str] = ()
    output: str = ""
    pipeline_tag: str | None = None
    single_label: bool = False
    windowed: bool = False
    extra_inputs: Sequence[str] = ()
    plugin: str | None = None

    @classmethod
    def from_task(cls, task: Task) -> CardTask:
        """Return the description of a task."""
        return cls(
            kind=task.kind,
            input="text" if task.input == "pair" and not task.takes_pairs else task.input,
            labels=task.labels,
            output=task.describe_output(),
            pipeline_tag=task.pipeline_tag,
            single_label=task.single_label,
            windowed=task.windowed or task.window_stride is not None,
            extra_inputs=[key for key in task.extra_inputs if key not in task.optional],
            plugin=None if type(task).__module__.startswith("nlpmtl.") else type(task).__module__,
        )


@dataclass(frozen=True)
class CardDataset:
    """A dataset on which the model was trained or evaluated.

    Args:
        name: its name in the run.
        data_config: the `[data]` table of its config.
        rows: number of rows of each split that was read.
        label_counts: for each split, the number of rows that have a label for each task.
        subsampled: splits of which only a subset was read.
        skipped: for each split, the number of bad rows that were skipped.
    """

    name: str
    data_config: Mapping[str, Any]
    rows: Mapping[str, int]
    label_counts: Mapping[str, Mapping[str, int]]
    subsampled: frozenset[str] = frozenset()
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def hub_id(self) -> str | None:
        """Its id on the Hub."""
        return self.data_config.get("hub")

    @property
    def held_out(self) -> float | None:
        """Fraction of train that was held out for validation."""
        return self.data_config.get("validation")

    def original_split(self, split: str) -> str:
        """Return the name that a split has in the dataset itself."""
        return str((self.data_config.get("splits") or {}).get(split, split))

    def is_complete(self, split: str) -> bool:
        """Return whether the rows of a split are all those of the dataset's own split."""
        held_out = split == "validation" and self.held_out
        return split not in self.subsampled and not held_out and not self.skipped.get(split)


@dataclass(frozen=True)
class CardData:
    """Contents of the card of a trained model.

    Args:
        name: name of the model: that of the run's directory.
        encoder: name of the encoder; for a directory, its last component.
        base_model: the encoder's id on the Hub; None if it is not from the Hub.
        tasks: the tasks by name.
        example_call: the call of a Predictor that predicts an example input, see `nlpmtl.tasks.example_call`.
        input_length: maximum input length in tokens.
        run: contents of run.json.
        datasets: the datasets.
        steps: number of training steps.
        best_step: step of the saved weights.
        evaluations: number of evaluations from which it was selected.
        scores: contents of scores.json; None if nothing was evaluated.
        gold_rows: for each task that was evaluated, the number of rows with a gold label.
        calibration: effect of the calibration on each task: the fields of `CalibrationReport`.
        notes: remarks on the data.
        plots: alt text of each plot by its path in the model directory.
    """

    name: str
    encoder: str
    base_model: str | None
    tasks: Mapping[str, CardTask]
    example_call: str
    input_length: int
    run: Mapping[str, Any]
    datasets: Sequence[CardDataset]
    steps: int
    best_step: int
    evaluations: int
    scores: Mapping[str, Any] | None
    gold_rows: Mapping[str, int]
    calibration: Mapping[str, Mapping[str, Any]]
    notes: Sequence[str]
    plots: Mapping[str, str]

    @property
    def config(self) -> Mapping[str, Any]:
        """The run's config."""
        config: Mapping[str, Any] = self.run["config"]
        return config

    def scored_on(self, task: str) -> list[CardDataset]:
        """Return the datasets on which a task is evaluated."""
        split = self.scores["split"] if self.scores is not None else ""
        return [dataset for dataset in self.datasets if dataset.label_counts.get(split, {}).get(task)]
