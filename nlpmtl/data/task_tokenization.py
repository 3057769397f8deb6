"""Tokenization for task types that define `Task.sequences` or `Task.targets`: once per row, stored with the split."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nlpmtl.data.arrow_tables import read_table, to_numpy
from nlpmtl.data.computed_targets import SEQUENCES, ComputedLabels, ParsedColumns, TargetsWriter
from nlpmtl.data.example import Example, TextInput, TokenSequence
from nlpmtl.data.hashing import hash_strings
from nlpmtl.data.label_columns import LabelColumn
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.sequence_writer import SequenceWriter, read_sequences
from nlpmtl.data.split_tokenization import submit_in_order
from nlpmtl.data.targets import Targets
from nlpmtl.data.text_inputs import TextRead, TextTable, TokenizedInputs, check_text_inputs, tokenize_text_inputs
from nlpmtl.data.token_store import TokenStore
from nlpmtl.data.tokenization import naming_failing_row
from nlpmtl.data.tokenized_split import TokenizedSplit
from nlpmtl.errors import DataError
from nlpmtl.fs import open_regular_file
from nlpmtl.strict_json import dumps

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_METADATA = "tasks.json"


class TaskMethods(NamedTuple):
    """Methods that a task type overrides.

    Args:
        sequences: `Task.sequences`; None: one sequence per row, its truncated input.
        targets: `Task.targets`; None: the targets are those of the label column.
    """

    sequences: Callable[..., Sequence[TextInput]] | None
    targets: Callable[[Example, Sequence[TokenSequence]], Targets | None] | None


def parse_columns(
    split: TokenizedSplit,
    columns: Mapping[str, LabelColumn],
    *,
    names: Mapping[str, str],
    needed: Sequence[str],
    any_of: Collection[str] = (),
) -> ComputedLabels:
    """Return the label columns of a task that computes its targets itself; they are not computed yet.

    Args:
        split: the rows.
        columns: key in `Task.columns` → label column of the task.
        names: key -> the name of the column in the split.
        needed: the keys of columns and further inputs without which a row is unlabelled.
        any_of: the keys of columns of which a labelled row has at least one.
    """
    assert split.rows is not None, "the rows were read from a source"
    labelled = np.ones(len(split), dtype=np.bool_)
    for key in needed:
        if key in split.extra:
            labelled &= to_numpy(split.column(f"input:{key}").is_valid())
        elif key in columns:
            labelled &= columns[key].labelled
        else:
            labelled[:] = False
    if any_of:
        labelled &= np.logical_or.reduce([columns[key].labelled for key in any_of if key in columns])
    stored = {key: f"label:{name}" for key, name in names.items()}
    parsed = ParsedColumns(columns, stored, split.rows, labelled)
    return ComputedLabels((), 0, labelled, labelled.view(np.int8), parsed)


def parsed_values(
    split: TokenizedSplit, task: str, *, selected: NDArray[np.bool_] | None = None
) -> dict[str, list[Any]]:
    """Return the parsed label columns of a task, by key: the values of its labelled rows, without nulls.

    Args:
        split: the rows.
        task: name of the task.
        selected: whether to read each row, ``[rows]``; default: all.
    """
    labels = split.labels[task]
    assert isinstance(labels, ComputedLabels)
    values: dict[str, list[Any]] = {key: [] for key in labels.parsed.columns}
    for start, rows in split.stored_rows():
        for i, stored in enumerate(rows, start):
            if selected is None or selected[i]:
                for key, value in labels.parsed.read(i, stored).items():
                    values[key].append(value)
    return values


def compute_targets(
    split: TokenizedSplit,
    methods: Mapping[str, TaskMethods],
    *,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    directory: Path | None = None,
) -> TokenizedSplit:
    """Return a split with the sequences and targets that task types define themselves.

    Equal sequences of a row are stored once, also if a task that defines no sequences reads one of them.

    Args:
        split: the rows, whose `labels` of these tasks are those of `parse_columns`.
        methods: task -> the methods that its type defines.
        tokenizer: a fast tokenizer from `without_truncation`.
        max_length: the maximum number of tokens of a sequence, special tokens included.
        directory: output directory of the tables, which are then memory-mapped; default: in memory.

    Raises:
        DataError: a method or the tokenizer fails for a row; the message has its location.
        OSError: the files cannot be written.
    """

    def tokenize(chunk: _Chunk) -> TokenizedInputs | None:
        inputs = chunk.texts.inputs
        return tokenize_text_inputs(tokenizer, inputs, max_length=max_length) if inputs else None

    chunks = (_collect_texts(split, methods, start, rows) for start, rows in split.stored_rows())
    with ExitStack() as stack:
        writer = _TaskWriter(split, methods, directory=directory, stack=stack)
        for chunk, future in submit_in_order(chunks, tokenize):
            with naming_failing_row(tokenizer, chunk.located_texts(split)):
                tokenized = future.result()
            writer.append(chunk, tokenized)
        writer.flush()
    return writer.close()


def read_targets_of_tasks(split: TokenizedSplit, directory: Path) -> TokenizedSplit:
    """Return a split with what `compute_targets` wrote into a directory.

    Raises:
        OSError, ValueError, KeyError: a file is missing or damaged.
    """
    with open_regular_file(directory / _METADATA) as file:
        metadata = json.loads(file.read().decode("utf-8"))
    tokens = read_sequences(directory) if metadata["sequences"] else split.tokens
    tables = {task: read_table(directory / f"task{i}.arrow") for i, task in enumerate(metadata["tasks"])}
    return _with_targets(split, tables, tokens=tokens, truncated=metadata["truncated"])


def _with_targets(
    split: TokenizedSplit, tables: Mapping[str, pa.Table], *, tokens: TokenStore, truncated: int
) -> TokenizedSplit:
    """Return a split with the computed targets of tasks, and their sequences."""
    labels, sequence_indices = dict(split.labels), dict(split.sequence_indices)
    for task, table in tables.items():
        parsed = labels[task]
        if isinstance(parsed, ComputedLabels):
            labels[task] = parsed.with_targets(table)
        if SEQUENCES in table.column_names:
            sequence_indices[task] = Ragged.from_arrow(table[SEQUENCES])
    return replace(split, tokens=tokens, truncated=truncated, labels=labels, sequence_indices=sequence_indices)


@dataclass
class _Chunk:
    """Consecutive rows, and the texts to tokenize for them.

    Args:
        start: the first row.
        examples: task -> each row as the task sees it; None for an unlabelled one.
        texts: the text inputs of the rows.
        reads: task -> for each row, which of the texts it reads.
    """

    start: int
    examples: dict[str, list[Example | None]]
    texts: TextTable
    reads: dict[str, list[list[TextRead]]]

    def located_texts(self, split: TokenizedSplit) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield the location of the row of each text input, and its text or its two texts."""
        for row, text in zip(self.texts.rows, self.texts.inputs, strict=True):
            yield split.place(self.start + row), text.texts


