"""Reading a dataset: open its splits, validate their rows, hold out a validation split, apply limits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nlpmtl.config.dataset import FORMAT_KEYS, DataConfig, InputConfig
from nlpmtl.config.dataset_texts import TextsConfig
from nlpmtl.data.examples import Examples
from nlpmtl.data.labels import LabelType
from nlpmtl.data.raw_rows import NumberedRows, RawRows
from nlpmtl.data.source import SplitSource, find_splits
from nlpmtl.data.splitting import hold_out, subsample
from nlpmtl.data.validation import ParseContext, ValidationIssues, validate_rows
from nlpmtl.errors import ConfigError, DataError, did_you_mean
from nlpmtl.strict_json import dumps

_ROWS_PER_BATCH = 1000


@dataclass(frozen=True)
class DatasetReader:
    """The splits of a dataset, before any of them is read.

    Args:
        name: the dataset's name in messages.
        data: source of the rows, and handling of invalid rows.
        input: the columns of the input.
        columns: type of each label column. Each column must be in some row of the train split.
        limit: maximum number of rows of each split.
        sources: source of each split.
        splits: the requested splits that exist.
        context: further column types, dependencies and optional columns.
    """

    name: str
    data: DataConfig
    input: InputConfig
    columns: Mapping[str, LabelType]
    limit: Mapping[str, int]
    sources: Mapping[str, SplitSource]
    splits: tuple[str, ...]
    context: ParseContext = field(default_factory=ParseContext)

    @property
    def validation_fraction(self) -> float | None:
        """Fraction of train that is held out for validation; None: nothing is held out."""
        return None if "validation" in self.sources else self.data.validation

    def source_of(self, split: str) -> SplitSource:
        """Return the source of a split; a held-out validation split is read from train."""
        return self.sources[split if split in self.sources else "train"]

    def required_columns(self, split: str) -> list[str]:
        """Return the columns that must occur in a split: the input columns, and for train also the label columns."""
        columns = [*self.input.columns, *self.columns] if split == "train" else self.input.columns
        return [column for column in columns if column not in self.context.optional]

    def read(self, splits: Collection[str], *, directory: Path | None = None) -> dict[str, Examples]:
        """Read and validate some of the splits.

        Args:
            splits: the names of the splits.
            directory: where to store the examples in files; default: in memory.

        Raises:
            ConfigError: a column is missing.
            DataError: rows are invalid (the first ones are listed), or a source cannot be read or has no rows.
            OSError: the files cannot be written.
        """
        names = dict.fromkeys(split if split in self.sources else "train" for split in splits)
        examples = self._validate(list(names), directory=directory)
        if self.validation_fraction is not None and "train" in examples:
            examples["train"], examples["validation"] = _hold_out(examples["train"], fraction=self.validation_fraction)
        for split, limit in self.limit.items():
            if split in splits:
                examples[split] = examples[split].select(subsample(len(examples[split]), limit=limit))
        return {split: examples[split] for split in splits}

    def _validate(self, splits: Collection[str], *, directory: Path | None) -> dict[str, Examples]:
        issues = ValidationIssues()
        opened = {split: self.sources[split].open() for split in splits}
        examples = {
            split: validate_rows(
                rows,
                inputs=self.input,
                labels=self.columns,
                required=self.required_columns(split),
                issues=issues,
                directory=directory,
                context=self.context,
            )
            for split, rows in opened.items()
        }
        if issues.total and self.data.on_bad_row == "stop":
            count = f"{issues.total} problem(s) in {issues.rows} row(s)"
            total = sum(len(rows) + rows.skipped for rows in examples.values() if rows.skipped)
            affected = f"{issues.rows:,} of {total:,}, {issues.rows / total:.1%}"
            raise DataError(
                f'{self.name}: {count}:\n{issues}\nto drop these rows ({affected}), set data.on_bad_row = "skip"'
            )
        for split_examples in examples.values():
            if not len(split_examples):
                skipped = split_examples.skipped
                reason = f"no valid rows: all {skipped} are invalid" if skipped else "no rows"
                raise DataError(f"{split_examples.where}: {reason}")
        return examples


def open_reader(
    data: DataConfig,
    *,
    input: InputConfig,
    columns: Mapping[str, LabelType],
    limit: Mapping[str, int],
    name: str,
    splits: Collection[str] | None = None,
    context: ParseContext | None = None,
) -> DatasetReader:
    """Find the splits of a dataset. Takes the arguments of `DatasetReader`, and the requested splits (default: all).

    Raises:
        ConfigError: a limit is for an unknown split, or a source has an unsupported type.
        DataError: the dataset is not on the Hub, or the Hub cannot be reached.
    """
    if isinstance(data, TextsConfig):
        sources = _find_text_splits(data, name=name)
    else:
        sources = find_splits(data, inputs=input, columns=columns, name=name)
    holds_out = "validation" not in sources and data.validation is not None
    if holds_out and "train" not in sources:
        raise ConfigError(f"{name}: `validation` is a fraction of the train split, which is missing")
    known = [*sources, "validation"] if holds_out else list(sources)
    for split in limit:
        if split not in known:
            raise ConfigError(f"{name}: unknown split {split!r} in `limit`; {did_you_mean(split, known)}")
    requested = tuple(split for split in known if splits is None or split in splits)
    return DatasetReader(name, data, input, columns, limit, sources, requested, context or ParseContext())


def _find_text_splits(data: TextsConfig, *, name: str) -> dict[str, SplitSource]:
    """Return the sources of the splits that consist of the texts of other datasets, as these read them."""
    readers = [
        open_reader(
            texts.data, input=texts.input, columns={}, limit=texts.limit, name=f"{name}: texts of {texts.dataset}"
        )
        for texts in data.texts
    ]
    readers_by_split: dict[str, list[DatasetReader]] = {}
    for reader in readers:
        for split in reader.splits:
            readers_by_split.setdefault(split, []).append(reader)
    return {
        split: SplitSource(
            partial(_open_texts, with_split, split, where=f"{name}: {split}"),
            partial(_fingerprint_texts, with_split, split),
        )
        for split, with_split in readers_by_split.items()
    }


def _open_texts(readers: Sequence[DatasetReader], split: str, *, where: str) -> RawRows:
    return RawRows(where, ", row ", _read_texts(readers, split), columns=["text"], uniform=True)


def _read_texts(readers: Sequence[DatasetReader], split: str) -> NumberedRows:
    """Yield a row for each text of a split of several datasets; each text of a pair is a row."""
    number = 0
    for reader in readers:
        with TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            examples = reader.read([split], directory=Path(scratch))[split]
        for batch in examples.batches(size=_ROWS_PER_BATCH):
            for row in batch.to_pylist():
                texts = [" ".join(row["words"])] if "words" in row else [row["text"], row.get("pair")]
                for text in texts:
                    if text is not None:
                        number += 1
                        yield number, {"text": text}


def _fingerprint_texts(readers: Sequence[DatasetReader], split: str) -> str | None:
    """Return a fingerprint of all that the texts depend on; None if the rows of a dataset may change unnoticed."""
    parts: list[Any] = []
    for reader in readers:
        fingerprint = reader.source_of(split).fingerprint()
        if fingerprint is None:
            return None
        settings = reader.data.model_dump(include={*FORMAT_KEYS, "on_bad_row"}, mode="json")
        parts.append(
            [fingerprint, reader.validation_fraction, reader.limit.get(split), reader.input.model_dump(), settings]
        )
    return dumps(parts)


def _hold_out(examples: Examples, *, fraction: float) -> tuple[Examples, Examples]:
    kept, held = hold_out(len(examples), fraction=fraction)
    if not len(kept):
        count = f"{fraction} of {len(examples)} rows"
        raise DataError(f"{examples.where}: holding out {count} for validation leaves no rows to train on")
    return examples.select(kept), replace(examples.select(held), skipped=0)
