"""`nlpmtl schema`: the JSON Schemas of the config files, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from nlpmtl.cli.console import echo


def schema(
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write run.schema.json and dataset.schema.json there.")
    ] = None,
) -> None:
    """Print or write the JSON Schemas of config files."""
    from nlpmtl.config import check_writable, schemas

    if output is not None:
        check_writable(output, key="--output")
    import nlpmtl.run  # noqa: F401 - it imports every registered kind

    found = schemas()
    if output is None:
        echo(_dump(found))
        return
    output.mkdir(parents=True, exist_ok=True)
    for name, one in found.items():
        path = output / f"{name}.schema.json"
        path.write_text(_dump(one) + "\n", encoding="utf-8")
        echo(path)


def _dump(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
