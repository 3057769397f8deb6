"""`nlpmtl train`: train a model and print its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nlpmtl.cli.console import echo, is_main_process, print_scores, quiet_libraries
from nlpmtl.cli.options import Overrides, Run, check_files, parse_overrides
from nlpmtl.cli.progress import display_events


def train(
    run: Run,
    overrides: Overrides = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Run directory (default: `output` in the run file).")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume from the latest intact checkpoint.")] = False,
) -> None:
    """Train a model.

    Writes checkpoints, logs, scores and the model directory into the run directory, and prints the validation scores.
    """
    from nlpmtl.run_config import load_run

    config, recorded = load_run(run, output=output, resume=resume, overrides=parse_overrides(overrides))
    check_files(config)
    from nlpmtl.run import TrainResult, iter_train  # after the checks: this imports torch

    quiet_libraries()
    result = display_events(iter_train(config, output=output, resume=resume, overrides=recorded), ends=TrainResult)
    if is_main_process():
        if result.scores is None:
            echo("not evaluated: no dataset has a validation split")
        else:
            print_scores(result.scores)
        if result.skipped:
            echo(f"skipped {result.skipped} steps with a loss or gradient that is not finite (see metrics.jsonl)")
        echo(f"model: {result.model_dir}")
