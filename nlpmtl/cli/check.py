"""`nlpmtl check`: a dry run that prints statistics of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlpmtl.cli.console import echo, print_table, quiet_libraries
from nlpmtl.cli.options import Overrides, Run, check_files, parse_overrides

if TYPE_CHECKING:
    from nlpmtl.preflight import CheckReport


def check(run: Run, overrides: Overrides = None) -> None:
    """Check config and data without training.

    Validates the config, loads all data, computes the loss of one batch per task, and writes nothing.
    """
    from nlpmtl.run_config import load_config

    config = load_config(run, overrides=parse_overrides(overrides))
    check_files(config)
    from nlpmtl.preflight import check as check_run  # after the checks: this imports torch

    quiet_libraries()
    _print_report(check_run(config))


def _print_report(report: CheckReport) -> None:
    numbers = ["rows", "mean tokens", "p95", "max", "truncated"]
    rows = [
        (
            split.dataset,
            split.split,
            str(split.rows),
            ", ".join(f"{task} {count}" for task, count in split.labelled.items()),
            f"{split.mean:.1f}",
            str(split.percentile),
            str(split.longest),
            str(split.cut),
        )
        for split in report.splits
    ]
    echo(f"Tokens per row, before truncation at max_length = {report.max_length}")
    print_table("dataset", "split", "rows", "labelled", *numbers[1:], rows=rows, numbers=numbers)
    echo("Tasks, with the loss of the untrained model on a batch of the longest rows")
    tasks = [
        (task.name, task.kind, task.input, str(len(task.labels) or ""), str(task.rows), f"{task.loss:.4f}")
        for task in report.tasks
    ]
    numbers = ["labels", "batch rows", "loss"]
    print_table("task", "kind", "input", *numbers, rows=tasks, numbers=numbers)
    for note in report.notes:
        echo(note)
    for split in report.splits:
        for task_name, labels in split.unseen.items():
            echo(f"{split.dataset}, {split.split}: task {task_name!r}: no train row has {', '.join(labels)}")
    echo(f"Config and data are OK: {report.steps} steps")
