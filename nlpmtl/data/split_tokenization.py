"""Tokenization of a split: examples to token ids and label columns, batch by batch, on all cores."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nlpmtl.data.arrays import ArrayWriter, RaggedWriter
from nlpmtl.data.batch import greedy_length_batches
from nlpmtl.data.column_types import is_coded
from nlpmtl.data.examples import ArrowBuffer, Examples
from nlpmtl.data.hashing import digest_tokens, hash_inputs
from nlpmtl.data.label_columns import LabelColumnWriter
from nlpmtl.data.labels import LabelType
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.tokenization import TokenizedTexts, name_failing_row, tokenize
from nlpmtl.data.tokenized_split import EXAMPLES, ExtraInput, TokenizedSplit
from nlpmtl.data.word_alignment import NO_TOKEN, Spans
from nlpmtl.data.word_splitting import WordCounts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

T = TypeVar("T")
R = TypeVar("R")
_ROWS_PER_BATCH = 1000
_CHARACTERS_PER_BATCH = 200_000
_MAX_THREADS = 8
"""More threads do not help: building arrays from the encodings holds Python's global lock."""


def tokenize_split(
    examples: Examples,
    *,
    columns: Mapping[str, LabelType],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    directory: Path | None = None,
    extra: Mapping[str, LabelType] | None = None,
) -> TokenizedSplit:
    """Tokenize the examples of a split, batch by batch, on all cores.

    Args:
        examples: the examples.
        columns: label column = its type.
        tokenizer: a fast tokenizer.
        max_length: the maximum number of tokens of a row, special tokens included.
        directory: where to write the arrays, which are then memory-mapped; default: in memory.
        extra: key of each further input = its type.

    Raises:
        RunError: the tokenizer fails for a row, such as by a panic of its Rust code.
        OSError: the files cannot be written.
    """
    writer = _SplitWriter(examples, columns=columns, extra=extra or {}, tokenizer=tokenizer, directory=directory)
    with writer.stored:
        for batch, texts in _tokenize_batches(examples, tokenizer=tokenizer, max_length=max_length):
            writer.append(batch, texts)
    return writer.close()


class _SplitWriter:
    """A writer of the arrays and the Arrow file of a split, batch by batch."""

    def __init__(
        self,
        examples: Examples,
        *,
        columns: Mapping[str, LabelType],
        extra: Mapping[str, LabelType],
        tokenizer: PreTrainedTokenizerBase,
        directory: Path | None,
    ) -> None:
        schema, self._examples = examples.stored.schema, examples
        coded = {f"label:{name}" for name, type_ in columns.items() if is_coded(type_)}
        self._stored_names = [name for name in schema.names if name not in coded]
        stored_schema = pa.schema([schema.field(name) for name in self._stored_names])
        self.stored = ArrowBuffer(stored_schema, directory=directory, name=EXAMPLES)
        has_types = "pair" in schema.names and "token_type_ids" in tokenizer.model_input_names
        self._ids = RaggedWriter(directory, "ids")
        self._types = ArrayWriter(directory, "types", dtype=np.int8) if has_types else None
        self._words = _WordWriter(directory) if "words" in schema.names else None
        self._inputs = ArrayWriter(directory, "inputs", dtype=np.uint64)
        self._numbers = ArrayWriter(directory, "numbers", dtype=np.int64)
        self._numbers.append(examples.numbers)
        self._labels = {
            name: LabelColumnWriter(directory, f"label{i}", type=type_)
            for i, (name, type_) in enumerate(columns.items())
        }
        self._extra = {
            key: (type_, ArrayWriter(directory, f"extra{i}", dtype=np.bool_))
            for i, (key, type_) in enumerate(extra.items())
            if f"input:{key}" in schema.names
        }
        self._truncated = 0

    def append(self, batch: pa.RecordBatch, texts: TokenizedTexts) -> None:
        """Add a batch of examples and its tokens."""
        self.stored.write([batch[name] for name in self._stored_names])
        self._ids.append(texts.ids)
        self._inputs.append(hash_inputs(batch))
        self._truncated += int(texts.cut.sum())
        if self._types is not None and texts.types is not None:
            self._types.append(texts.types.values)
        if self._words is not None and texts.first_tokens is not None:
            self._words.append(batch["words"], texts.first_tokens)
        for name, label in self._labels.items():
            label.append(batch[f"label:{name}"])
        for key, (_, present) in self._extra.items():
            present.append(batch[f"input:{key}"].is_valid().to_numpy(zero_copy_only=False))

    def close(self) -> TokenizedSplit:
        """Return the whole split."""
        examples, ids = self._examples, self._ids.close()
        split = TokenizedSplit(
            ids=ids,
            types=Ragged(self._types.close(), ids.bounds) if self._types is not None else None,
            columns={name: label.close() for name, label in self._labels.items()},
            extra={key: ExtraInput(type_, present.close()) for key, (type_, present) in self._extra.items()},
            examples=self.stored.batches().memory_map(),
            numbers=self._numbers.close(),
            where=examples.where,
            separator=examples.separator,
            files=examples.files,
            missing_columns=examples.missing_columns,
            class_names=examples.class_names,
            skipped=examples.skipped,
            truncated=self._truncated,
            inputs=self._inputs.close(),
            tokens=digest_tokens(ids),
        )
        return split if self._words is None else self._words.add_to(split)


