"""`nlpmtl schema`: JSON Schemas of the config files, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from nlpmtl.cli.console import echo
from nlpmtl.cli.options import PluginsOption
from nlpmtl.plugins import import_plugins


def schema(
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Directory for run.schema.json and dataset.schema.json (default: stdout)."),
    ] = None,
    plugins: PluginsOption = None,
) -> None:
    """Print or write the JSON Schemas of run and dataset files."""
    from nlpmtl.config import check_writable, schemas

    if output is not None:
        output = check_writable(output, key="--output")
    import nlpmtl.run_config  # noqa: F401 - imports every registered kind

    import_plugins(plugins or ())
    by_name = schemas()
    if output is None:
        echo(_dump(by_name))
        return
    output.mkdir(parents=True, exist_ok=True)
    for name, json_schema in by_name.items():
        path = output / f"{name}.schema.json"
        path.write_text(_dump(json_schema) + "\n", encoding="utf-8")
        echo(path)


def _dump(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
