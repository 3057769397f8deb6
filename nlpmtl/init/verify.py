"""Verification of a proposal: the rows that were looked at are read as training will read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from nlpmtl.config import DatasetConfig, parse_dataset
from nlpmtl.data.dataset_reader import open_reader
from nlpmtl.data.validation import ValidationIssues, validate_rows
from nlpmtl.init.sample import MAX_ROWS
from nlpmtl.tasks import label_shapes, parse_context

_MAX_SKIPPED = 0.01
"""Maximum fraction of invalid rows that are skipped without a question."""


@dataclass(frozen=True)
class Verdict:
    """The invalid rows among those that were looked at.

    Args:
        rows: number of rows of all splits.
        bad: number of invalid rows.
        problems: the first problems, each with its place.
    """

    rows: int
    bad: int
    problems: str

    @property
    def skip(self) -> bool:
        """Whether the invalid rows are few enough to be skipped."""
        return 0 < self.bad < _MAX_SKIPPED * self.rows

    def __str__(self) -> str:
        return f"{self.bad:,} of {self.rows:,} rows are invalid ({self.bad / max(1, self.rows):.1%})"


def verify(tables: Mapping[str, Any], *, name: str) -> Verdict:
    """Validate the first rows of every split of a dataset.

    Args:
        tables: the tables of a dataset file, with paths relative to the working directory.
        name: name of the dataset.

    Raises:
        ConfigError: the tables are invalid, or a split has no column that is needed.
        DataError: a file cannot be read.
    """
    config: DatasetConfig = parse_dataset(tables, where=name)
    reader = open_reader(
        config.data,
        input=config.input,
        columns=label_shapes(name, config),
        limit={},
        name=name,
        context=parse_context(name, config),
    )
    issues, valid = ValidationIssues(), 0
    for split, source in reader.sources.items():
        opened = source.open()
        examples = validate_rows(
            replace(opened, rows=islice(opened.rows, MAX_ROWS)),
            inputs=reader.input,
            labels=reader.columns,
            required=reader.required_columns(split),
            issues=issues,
            context=reader.context,
        )
        valid += len(examples)
    return Verdict(valid + issues.rows, issues.rows, str(issues))