class _WordWriter:
    """A writer of what is known of the words of a split."""

    def __init__(self, directory: Path | None) -> None:
        self._first_tokens = RaggedWriter(directory, "first_tokens")
        self._first_token_counts = ArrayWriter(directory, "first_token_counts", dtype=np.int32)
        self._counts = WordCounts()

    def append(self, words: pa.Array, first_tokens: Ragged) -> None:
        """Add the words of a batch and their first tokens."""
        self._first_tokens.append(first_tokens)
        self._first_token_counts.append(_count_first_tokens(first_tokens))
        self._counts.add(row.as_py() for row in words)

    def add_to(self, split: TokenizedSplit) -> TokenizedSplit:
        """Return a split with its words."""
        return replace(
            split,
            first_tokens=self._first_tokens.close(),
            first_token_counts=self._first_token_counts.close(),
            word_counts=self._counts.counts,
        )


def _tokenize_batches(
    examples: Examples, *, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Iterator[tuple[pa.RecordBatch, TokenizedTexts]]:
    """Yield batches of examples with their tokens, in order."""
    start = 0
    for batch, future in submit_in_order(
        _batches(examples), lambda batch: _tokenize_batch(batch, tokenizer, max_length)
    ):
        yield _result(examples, tokenizer, batch, start, future)
        start += batch.num_rows


def submit_in_order(items: Iterable[T], function: Callable[[T], R]) -> Iterator[tuple[T, Future[R]]]:
    """Yield items with the future result of a function, in order; threads compute those of the following items.

    The tokenizer's Rust code releases Python's global lock. So the threads use all cores whatever
    ``TOKENIZERS_PARALLELISM`` is, and without a process that would have to be forked or started.
    """
    threads = min(_available_cores(), _MAX_THREADS)
    pending: deque[tuple[T, Future[R]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="tokenize") as pool:
        try:
            for item in items:
                pending.append((item, pool.submit(function, item)))
                if len(pending) > threads:
                    yield pending.popleft()
            while pending:
                yield pending.popleft()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _texts(batch: pa.RecordBatch) -> tuple[list[str], list[str] | None]:
    """Return the texts of a batch of examples, and the second text of each pair."""
    if "words" in batch.schema.names:
        return pc.binary_join(batch["words"], " ").to_pylist(), None
    return batch["text"].to_pylist(), batch["pair"].to_pylist() if "pair" in batch.schema.names else None


def _tokenize_batch(batch: pa.RecordBatch, tokenizer: PreTrainedTokenizerBase, max_length: int) -> TokenizedTexts:
    texts, pairs = _texts(batch)
    words = _word_spans(batch["words"]) if "words" in batch.schema.names else None
    return tokenize(tokenizer, texts, pairs=pairs, words=words, max_length=max_length)


def _result(
    examples: Examples,
    tokenizer: PreTrainedTokenizerBase,
    batch: pa.RecordBatch,
    start: int,
    future: Future[TokenizedTexts],
) -> tuple[pa.RecordBatch, TokenizedTexts]:
    """Return a batch and its tokens; RunError names the row for which the tokenizer fails."""
    try:
        return batch, future.result()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the tokenizer's Rust code is not an Exception
        texts, pairs = _texts(batch)
        rows = [(text,) for text in texts] if pairs is None else list(zip(texts, pairs, strict=True))
        failure = name_failing_row(error, tokenizer, rows, place=lambda row: examples.place(start + row))
        if failure is None:
            raise
        raise failure from error


def _word_spans(words: pa.Array) -> Spans:
    """Return where the words of each row are in the text that joins them with spaces."""
    bounds = np.zeros(len(words) + 1, dtype=np.int64)
    np.cumsum(pc.list_value_length(words).to_numpy(), out=bounds[1:])
    return Spans.joined(pc.utf8_length(words.flatten()).to_numpy().astype(np.int64), bounds)


def _batches(examples: Examples) -> Iterator[pa.RecordBatch]:
    """Yield all examples in order, in batches of limited rows and characters."""
    for batch in examples.batches(size=_ROWS_PER_BATCH):
        sizes = np.zeros(batch.num_rows, dtype=np.int64)
        for name in {"text", "pair", "words"} & set(batch.schema.names):
            texts = pc.binary_join(batch[name], " ") if name == "words" else batch[name]
            sizes += pc.utf8_length(texts).to_numpy()
        for start, end in greedy_length_batches(sizes.tolist(), limit=_CHARACTERS_PER_BATCH):
            yield batch.slice(start, end - start)


def _count_first_tokens(first_tokens: Ragged) -> NDArray[np.int32]:
    """Count the different tokens that are the first of a word in each row: one token may cover two words."""
    present = first_tokens.values != NO_TOKEN
    row = np.repeat(np.arange(len(first_tokens)), first_tokens.lengths)[present]
    tokens = first_tokens.values[present]
    stride = int(tokens.max(initial=0)) + 1
    return np.bincount(np.unique(row * stride + tokens) // stride, minlength=len(first_tokens)).astype(np.int32)
