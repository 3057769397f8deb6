"""`nlpmtl submit`: GLUE's test sets, answered for its server."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nlpmtl.cli.console import echo, print_table, quiet_libraries, report_device
from nlpmtl.cli.options import DeviceOption, DtypeOption, PluginsOption, Revision
from nlpmtl.errors import ConfigError


class Fill(StrEnum):
    """What stands in the files of tasks that the model lacks."""

    majority = "majority"
    zeros = "zeros"


def submit(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model directory, or a Hub id.")],
    output: Annotated[Path, typer.Option(metavar="F.zip", help="Where to write the zip.")],
    fill: Annotated[
        Fill | None,
        typer.Option(
            metavar="majority|zeros",
            help="Answer tasks that the model lacks with the most frequent label of train, or the first label.",
        ),
    ] = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = None,
    plugins: PluginsOption = None,
    revision: Revision = None,
) -> None:
    """Answer GLUE's test sets, from the Hub, and write the zip that its server takes."""
    from nlpmtl.config import check_writable

    if output.suffix != ".zip":
        raise ConfigError(f"--output {output}: GLUE's server takes a zip, so the name ends in .zip")
    check_writable(output, key="--output", file=True)
    from nlpmtl import glue
    from nlpmtl.inference.predictor import Predictor

    quiet_libraries()
    predictor = Predictor.from_pretrained(model, revision=revision, device=device, dtype=dtype, plugins=plugins or ())
    report_device(predictor.model)
    done = []
    for one in glue.submit(predictor, output, fill=None if fill is None else fill.value):
        echo(f"{one.file}: {one.rows} rows", err=True)
        done.append((one.file, one.task, str(one.rows), "the model" if one.filled is None else f"always {one.filled}"))
    print_table("file", "task", "rows", "answered by", rows=done, numbers=("rows",))
    echo(f"{output}: {len(done)} files")
