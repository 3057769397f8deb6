"""Rows through a model, and what the answers score.

It knows nothing of processes: which share of the batches to compute, and how the shares come together, is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nlpmtl.data import Batch, Collator, Encoded, Labels
from nlpmtl.tasks import Logits, Task

CACHED = 1024
"""Padded tokens in one forward that a CPU computes fastest: what goes from layer to layer stays in its caches."""
FILLED = 4096
"""Those that keep an accelerator busy."""
_REPLAYED = 1024
"""Rows whose kept logits are answered at once."""
_ARRAY = 200
"""Bytes of a small array besides its numbers."""
Forward = Callable[[Batch, Mapping[str, Tensor]], Mapping[str, Tensor]]
"""A batch and which of its rows each task is asked about, to logits."""
Answer = Callable[[str, Sequence[Logits], NDArray[np.int64]], Sequence[Any]]
"""A task, the logits of some rows, and which rows they are, to an answer for each."""
Gather = Callable[[list[Any]], list[Any]]
"""The lists of all processes as one."""


def max_batch_tokens(device: torch.device) -> int:
    """How many padded tokens to compute in one forward at most."""
    return CACHED if device.type == "cpu" else FILLED


@dataclass(frozen=True)
class Scores:
    """What a model scores on a split.

    Args:
        tasks: for each task its metrics, ``"score"`` (its one number) and ``"rows"``.
        mean: the mean of the tasks' scores.
        notes: what to tell a person about the rows: some were left out or cut, or have labels that no task knows.
    """

    tasks: dict[str, dict[str, float | int | None]]
    mean: float
    notes: tuple[str, ...] = ()

    def __getitem__(self, task: str) -> dict[str, float | int | None]:
        return self.tasks[task]

    def of(self, select: str) -> float:
        """The score that selects a model: ``"mean"``, or a task's."""
        if select == "mean":
            return self.mean
        return float(self.tasks[select]["score"] or 0.0)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {"tasks": self.tasks, "mean": self.mean}


