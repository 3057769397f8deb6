"""`nlpmtl train`: a run, from its file to its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nlpmtl.cli.console import check_toml, echo, is_main_process, print_scores, quiet_libraries
from nlpmtl.cli.options import Overrides, Run
from nlpmtl.cli.progress import display_events


def train(
    run: Run,
    overrides: Overrides = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run's directory; left out: the run file's `output`.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest intact checkpoint.")] = False,
) -> None:
    """Train a model."""
    check_toml(run, overrides)
    from nlpmtl.config import parse_override
    from nlpmtl.run import TrainResult, iter_train, load_run

    quiet_libraries()
    given = dict(map(parse_override, overrides or ()))
    config, laid = load_run(run, output=output, resume=resume, overrides=given)
    result = display_events(iter_train(config, output=output, resume=resume, overrides=laid), ends=TrainResult)
    if is_main_process():
        if result.scores is None:
            echo("no dataset has a validation split: nothing was scored")
        else:
            print_scores(result.scores)
        if result.skipped:
            echo(f"left out: {result.skipped} steps, whose loss or gradient was not finite (see metrics.jsonl)")
        echo(f"model: {result.model_dir}")
