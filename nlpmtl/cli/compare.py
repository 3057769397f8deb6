"""`nlpmtl compare`: the mixture beside each task alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nlpmtl.cli.console import check_toml, echo, echo_json, is_main_process, print_table, quiet_libraries
from nlpmtl.cli.options import Run
from nlpmtl.cli.progress import display_events

if TYPE_CHECKING:
    from nlpmtl.comparison import CompareResult


def compare(
    run: Run,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="How many seeds, from the run's own on.")] = 3,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key, such as train.lr=3e-5; as often as needed."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to write; default: the run file's `output` with -compared behind it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Train a mixture of tasks and each task alone, and compare them.

    What was broken off goes on when the same command is given again.
    """
    check_toml(run, overrides)
    from nlpmtl.comparison import CompareResult, iter_compare
    from nlpmtl.config import parse_override
    from nlpmtl.run import load_config

    quiet_libraries()
    config = load_config(run, overrides=dict(map(parse_override, overrides or ())))
    result = display_events(iter_compare(config, seeds=seeds, output=output), ends=CompareResult)
    if is_main_process():
        if as_json:
            echo_json(result.to_json(), indent=2)
        else:
            _print_result(result)


def _print_result(result: CompareResult) -> None:
    from nlpmtl.comparison.markdown import BEST, CHOSEN, COSTS, SCORES, best_rows, cost_rows, score_rows, verdicts

    print_table(*SCORES, rows=list(score_rows(result)), numbers=SCORES[1:-1])
    echo("each task at its best evaluation, beside the models that were kept")
    print_table(*BEST, rows=list(best_rows(result)), numbers=BEST[1:])
    print_table(*COSTS, rows=list(cost_rows(result)), numbers=COSTS[1:])
    for note in result.notes:
        echo(note)
    echo(CHOSEN)
    for verdict, tasks in verdicts(result):
        echo(f"{verdict}: {', '.join(tasks) or 'none'}")
    echo(f"report: {result.directory / 'compare.md'}")
