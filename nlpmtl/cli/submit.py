"""`nlpmtl submit`: predictions for GLUE's test sets, as a zip for its server."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nlpmtl.cli.console import echo, print_table
from nlpmtl.cli.options import DeviceOption, DtypeOption, Model, PluginsOption, Revision, load_predictor
from nlpmtl.errors import ConfigError


class Fill(StrEnum):
    """Constant prediction for tasks that the model lacks."""

    majority = "majority"
    zeros = "zeros"


def submit(
    model: Model,
    output: Annotated[Path, typer.Option(metavar="F.zip", help="Zip file to write.")],
    fill: Annotated[
        Fill | None,
        typer.Option(
            metavar="majority|zeros",
            help="Prediction for tasks that the model lacks: the majority label of train, or the first label "
            "(default: an error).",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = None,
    plugins: PluginsOption = None,
    revision: Revision = None,
) -> None:
    """Predict GLUE's test sets, as a zip for its server.

    The test sets are loaded from the Hub.
    """
    from nlpmtl.config import check_writable

    if output.suffix != ".zip":
        raise ConfigError(f"--output {output}: GLUE's server takes a zip file: the name must end in .zip")
    output = check_writable(output, key="--output", file=True)
    from nlpmtl import glue

    predictor = load_predictor(model, revision=revision, device=device, dtype=dtype, plugins=plugins)
    rows = []
    for file in glue.submit(predictor, output, fill=None if fill is None else fill.value):
        echo(f"{file.file}: {file.rows} rows", err=True)
        rows.append((file.file, file.task, str(file.rows), "model" if file.filled is None else f"always {file.filled}"))
    print_table("file", "task", "rows", "predictions", rows=rows, numbers=("rows",))
    echo(f"{output}: {len(rows)} files")
