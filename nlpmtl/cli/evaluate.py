"""`nlpmtl evaluate`: what a model scores."""

from __future__ import annotations

from typing import Annotated

import typer

from nlpmtl.cli.console import check_toml, echo, echo_json, print_scores, quiet_libraries
from nlpmtl.cli.options import DeviceOption, DtypeOption, PluginsOption, Revision


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model directory, or a Hub id.")],
    data: Annotated[str, typer.Option(metavar="RUN.toml|DATASET.toml", help="Where the rows come from.")],
    split: Annotated[str, typer.Option(help="Which rows.")] = "validation",
    revision: Revision = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = None,
    plugins: PluginsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Score a model on a split of labelled rows."""
    check_toml(data)
    from nlpmtl.evaluate_saved import evaluate as score

    quiet_libraries()
    scores = score(model, data, split=split, revision=revision, device=device, dtype=dtype, plugins=plugins or ())
    for note in scores.notes:
        echo(note, err=True)
    if as_json:
        echo_json({"split": split, **scores.to_json()}, indent=2)
    else:
        print_scores(scores)