def _collect_texts(
    split: TokenizedSplit, methods: Mapping[str, TaskMethods], start: int, rows: Sequence[Mapping[str, Any]]
) -> _Chunk:
    defined = {task: method.sequences for task, method in methods.items() if method.sequences is not None}
    chunk = _Chunk(start, {task: [] for task in methods}, TextTable(), {task: [] for task in defined})
    for row, stored in enumerate(rows, start):
        for task, examples in chunk.examples.items():
            labelled = split.labels[task].labelled[row]
            examples.append(split.example(row, task, stored=stored) if labelled else None)
        texts: list[Sequence[TextInput]] = []
        for task, sequences in defined.items():
            example = chunk.examples[task][-1]
            with _TaskErrors(split, row, task, "sequences"):
                texts.append(() if example is None else check_text_inputs(sequences(example, predict=False)))
        for task, reads in zip(defined, chunk.texts.add(texts), strict=True):
            chunk.reads[task].append(reads)
    return chunk


class _TaskErrors:
    """Turn an exception of a task type in the block into a DataError that names the row and the task.

    It is a class because it is entered once per row and task, where a `contextmanager` takes too long.
    """

    def __init__(self, split: TokenizedSplit, row: int, task: str, method: str) -> None:
        self._split, self._row, self._task, self._method = split, row, task, method

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            reason = str(error) if type(error) in (ValueError, DataError) else f"{type(error).__name__}: {error}"
            failed = "" if isinstance(error, DataError) else f"{self._method}() failed: "
            raise DataError(f"{self._split.place(self._row)}: task {self._task!r}: {failed}{reason}") from error


