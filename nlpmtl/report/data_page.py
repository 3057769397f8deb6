"""The page of a data report: findings, lengths, baselines and label frequencies."""

from __future__ import annotations

from collections.abc import Sequence

from nlpmtl.data_report import DataReport
from nlpmtl.report.template import render


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
    return render("data.html", name=name, summary=summary, data=data, max_length=max_length, notes=notes)
