"""Tokenization of a split: examples to rows with token ids, batch by batch, on all cores."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nlpmtl.data.arrow_tables import TableWriter
from nlpmtl.data.batch import greedy_length_batches
from nlpmtl.data.examples import Examples
from nlpmtl.data.hashing import digest_tokens, hash_inputs
from nlpmtl.data.labels import LabelType
from nlpmtl.data.ragged import Ragged, row_bounds
from nlpmtl.data.token_store import TOKEN_COLUMNS
from nlpmtl.data.tokenization import TokenizedTexts, encode_untruncated, naming_failing_row, tokenize
from nlpmtl.data.tokenized_split import INPUT_HASH, METADATA, NUMBER, ROWS, TOKENS, WORD_TOKENS, TokenizedSplit
from nlpmtl.data.word_alignment import NO_TOKEN, Spans
from nlpmtl.data.word_counts import AT_MARKS, WordCounts
from nlpmtl.strict_json import dumps

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
        columns: type of each label column.
        tokenizer: a fast tokenizer.
        max_length: the maximum number of tokens of a row, special tokens included.
        directory: where to write the rows, which are then memory-mapped; default: in memory.
        extra: type of each further input, by key.

    Raises:
        DataError: the tokenizer fails for a row, for example with a panic of its Rust code.
        OSError: the files cannot be written.
    """
    row_columns, token_columns = _columns(examples, tokenizer)
    word_counts = WordCounts() if "words" in row_columns else None
    start = truncated = 0
    with (
        TableWriter(pa.schema(row_columns), None if directory is None else directory / ROWS) as row_writer,
        TableWriter(pa.schema(token_columns), None if directory is None else directory / TOKENS) as token_writer,
    ):
        for batch, texts in _tokenize_batches(examples, tokenizer=tokenizer, max_length=max_length):
            numbers = examples.numbers[start : start + batch.num_rows]
            values = _token_values(texts) | {NUMBER: pa.array(numbers), INPUT_HASH: pa.array(hash_inputs(batch))}
            row_writer.write(values[name] if name in values else batch[name] for name in row_columns)
            token_writer.write(values[name] for name in token_columns)
            start += batch.num_rows
            truncated += int(texts.cut.sum())
            if word_counts is not None:
                word_counts.add(row.as_py() for row in batch["words"])
    if word_counts is not None and examples.split_texts:
        word_counts.counts[AT_MARKS] = examples.split_texts
    rows, tokens = row_writer.table(), token_writer.table()
    metadata = {
        "columns": dict(columns),
        "extra": {key: type_ for key, type_ in (extra or {}).items() if f"input:{key}" in row_columns},
        "where": examples.where,
        "separator": examples.separator,
        "files": examples.files,
        "missing_columns": dict(examples.missing_columns),
        "class_names": {column: list(names) for column, names in examples.class_names.items()},
        "skipped": examples.skipped,
        "truncated": truncated,
        "token_digest": digest_tokens(tokens["input_ids"]),
        "word_counts": None if word_counts is None else dict(word_counts.counts),
    }
    if directory is not None:
        (directory / METADATA).write_text(dumps(metadata), encoding="utf-8")
    return TokenizedSplit.from_arrow(rows, tokens, metadata)


def _columns(
    examples: Examples, tokenizer: PreTrainedTokenizerBase
) -> tuple[dict[str, pa.DataType], dict[str, pa.DataType]]:
    """Return the columns of the rows, and those of their tokens."""
    rows = {field.name: field.type for field in examples.stored.schema} | {NUMBER: pa.int64(), INPUT_HASH: pa.uint64()}
    tokens = {"input_ids": TOKEN_COLUMNS["input_ids"]}
    if "pair" in rows and "token_type_ids" in tokenizer.model_input_names:
        tokens["token_type_ids"] = TOKEN_COLUMNS["token_type_ids"]
    if "words" in rows:
        tokens["first_tokens"] = TOKEN_COLUMNS["first_tokens"]
        rows[WORD_TOKENS] = pa.int32()
    return rows, tokens


def _token_values(texts: TokenizedTexts) -> dict[str, pa.Array]:
    """Return the columns of some rows that come from their tokens."""
    values = {"input_ids": texts.ids.to_arrow()}
    if texts.types is not None:
        values["token_type_ids"] = texts.types.to_arrow()
    if texts.first_tokens is not None:
        values["first_tokens"] = texts.first_tokens.to_arrow()
        values[WORD_TOKENS] = pa.array(_count_first_tokens(texts.first_tokens))
    return values


def _tokenize_batches(
    examples: Examples, *, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Iterator[tuple[pa.RecordBatch, TokenizedTexts]]:
    """Yield batches of examples with their tokens, in order."""
    start = 0
    for batch, future in submit_in_order(
        _batches(examples), lambda batch: _tokenize_batch(batch, tokenizer, max_length)
    ):
        with naming_failing_row(tokenizer, _located_texts(examples, batch, start)):
            texts = future.result()
        yield batch, texts
        start += batch.num_rows


def submit_in_order(items: Iterable[T], function: Callable[[T], R]) -> Iterator[tuple[T, Future[R]]]:
    """Yield each item with the future of its result, in order. Threads compute the results of the following items.

    The tokenizer's Rust code releases Python's global interpreter lock. Therefore the threads use all cores, whatever
    the value of ``TOKENIZERS_PARALLELISM``, and no process has to be forked or started.
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


def count_tokens(batch: pa.RecordBatch, tokenizer: PreTrainedTokenizerBase) -> NDArray[np.int64]:
    """Return the number of tokens of each example of a batch before truncation, special tokens included.

    Args:
        batch: the examples, with the columns of `Examples`.
        tokenizer: a fast tokenizer.
    """
    texts, pairs = _texts(batch)
    return np.array([max(1, len(row)) for row in encode_untruncated(tokenizer, texts, pairs=pairs)], dtype=np.int64)


def _tokenize_batch(batch: pa.RecordBatch, tokenizer: PreTrainedTokenizerBase, max_length: int) -> TokenizedTexts:
    texts, pairs = _texts(batch)
    words = _word_spans(batch["words"]) if "words" in batch.schema.names else None
    return tokenize(tokenizer, texts, pairs=pairs, words=words, max_length=max_length)


def _located_texts(examples: Examples, batch: pa.RecordBatch, start: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the location and the texts of each row of a batch, given the index of its first example."""
    texts, pairs = _texts(batch)
    rows = zip(texts) if pairs is None else zip(texts, pairs, strict=True)
    for index, row in enumerate(rows, start):
        yield examples.place(index), row


def _word_spans(words: pa.Array) -> Spans:
    """Return the spans of the words of each row in the text that joins them with spaces."""
    bounds = row_bounds(pc.list_value_length(words).to_numpy())
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
