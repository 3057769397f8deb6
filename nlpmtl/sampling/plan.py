"""Sampling plan: the rows of each training step, a pure function of config, dataset sizes, seed and a small cursor.

Every rank computes the same plan of the whole step and takes its part of the rows. A checkpoint stores the cursor only,
and a resumed run continues with the next row.

Example:
    >>> from nlpmtl.sampling import Plan, Uniform
    >>> sampler = Uniform(sizes=[3, 5], total_steps=10, epoch_steps=2, rows_per_step=4, seed=0)
    >>> plan = Plan(["small", "large"], sizes=[3, 5], sampler=sampler, batch_size=4, batches="mixed", seed=0)
    >>> step, cursor = plan.next(plan.start())
    >>> cursor.rows_per_dataset, len(step.rows)
    ((2, 2), 4)
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from nlpmtl.errors import ConfigError, RunError
from nlpmtl.registry import SAMPLERS, KindOptions
from nlpmtl.sampling.base import AdaptiveSampler, Batches, Feedback, Sampler, SamplerState, SamplingOptions

_TOLERANCE = 1e-5
"""Maximum difference of the sum of the probabilities from 1."""


@dataclass(frozen=True)
class Cursor:
    """Position in a plan: all that is needed to resume it."""

    step: int
    """Number of the next step, counted from 0."""
    rows_per_dataset: tuple[int, ...]
    """Number of rows drawn so far from each dataset."""
    sampler_state: SamplerState = field(default_factory=dict)
    """State of an adaptive sampler."""

    def to_json(self) -> dict[str, Any]:
        """Return the cursor as JSON-serialisable values."""
        return {"step": self.step, "picks": list(self.rows_per_dataset), "memory": dict(self.sampler_state)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the cursor of the values that `to_json` returned."""
        return cls(step=value["step"], rows_per_dataset=tuple(value["picks"]), sampler_state=value["memory"])


class RowRef(NamedTuple):
    """A row of a step.

    Args:
        dataset: index of the dataset.
        row: index of the row in it.
        pass_: number of the pass over the dataset in which the row is drawn, counted from 0.
    """

    dataset: int
    row: int
    pass_: int = 0


@dataclass(frozen=True)
class StepPlan:
    """The rows of one optimizer step, over all ranks."""

    step: int
    rows: tuple[RowRef, ...]
    """The rows, in the order of the draws."""
    probabilities: tuple[float, ...] = field(default=(), compare=False)
    """Probability of each dataset in this step."""


