"""`nlpmtl compare`: multi-task versus single-task training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nlpmtl.cli.console import echo, echo_json, print_table, quiet_libraries
from nlpmtl.cli.options import Json, Overrides, Run, check_files, parse_overrides
from nlpmtl.environment import is_main_process

if TYPE_CHECKING:
    from nlpmtl.comparison import CompareResult


def compare(
    run: Run,
    seeds: Annotated[
        int, typer.Option(metavar="N", min=1, help="Number of seeds, counting up from the run's `seed`.")
    ] = 3,
    overrides: Overrides = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Output directory (default: the run file's `output` plus -compared)."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare multi-task with single-task training.

    Trains a multi-task model and one model per task with several seeds, and reports which tasks improve, which get
    worse, and which differences are not significant. To continue an interrupted comparison, run the same command again.
    """
    from nlpmtl.run_config import load_config

    config = load_config(run, overrides=parse_overrides(overrides))
    check_files(config)
    from nlpmtl.comparison import CompareResult, iter_compare  # after the checks: this imports torch
    from nlpmtl.progress import display_events

    quiet_libraries()
    result = display_events(
        lambda show: iter_compare(config, seeds=seeds, output=output, on_progress=show), ends=CompareResult
    )
    if is_main_process():
        if as_json:
            echo_json(result.to_json(), indent=2)
        else:
            _print_result(result)


def _print_result(result: CompareResult) -> None:
    from nlpmtl.comparison.markdown import (
        BEST_COLUMNS,
        COST_COLUMNS,
        SCORE_COLUMNS,
        SELECTION_BIAS,
        best_rows,
        cost_rows,
        score_rows,
        tasks_by_verdict,
    )

    print_table(*SCORE_COLUMNS, rows=list(score_rows(result)), numbers=SCORE_COLUMNS[2:-1])
    echo("Scores of the selected checkpoints, and of each task's best evaluation")
    print_table(*BEST_COLUMNS, rows=list(best_rows(result)), numbers=BEST_COLUMNS[1:])
    echo("Time and size of all models")
    print_table(*COST_COLUMNS, rows=list(cost_rows(result)), numbers=COST_COLUMNS[1:])
    for note in result.notes:
        echo(note)
    echo(f"Note: {SELECTION_BIAS}")
    for verdict, tasks in tasks_by_verdict(result):
        echo(f"{verdict}: {', '.join(tasks) or '-'}")
    echo(f"report: {result.directory / 'compare.md'}")