def _as_requested(sequence: TokenSequence, text: TextInput) -> TokenSequence:
    """Return a sequence without the words and offsets that only other texts of the chunk need."""
    if text.words is None:
        sequence = replace(sequence, words=None, word_ids=None)
    return sequence if text.offsets else replace(sequence, offsets=None)


class _TaskWriter:
    """A writer of the sequences and targets of task types, chunk by chunk."""

    def __init__(
        self, split: TokenizedSplit, methods: Mapping[str, TaskMethods], *, directory: Path | None, stack: ExitStack
    ) -> None:
        self._split, self._methods, self._directory = split, methods, directory
        self._targets = {
            task: TargetsWriter(
                None if directory is None else directory / f"task{i}.arrow",
                stack,
                has_sequences=method.sequences is not None,
                has_targets=method.targets is not None,
            )
            for i, (task, method) in enumerate(methods.items())
        }
        has_sequences = any(method.sequences is not None for method in methods.values())
        self._sequences = SequenceWriter(len(split), directory, stack) if has_sequences else None
        self._truncated = 0

    def append(self, chunk: _Chunk, tokenized: TokenizedInputs | None) -> None:
        """Add the rows of a chunk."""
        rows = range(chunk.start, chunk.start + len(next(iter(chunk.examples.values()))))
        row_sequences = self._split.tokens.sequences(rows)
        indices = (
            {} if self._sequences is None else self._add_sequences(self._sequences, chunk, tokenized, row_sequences)
        )
        for task, examples in chunk.examples.items():
            writer, compute = self._targets[task], self._methods[task].targets
            for row, example, sequence in zip(rows, examples, row_sequences, strict=True):
                read = indices[task][row - chunk.start] if task in indices else [row]
                if example is None or compute is None:
                    writer.append(None, hash=0, sequences=read)
                    continue
                sequences = [sequence] if self._sequences is None else list(map(self._sequences.sequence, read))
                with _TaskErrors(self._split, row, task, "targets"):
                    targets = compute(example, sequences)
                    targets = None if targets is None else writer.check(targets, sequences=len(sequences))
                writer.append(targets, hash=int(hash_strings([dumps(example.labels)])[0]), sequences=read)
            writer.flush()
        if self._sequences is not None:
            self._sequences.flush()

    def flush(self) -> None:
        """Write the last rows."""
        for writer in self._targets.values():
            writer.flush(last=True)

    def close(self) -> TokenizedSplit:
        """Return the split with everything that was added, when the files are closed."""
        split = self._split
        defined = {task for task, method in self._methods.items() if method.sequences is not None}
        all_defined = split.labels.keys() <= defined | split.sequence_indices.keys()
        truncated = self._truncated if all_defined else split.truncated
        if self._directory is not None:
            metadata = {"tasks": [*self._targets], "sequences": self._sequences is not None, "truncated": truncated}
            (self._directory / _METADATA).write_text(dumps(metadata), encoding="utf-8")
        tables = {task: writer.table() for task, writer in self._targets.items()}
        tokens = split.tokens if self._sequences is None else self._sequences.tokens()
        return _with_targets(split, tables, tokens=tokens, truncated=truncated)

    def _add_sequences(
        self,
        writer: SequenceWriter,
        chunk: _Chunk,
        tokenized: TokenizedInputs | None,
        row_sequences: list[TokenSequence],
    ) -> dict[str, list[list[int]]]:
        """Add the sequences of a chunk; return for each task the indices of those of each row."""
        writer.start(row_sequences)
        if tokenized is None:
            return {task: [[] for _ in reads] for task, reads in chunk.reads.items()}
        indices: list[int] = []  # of each sequence
        for text, row in enumerate(chunk.texts.rows):
            for i in range(tokenized.first[text], tokenized.first[text + 1]):
                sequence = _as_requested(tokenized.tokens.sequence(i), chunk.texts.inputs[text])
                indices.append(writer.add(row, sequence))
        by_row = zip(*chunk.reads.values(), strict=True)
        self._truncated += sum(any(map(tokenized.is_cut, reads)) for reads in by_row)
        return {task: [[indices[i] for i in tokenized.read(row)] for row in rows] for task, rows in chunk.reads.items()}