@dataclass(frozen=True)
class Inference:
    """How rows go through a model.

    Args:
        forward: the model.
        pad: the id of the padding token.
        types: whether the encoder takes segments.
        tokens: most padded tokens in one forward.
        rank: this process …
        world: … of how many.
    """

    forward: Forward
    pad: int
    types: bool
    tokens: int
    rank: int = 0
    world: int = 1

    def answers(
        self, encoded: Encoded, *, asked: Mapping[str, NDArray[np.bool_]], answer: Answer
    ) -> Iterator[tuple[int, str, Any]]:
        """(row, task, answer) for this process's share of the rows, the longest first.

        Args:
            encoded: the rows.
            asked: for each task, which rows it is asked about, ``[rows]``.
            answer: makes answers of a task's logits, which are as `Task.choose_rows` takes them.
        """
        collate = Collator([replace(encoded, labels={})], pad=self.pad, types=self.types)
        wanted = np.flatnonzero(np.logical_or.reduce(list(asked.values())))
        for rows in list(self._batches(encoded, wanted))[self.rank :: self.world]:
            batch = collate([(0, int(row)) for row in rows])
            at = {task: np.flatnonzero(mask[rows]) for task, mask in asked.items()}
            at = {task: places for task, places in at.items() if len(places)}
            with torch.inference_mode():
                logits = self.forward(batch, {task: torch.from_numpy(places) for task, places in at.items()})
            for task, places in at.items():
                own = rows[places]
                values = self._by_row(logits[task].float().cpu().numpy(), encoded, own)
                for row, found in zip(own.tolist(), answer(task, values, own), strict=True):
                    yield row, task, found

    def _batches(self, encoded: Encoded, wanted: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Rows of like length together, as many as the limit on padded tokens allows."""
        lengths = encoded.ids.lengths
        order = wanted[np.argsort(-lengths[wanted], kind="stable")]
        start = 0
        while start < len(order):
            many = max(1, self.tokens // int(lengths[order[start]]))
            yield order[start : start + many]
            start += many

    @staticmethod
    def _by_row(logits: Logits, encoded: Encoded, rows: NDArray[np.int64]) -> list[Logits]:
        """Logits row by row; those of tokens, ``[part, time, outputs]``, as of words, NaN for one without any."""
        if logits.ndim == 2:
            return list(logits)
        assert encoded.first_tokens is not None, "a task that labels words has rows of words"
        first_tokens = [encoded.first_tokens[int(row)] for row in rows]
        many = np.array([len(one) for one in first_tokens])
        places = np.concatenate(first_tokens).astype(np.int64)
        words = logits[np.repeat(np.arange(len(rows)), many), places]
        words[places < 0] = np.nan
        return np.split(words, np.cumsum(many)[:-1])


class Answers(Protocol):
    """Where answers come from: a model, or logits that were kept."""

    def answers(
        self, encoded: Encoded, *, asked: Mapping[str, NDArray[np.bool_]], answer: Answer
    ) -> Iterator[tuple[int, str, Any]]:
        """(row, task, answer), as `Inference.answers` yields them."""
        ...


@dataclass
class LogitsCache:
    """Logits of datasets that have gone through a model, so that they need not go through it again.

    Args:
        inference: the model, in one process.
        limit: most bytes of logits; datasets that do not fit go through the model each time.
    """

    inference: Inference
    limit: int = 1 << 28
    _size: int = field(init=False, default=0)
    _kept: dict[int, dict[str, dict[int, Logits]]] = field(init=False, default_factory=dict)

    def answers(
        self, encoded: Encoded, *, asked: Mapping[str, NDArray[np.bool_]], answer: Answer
    ) -> Iterator[tuple[int, str, Any]]:
        """(row, task, answer), as `Inference.answers` yields them."""
        kept = self._kept.get(id(encoded))
        if kept is None:
            yield from self._compute(encoded, asked=asked, answer=answer)
            return
        for task, mask in asked.items():
            rows = np.flatnonzero(mask)
            for some in np.split(rows, range(_REPLAYED, len(rows), _REPLAYED)):
                found = answer(task, [kept[task][row] for row in some.tolist()], some)
                yield from ((row, task, value) for row, value in zip(some.tolist(), found, strict=True))

    def _compute(
        self, encoded: Encoded, *, asked: Mapping[str, NDArray[np.bool_]], answer: Answer
    ) -> Iterator[tuple[int, str, Any]]:
        kept: dict[str, dict[int, Logits]] | None = {task: {} for task in asked}

        def keep(task: str, logits: Sequence[Logits], rows: NDArray[np.int64]) -> Sequence[Any]:
            nonlocal kept
            if kept is not None:
                kept[task] |= {row: one.copy() for row, one in zip(rows.tolist(), logits, strict=True)}
                self._size += sum(one.nbytes + _ARRAY for one in logits)
                if self._size > self.limit:
                    self._size -= sum(one.nbytes + _ARRAY for rows_ in kept.values() for one in rows_.values())
                    kept = None
            return answer(task, logits, rows)

        yield from self.inference.answers(encoded, asked=asked, answer=keep)
        if kept is not None:
            self._kept[id(encoded)] = kept


@dataclass
class Predictions:
    """What a task answered on a split.

    Args:
        names: the names of the ids in ``gold``, as `Task.score` takes them.
        predicted: what `Task.choose` answered, one a row.
        gold: what is right, one a row.
    """

    names: list[str]
    predicted: list[Any] = field(default_factory=list)
    gold: list[Any] = field(default_factory=list)


def evaluate(
    inference: Answers, *, tasks: Mapping[str, Task], datasets: Mapping[str, Encoded], gather: Gather = list
) -> Scores:
    """Score the tasks on the rows that carry a label for them: `ask`, then `score`."""
    return score(ask(inference, tasks=tasks, datasets=datasets, gather=gather), tasks=tasks)


def ask(
    inference: Answers, *, tasks: Mapping[str, Task], datasets: Mapping[str, Encoded], gather: Gather = list
) -> dict[str, Predictions]:
    """The answers of the tasks to the rows that carry a label for them; a row of several tasks is encoded once.

    A task whose rows are in several datasets is asked about all of them. One without labelled rows is left out.
    """

    def choose(task: str, logits: Sequence[Logits], rows: NDArray[np.int64]) -> list[Any]:
        return tasks[task].choose_rows(logits)

    answered: dict[str, Predictions] = {}
    for encoded in datasets.values():
        asked = {task: labels.labelled for task, labels in encoded.labels.items() if labels.labelled.any()}
        if not asked:
            continue
        own = list(inference.answers(encoded, asked=asked, answer=choose))
        found = {(row, task): value for row, task, value in gather(own)}
        for task, labelled in asked.items():
            one = answered.setdefault(task, Predictions(list(tasks[task].labels)))
            rows = np.flatnonzero(labelled).tolist()
            one.predicted.extend(found[row, task] for row in rows)
            one.gold.extend(gold_labels(encoded.labels[task], rows, names=one.names))
    return {task: answered[task] for task in tasks if task in answered}


def score(answered: Mapping[str, Predictions], *, tasks: Mapping[str, Task]) -> Scores:
    """What answers score."""
    scored = {
        task: {**tasks[task].score(predicted=one.predicted, gold=one.gold, names=one.names), "rows": len(one.gold)}
        for task, one in answered.items()
    }
    return Scores(scored, float(np.mean([one["score"] or 0.0 for one in scored.values()])) if scored else 0.0)


def gold_labels(labels: Labels, rows: Sequence[int], *, names: list[str]) -> list[Any]:
    """What is right for some rows of a dataset, names that only it has being added to those of all its task's rows."""
    gold, extra = labels.gold(rows), labels.names[labels.known :]
    if not extra:
        return gold
    names.extend(name for name in extra if name not in names)
    shared = {labels.known + i: names.index(name) for i, name in enumerate(extra)}
    return [[shared.get(i, i) for i in one] if isinstance(one, list) else shared.get(one, one) for one in gold]
