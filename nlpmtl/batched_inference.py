"""Batched inference over tokenized rows, the longest first, and a cache of its outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple, Protocol, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nlpmtl.data import NO_TOKEN, Batch, Ragged, TokenizedSplit
from nlpmtl.data.batch import pad_rows
from nlpmtl.data.ragged import row_bounds
from nlpmtl.errors import ModelError
from nlpmtl.heads import check_outputs
from nlpmtl.tasks import ExampleOutputs

CPU_BATCH_TOKENS, GPU_BATCH_TOKENS = 1024, 4096
"""Padded tokens in one forward pass: a CPU keeps the activations in its caches, and an accelerator is kept busy."""
_CACHED_ROWS_AT_ONCE = 1024
"""Number of cached rows that are decoded at once."""
_ARRAY_OVERHEAD = 200
"""Bytes that a NumPy array takes in addition to its values."""
NumpyOutputs = Mapping[str, Sequence[NDArray[Any]]]
"""Outputs of a head for one example: name -> an array per sequence, ``[...]`` or ``[tokens, ...]``."""
ForwardFn = Callable[[Batch, Mapping[str, Tensor]], Mapping[str, Tensor | Mapping[str, Tensor]]]
"""(batch, rows that each task reads) -> what the head of each task returns."""
OutputsConsumer = Callable[[str, Sequence[NumpyOutputs], NDArray[np.int64]], Sequence[Any]]
"""(task, outputs of some rows, indices of these rows) -> a result per row."""


def max_batch_tokens(device: torch.device) -> int:
    """Return the maximum number of padded tokens in one forward pass."""
    return CPU_BATCH_TOKENS if device.type == "cpu" else GPU_BATCH_TOKENS


@dataclass(frozen=True)
class _Output:
    """An output of a head for several sequences.

    Args:
        values: the output, ``[sequences, ...]``, or ``[sequences, sequence_length, ...]``.
        lengths: number of tokens of each sequence, for an output per token; None for others.
    """

    values: NDArray[Any]
    lengths: NDArray[np.int64] | None

    def of(self, index: int) -> NDArray[Any]:
        """Return the output of a sequence, without padding."""
        return self.values[index] if self.lengths is None else self.values[index, : self.lengths[index]]


class SequenceOutputs(Sequence[NDArray[Any]]):
    """One output of a head for the sequences of an example: one array per sequence, created on access.

    Args:
        output: the output for the sequences of several examples.
        start: index of the first sequence of this example.
        end: index after its last sequence.
    """

    def __init__(self, output: _Output, start: int, end: int) -> None:
        self._output, self._indices = output, range(start, end)

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[NDArray[Any]]: ...
    def __getitem__(self, index: int | slice) -> NDArray[Any] | list[NDArray[Any]]:
        indices = self._indices[index]
        if isinstance(indices, range):
            return [self._output.of(i) for i in indices]
        return self._output.of(indices)


@dataclass(frozen=True)
class Inference:
    """Batched inference over tokenized rows.

    Args:
        forward: the forward pass of the model.
        pad: id of the padding token.
        types: whether the encoder takes token type ids.
        tokens: maximum number of padded tokens in one forward pass.
        check_finite: whether outputs must be finite: finite weights may be so large that some inputs overflow.
        rank: rank of this process.
        world: number of processes.
    """

    forward: ForwardFn
    pad: int
    types: bool
    tokens: int
    check_finite: bool = False
    rank: int = 0
    world: int = 1

    def run(
        self, split: TokenizedSplit, *, rows_of: Mapping[str, NDArray[np.bool_]], consume: OutputsConsumer
    ) -> Iterator[tuple[int, str, Any]]:
        """Yield (row, task, result) for this process's share of the rows, the longest rows first.

        A sequence that several tasks read is encoded once. If the sequences of a row do not fit into one forward pass,
        they are computed in several.

        Args:
            split: the rows.
            rows_of: for each task, whether it reads each row, ``[rows]``.
            consume: turns a task's outputs, without the padding of sequences, into results.

        Raises:
            ModelError: an output is not finite, if `check_finite` is set.
        """
        reads = {task: split.sequences_of(task) for task in rows_of}
        rows = np.flatnonzero(np.logical_or.reduce(list(rows_of.values())))
        tokens = split.tokens.lengths
        lengths, counts = _row_sizes(split, reads, tokens=tokens)
        for batch in list(self._batches(rows, lengths=lengths, counts=counts))[self.rank :: self.world]:
            task_rows = {task: batch[mask[batch]] for task, mask in rows_of.items()}
            sequences = {task: reads[task].take(rows) for task, rows in task_rows.items() if len(rows)}
            sequence_ids = {task: indices.values for task, indices in sequences.items()}
            outputs = self._forward(split, sequence_ids, lengths=tokens)
            for task, indices in sequences.items():
                values = [_select(outputs[task], start, end) for start, end in pairwise(indices.bounds.tolist())]
                results = consume(task, values, task_rows[task])
                for row, result in zip(task_rows[task].tolist(), results, strict=True):
                    yield row, task, result

    def _batches(
        self, rows: NDArray[np.int64], *, lengths: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> Iterator[NDArray[np.int64]]:
        """Yield rows of similar length, as many as the limit on padded tokens allows.

        Args:
            rows: the rows.
            lengths: tokens of the longest sequence of each row of the split.
            counts: number of its sequences.
        """
        order = rows[np.argsort(-lengths[rows], kind="stable")]
        bounds = row_bounds(counts[order])
        start = 0
        while start < len(order):
            limit = bounds[start] + self.tokens // int(lengths[order[start]])
            end = max(start + 1, int(np.searchsorted(bounds, limit, side="right")) - 1)
            yield order[start:end]
            start = end

    def _forward(
        self, split: TokenizedSplit, reads: Mapping[str, NDArray[np.integer]], *, lengths: NDArray[np.int64]
    ) -> dict[str, dict[str, _Output]]:
        """Return the outputs of the sequences that each task reads, in the order in which it reads them."""
        distinct = np.unique(np.concatenate(list(reads.values())))
        order = distinct[np.argsort(-lengths[distinct], kind="stable")]
        rank = np.empty(len(order), dtype=np.int64)
        rank[np.searchsorted(distinct, order)] = np.arange(len(order))
        reads_by_task = {
            task: _TaskReads(rank[np.searchsorted(distinct, read)], lengths[read]) for task, read in reads.items()
        }
        size = max(1, self.tokens // int(lengths[order[0]]))
        for start in range(0, len(order), size):
            batch = _pad_batch(split, order[start : start + size], pad=self.pad, types=self.types)
            parts = {task: read.part(start, start + size) for task, read in reads_by_task.items()}
            rows = {task: torch.from_numpy(part.rows) for task, part in parts.items() if len(part.rows)}
            with torch.inference_mode():
                logits = self.forward(batch, rows)
            for task, read_rows in rows.items():
                task_reads = reads_by_task[task]
                outputs = check_outputs(logits[task], task=task, sequences=len(read_rows))
                if not task_reads.store(outputs, parts[task], length=batch.input_ids.shape[1], check=self.check_finite):
                    raise ModelError(
                        f"task {task!r}: the logits are not finite for this input: the weights are damaged, or too "
                        "large for the precision. Use another checkpoint"
                    )
        return {task: read.outputs for task, read in reads_by_task.items()}


class _Part(NamedTuple):
    """The sequences of a forward pass that a task reads.

    Args:
        indices: their indices among all sequences that the task reads.
        rows: the rows of the pass that the task reads, in ascending order.
        order: for each sequence the index of its row in `rows`.
    """

    indices: NDArray[np.int64]
    rows: NDArray[np.int64]
    order: NDArray[np.int64]


class _TaskReads:
    """The sequences that a task reads, and their outputs.

    Args:
        ranks: position of each in the order of computation.
        lengths: number of tokens of each.
    """

    def __init__(self, ranks: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
        self.outputs: dict[str, _Output] = {}
        self._lengths, self._order = lengths, np.argsort(ranks, kind="stable")
        self._ranks = ranks[self._order]

    def part(self, start: int, end: int) -> _Part:
        """Return the sequences at the positions from `start` to `end`, exclusive."""
        first, last = np.searchsorted(self._ranks, [start, end])
        rows, order = np.unique(self._ranks[first:last] - start, return_inverse=True)
        return _Part(self._order[first:last], rows, order)

    def store(self, outputs: Mapping[str, Tensor], part: _Part, *, length: int, check: bool) -> bool:
        """Store the outputs of a forward pass with this sequence length; return whether they are finite, if checked."""
        finite = True
        for name, tensor in outputs.items():
            values = tensor.detach().float().cpu().numpy()[part.order]  # an expanded parameter requires gradients
            lengths = self._lengths if values.ndim > 2 and values.shape[1] == length else None
            if check:
                inside = values if lengths is None else values[np.arange(length) < lengths[part.indices, None]]
                finite = finite and bool(np.isfinite(inside).all())
            stored = self.outputs[name].values if name in self.outputs else values[:0]
            shape = (len(self._lengths), *np.maximum(stored.shape[1:], values.shape[1:]).tolist())
            if stored.shape != shape:
                larger = np.zeros(shape, dtype=values.dtype)
                larger[tuple(map(slice, stored.shape))] = stored
                self.outputs[name] = _Output(larger, lengths)
            index: Any = (part.indices, *map(slice, values.shape[1:]))
            self.outputs[name].values[index] = values
        return finite


def _select(outputs: Mapping[str, _Output], start: int, end: int) -> NumpyOutputs:
    """Return the outputs of consecutive sequences, those of one example."""
    if end - start == 1:
        return {name: [output.of(start)] for name, output in outputs.items()}
    return {name: SequenceOutputs(output, start, end) for name, output in outputs.items()}


def _row_sizes(
    split: TokenizedSplit, reads: Mapping[str, Ragged], *, tokens: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each row the tokens of its longest sequence, and the number of its sequences, at least 1."""
    if not split.sequence_indices.keys() & reads.keys():
        return tokens, np.ones(len(split), dtype=np.int64)
    lengths, counts = np.zeros(len(split), dtype=np.int64), np.zeros(len(split), dtype=np.int64)
    pairs = [np.stack([read.indices_2d()[0], read.values], axis=1) for read in reads.values()]
    rows, sequences = np.unique(np.concatenate(pairs), axis=0).T
    np.maximum.at(lengths, rows, tokens[sequences])
    np.add.at(counts, rows, 1)
    return lengths, np.maximum(counts, 1)


