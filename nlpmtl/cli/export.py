"""`nlpmtl export`: a model for those who have no nlpmtl."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nlpmtl.cli.console import echo, quiet_libraries, report_device
from nlpmtl.cli.options import DeviceOption, DtypeOption, PluginsOption, Revision
from nlpmtl.errors import ConfigError

EXPORTS = ("transformers", "onnx")
"""The formats of `Predictor.export`, named without loading it."""


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model directory, or a Hub id.")],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where to; it must not exist, or be empty.")],
    to: Annotated[
        str, typer.Option(metavar="transformers|onnx", help="A stock model of one task, or ONNX.")
    ] = "transformers",
    task: Annotated[
        list[str] | None, typer.Option(help="Which task; for ONNX as often as needed; default: all of the model.")
    ] = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = None,
    plugins: PluginsOption = None,
    revision: Revision = None,
) -> None:
    """Write a model for use without nlpmtl, and compare its logits."""
    from nlpmtl.config import check_new_directory

    if to not in EXPORTS:
        raise ConfigError(f"a model is exported to {' or to '.join(EXPORTS)}, not to {to!r}")
    check_new_directory(output, key="--output")
    from nlpmtl.inference.predictor import Predictor

    quiet_libraries()
    predictor = Predictor.from_pretrained(model, revision=revision, device=device, dtype=dtype, plugins=plugins or ())
    report_device(predictor.model)
    apart = predictor.export(output, to=to, task=task or None)
    echo(f"wrote {output}: {', '.join(sorted(path.name for path in output.iterdir()))}")
    echo(f"its logits differ from this model's by at most {apart:.1e} of the largest (of 1, where that is less)")
