"""`nlpmtl train`: train a model and print its scores."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from nlpmtl.cli.console import echo, print_scores, quiet_libraries
from nlpmtl.cli.options import Overrides, Run, check_files, parse_overrides
from nlpmtl.environment import has_several_processes, is_main_process
from nlpmtl.errors import StoppedError


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
    from nlpmtl.config import check_output
    from nlpmtl.run_config import load_run

    if output is not None:
        output = check_output(output, key="--output")
    given = parse_overrides(overrides)
    config, recorded = load_run(run, output=output, resume=resume, overrides=given)
    check_files(config)
    from nlpmtl.progress import display_events
    from nlpmtl.run import TrainResult, run_events  # after the checks: this imports torch

    quiet_libraries()
    try:
        result = display_events(
            lambda show: run_events(config, output=output, resume=resume, overrides=recorded, on_progress=show),
            ends=TrainResult,
        )
    except (KeyboardInterrupt, StoppedError):
        if is_main_process():
            other = config.output if output is None and "output" in given else output
            _print_resume_command(run, output=other, directory=output or config.output)
        raise
    if is_main_process():
        if result.scores is None:
            echo("not evaluated: no dataset has a validation split")
        else:
            print_scores(result.scores)
        if result.skipped:
            echo(f"skipped {result.skipped} steps with a loss or gradient that is not finite (see metrics.jsonl)")
        echo(f"model: {result.model_dir}")


def _print_resume_command(run: str, *, output: Path | None, directory: Path | None) -> None:
    """Print the command that resumes a stopped run, if it has started; run.json holds the other overrides.

    Without a checkpoint, the command starts from the first step.

    Args:
        run: the run file.
        output: the directory of the run, if that is not the one in the run file.
        directory: the directory of the run.
    """
    if directory is None or not (directory / "run.json").exists():
        return
    arguments = ["nlpmtl", "train", run, *(["--output", str(output)] if output is not None else []), "--resume"]
    launched = " (with the same launcher)" if has_several_processes() else ""
    echo(f"to resume{launched}: {shlex.join(arguments)}", err=True)
