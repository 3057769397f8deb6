"""The token sequences of a split whose task types define their own: equal ones of a row are stored once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data.arrays import ArrayWriter, RaggedWriter, memmap_array, memmap_ragged
from nlpmtl.data.example import TokenSequence
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.tokenized_split import TokenizedSplit

_STEM = "sequences"
_RAGGED = ("ids", "first_tokens", "word_ids", "offsets")


class SequenceArrays:
    """A writer of token sequences, some rows at a time: first one for each row of the split, then the others.

    Args:
        split: the rows, with one sequence for each.
        directory: where to write the arrays; None keeps them in memory.
    """

    def __init__(self, split: TokenizedSplit, directory: Path | None) -> None:
        self._split, self._directory = split, directory
        self._first, self._further = (_Writers(directory, name) for name in (_STEM, f"further_{_STEM}"))
        self._start, self._end = 0, len(split)
        self._of_rows: list[TokenSequence] = []
        self._others: list[TokenSequence] = []
        self._known: list[dict[tuple[bytes, bytes], list[int]]] = []

    def start(self, rows: int) -> None:
        """Start with the next rows."""
        self._start += len(self._of_rows)
        self._end += len(self._others)
        self._of_rows = [self._split.sequence(self._start + i) for i in range(rows)]
        self._others = []
        self._known = [{_key(sequence): [self._start + i]} for i, sequence in enumerate(self._of_rows)]

    def add(self, row: int, new: TokenSequence) -> int:
        """Return the index of a sequence of a row, which is added if the row has no equal one.

        Args:
            row: the row, counted from the first one since `start`.
            new: the sequence.
        """
        equal = self._known[row].setdefault(_key(new), [])
        for index in equal:
            if (merged := _merge(self.sequence(index), new)) is not None:
                self._set(index, merged)
                return index
        equal.append(self._end + len(self._others))
        self._others.append(new)
        return equal[-1]

    def sequence(self, index: int) -> TokenSequence:
        """Return a sequence of the rows since `start`."""
        return self._of_rows[index - self._start] if index < len(self._split) else self._others[index - self._end]

    def flush(self) -> None:
        """Write the sequences since `start`."""
        self._first.append(self._of_rows)
        self._further.append(self._others)

    def close(self) -> tuple[TokenizedSplit, dict[str, bool]]:
        """Return the split with all sequences, and what `read_sequences` needs to know."""
        further = self._further
        for name, writer in self._first.ragged.items():
            writer.append(further.ragged[name].close())
        for name, array in self._first.flat.items():
            array.append(further.flat[name].close())
        present = {name: self._first.present[name] or further.present[name] for name in self._first.present}
        further.remove(self._directory)
        ragged = {name: writer.close() for name, writer in self._first.ragged.items()}
        flat = {name: array.close() for name, array in self._first.flat.items()}
        return _with_arrays(self._split, ragged, flat, present), present

    def _set(self, index: int, sequence: TokenSequence) -> None:
        if index < len(self._split):
            self._of_rows[index - self._start] = sequence
        else:
            self._others[index - self._end] = sequence


def read_sequences(split: TokenizedSplit, directory: Path, present: Mapping[str, bool]) -> TokenizedSplit:
    """Return a split with the sequences that a `SequenceArrays` wrote.

    Raises:
        OSError, ValueError, KeyError: a file is missing or damaged.
    """
    ragged = {name: memmap_ragged(directory, f"{_STEM}.{name}") for name in _RAGGED}
    flat = {name: memmap_array(directory / f"{_STEM}.{name}.npy") for name in ("types", "windowed")}
    return _with_arrays(split, ragged, flat, present)


def _with_arrays(
    split: TokenizedSplit,
    ragged: Mapping[str, Ragged],
    flat: Mapping[str, NDArray[Any]],
    present: Mapping[str, bool],
) -> TokenizedSplit:
    offsets = ragged["offsets"]
    return replace(
        split,
        ids=ragged["ids"],
        types=Ragged(flat["types"], ragged["ids"].bounds) if present["types"] else None,
        first_tokens=ragged["first_tokens"] if present["words"] else None,
        word_ids=ragged["word_ids"] if present["words"] else None,
        windowed=flat["windowed"],
        offsets=Ragged(offsets.values.reshape(-1, 2), offsets.bounds // 2) if present["offsets"] else None,
    )


def _key(sequence: TokenSequence) -> tuple[bytes, bytes]:
    """Return what an encoder reads of a sequence."""
    types = sequence.type_ids
    return sequence.ids.tobytes(), b"" if types is None or not types.any() else types.tobytes()


def _merge(known: TokenSequence, new: TokenSequence) -> TokenSequence | None:
    """Return a sequence with the words and offsets of two with equal tokens; None if they have different ones."""
    same_words = _equal(known.words, new.words) and _equal(known.word_ids, new.word_ids)
    if known.words is not None and new.words is not None and not same_words:
        return None
    if known.offsets is not None and new.offsets is not None and not np.array_equal(known.offsets, new.offsets):
        return None
    if known.words is None and new.words is not None:
        known = replace(known, words=new.words, word_ids=new.word_ids)
    return known if known.offsets is not None or new.offsets is None else replace(known, offsets=new.offsets)


def _equal(left: NDArray[np.integer] | None, right: NDArray[np.integer] | None) -> bool:
    return left is right or (left is not None and right is not None and np.array_equal(left, right))


class _Writers:
    """Writers of the arrays of sequences."""

    def __init__(self, directory: Path | None, stem: str) -> None:
        self._stem = stem
        self.ragged = {name: RaggedWriter(directory, f"{stem}.{name}") for name in _RAGGED}
        self.flat = {
            "types": ArrayWriter(directory, f"{stem}.types", dtype=np.int8),
            "windowed": ArrayWriter(directory, f"{stem}.windowed", dtype=np.bool_),
        }
        self.present = {"types": False, "words": False, "offsets": False}

    def append(self, sequences: Sequence[TokenSequence]) -> None:
        """Add sequences."""
        if not sequences:
            return
        self.present["types"] |= any(sequence.type_ids is not None for sequence in sequences)
        self.present["words"] |= any(sequence.words is not None for sequence in sequences)
        self.present["offsets"] |= any(sequence.offsets is not None for sequence in sequences)
        self.ragged["ids"].append(_pack(sequence.ids for sequence in sequences))
        self.ragged["first_tokens"].append(_pack(sequence.words for sequence in sequences))
        self.ragged["word_ids"].append(_pack(sequence.word_ids for sequence in sequences))
        self.ragged["offsets"].append(
            _pack(None if s.offsets is None else np.asarray(s.offsets).reshape(-1) for s in sequences)
        )
        types = [np.zeros(len(s.ids), dtype=np.int8) if s.type_ids is None else s.type_ids for s in sequences]
        self.flat["types"].append(np.concatenate(types).astype(np.int8))
        self.flat["windowed"].append(np.array([sequence.word_ids is not None for sequence in sequences]))

    def remove(self, directory: Path | None) -> None:
        """Remove the files."""
        for path in [] if directory is None else directory.glob(f"{self._stem}.*"):
            path.unlink()


def _pack(rows: Iterable[NDArray[np.integer] | None]) -> Ragged:
    parts = [np.zeros(0, dtype=np.int32) if row is None else row for row in rows]
    bounds = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    return Ragged(np.concatenate(parts), bounds)
