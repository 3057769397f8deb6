"""Data report: lengths, label frequencies, baselines, and findings such as duplicates, leakage and label conflicts."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from nlpmtl.data import TokenizedSplit, without_truncation
from nlpmtl.data_report.findings import Finding, find_labels, find_rows, find_truncated
from nlpmtl.data_report.statistics import (
    Baseline,
    LabelFrequencies,
    SplitReport,
    count_labels,
    report_split,
    score_baselines,
    train_labels,
)
from nlpmtl.task_datasets import TaskDatasets

__all__ = ["Baseline", "DataReport", "Finding", "LabelFrequencies", "SplitReport", "examine"]


@dataclass(frozen=True)
class DataReport:
    """Statistics of the rows and labels of a run, and findings about them."""

    splits: tuple[SplitReport, ...]
    frequencies: tuple[LabelFrequencies, ...]
    baselines: tuple[Baseline, ...]
    findings: tuple[Finding, ...]


def examine(
    datasets: TaskDatasets, *, tokenizer: PreTrainedTokenizerBase, max_length: int, max_positions: int
) -> DataReport:
    """Examine the rows of a run.

    Args:
        datasets: its datasets with all splits, train first, and its tasks.
        tokenizer: the tokenizer of the encoder.
        max_length: the maximum number of tokens of a row.
        max_positions: the maximum number of tokens that the encoder reads.
    """
    by_dataset: dict[str, dict[str, TokenizedSplit]] = {}
    for split, rows_by_dataset in datasets.splits.items():
        for name, rows in rows_by_dataset.items():
            by_dataset.setdefault(name, {})[split] = rows
    unknown: int | None = tokenizer.unk_token_id
    counter, occurring = without_truncation(tokenizer), train_labels(datasets.splits["train"])
    splits = tuple(
        report_split(name, split, rows=rows, tokenizer=counter, train_labels=occurring)
        for name, rows_by_split in by_dataset.items()
        for split, rows in rows_by_split.items()
    )
    frequencies = tuple(counted for name, rows in by_dataset.items() for counted in count_labels(name, rows))
    # A source has any number of correct translations: for targets that are texts, different ones are not a conflict.
    conflicting = [task for task in datasets.tasks.values() if "text" not in task.columns.values()]
    findings = [
        *find_truncated(splits, max_length=max_length, max_positions=max_positions),
        *(
            finding
            for name, rows in by_dataset.items()
            for finding in find_rows(name, rows, conflicting=conflicting, unknown=unknown)
        ),
        *(finding for counted in frequencies for finding in find_labels(counted)),
    ]
    baselines: list[Baseline] = []
    for name in datasets.tasks:
        try:
            baselines += score_baselines(name, datasets)
        except Exception as error:  # a metric or task type from a plugin may raise anything
            dataset = next(dataset for dataset, rows in datasets.splits["train"].items() if name in rows.labels)
            problem = f"task {name!r}: its baselines cannot be scored: {type(error).__name__}: {error}"
            findings.append(Finding(dataset, problem, "correct its metrics, or its task type"))
    return DataReport(splits, frequencies, tuple(baselines), tuple(findings))