def _pad_batch(split: TokenizedSplit, indices: NDArray[np.int64], *, pad: int, types: bool) -> Batch:
    """Return a batch of token sequences, padded to the longest."""
    tokens, positions = split.tokens.take(indices), [np.arange(len(indices))]
    lengths, words = tokens.lengths, tokens.first_tokens
    shape = len(indices), int(lengths.max())
    word_shape = len(indices), 0 if words is None else int(words.lengths.max())
    return Batch(
        input_ids=pad_rows([tokens.ids], positions, shape=shape, fill=pad),
        attention_mask=torch.from_numpy((np.arange(shape[1]) < lengths[:, None]).astype(np.int64)),
        token_type_ids=pad_rows([tokens.types], positions, shape=shape, fill=0) if types else None,
        tasks={},
        words=None if words is None else pad_rows([words], positions, shape=word_shape, fill=NO_TOKEN),
    )


class OutputsSource(Protocol):
    """A source of outputs: a model, or outputs that were cached."""

    def run(
        self, split: TokenizedSplit, *, rows_of: Mapping[str, NDArray[np.bool_]], consume: OutputsConsumer
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
    _cached: dict[int, dict[str, dict[int, NumpyOutputs]]] = field(init=False, default_factory=dict)

    def run(
        self, split: TokenizedSplit, *, rows_of: Mapping[str, NDArray[np.bool_]], consume: OutputsConsumer
    ) -> Iterator[tuple[int, str, Any]]:
        """Yield (row, task, result) as `Inference.run` does."""
        cached = self._cached.get(id(split))
        if cached is None or not rows_of.keys() <= cached.keys():
            yield from self._compute(split, rows_of=rows_of, consume=consume)
            return
        for task, mask in rows_of.items():
            rows = np.flatnonzero(mask)
            for chunk in np.split(rows, range(_CACHED_ROWS_AT_ONCE, len(rows), _CACHED_ROWS_AT_ONCE)):
                results = consume(task, [cached[task][row] for row in chunk.tolist()], chunk)
                yield from ((row, task, result) for row, result in zip(chunk.tolist(), results, strict=True))

    def _compute(
        self, split: TokenizedSplit, *, rows_of: Mapping[str, NDArray[np.bool_]], consume: OutputsConsumer
    ) -> Iterator[tuple[int, str, Any]]:
        cached: dict[str, dict[int, NumpyOutputs]] | None = {task: {} for task in rows_of}

        def keep(task: str, outputs: Sequence[NumpyOutputs], rows: NDArray[np.int64]) -> Sequence[Any]:
            nonlocal cached
            if cached is not None:
                cached[task] |= {row: copy_outputs(values) for row, values in zip(rows.tolist(), outputs, strict=True)}
                self._size += sum(map(_bytes, outputs))
                if self._size > self.limit:
                    self._size -= sum(_bytes(values) for by_row in cached.values() for values in by_row.values())
                    cached = None
            return consume(task, outputs, rows)

        yield from self.inference.run(split, rows_of=rows_of, consume=keep)
        if cached is not None:
            self._cached[id(split)] = cached


def copy_outputs(outputs: NumpyOutputs) -> NumpyOutputs:
    """Return a copy, without which the arrays of the whole batch would stay in memory."""
    return {name: [array.copy() for array in arrays] for name, arrays in outputs.items()}


def _bytes(outputs: NumpyOutputs) -> int:
    return sum(array.nbytes + _ARRAY_OVERHEAD for arrays in outputs.values() for array in arrays)


def to_items(
    split: TokenizedSplit, task: str, outputs: Sequence[NumpyOutputs], rows: NDArray[np.int64]
) -> list[ExampleOutputs]:
    """Return a task's outputs of rows of a tokenized split, as `Task.decode` takes them."""
    read = split.sequences_of(task).take(rows)
    sequences = split.tokens.sequences(read.values)
    return [
        ExampleOutputs(split.example(row, task), sequences[start:end], values)
        for row, (start, end), values in zip(rows.tolist(), pairwise(read.bounds.tolist()), outputs, strict=True)
    ]