class Plan:
    """The rows of every training step.

    With mixed batches, step s makes the draws s · B to s · B + B − 1 of the sampler, for the batch size B. With single
    batches, it makes draw s and takes B rows of that dataset. Row number k taken from a dataset of n rows,
    k = 0, 1, …, is element k mod n of a permutation of its rows, a new one in each pass ⌊k / n⌋. A permutation depends
    only on the seed, the name of the dataset and the pass, so adding a dataset does not change the order of the others.

    Args:
        names: names of the datasets, which seed the permutations.
        sizes: number of train rows of each dataset, ≥ 1.
        sampler: chooses the dataset of each draw.
        batch_size: rows per step over all ranks, ≥ 1.
        batches: "mixed" or "single".
        seed: seed of the run, ≥ 0.

    Raises:
        ConfigError: a dataset has no train rows.
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
        # Current pass of each dataset and its permutation: only one per dataset, which takes 8 bytes per row.
        self._permutations: dict[int, tuple[int, NDArray[np.int64]]] = {}

    def start(self) -> Cursor:
        """Return the cursor of a new run."""
        state: SamplerState = {}
        if isinstance(self.sampler, AdaptiveSampler):
            state = self._checked_state(self.sampler.initial_state(), "initial_state")
        return Cursor(step=0, rows_per_dataset=(0,) * len(self.names), sampler_state=state)

    def next(self, cursor: Cursor) -> tuple[StepPlan, Cursor]:
        """Return the rows of the step at a cursor, and the cursor after it.

        Args:
            cursor: position in the plan.

        Returns:
            The step, and the cursor of the next step with the state of the sampler unchanged.

        Raises:
            RunError: the cursor belongs to a plan with another number of datasets, or the sampler returns values that
                are not probabilities of the datasets.
        """
        if len(cursor.rows_per_dataset) != len(self.names):
            raise RunError(
                f"the checkpoint counts rows of {len(cursor.rows_per_dataset)} datasets, and the config has "
                f"{len(self.names)} ({', '.join(self.names)}): resume with the datasets that the run was started with"
            )
        probabilities = self.probabilities(cursor.step, cursor.sampler_state)
        counts = list(cursor.rows_per_dataset)
        rows: list[RowRef] = []
        for index in self.draw_datasets(cursor.step, cursor.sampler_state):
            rows.append(self._row(index, counts[index]))
            counts[index] += 1
        after = replace(cursor, step=cursor.step + 1, rows_per_dataset=tuple(counts))
        return StepPlan(step=cursor.step, rows=tuple(rows), probabilities=probabilities), after

    def update(self, cursor: Cursor, feedback: Feedback) -> Cursor:
        """Return the cursor after an adaptive sampler has learned from a step; the same cursor for other samplers.

        Args:
            cursor: cursor after the step.
            feedback: measurements of the step.
        """
        if not isinstance(self.sampler, AdaptiveSampler):
            return cursor
        state = self.sampler.update(cursor.sampler_state, feedback)
        return replace(cursor, sampler_state=self._checked_state(state, "update"))

    def probabilities(self, step: int, state: SamplerState) -> tuple[float, ...]:
        """Return the probability of each dataset in a step.

        Args:
            step: number of the optimizer step, counted from 0.
            state: state of an adaptive sampler; empty for other samplers.

        Raises:
            RunError: the sampler does not return a probability for each dataset.
        """
        returned: Any = self.sampler.probabilities_after(step, state)
        values: tuple[float, ...] = ()
        with suppress(TypeError, ValueError):
            returned = values = tuple(map(float, returned))
        if len(values) != len(self.names) or not all(0 <= p <= 1 for p in values) or abs(sum(values) - 1) > _TOLERANCE:
            raise RunError(
                f"sampling: {type(self.sampler).__name__} must return a probability for each of the datasets "
                f"{', '.join(self.names)}, which sum to 1; found {returned} in step {step + 1}"
            )
        return values

    @property
    def is_adaptive(self) -> bool:
        """Whether the sampler is adaptive: `update` must be called after each step."""
        return isinstance(self.sampler, AdaptiveSampler)

    def is_time_varying(self, total: int) -> bool:
        """Return whether the probabilities change over a run of `total` steps, of which about 100 are compared."""
        steps = [*range(0, total, math.ceil(total / 100)), total - 1]
        return self.is_adaptive or len({self.probabilities(step, {}) for step in steps}) > 1

    @property
    def needs_uncertainties(self) -> bool:
        """Whether `update` requires the uncertainty of the predictions."""
        return isinstance(self.sampler, AdaptiveSampler) and self.sampler.needs_uncertainties

    def _checked_state(self, state: SamplerState, method: str) -> SamplerState:
        if not isinstance(state, Mapping):
            name = type(self.sampler).__name__
            raise RunError(f"sampling: {name}.{method}() must return a dict, found {type(state).__name__}")
        return state

    def steps(self, cursor: Cursor, total: int) -> Iterator[tuple[StepPlan, Cursor]]:
        """Yield the steps from a cursor to the end of a run of `total` steps, each with the cursor after it."""
        while cursor.step < total:
            plan, cursor = self.next(cursor)
            yield plan, cursor

    def draw_datasets(self, step: int, state: SamplerState) -> list[int]:
        """Return the index of the dataset of each row of a step. See `probabilities` for the arguments."""
        if self.batches == "single":
            return self.sampler.draw(step, 1, step=step, state=state) * self.batch_size
        return self.sampler.draw(step * self.batch_size, self.batch_size, step=step, state=state)

    def _row(self, index: int, taken: int) -> RowRef:
        number, offset = divmod(taken, self.sizes[index])
        current = self._permutations.get(index)
        if current is None or current[0] != number:
            current = number, _permutation(self.names[index], size=self.sizes[index], number=number, seed=self.seed)
            self._permutations[index] = current
        return RowRef(index, int(current[1][offset]), number)


def build_sampler(
    options: KindOptions,
    *,
    sizes: Sequence[int],
    total_steps: int,
    epoch_steps: int,
    rows_per_step: int,
    seed: int,
    names: Sequence[str] = (),
    tasks: Sequence[Sequence[str]] = (),
) -> Sampler:
    """Build a sampler.

    Args:
        options: options that `SAMPLERS.parse` returned.
        sizes: number of train rows of each dataset, ≥ 1.
        total_steps: optimizer steps of the run, ≥ 1.
        epoch_steps: optimizer steps per epoch, ≥ 1.
        rows_per_step: rows of a step over all ranks, ≥ 1.
        seed: seed of the run, ≥ 0.
        names: names of the datasets.
        tasks: names of the tasks that each dataset has labels for.

    Returns:
        An instance of the class that is registered for `options.kind`.
    """
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
    options: KindOptions,
    *,
    names: Sequence[str],
    sizes: Sequence[int],
    total_steps: int,
    epoch_steps: int,
    batch_size: int,
    seed: int,
    tasks: Sequence[Sequence[str]] = (),
) -> Plan:
    """Build a sampler and its plan.

    Args:
        options: options that `SAMPLERS.parse` returned.
        names: names of the datasets.
        sizes: number of train rows of each dataset, ≥ 1.
        total_steps: optimizer steps of the run, ≥ 1.
        epoch_steps: optimizer steps per epoch, ≥ 1.
        batch_size: rows per step over all ranks, ≥ 1.
        seed: seed of the run, ≥ 0.
        tasks: names of the tasks that each dataset has labels for.

    Returns:
        The plan.

    Raises:
        ConfigError: a dataset has no train rows.
    """
    assert isinstance(options, SamplingOptions), "the registry has checked it"
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


def _permutation(name: str, *, size: int, number: int, seed: int) -> NDArray[np.int64]:
    """Return the order of a dataset's rows in a pass."""
    words = struct.unpack(">8I", hashlib.sha256(name.encode()).digest())
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words, number]))).permutation(size)
