"""`nlpmtl check`: whether a run can start, and what its data look like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlpmtl.cli.console import check_toml, echo, print_table, quiet_libraries
from nlpmtl.cli.options import Overrides, Run

if TYPE_CHECKING:
    from nlpmtl.preflight import CheckReport


def check(
    run: Run,
    overrides: Overrides = None,
) -> None:
    """Check that a run can start; change nothing.

    The config is validated, the data are loaded, and one batch of every task is tried.
    """
    check_toml(run, overrides)
    from nlpmtl.config import parse_override
    from nlpmtl.preflight import check as check_run

    quiet_libraries()
    _print_report(check_run(run, overrides=dict(map(parse_override, overrides or ()))))


def _print_report(report: CheckReport) -> None:
    numbers = ["rows", "mean", "95 %", "longest", "cut"]
    rows = [
        (
            one.dataset,
            one.split,
            str(one.rows),
            ", ".join(f"{task} {many}" for task, many in one.labelled.items()),
            f"{one.mean:.1f}",
            str(one.percentile),
            str(one.longest),
            str(one.cut),
        )
        for one in report.splits
    ]
    echo(f"rows and their tokens; those longer than max_length = {report.max_length} are cut")
    print_table("dataset", "split", "rows", "labelled", *numbers[1:], rows=rows, numbers=numbers)
    echo("tasks, and the loss of the untrained model on a batch of their longest rows")
    tasks = [
        (one.name, one.kind, one.input, str(len(one.labels) or ""), str(one.rows), f"{one.loss:.4f}")
        for one in report.tasks
    ]
    numbers = ["labels", "rows tried", "loss"]
    print_table("task", "kind", "input", *numbers, rows=tasks, numbers=numbers)
    for note in report.notes:
        echo(note)
    for split in report.splits:
        for task, labels in split.unseen.items():
            echo(f"{split.dataset}, {split.split}: task {task!r}: no train row has {', '.join(labels)}")
    echo(f"this run can start: {report.steps} steps")
