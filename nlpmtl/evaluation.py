"""Batched evaluation: predictions, gold labels and metrics of a split.

It knows nothing of process groups: the share of the batches to compute, and how to gather, are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nlpmtl.data import Batch, Collator, Example, TokenizedSplit, TokenSequence
from nlpmtl.heads import named_outputs
from nlpmtl.tasks import ExampleOutputs, Task

CPU_BATCH_TOKENS = 1024
"""Padded tokens in one forward pass for which a CPU is fastest: activations stay in its caches."""
GPU_BATCH_TOKENS = 4096
"""Padded tokens in one forward pass that keep an accelerator busy."""
_REPLAYED = 1024
"""Cached rows that are decoded at once."""
_ARRAY = 200
"""Bytes of a small array besides its numbers."""
Outputs = Mapping[str, NDArray[Any]]
"""Outputs of a head for one sequence, by name: ``[...]`` or ``[tokens, ...]``."""
ForwardFn = Callable[[Batch, Mapping[str, Tensor]], Mapping[str, Tensor | Mapping[str, Tensor]]]
"""(batch, rows that each task reads) -> what the head of each task returns."""
OutputsConsumer = Callable[[str, Sequence[Outputs], NDArray[np.int64]], Sequence[Any]]
"""(task, outputs of some rows, indices of these rows) -> a result per row."""
Gather = Callable[[list[Any]], list[Any]]
"""Concatenates the lists of all processes."""


def max_batch_tokens(device: torch.device) -> int:
    """Return the maximum number of padded tokens in one forward pass."""
    return CPU_BATCH_TOKENS if device.type == "cpu" else GPU_BATCH_TOKENS


@dataclass(frozen=True)
class Scores:
    """Metrics of a split.

    Args:
        tasks: for each task its metrics, ``"score"`` (which summarises them) and ``"rows"``.
        mean: mean of the tasks' scores.
        notes: messages about the rows: some were skipped or truncated, or have labels that no task knows.
    """

    tasks: dict[str, dict[str, float | int | None]]
    mean: float
    notes: tuple[str, ...] = ()

    def __getitem__(self, task: str) -> dict[str, float | int | None]:
        return self.tasks[task]

    def of(self, select: str) -> float:
        """Return the score that selects a model: ``"mean"``, or that of a task."""
        if select == "mean":
            return self.mean
        return float(self.tasks[select]["score"] or 0.0)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return {"tasks": self.tasks, "mean": self.mean}


@dataclass(frozen=True)
class Inference:
    """Batched inference over tokenized rows.

    Args:
        forward: the forward pass of the model.
        pad: id of the padding token.
        types: whether the encoder takes token type ids.
        tokens: maximum number of padded tokens in one forward pass.
        rank: rank of this process.
        world: number of processes.
    """

    forward: ForwardFn
    pad: int
    types: bool
    tokens: int
    rank: int = 0
    world: int = 1

    def run(
        self, encoded: TokenizedSplit, *, rows_of: Mapping[str, NDArray[np.bool_]], consume: OutputsConsumer
    ) -> Iterator[tuple[int, str, Any]]:
        """Yield (row, task, result) for this process's share of the rows, the longest rows first.

        Args:
            encoded: the rows.
            rows_of: for each task, whether it reads each row, ``[rows]``.
            consume: makes results of a task's outputs, without the padding of a row.
        """
        collate = Collator([replace(encoded, labels={})], pad=self.pad, types=self.types)
        read = np.flatnonzero(np.logical_or.reduce(list(rows_of.values())))
        lengths = encoded.ids.lengths
        for rows in list(self._batches(lengths, read))[self.rank :: self.world]:
            batch = collate([(0, int(row)) for row in rows])
            places = {task: np.flatnonzero(mask[rows]) for task, mask in rows_of.items()}
            places = {task: indices for task, indices in places.items() if len(indices)}
            with torch.inference_mode():
                logits = self.forward(batch, {task: torch.from_numpy(indices) for task, indices in places.items()})
            for task, indices in places.items():
                task_rows = rows[indices]
                outputs = _split(named_outputs(logits[task]), lengths[task_rows], time=batch.input_ids.shape[1])
                for row, result in zip(task_rows.tolist(), consume(task, outputs, task_rows), strict=True):
                    yield row, task, result

    def _batches(self, lengths: NDArray[np.int64], rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yield rows of similar length, as many as the limit on padded tokens allows."""
        order = rows[np.argsort(-lengths[rows], kind="stable")]
        start = 0
        while start < len(order):
            count = max(1, self.tokens // int(lengths[order[start]]))
            yield order[start : start + count]
            start += count


def _split(outputs: Mapping[str, Tensor], lengths: NDArray[np.int64], *, time: int) -> list[Outputs]:
    """Return the outputs of each row, ``[rows, ...]``; where the second axis is tokens, without padding."""
    arrays = {name: values.float().cpu().numpy() for name, values in outputs.items()}
    by_token = {name for name, values in arrays.items() if values.ndim > 2 and values.shape[1] == time}
    return [
        {name: values[i, :length] if name in by_token else values[i] for name, values in arrays.items()}
        for i, length in enumerate(lengths.tolist())
    ]


class OutputsSource(Protocol):
    """A source of outputs: a model, or outputs that were cached."""

    def run(
        self, encoded: TokenizedSplit, *, rows_of: Mapping[str, NDArray[np.bool_]], consume: OutputsConsumer
    ) -> Iterator[tuple[int, str, Any]]:
        """Yield (row, task, result) as `Inference.run` does."""
        ...


@dataclass
class LogitsCache:
    """Outputs of datasets, cached so that several passes over them need one forward pass.

    Args:
        inference: the model, in one process.
        limit: maximum size of the outputs in bytes; datasets that do not fit are computed each time.
    """

    inference: Inference
    limit: int = 1 << 28
    _size: int = field(init=False, default=0)
    _cached: dict[int, dict[str, dict[int, Outputs]]] = field(init=False, default_factory=dict)

    def run(
        self, encoded: TokenizedSplit, *, rows_of: Mapping[str, NDArray[np.bool_]], consume: OutputsConsumer
    ) -> Iterator[tuple[int, str, Any]]:
        """Yield (row, task, result) as `Inference.run` does."""
        cached = self._cached.get(id(encoded))
        if cached is None:
            yield from self._compute(encoded, rows_of=rows_of, consume=consume)
            return
        for task, mask in rows_of.items():
            rows = np.flatnonzero(mask)
            for some in np.split(rows, range(_REPLAYED, len(rows), _REPLAYED)):
                results = consume(task, [cached[task][row] for row in some.tolist()], some)
                yield from ((row, task, result) for row, result in zip(some.tolist(), results, strict=True))

    def _compute(
        self, encoded: TokenizedSplit, *, rows_of: Mapping[str, NDArray[np.bool_]], consume: OutputsConsumer
    ) -> Iterator[tuple[int, str, Any]]:
        cached: dict[str, dict[int, Outputs]] | None = {task: {} for task in rows_of}

        def keep(task: str, outputs: Sequence[Outputs], rows: NDArray[np.int64]) -> Sequence[Any]:
            nonlocal cached
            if cached is not None:
                cached[task] |= {row: _copy(values) for row, values in zip(rows.tolist(), outputs, strict=True)}
                self._size += sum(map(_bytes, outputs))
                if self._size > self.limit:
                    self._size -= sum(_bytes(values) for by_row in cached.values() for values in by_row.values())
                    cached = None
            return consume(task, outputs, rows)

        yield from self.inference.run(encoded, rows_of=rows_of, consume=keep)
        if cached is not None:
            self._cached[id(encoded)] = cached


def _copy(outputs: Outputs) -> Outputs:
    """Return a copy, without which the arrays of the whole batch would stay in memory."""
    return {name: values.copy() for name, values in outputs.items()}


def _bytes(outputs: Outputs) -> int:
    return sum(values.nbytes + _ARRAY for values in outputs.values())


def to_items(encoded: TokenizedSplit, outputs: Sequence[Outputs], rows: NDArray[np.int64]) -> list[ExampleOutputs]:
    """Return outputs of rows of a tokenized split as `Task.decode` takes them."""
    return [
        ExampleOutputs(
            _WITHOUT_TEXT,
            [TokenSequence(encoded.ids[row], None if encoded.first_tokens is None else encoded.first_tokens[row])],
            {name: [array] for name, array in values.items()},
        )
        for row, values in zip(rows.tolist(), outputs, strict=True)
    ]


_WITHOUT_TEXT = Example()


@dataclass
class Predictions:
    """Predictions and gold labels of a task on a split.

    Args:
        names: labels of the task, then gold labels that it does not know.
        predicted: `Prediction.value` of each row.
        gold: gold label of each row.
    """

    names: list[str]
    predicted: list[Any] = field(default_factory=list)
    gold: list[Any] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return plain values in which a label is its index in `names`, and a missing tag is -1."""
        ids = {name: i for i, name in enumerate(self.names)}

        def encode(value: Any) -> Any:
            if isinstance(value, list):
                return [encode(part) for part in value]
            return -1 if value is None else ids.get(value, value) if isinstance(value, str) else value

        return {"names": self.names, "predicted": encode(self.predicted), "gold": encode(self.gold)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Predictions:
        """Return what `to_json` wrote."""
        names: list[str] = value["names"]

        def decode(value: Any) -> Any:
            if isinstance(value, list):
                return [decode(part) for part in value]
            return value if not names or type(value) is not int else None if value < 0 else names[value]

        return cls(names, decode(value["predicted"]), decode(value["gold"]))


def evaluate(
    inference: OutputsSource,
    *,
    tasks: Mapping[str, Task],
    datasets: Mapping[str, TokenizedSplit],
    gather: Gather = list,
) -> Scores:
    """Score the tasks on the rows with a label for them: `predict_splits`, then `score`."""
    return score(predict_splits(inference, tasks=tasks, datasets=datasets, gather=gather), tasks=tasks)


def predict_splits(
    inference: OutputsSource,
    *,
    tasks: Mapping[str, Task],
    datasets: Mapping[str, TokenizedSplit],
    gather: Gather = list,
) -> dict[str, Predictions]:
    """Predict for the rows with a gold label; a row of several tasks is encoded once.

    The rows of a task may be in several datasets. A task without labelled rows is left out.
    """
    results: dict[str, Predictions] = {}
    for encoded in datasets.values():
        rows_of = {task: labels.labelled for task, labels in encoded.labels.items() if labels.labelled.any()}
        if not rows_of:
            continue

        def decode(
            task: str, outputs: Sequence[Outputs], rows: NDArray[np.int64], encoded: TokenizedSplit = encoded
        ) -> list[Any]:
            return [prediction.value for prediction in tasks[task].decode(to_items(encoded, outputs, rows))]

        local_values = list(inference.run(encoded, rows_of=rows_of, consume=decode))
        values = {(row, task): value for row, task, value in gather(local_values)}
        for task, labelled in rows_of.items():
            predictions = results.setdefault(task, Predictions(list(tasks[task].labels)))
            labels, rows = encoded.labels[task], np.flatnonzero(labelled).tolist()
            predictions.predicted.extend(values[row, task] for row in rows)
            predictions.gold.extend(labels.values(rows))
            known = set(predictions.names)
            predictions.names.extend(name for name in labels.names[labels.known :] if name not in known)
    return {task: results[task] for task in tasks if task in results}


def score(predictions: Mapping[str, Predictions], *, tasks: Mapping[str, Task]) -> Scores:
    """Return the metrics of predictions."""
    scores = {
        name: {**tasks[name].score(task.predicted, task.gold), "rows": len(task.gold)}
        for name, task in predictions.items()
    }
    return Scores(scores, float(np.mean([task["score"] or 0.0 for task in scores.values()])) if scores else 0.0)
