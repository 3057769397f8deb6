"""What a model card is written from: plain values, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LEARNING_CURVE = "images/learning-curve.png"
DYNAMICS = "images/choices.png"
"""Where the picture of the learning curve stands; all others are of answers."""


@dataclass(frozen=True)
class CardDataset:
    """A dataset that a model was trained or scored on.

    Args:
        name: in the run.
        data: the `[data]` table of its dataset file.
        rows: of each split that was read.
        labelled: for each split, how many of the rows have a label for each task.
        limited: the splits of which only a part was read.
    """

    name: str
    data_config: Mapping[str, Any]
    rows: Mapping[str, int]
    label_counts: Mapping[str, Mapping[str, int]]
    subsampled: frozenset[str] = frozenset()

    @property
    def hub_id(self) -> str | None:
        """Its id on the Hub."""
        return self.data_config.get("hub")

    @property
    def held_out(self) -> float | None:
        """The share of train that was made its validation split."""
        return self.data_config.get("validation")

    def original_split(self, split: str) -> str:
        """What its authors call a split."""
        return str((self.data_config.get("splits") or {}).get(split, split))

    def is_complete(self, split: str) -> bool:
        """Whether a split is read as its authors made it."""
        return split not in self.subsampled and not (split == "validation" and self.held_out)


@dataclass(frozen=True)
class CardData:
    """A finished model, as its card tells of it.

    Args:
        name: of the model: that of the run's directory.
        encoder: its name; of a directory the last part alone.
        base_model: the encoder's id on the Hub; None for one that is not from there.
        tasks: each task as `Task.to_config` describes it, with its ``level``.
        input_length: the longest input in tokens.
        run: what run.json says.
        sources: the datasets.
        steps: how many were taken.
        step: whose weights these are.
        evaluations: how many models that one was chosen from.
        scores: as in scores.json; None where nothing was scored.
        calibrated: what calibration did to tasks, as `CalibrationReport` says it.
        notes: what was noticed in the data.
        pictures: the path of each in the model directory, and its text for those who do not see it.
    """

    name: str
    encoder: str
    base_model: str | None
    tasks: Mapping[str, Mapping[str, Any]]
    input_length: int
    run: Mapping[str, Any]
    datasets: Sequence[CardDataset]
    steps: int
    best_step: int
    evaluations: int
    scores: Mapping[str, Any] | None
    calibration: Mapping[str, Mapping[str, Any]]
    notes: Sequence[str]
    plots: Mapping[str, str]

    @property
    def config(self) -> Mapping[str, Any]:
        """The run's config."""
        config: Mapping[str, Any] = self.run["config"]
        return config

    def scored_on(self, task: str) -> list[CardDataset]:
        """The datasets whose rows a task is scored on."""
        split = self.scores["split"] if self.scores is not None else ""
        return [one for one in self.datasets if one.label_counts.get(split, {}).get(task)]
