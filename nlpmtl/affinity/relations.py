"""Results of the affinity measurement, and their interpretation in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from nlpmtl.affinity.estimate import Estimate, estimate
from nlpmtl.affinity.grouping import Group, Grouping, choose_groups, group_value
from nlpmtl.affinity.metrics import Floats
from nlpmtl.deprecation import RenamedAttribute

ALL = "all"
"""Key of the cosines over all layers."""
UNRELATED, UNCLEAR = "unrelated", "unclear"
_NEGLIGIBLE = 0.2
"""Fraction of a task's self-affinity below which the effect of another task on it is negligible."""
_MARGIN = 2.0
"""Standard errors added to an effect before it is called negligible."""


@dataclass(frozen=True)
class Pair:
    """The relation of two tasks.

    Args:
        tasks: names of the two tasks.
        reading: "help each other", "hurt each other", "topic helps mood", … if an effect is significant; "unrelated" if
            both effects are significantly below a fifth of the affected task's self-affinity; else "unclear".
    """

    tasks: tuple[str, str]
    reading: str


@dataclass(frozen=True)
class Relations:
    """Result of `relate`.

    Args:
        tasks: names of the tasks, in the order of all arrays.
        steps: number of training steps.
        measured: steps after which the measurements were taken.
        rows: maximum number of rows that a measurement draws for each task; a task is measured on all drawn rows that
            have a label for it, including those drawn for other tasks.
        cosines: layer → cosines between the gradients of the tasks, ``[tasks, tasks]``; "all": over all layers.
        affinity: relative decrease of the loss of the column's task by a step on the row's task, ``[tasks, tasks]``.
        self_affinity: relative decrease of the loss on one half of the rows of a task by a step on the other half,
            ``[tasks]``.
        grouping: which tasks to train together.
        gain: value of the groups minus that of one encoder for all tasks, summed over tasks. Groups are chosen on one
            half of the measurements and evaluated on the other.
        notes: warnings about the data, such as skipped rows and unknown labels.
        directory: output directory.
        facts: metadata of the run: further keys of relate.json.
    """

    tasks: tuple[str, ...]
    steps: int
    measured: tuple[int, ...]
    rows: int
    cosines: Mapping[str, Estimate]
    affinity: Estimate
    self_affinity: Estimate
    grouping: Grouping
    gain: Estimate
    notes: tuple[str, ...] = ()
    directory: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    own = RenamedAttribute("self_affinity")

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs of tasks, by decreasing mutual affinity."""
        both = self.affinity.mean + self.affinity.mean.T
        order = sorted(combinations(range(len(self.tasks)), 2), key=lambda pair: -np.nan_to_num(both[pair]))
        return tuple(Pair((self.tasks[i], self.tasks[j]), self._read(i, j)) for i, j in order)

    @property
    def not_learning(self) -> tuple[str, ...]:
        """The tasks whose steps do not significantly decrease their loss on the other half of their rows.

        They are barely trained or already overfitted, and their affinities are not meaningful.
        """
        is_learning = self.self_affinity.significant & (self.self_affinity.mean > 0)
        return tuple(task for task, learning in zip(self.tasks, is_learning, strict=True) if not learning)

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The names of the tasks to train together, one group per encoder."""
        return tuple(tuple(self.tasks[i] for i in group.tasks) for group in self.grouping.groups)

    def _read(self, i: int, j: int) -> str:
        mean, significant = self.affinity.mean, self.affinity.significant
        negligible = {(a, b): self._is_negligible(a, b) for a, b in ((i, j), (j, i))}
        effects = {
            pair: float(np.sign(mean[pair])) for pair in negligible if significant[pair] and not negligible[pair]
        }
        for effect, verb in ((1.0, "help"), (-1.0, "hurt")):
            if len(effects) == 2 and set(effects.values()) == {effect}:
                return f"{verb} each other"
        readings = [
            f"{self.tasks[a]} {'helps' if effect > 0 else 'hurts'} {self.tasks[b]}"
            for (a, b), effect in effects.items()
        ]
        return ", ".join(readings) or (UNRELATED if all(negligible.values()) else UNCLEAR)

    def _is_negligible(self, i: int, j: int) -> bool:
        """Return whether the affinity of task i to task j is significantly below a fifth of the self-affinity of j."""
        upper_bound = abs(self.affinity.mean[i, j]) + _MARGIN * self.affinity.error[i, j]
        return bool(self.self_affinity.significant[j] and upper_bound < _NEGLIGIBLE * self.self_affinity.mean[j])

    def to_json(self) -> dict[str, Any]:
        """Return the contents of relate.json; values that could not be measured are null."""
        return {
            **self.facts,
            "tasks": list(self.tasks),
            "steps": self.steps,
            "measured": list(self.measured),
            "rows": self.rows,
            "affinity": _plain(self.affinity),
            "own": _plain(self.self_affinity),
            "cosines": {layer: _plain(cosines) for layer, cosines in self.cosines.items()},
            "pairs": [{"tasks": list(pair.tasks), "reading": pair.reading} for pair in self.pairs],
            "groups": [
                {
                    "tasks": [self.tasks[i] for i in group.tasks],
                    "serves": [self.tasks[i] for i in group.serves],
                }
                for group in self.grouping.groups
            ],
            "exact": self.grouping.exact,
            "worth": self.grouping.value,
            "gain": _plain(self.gain),
            "notes": list(self.notes),
        }


def summarize(
    tasks: Sequence[str],
    *,
    affinities: Floats,
    self_affinities: Floats,
    cosines: Mapping[str, Floats],
    encoders: int,
    **others: Any,
) -> Relations:
    """Estimate means from the measurements, and group the tasks.

    Args:
        tasks: names of the tasks.
        affinities: ``[measurements, tasks, tasks]``.
        self_affinities: ``[measurements, tasks]``.
        cosines: layer → ``[measurements, tasks, tasks]``.
        encoders: maximum number of groups, ≥ 1.
        others: the other fields of `Relations`.
    """
    count = len(tasks)
    affinity = estimate(affinities, tests=count * (count - 1))
    return Relations(
        tasks=tuple(tasks),
        cosines={layer: estimate(values, tests=count * (count - 1) // 2) for layer, values in cosines.items()},
        affinity=affinity,
        self_affinity=estimate(self_affinities, tests=count),
        grouping=choose_groups(np.nan_to_num(affinity.mean), encoders=encoders),
        gain=estimate(_gains(np.nan_to_num(affinities), encoders=encoders), tests=1),
        **others,
    )


def _gains(affinities: Floats, *, encoders: int) -> Floats:
    """Return the value of the groups, chosen on the other half of the measurements, minus that of a single group.

    Returns:
        ``[measurements]``.
    """
    all_tasks = tuple(range(affinities.shape[1]))
    gains = np.zeros(len(affinities))
    for half in (0, 1):
        groups = choose_groups(affinities[1 - half :: 2].mean(axis=0), encoders=encoders).groups
        for measurement in range(half, len(affinities), 2):
            value = sum(group_value(affinities[measurement], group) for group in groups)
            gains[measurement] = value - group_value(affinities[measurement], Group(all_tasks, all_tasks))
    return gains


def _plain(values: Estimate) -> dict[str, Any]:
    return {
        "mean": _to_lists(values.mean),
        "error": _to_lists(values.error),
        "clear": np.asarray(values.significant).tolist(),
    }


def _to_lists(values: Floats) -> Any:
    return np.where(np.isfinite(values), values, None).tolist()  # type: ignore[call-overload]
