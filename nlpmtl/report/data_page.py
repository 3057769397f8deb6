"""The page of a data report: findings, lengths, baselines and label frequencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nlpmtl.data_report import DataReport, LabelFrequencies
from nlpmtl.report.template import render


@dataclass(frozen=True)
class _LabelRow:
    """A label: its frequency relative to the most frequent one, and its count and percentage in each split."""

    label: str
    fraction: float
    counts: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class _LabelTable:
    """The labels of a task in a dataset, with a column for each split; bars show those of the first split."""

    task: str
    dataset: str
    unit: str
    splits: tuple[str, ...]
    rows: tuple[_LabelRow, ...]

    @classmethod
    def from_frequencies(cls, frequencies: LabelFrequencies) -> _LabelTable:
        by_split = list(frequencies.counts.values())
        totals = [max(1, frequencies.totals[split]) for split in frequencies.counts]
        largest = max(1, *by_split[0].values()) if by_split[0] else 1
        rows = []
        for label in dict.fromkeys(label for counts in by_split for label in counts):
            label_counts = [counts.get(label, 0) for counts in by_split]
            counts = tuple((count, 100 * count / total) for count, total in zip(label_counts, totals, strict=True))
            rows.append(_LabelRow(label, label_counts[0] / largest, counts))
        return cls(frequencies.task, frequencies.dataset, frequencies.unit, tuple(frequencies.counts), tuple(rows))


def render_data_page(name: str, data: DataReport, *, max_length: int, notes: Sequence[str]) -> bytes:
    """Return the page in UTF-8.

    Args:
        name: name of the run file.
        data: the report.
        max_length: `encoder.max_length`.
        notes: remarks on the data.
    """
    rows = sum(split.rows for split in data.splits)
    datasets = len({split.dataset for split in data.splits})
    summary = f"{datasets} {'dataset' if datasets == 1 else 'datasets'}, {rows:,} rows"
    return render(
        "data.html",
        name=name,
        summary=summary,
        data=data,
        baseline_names=list(dict.fromkeys(name for baseline in data.baselines for name in baseline.values)),
        frequencies=[_LabelTable.from_frequencies(frequencies) for frequencies in data.frequencies],
        max_length=max_length,
        notes=notes,
    )
