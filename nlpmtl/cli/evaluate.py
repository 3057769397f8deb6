"""`nlpmtl evaluate`: score a model on labelled data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nlpmtl.cli.console import echo, echo_json, print_scores, quiet_libraries
from nlpmtl.cli.options import DeviceOption, DtypeOption, Json, Model, PluginsOption, Revision, check_model
from nlpmtl.plugins import import_plugins


def evaluate(
    model: Model,
    data: Annotated[
        str, typer.Option(metavar="RUN.toml|DATASET.toml", help="Run file or dataset file with the data to score on.")
    ],
    split: Annotated[str, typer.Option(metavar="NAME", help="Split to score.")] = "validation",
    revision: Revision = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = None,
    plugins: PluginsOption = None,
    errors: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Write the wrong rows to a CSV file.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a model on a labelled split.

    Prints every metric of every task, and the mean of the task scores.
    """
    from nlpmtl.config import check_writable
    from nlpmtl.data_checks import check_datasets
    from nlpmtl.run_config import load_datasets

    import_plugins(plugins or ())
    check_datasets(load_datasets(data), splits=[split], tasks=False)
    check_model(model)
    if errors is not None:
        errors = check_writable(errors, key="--errors", file=True)
    from nlpmtl.evaluate_saved import evaluate as score  # after the checks: this imports torch

    quiet_libraries()
    scores = score(
        model,
        data,
        split=split,
        revision=revision,
        device=device,
        dtype=dtype,
        plugins=plugins or (),
        errors=errors,
    )
    for note in scores.notes:
        echo(note, err=True)
    if as_json:
        echo_json({"split": split, **scores.to_json()}, indent=2)
    else:
        print_scores(scores)
