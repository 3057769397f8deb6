"""`nlpmtl export`: write a model for use without nlpmtl."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nlpmtl.cli.console import echo
from nlpmtl.cli.options import DeviceOption, DtypeOption, Model, PluginsOption, Revision, load_predictor
from nlpmtl.errors import ConfigError, escape_control_characters

EXPORTS = ("transformers", "onnx", "sentence-transformers")
"""Formats of `Predictor.export`, repeated here because importing it imports torch."""


def export(
    model: Model,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Output directory; must be empty or not exist.")],
    to: Annotated[
        str,
        typer.Option(
            metavar="transformers|onnx|sentence-transformers",
            help="Format: a transformers model of one task, an ONNX model of several, or a sentence-transformers model "
            "of one task that predicts embeddings.",
        ),
    ] = "transformers",
    task: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TASK",
            help="Task to export. transformers: required if the model has several. ONNX: repeatable (default: all).",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = None,
    plugins: PluginsOption = None,
    revision: Revision = None,
) -> None:
    """Export a model for use without nlpmtl.

    First compares the logits of the exported and the original model on test inputs; if they differ by more than a
    tolerance, nothing is written.
    """
    from nlpmtl.config import check_new_directory

    if to not in EXPORTS:
        raise ConfigError(f"--to {to}: unknown format; formats: {', '.join(EXPORTS)}")
    output = check_new_directory(output, key="--output")
    predictor = load_predictor(model, revision=revision, device=device, dtype=dtype, plugins=plugins)
    difference = predictor.export(output, to=to, task=task or None)
    excluded = [name for name, item in predictor.tasks.items() if not item.exportable]
    if excluded and to == "onnx" and not task:
        names = ", ".join(map(escape_control_characters, excluded))
        echo(f"excluded tasks, because their heads cannot be traced: {names}")
    echo(f"wrote {output}: {', '.join(sorted(path.name for path in output.iterdir()))}")
    relative = "relative to the largest logit, or to 1 if that is larger"
    echo(f"verified: maximum logit difference {difference:.1e} ({relative})")
