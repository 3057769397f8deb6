"""Checked rows: from a dataset's config to one table of canonical values for each split."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nlpmtl.config.dataset import DataConfig, InputConfig
from nlpmtl.data.check import Problems, check_rows
from nlpmtl.data.labels import Shape
from nlpmtl.data.source import find_splits
from nlpmtl.data.stream import Stream
from nlpmtl.data.subsets import first_rows, hold_out
from nlpmtl.errors import ConfigError, DataError, did_you_mean


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one split.

    Args:
        table: the input as ``text``, or ``text`` and ``pair``, or ``words``; each column of labels as
            ``label:<column>``, null where a row is unlabelled.
        where: how an error calls the source.
        mark: what stands between that and a row's number.
        numbers: each row's number in its source, ``[rows]``.
        class_names: the names of a column's labels in the source's order, where it has one.
        skipped: rows of the source that broke a rule and were left out.
    """

    table: pa.Table
    where: str
    mark: str
    numbers: NDArray[np.int64]
    class_names: Mapping[str, tuple[str, ...]]
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.numbers)

    def place(self, row: int) -> str:
        """Where a row stands in its source, such as ``data/train.jsonl:17`` or ``sst2: train, row 17`` (from 1)."""
        return f"{self.where}{self.mark}{self.numbers[row]}"

    def select(self, indices: Sequence[int] | NDArray[np.int64]) -> Rows:
        """These rows alone, in this order."""
        at = np.asarray(indices, dtype=np.int64)
        return replace(self, table=self.table.take(pa.array(at)), numbers=self.numbers[at])


def load_rows(
    data: DataConfig,
    *,
    input: InputConfig,
    columns: Mapping[str, Shape],
    limit: Mapping[str, int],
    name: str,
    splits: Collection[str] | None = None,
) -> dict[str, Rows]:
    """Read and check the rows of a dataset.

    Args:
        data: where rows come from, and what a row that breaks a rule does.
        input: the shape of the input.
        columns: the columns of labels, and the shape of each; each must be in some row of train.
        limit: split = how many rows of it to use.
        name: what messages call the dataset.
        splits: read only those of these that exist; left out: all.

    Returns:
        Our split name = its rows.

    Raises:
        ConfigError: a column is in no row, a limit is for no split, or a source is of no kind that can be read.
        DataError: rows that break a rule, with the places of the first; a source that cannot be read or has no rows.
    """
    sources = find_splits(data, inputs=input, columns=columns, name=name)
    share = None if "validation" in sources else data.validation
    if share is not None and "train" not in sources:
        raise ConfigError(f"{name}: `validation` is a share of train, and there is no train split")
    known = [*sources, "validation"] if share is not None else list(sources)
    for split in limit:
        if split not in known:
            raise ConfigError(f"{name}: a limit for {split!r}, which is no split; {did_you_mean(split, known)}")
    wanted = [split for split in known if splits is None or split in splits]
    streams = {split: sources[split]() for split in (s if s in sources else "train" for s in wanted)}
    rows = _read(streams, data=data, inputs=input, columns=columns, name=name)
    if share is not None and "train" in rows:
        rows["train"], rows["validation"] = _hold_out(rows["train"], share=share)
    return {s: rows[s].select(first_rows(len(rows[s]), limit=limit[s])) if s in limit else rows[s] for s in wanted}


def _read(
    streams: Mapping[str, Stream],
    *,
    data: DataConfig,
    inputs: InputConfig,
    columns: Mapping[str, Shape],
    name: str,
) -> dict[str, Rows]:
    problems = Problems()
    rows = {}
    for split, stream in streams.items():
        needed = [*inputs.columns, *columns] if split == "train" else inputs.columns
        found = check_rows(stream, inputs=inputs, labels=columns, needed=needed, problems=problems)
        rows[split] = Rows(
            table=found.table,
            where=stream.where,
            mark=stream.mark,
            numbers=found.numbers,
            class_names=stream.class_names,
            skipped=found.broken,
        )
    if problems.total and data.on_bad_row == "stop":
        count = f"{problems.total} problem(s) in {problems.rows} row(s)"
        raise DataError(f'{name}: {count}:\n{problems}\n`data.on_bad_row = "skip"` leaves them out')
    for found_rows in rows.values():
        if not len(found_rows):
            left_out = f" is left: {found_rows.skipped} break a rule" if found_rows.skipped else ""
            raise DataError(f"{found_rows.where}: no row{left_out}")
    return rows


def _hold_out(rows: Rows, *, share: float) -> tuple[Rows, Rows]:
    kept, held = hold_out(len(rows), share=share)
    if not len(kept):
        raise DataError(f"{rows.where}: a share of {share} for validation leaves none of {len(rows)} rows to train on")
    return rows.select(kept), replace(rows.select(held), skipped=0)
