"""`nlpmtl evaluate`: score a model on labelled data."""

from __future__ import annotations

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
    as_json: Json = False,
) -> None:
    """Score a model on a labelled split.

    Prints every metric of every task, and the mean of the task scores.
    """
    from nlpmtl.data_checks import check_datasets
    from nlpmtl.run_config import load_datasets

    import_plugins(plugins or ())
    check_datasets(load_datasets(data), splits=[split], tasks=False)
    check_model(model)
    from nlpmtl.evaluate_saved import evaluate as score  # after the checks: this imports torch

    quiet_libraries()
    scores = score(model, data, split=split, revision=revision, device=device, dtype=dtype, plugins=plugins or ())
    for note in scores.notes:
        echo(note, err=True)
    if as_json:
        echo_json({"split": split, **scores.to_json()}, indent=2)
    else:
        print_scores(scores)
