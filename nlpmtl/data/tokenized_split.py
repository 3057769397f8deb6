"""Checked rows as flat arrays: tokenised, labels as codes; all of it that does not depend on what tasks learn."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from nlpmtl.data.arrays import ArrayWriter, RaggedWriter, memmap_array, memmap_ragged, open_regular_file
from nlpmtl.data.batching import greedy_length_batches
from nlpmtl.data.examples import Examples
from nlpmtl.data.hashing import Hashes, digest_tokens, hash_inputs
from nlpmtl.data.label_columns import ColumnWriter, LabelColumn
from nlpmtl.data.labels import LabelType
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.raw_rows import FilePart, MissingColumn, place
from nlpmtl.data.tokenization import TokenizedTexts, tokenize
from nlpmtl.data.tokenizer import find_failing_text
from nlpmtl.data.word_alignment import NO_TOKEN, Spans
from nlpmtl.data.word_splitting import WordCounts
from nlpmtl.errors import RunError
from nlpmtl.strict_json import dumps

_ROWS_AT_ONCE = 1000
_CHARACTERS_AT_ONCE = 400_000
_FACTS = "facts.json"


@dataclass(frozen=True, eq=False)
class TokenizedSplit:
    """A split, tokenised, its labels as the source has them.

    Args:
        ids: the tokens of each row, special tokens included.
        types: the segment of each token, where the encoder tells two texts apart by it.
        first_tokens: the first token of each word of each row, −1 for a word without tokens; None without words.
        placed: how many tokens are the first of a word in each row, ``[rows]``; None where input is not words.
        columns: the columns of labels.
        numbers: each row's number in its source, ``[rows]``.
        where: how an error calls the source.
        mark: what stands between that and a row's number.
        class_names: the names of a column's labels in the source's order, where it has one.
        skipped: rows of the source that broke a rule and were left out.
        cut: rows that were longer than the limit.
        inputs: a hash of each row's input, before it is tokenised or cut, ``[rows]``.
        tokens: a digest of the token ids of all rows.
        parts: the files of the source, where there are several.
        absent: the columns of labels that are in no row.
        word_counts: how the words are split; None where input is not words.
    """

    ids: Ragged
    types: Ragged | None
    first_tokens: Ragged | None
    first_token_counts: NDArray[np.int32] | None
    columns: Mapping[str, LabelColumn]
    numbers: NDArray[np.int64]
    where: str
    mark: str
    class_names: Mapping[str, tuple[str, ...]]
    skipped: int
    cut: int
    inputs: Hashes
    tokens: str
    parts: tuple[FilePart, ...] = ()
    absent: Mapping[str, MissingColumn] = field(default_factory=dict)
    word_counts: Mapping[str, int] | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def place(self, row: int) -> str:
        """Where a row stands in its source, for a person to find it."""
        return place(int(self.numbers[row]), where=self.where, mark=self.mark, parts=self.parts)

    def write_facts(self, directory: Path) -> None:
        """Write what is not in the arrays beside them, so that `read_tokenized_split` finds it."""
        facts = {
            "types": self.types is not None,
            "words": self.first_tokens is not None,
            "columns": {name: column.facts() for name, column in self.columns.items()},
            "where": self.where,
            "mark": self.mark,
            "parts": self.parts,
            "absent": dict(self.absent),
            "class_names": {column: list(names) for column, names in self.class_names.items()},
            "skipped": self.skipped,
            "cut": self.cut,
            "tokens": self.tokens,
            "word_counts": None if self.word_counts is None else dict(self.word_counts),
        }
        (directory / _FACTS).write_text(dumps(facts), encoding="utf-8")


def tokenize_split(
    rows: Examples,
    *,
    columns: Mapping[str, LabelType],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    directory: Path | None = None,
) -> TokenizedSplit:
    """Tokenise checked rows, batch by batch.

    Args:
        rows: the rows.
        columns: their columns of labels, and the shape of each.
        tokenizer: a fast one.
        max_length: of a row, in tokens.
        directory: where to write the arrays; they are then memory-mapped. Left out: in memory.

    Raises:
        RunError: the tokenizer fails for a row, such as by a panic of its Rust code.
        OSError: the files cannot be written.
    """
    pair, words = "pair" in rows.source.schema.names, "words" in rows.source.schema.names
    takes_types = pair and "token_type_ids" in tokenizer.model_input_names
    ids = RaggedWriter(directory, "ids")
    types = ArrayWriter(directory, "types", dtype=np.int8) if takes_types else None
    first_tokens = RaggedWriter(directory, "first_tokens") if words else None
    first_token_counts = ArrayWriter(directory, "placed", dtype=np.int32) if words else None
    labels = {
        name: ColumnWriter(directory, f"label{i}", shape=shape) for i, (name, shape) in enumerate(columns.items())
    }
    inputs = ArrayWriter(directory, "inputs", dtype=np.uint64)
    numbers = ArrayWriter(directory, "numbers", dtype=np.int64)
    numbers.append(rows.numbers)
    counts = WordCounts()
    cut = 0
    for batch, pieces in _pieces(rows, tokenizer=tokenizer, max_length=max_length):
        ids.append(pieces.ids)
        inputs.append(hash_inputs(batch))
        cut += int(pieces.cut.sum())
        if types is not None and pieces.types is not None:
            types.append(pieces.types.values)
        if first_tokens is not None and first_token_counts is not None and pieces.first_tokens is not None:
            first_tokens.append(pieces.first_tokens)
            first_token_counts.append(_count_places(pieces.first_tokens))
            counts.add(row.as_py() for row in batch["words"])
        for name, label in labels.items():
            label.append(batch[f"label:{name}"])
    whole = ids.close()
    return TokenizedSplit(
        ids=whole,
        types=Ragged(types.close(), whole.bounds) if types is not None else None,
        first_tokens=first_tokens.close() if first_tokens is not None else None,
        first_token_counts=first_token_counts.close() if first_token_counts is not None else None,
        columns={name: label.close() for name, label in labels.items()},
        numbers=numbers.close(),
        where=rows.where,
        mark=rows.mark,
        parts=rows.parts,
        absent=rows.absent,
        class_names=rows.class_names,
        skipped=rows.skipped,
        cut=cut,
        inputs=inputs.close(),
        tokens=digest_tokens(whole),
        word_counts=counts.counts if words else None,
    )


def read_tokenized_split(directory: Path) -> TokenizedSplit:
    """What `tokenize_split` and `TokenizedSplit.write_facts` wrote.

    Raises:
        OSError, ValueError, KeyError: something of it is missing or damaged.
    """
    with open_regular_file(directory / _FACTS) as file:
        facts = json.loads(file.read().decode("utf-8"))
    ids = memmap_ragged(directory, "ids")
    columns: dict[str, dict[str, Any]] = facts["columns"]
    return TokenizedSplit(
        ids=ids,
        types=Ragged(memmap_array(directory / "types.npy"), ids.bounds) if facts["types"] else None,
        first_tokens=memmap_ragged(directory, "first_tokens") if facts["words"] else None,
        first_token_counts=memmap_array(directory / "placed.npy") if facts["words"] else None,
        columns={
            name: LabelColumn.read(directory, f"label{i}", facts=own) for i, (name, own) in enumerate(columns.items())
        },
        numbers=memmap_array(directory / "numbers.npy"),
        where=facts["where"],
        mark=facts["mark"],
        parts=tuple(FilePart(*part) for part in facts["parts"]),
        absent={column: MissingColumn(*found) for column, found in facts["absent"].items()},
        class_names={column: tuple(names) for column, names in facts["class_names"].items()},
        skipped=facts["skipped"],
        cut=facts["cut"],
        inputs=memmap_array(directory / "inputs.npy"),
        tokens=facts["tokens"],
        word_counts=facts["word_counts"],
    )


def _pieces(
    rows: Examples, *, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Iterator[tuple[pa.RecordBatch, TokenizedTexts]]:
    done = 0
    for batch in _batches(rows):
        words = batch["words"] if "words" in batch.schema.names else None
        texts = (batch["text"] if words is None else pc.binary_join(words, " ")).to_pylist()
        pairs = batch["pair"].to_pylist() if words is None and "pair" in batch.schema.names else None
        try:
            pieces = tokenize(
                tokenizer, texts, pairs=pairs, words=None if words is None else _spans(words), max_length=max_length
            )
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of the tokenizer's Rust code is not an Exception
            failing = find_failing_text(
                tokenizer, [(text,) for text in texts] if pairs is None else list(zip(texts, pairs, strict=True))
            )
            if failing is None:
                raise
            raise RunError(
                f"{rows.place(done + failing)}: the encoder's tokenizer fails for this row "
                f"({type(error).__name__}: {error}); remove the row, or use an encoder with an intact tokenizer.json"
            ) from error
        yield batch, pieces
        done += batch.num_rows


def _spans(words: pa.Array) -> Spans:
    """Where the words of each row are in their text, in which a space joins them."""
    bounds = np.zeros(len(words) + 1, dtype=np.int64)
    np.cumsum(pc.list_value_length(words).to_numpy(), out=bounds[1:])
    return Spans.joined(pc.utf8_length(words.flatten()).to_numpy().astype(np.int64), bounds)


def _batches(rows: Examples) -> Iterator[pa.RecordBatch]:
    """All rows in order, as many at once as may be tokenised together: fewer of long texts, which take more memory."""
    for batch in rows.batches(most=_ROWS_AT_ONCE):
        sizes = np.zeros(batch.num_rows, dtype=np.int64)
        for name in {"text", "pair", "words"} & set(batch.schema.names):
            texts = pc.binary_join(batch[name], " ") if name == "words" else batch[name]
            sizes += pc.utf8_length(texts).to_numpy()
        for start, end in greedy_length_batches(sizes.tolist(), limit=_CHARACTERS_AT_ONCE):
            yield batch.slice(start, end - start)


def _count_places(first_tokens: Ragged) -> NDArray[np.int32]:
    """How many different tokens the words of each row begin with: a piece over two words is one."""
    first_token_counts = first_tokens.values != NO_TOKEN
    row, places = (
        np.repeat(np.arange(len(first_tokens)), first_tokens.lengths)[first_token_counts],
        first_tokens.values[first_token_counts],
    )
    apart = int(places.max(initial=0)) + 1
    return np.bincount(np.unique(row * apart + places) // apart, minlength=len(first_tokens)).astype(np.int32)
