"""Row hashes: 64 bits for the input of each row, the same in every process and on every platform."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nlpmtl.data.ragged import row_bounds
from nlpmtl.strict_json import dumps

Hashes = NDArray[np.uint64]

_ROWS_PER_PART = 65_536
_TEXT, _PAIR, _WORDS = (np.uint64(number) for number in (1, 2, 3))
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)


def hash_inputs(batch: pa.RecordBatch) -> Hashes:
    """Hash the inputs of each example of a batch, ``[rows]``: text, text pair or words, and further inputs."""
    hashes = _hash_texts(batch)
    for name in batch.schema.names:
        if name.startswith("input:"):
            values = hash_strings(dumps(value) for value in batch[name].to_pylist())
            hashes = mix(mix(hashes + hash_strings([name])) + values)
    return hashes


def _hash_texts(batch: pa.RecordBatch) -> Hashes:
    if "words" in batch.schema.names:
        words = batch["words"]
        bounds = row_bounds(pc.list_value_length(words).to_numpy())
        return mix(combine(hash_strings(words.flatten().to_pylist()), bounds, ordered=True) + _WORDS)
    text = hash_strings(batch["text"].to_pylist())
    if "pair" not in batch.schema.names:
        return mix(text + _TEXT)
    return mix(mix(text + _PAIR) + hash_strings(batch["pair"].to_pylist()))


def digest_tokens(ids: pa.ChunkedArray) -> str:
    """Return a digest of the token ids of all rows, which are lists."""
    digest = hashlib.sha256(pc.list_value_length(ids).to_numpy().astype("<i8").tobytes())
    for chunk in ids.chunks:
        digest.update(chunk.flatten().to_numpy().astype("<i4").tobytes())
    return digest.hexdigest()


def hash_strings(strings: Iterable[str]) -> Hashes:
    """Hash each string, ``[strings]``."""
    digests = (hashlib.blake2b(text.encode(), digest_size=8).digest() for text in strings)
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def combine(items: Hashes, bounds: NDArray[np.int64], *, ordered: bool) -> Hashes:
    """Combine the hashes of the items of each row, ``[rows]``."""
    lengths = np.diff(bounds)
    if ordered:
        positions = np.arange(len(items)) - bounds[:-1].repeat(lengths)
        items = items + mix(positions.astype(np.uint64) + _STEP)
    sums = np.zeros(len(items) + 1, dtype=np.uint64)
    np.cumsum(mix(items), out=sums[1:])
    return mix(sums[bounds[1:]] - sums[bounds[:-1]] + lengths.astype(np.uint64) + _STEP)


def mix(values: NDArray[Any]) -> Hashes:
    """Apply the finalizer of SplitMix64 (Steele et al., 2014) to each number."""
    mixed = np.asarray(values, dtype=np.uint64)
    mixed = (mixed ^ (mixed >> _SHIFTS[0])) * _FACTORS[0]
    mixed = (mixed ^ (mixed >> _SHIFTS[1])) * _FACTORS[1]
    return mixed ^ (mixed >> _SHIFTS[2])


def parts(rows: int) -> Iterator[slice]:
    """Yield slices of rows that bound the memory of computations on them."""
    for start in range(0, rows, _ROWS_PER_PART):
        yield slice(start, min(start + _ROWS_PER_PART, rows))
