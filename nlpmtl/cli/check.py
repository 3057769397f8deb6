"""`nlpmtl check`: a dry run that prints statistics of the data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nlpmtl.cli.console import echo, print_table, quiet_libraries
from nlpmtl.cli.options import Overrides, Run, check_files, parse_overrides

if TYPE_CHECKING:
    from nlpmtl.data_report import DataReport
    from nlpmtl.preflight import CheckReport


def check(
    run: Run,
    overrides: Overrides = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Write the data report as an HTML page.", show_default=False),
    ] = None,
) -> None:
    """Check config and data without training.

    Validates the config, loads all data, reports duplicates, leakage, label conflicts and baselines, and computes the
    loss of a batch per task. Findings about the data are warnings: the exit status is 0.
    """
    from nlpmtl.config import check_writable
    from nlpmtl.data_checks import check_not_input
    from nlpmtl.run_config import load_config

    if html is not None:
        html = check_writable(html, key="--html", file=True)
    config = load_config(run, overrides=parse_overrides(overrides))
    if html is not None:
        check_not_input(html, key="--html", config=run, datasets=config.datasets)
    check_files(config)
    from nlpmtl.preflight import check as check_run  # after the checks: this imports torch

    quiet_libraries()
    report = check_run(config)
    _print_report(report)
    if html is not None:
        from nlpmtl.fs import write_atomic
        from nlpmtl.report import render_data_page

        name = Path(run).stem
        html.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(html, render_data_page(name, report.data, max_length=report.max_length, notes=report.notes))
        echo(f"data report: {html}")


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
    _print_labels(report.data)
    for note in report.notes:
        echo(note)
    for split in report.splits:
        for task_name, labels in split.unseen.items():
            echo(f"{split.dataset}, {split.split}: task {task_name!r}: no train row has {', '.join(labels)}")
    for finding in report.data.findings:
        echo(f"warning: {finding}")
    echo(f"Config and data are OK: {report.steps} steps")


def _print_labels(data: DataReport) -> None:
    """Print the most and the least frequent label of each task in train, and the scores of the baselines."""
    labels = []
    for counted in data.frequencies:
        counts = counted.counts.get("train", {})
        if not counts:
            continue
        total, order = counted.totals["train"], sorted(counts, key=lambda label: counts[label])
        first, last = (f"{label} {counts[label] / max(total, 1):.1%}" for label in (order[-1], order[0]))
        labels.append((counted.task, counted.dataset, f"{total} {counted.unit}", first, last))
    if labels or data.baselines:
        echo("Labels of train, and baselines: scores without reading the input")
    if labels:
        print_table("task", "dataset", "labelled", "most frequent", "least frequent", rows=labels)
    names = list(dict.fromkeys(name for baseline in data.baselines for name in baseline.values))
    scores = [
        (baseline.task, baseline.metric, *(_value(baseline.values, name) for name in names), baseline.split)
        for baseline in data.baselines
    ]
    if scores:
        print_table("task", "metric", *names, "split", rows=scores, numbers=names)


def _value(values: Mapping[str, float | None], name: str) -> str:
    value = values.get(name)
    return "" if name not in values else "undefined" if value is None else f"{value:.4f}"
