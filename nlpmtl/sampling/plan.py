"""Which rows make up optimizer step s: a pure function of the config, the sizes, the seed and a small cursor.

It knows no rank, no machine and no loader: every process computes the same plan, of the step over all of them.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nlpmtl.errors import ConfigError, RunError
from nlpmtl.registry import SAMPLERS, Options
from nlpmtl.sampling.base import AdaptiveSampler, Batches, Feedback, Memory, Sampler, SamplingOptions


@dataclass(frozen=True)
class Cursor:
    """Where a plan stands: all that a resume needs of it."""

    step: int
    """The next step, counted from 0."""
    picks: tuple[int, ...]
    """Rows taken so far from each data set."""
    memory: Memory = field(default_factory=dict)
    """What the sampler remembers, if it learns."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {"step": self.step, "picks": list(self.picks), "memory": dict(self.memory)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The cursor that `to_json` wrote."""
        return cls(step=value["step"], picks=tuple(value["picks"]), memory=value["memory"])


@dataclass(frozen=True)
class StepPlan:
    """The rows of one optimizer step, over all processes."""

    step: int
    rows: tuple[tuple[int, int], ...]
    """(index of the data set, index of its row), in the order of the picks."""
    probabilities: tuple[float, ...] = field(default=(), compare=False)
    """Of each data set in this step, as the sampler gave them."""


