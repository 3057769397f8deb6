"""Checked rows: from a dataset's config to canonical values, split by split."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nlpmtl.config.dataset import DataConfig, InputConfig
from nlpmtl.data.arrow_buffer import ArrowBatches
from nlpmtl.data.labels import LabelType
from nlpmtl.data.raw_rows import FilePart, MissingColumn, RawRows, place
from nlpmtl.data.source import SplitSource, find_splits
from nlpmtl.data.splitting import hold_out, subsample
from nlpmtl.data.validation import ValidationIssues, validate_rows
from nlpmtl.errors import ConfigError, DataError, did_you_mean


@dataclass(frozen=True, eq=False)
class Examples:
    """The rows of one split.

    Args:
        source: batches of rows: the input as ``text``, or ``text`` and ``pair``, or ``words``; each column of labels as
            ``label:<column>``, null where a row is unlabelled.
        where: how an error calls the source.
        mark: what stands between that and a row's number.
        numbers: each row's number in its source, ``[rows]``.
        class_names: the names of a column's labels in the source's order, where it has one.
        skipped: rows of the source that broke a rule and were left out.
        chosen: which rows of the batches these are, ascending; None for all.
        parts: the files, where there are several.
        absent: the columns of labels that are in no row.
    """

    source: ArrowBatches
    where: str
    mark: str
    numbers: NDArray[np.int64]
    class_names: Mapping[str, tuple[str, ...]]
    skipped: int = 0
    chosen: NDArray[np.int64] | None = None
    parts: tuple[FilePart, ...] = ()
    absent: Mapping[str, MissingColumn] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.numbers)

    def place(self, row: int) -> str:
        """Where a row stands in its source, such as ``data/train.jsonl:17`` or ``sst2: train, row 17`` (from 1)."""
        return place(int(self.numbers[row]), where=self.where, mark=self.mark, parts=self.parts)

    def select(self, indices: Sequence[int] | NDArray[np.int64]) -> Examples:
        """These rows alone; the indices ascend."""
        at = np.asarray(indices, dtype=np.int64)
        return replace(self, numbers=self.numbers[at], chosen=at if self.chosen is None else self.chosen[at])

    def batches(self, *, most: int) -> Iterator[pa.RecordBatch]:
        """All rows in order, at most so many at once."""
        end = 0
        for batch in self.source:
            start, end = end, end + batch.num_rows
            if self.chosen is not None:
                first, last = np.searchsorted(self.chosen, [start, end])
                batch = batch.take(pa.array(self.chosen[first:last] - start))
            for at in range(0, batch.num_rows, most):
                yield batch.slice(at, most)

    @property
    def table(self) -> pa.Table:
        """All rows at once, in memory."""
        return pa.Table.from_batches(self.batches(most=max(1, len(self))), self.source.schema)


@dataclass(frozen=True)
class DatasetReader:
    """The splits of a dataset, none of them read yet.

    Args:
        name: what messages call the dataset.
        data: where rows come from, and what a row that breaks a rule does.
        input: the shape of the input.
        columns: the columns of labels, and the shape of each; each must be in some row of train.
        limit: split = how many rows of it to use.
        sources: by our names.
        wanted: the splits that were asked for and exist.
    """

    name: str
    data: DataConfig
    input: InputConfig
    columns: Mapping[str, LabelType]
    limit: Mapping[str, int]
    sources: Mapping[str, SplitSource]
    wanted: tuple[str, ...]

    @property
    def share(self) -> float | None:
        """The share of train that becomes validation, where it does."""
        return None if "validation" in self.sources else self.data.validation

    def source_of(self, split: str) -> SplitSource:
        """Where the rows of a split come from."""
        return self.sources[split if split in self.sources else "train"]

    def read(self, splits: Collection[str], *, directory: Path | None = None) -> dict[str, Examples]:
        """Read and check the rows of some of the splits that are wanted.

        Args:
            splits: which.
            directory: where to keep checked rows, in files; default: in memory.

        Raises:
            ConfigError: a column is in no row.
            DataError: rows break a rule, with the places of the first; a source cannot be read or has no rows.
            OSError: the files cannot be written.
        """
        streams = {split: self.sources[split].open() for split in (s if s in self.sources else "train" for s in splits)}
        rows = self._check(streams, directory=directory)
        if self.share is not None and "train" in rows:
            rows["train"], rows["validation"] = _hold_out(rows["train"], share=self.share)
        limited = {split: subsample(len(rows[split]), limit=n) for split, n in self.limit.items() if split in splits}
        return {split: rows[split].select(limited[split]) if split in limited else rows[split] for split in splits}

    def _check(self, streams: Mapping[str, RawRows], *, directory: Path | None) -> dict[str, Examples]:
        problems = ValidationIssues()
        rows = {}
        for split, stream in streams.items():
            needed = [*self.input.columns, *self.columns] if split == "train" else self.input.columns
            found = validate_rows(
                stream, inputs=self.input, labels=self.columns, needed=needed, problems=problems, directory=directory
            )
            rows[split] = Examples(
                source=found.batches,
                where=stream.where,
                mark=stream.mark,
                parts=tuple(stream.parts),
                numbers=found.numbers,
                class_names=stream.class_names,
                skipped=found.broken,
                absent=found.absent,
            )
        if problems.total and self.data.on_bad_row == "stop":
            count = f"{problems.total} problem(s) in {problems.rows} row(s)"
            raise DataError(f'{self.name}: {count}:\n{problems}\n`data.on_bad_row = "skip"` leaves them out')
        for found_rows in rows.values():
            if not len(found_rows):
                left_out = f" is left: {found_rows.skipped} break a rule" if found_rows.skipped else ""
                raise DataError(f"{found_rows.where}: no row{left_out}")
        return rows


def open_reader(
    data: DataConfig,
    *,
    input: InputConfig,
    columns: Mapping[str, LabelType],
    limit: Mapping[str, int],
    name: str,
    splits: Collection[str] | None = None,
) -> DatasetReader:
    """The splits of a dataset; arguments as in `DatasetReader`, and those splits alone that are asked for, if any are.

    Raises:
        ConfigError: a limit is for no split, or a source is of no kind that can be read.
        DataError: the Hub does not have it, or cannot be reached.
    """
    sources = find_splits(data, inputs=input, columns=columns, name=name)
    share = None if "validation" in sources else data.validation
    if share is not None and "train" not in sources:
        raise ConfigError(f"{name}: `validation` is a share of train, and there is no train split")
    known = [*sources, "validation"] if share is not None else list(sources)
    for split in limit:
        if split not in known:
            raise ConfigError(f"{name}: a limit for {split!r}, which is no split; {did_you_mean(split, known)}")
    wanted = tuple(split for split in known if splits is None or split in splits)
    return DatasetReader(name, data, input, columns, limit, sources, wanted)


def _hold_out(rows: Examples, *, share: float) -> tuple[Examples, Examples]:
    kept, held = hold_out(len(rows), share=share)
    if not len(kept):
        raise DataError(f"{rows.where}: a share of {share} for validation leaves none of {len(rows)} rows to train on")
    return rows.select(kept), replace(rows.select(held), skipped=0)
