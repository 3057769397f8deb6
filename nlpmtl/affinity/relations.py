"""How the tasks of a run are related: what was measured, and what it says in words."""

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

ALL = "all"
"""The layer that is all layers together."""
UNRELATED, UNCLEAR = "unrelated", "unclear"
_LITTLE = 0.2
"""Of what a step on a task does to its own loss: less from another task counts as nothing."""
_SURE = 2.0
"""Standard errors by which a mean may be farther from 0 than it was measured."""


@dataclass(frozen=True)
class Pair:
    """Two tasks.

    Args:
        tasks: their names.
        reading: "unrelated" where a step on one surely does little to the other, beside what a step on the other itself
            does to other rows of it; else "help each other", "hurt each other", "topic helps mood", … where that can be
            told from noise; "unclear" where it cannot.
    """

    tasks: tuple[str, str]
    reading: str


@dataclass(frozen=True)
class Relations:
    """What `relate` found.

    Args:
        tasks: their names; all arrays are in this order.
        steps: that the mixture was trained for …
        measured: … and after which of them was measured.
        rows: on which each task was measured, each time, where it has so many.
        cosines: layer → of the angles between the gradients of the tasks, ``[tasks, tasks]``; "all" is all layers
            together.
        affinity: of the task in the line upon the task in the column, ``[tasks, tasks]``.
        own: of each task upon other rows of itself, ``[tasks]``.
        grouping: which tasks to train together.
        gain: what groups that were chosen on one half of the measurements are worth on the other half, beyond one
            encoder for all, summed over the tasks.
        notes: rows that were left out, labels that a task does not know.
        directory: where it was written.
        facts: what else relate.json says of the run.
    """

    tasks: tuple[str, ...]
    steps: int
    measured: tuple[int, ...]
    rows: int
    cosines: Mapping[str, Estimate]
    affinity: Estimate
    own: Estimate
    grouping: Grouping
    gain: Estimate
    notes: tuple[str, ...] = ()
    directory: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Each two tasks, those first that help each other most."""
        both = self.affinity.mean + self.affinity.mean.T
        order = sorted(combinations(range(len(self.tasks)), 2), key=lambda pair: -np.nan_to_num(both[pair]))
        return tuple(Pair((self.tasks[i], self.tasks[j]), self._read(i, j)) for i, j in order)

    @property
    def not_learning(self) -> tuple[str, ...]:
        """The tasks of which a step does not help other rows in a way that can be told from noise.

        They are hardly learnt yet, or learnt by heart: nothing is to be seen of their relations.
        """
        learnt = self.own.clear & (self.own.mean > 0)
        return tuple(task for task, clear in zip(self.tasks, learnt, strict=True) if not clear)

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The names of the tasks to train together, a group for each encoder."""
        return tuple(tuple(self.tasks[i] for i in group.tasks) for group in self.grouping.groups)

    def _read(self, i: int, j: int) -> str:
        found = self.affinity
        little = {(a, b): self._is_little(a, b) for a, b in ((i, j), (j, i))}
        effects = {way: float(np.sign(found.mean[way])) for way in little if found.clear[way] and not little[way]}
        for effect, verb in ((1.0, "help"), (-1.0, "hurt")):
            if len(effects) == 2 and set(effects.values()) == {effect}:
                return f"{verb} each other"
        said = [f"{self.tasks[a]} {'helps' if x > 0 else 'hurts'} {self.tasks[b]}" for (a, b), x in effects.items()]
        return ", ".join(said) or (UNRELATED if all(little.values()) else UNCLEAR)

    def _is_little(self, i: int, j: int) -> bool:
        """Whether a step on task i surely does little to task j."""
        most = abs(self.affinity.mean[i, j]) + _SURE * self.affinity.error[i, j]
        return bool(self.own.clear[j] and most < _LITTLE * self.own.mean[j])

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file; what could not be measured is null."""
        return {
            **self.facts,
            "tasks": list(self.tasks),
            "steps": self.steps,
            "measured": list(self.measured),
            "rows": self.rows,
            "affinity": _plain(self.affinity),
            "own": _plain(self.own),
            "cosines": {layer: _plain(one) for layer, one in self.cosines.items()},
            "pairs": [{"tasks": list(pair.tasks), "reading": pair.reading} for pair in self.pairs],
            "groups": [
                {name: [self.tasks[i] for i in which] for name, which in (("tasks", g.tasks), ("serves", g.serves))}
                for g in self.grouping.groups
            ],
            "exact": self.grouping.exact,
            "worth": self.grouping.worth,
            "gain": _plain(self.gain),
            "notes": list(self.notes),
        }


def relations(
    tasks: Sequence[str],
    *,
    affinities: Floats,
    own: Floats,
    cosines: Mapping[str, Floats],
    encoders: int,
    **others: Any,
) -> Relations:
    """What measurements say.

    Args:
        tasks: their names.
        affinities: ``[measurements, tasks, tasks]``.
        own: ``[measurements, tasks]``.
        cosines: layer → ``[measurements, tasks, tasks]``.
        encoders: groups at most, ≥ 1.
        others: the other fields of `Relations`.
    """
    many = len(tasks)
    found = estimate(affinities, tests=many * (many - 1))
    return Relations(
        tasks=tuple(tasks),
        cosines={layer: estimate(values, tests=many * (many - 1) // 2) for layer, values in cosines.items()},
        affinity=found,
        own=estimate(own, tests=many),
        grouping=choose_groups(np.nan_to_num(found.mean), encoders=encoders),
        gain=estimate(_gains(np.nan_to_num(affinities), encoders=encoders), tests=1),
        **others,
    )


def _gains(affinities: Floats, *, encoders: int) -> Floats:
    """What groups are worth beyond one for all at each measurement, chosen by others of them, ``[measurements]``."""
    every = tuple(range(affinities.shape[1]))
    gains = np.zeros(len(affinities))
    for half in (0, 1):
        groups = choose_groups(affinities[1 - half :: 2].mean(axis=0), encoders=encoders).groups
        for at in range(half, len(affinities), 2):
            chosen = sum(group_value(affinities[at], group) for group in groups)
            gains[at] = chosen - group_value(affinities[at], Group(every, every))
    return gains


def _plain(found: Estimate) -> dict[str, Any]:
    return {
        "mean": _listed(found.mean),
        "error": _listed(found.error),
        "clear": np.asarray(found.clear).tolist(),
    }


def _listed(values: Floats) -> Any:
    return np.where(np.isfinite(values), values, None).tolist()  # type: ignore[call-overload]