class Plan:
    """The rows of every step.

    Mixed, step s makes the picks s · B … s · B + B − 1 of the sampler, for the batch size B; single, it makes pick s
    and takes B rows of that data set. The k-th row taken from a data set of n rows, k = 0, 1, …, is the (k mod n)-th of
    a shuffle of all its rows, a new one in every pass ⌊k / n⌋. A shuffle depends on the seed, the name of the data set
    and the pass alone: adding a data set leaves the order within the others as it was.

    Args:
        names: of the data sets; they key the shuffles.
        sizes: train rows of each, all ≥ 1.
        sampler: chooses the data set of every pick.
        batch_size: rows of a step, over all processes.
        batches: "mixed" or "single".
        seed: ≥ 0.

    Raises:
        ConfigError: a data set has no train rows.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        sizes: Sequence[int],
        sampler: Sampler,
        batch_size: int,
        batches: Batches,
        seed: int,
    ) -> None:
        for name, size in zip(names, sizes, strict=True):
            if size < 1:
                raise ConfigError(f"datasets.{name}: no train rows are left to train on (found {size})")
        self.names = tuple(names)
        self.sizes = tuple(sizes)
        self.sampler = sampler
        self.batch_size = batch_size
        self.batches = batches
        self.seed = seed
        # The pass that each data set is in, and its shuffle: one pass at a time, so memory stays at one number a row.
        self._shuffles: dict[int, tuple[int, NDArray[np.int64]]] = {}

    def start(self) -> Cursor:
        """The cursor of a new run."""
        memory = self.sampler.start() if isinstance(self.sampler, AdaptiveSampler) else {}
        return Cursor(step=0, picks=(0,) * len(self.names), memory=memory)

    def next(self, cursor: Cursor) -> tuple[StepPlan, Cursor]:
        """The step at a cursor, and the cursor after it.

        Raises:
            RunError: the cursor belongs to a plan of another number of data sets.
        """
        if len(cursor.picks) != len(self.names):
            raise RunError(
                f"the cursor counts rows of {len(cursor.picks)} data sets, and the plan has {len(self.names)} "
                f"({', '.join(self.names)}): resume with the data sets that the run was started with"
            )
        picks = list(cursor.picks)
        rows: list[tuple[int, int]] = []
        for index in self._choose(cursor):
            rows.append((index, self._row(index, picks[index])))
            picks[index] += 1
        probabilities = self.sampler.probabilities_after(cursor.step, cursor.memory)
        after = replace(cursor, step=cursor.step + 1, picks=tuple(picks))
        return StepPlan(step=cursor.step, rows=tuple(rows), probabilities=probabilities), after

    def learn(self, cursor: Cursor, feedback: Feedback) -> Cursor:
        """The cursor after a step, once the sampler was told what the step showed."""
        if not isinstance(self.sampler, AdaptiveSampler):
            return cursor
        return replace(cursor, memory=self.sampler.learn(cursor.memory, feedback))

    @property
    def learns(self) -> bool:
        """Whether its sampler wants to be told of every step."""
        return isinstance(self.sampler, AdaptiveSampler)

    def varies(self, total: int) -> bool:
        """Whether the probabilities change in the course of a run of `total` steps."""
        first = self.sampler.probabilities(0)
        return self.learns or any(self.sampler.probabilities(step) != first for step in (total // 2, total - 1))

    @property
    def needs_uncertainties(self) -> bool:
        """Whether that includes how sure the answers were."""
        return isinstance(self.sampler, AdaptiveSampler) and self.sampler.needs_uncertainties

    def steps(self, cursor: Cursor, total: int) -> Iterator[tuple[StepPlan, Cursor]]:
        """The steps from a cursor to the end of a run of `total` steps, each with the cursor after it."""
        while cursor.step < total:
            plan, cursor = self.next(cursor)
            yield plan, cursor

    def _choose(self, cursor: Cursor) -> list[int]:
        step, memory = cursor.step, cursor.memory
        if self.batches == "single":
            return self.sampler.choose(step, 1, step=step, memory=memory) * self.batch_size
        return self.sampler.choose(step * self.batch_size, self.batch_size, step=step, memory=memory)

    def _row(self, index: int, taken: int) -> int:
        number, offset = divmod(taken, self.sizes[index])
        known = self._shuffles.get(index)
        if known is None or known[0] != number:
            known = number, _shuffle(self.names[index], size=self.sizes[index], number=number, seed=self.seed)
            self._shuffles[index] = known
        return int(known[1][offset])


def build_sampler(
    options: Options,
    *,
    sizes: Sequence[int],
    total_steps: int,
    epoch_steps: int,
    rows_per_step: int,
    seed: int,
    names: Sequence[str] = (),
    tasks: Sequence[Sequence[str]] = (),
) -> Sampler:
    """The sampler of the options, as `SAMPLERS.parse` gives them; the other arguments are those of `Sampler`."""
    return SAMPLERS.build(
        options,
        Sampler,
        exclude=SamplingOptions.model_fields,
        sizes=sizes,
        total_steps=total_steps,
        epoch_steps=epoch_steps,
        rows_per_step=rows_per_step,
        seed=seed,
        names=names,
        tasks=tasks,
    )


def build_plan(
    options: Options,
    *,
    names: Sequence[str],
    sizes: Sequence[int],
    total_steps: int,
    epoch_steps: int,
    batch_size: int,
    seed: int,
    tasks: Sequence[Sequence[str]] = (),
) -> Plan:
    """The plan of the options, as `SAMPLERS.parse` gives them; the other arguments are those of `Sampler` and `Plan`.

    Raises:
        ConfigError: a data set has no train rows.
        TypeError: the sampler was registered with options that do not derive from `SamplingOptions`.
    """
    if not isinstance(options, SamplingOptions):
        raise TypeError(f"the options of the sampler {options.kind!r} must derive from SamplingOptions")
    sampler = build_sampler(
        options,
        sizes=sizes,
        total_steps=total_steps,
        epoch_steps=epoch_steps,
        rows_per_step=batch_size,
        seed=seed,
        names=names,
        tasks=tasks,
    )
    return Plan(names, sizes=sizes, sampler=sampler, batch_size=batch_size, batches=options.batches, seed=seed)


def _shuffle(name: str, *, size: int, number: int, seed: int) -> NDArray[np.int64]:
    words = struct.unpack(">8I", hashlib.sha256(name.encode()).digest())
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words, number]))).permutation(size)
