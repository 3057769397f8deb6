"""Options that several verbs have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def complete_runs(incomplete: str) -> list[str]:
    """Complete the name of a shipped run, or the path of a run file."""
    from nlpmtl.config.find import shipped_configs

    shipped = sorted(file.stem for file in (shipped_configs() / "runs").glob("*.toml"))
    folder = Path(incomplete).parent if not incomplete.endswith("/") else Path(incomplete)
    try:
        beside = sorted(path for path in folder.iterdir() if path.is_dir() or path.suffix == ".toml")
    except OSError:
        beside = []
    paths = [f"{path}/" if path.is_dir() else str(path) for path in beside]
    return [name for name in (*shipped, *paths) if name.startswith(incomplete)]


Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key, such as train.lr=3e-5; as often as needed.",
        show_default=False,
    ),
]
Revision = Annotated[str | None, typer.Option(help="A commit, tag or branch of the Hub's model.", show_default=False)]
Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN.toml|NAME", help="A run file, or the name of a shipped one.", autocompletion=complete_runs
    ),
]
Dtype = Literal["fp32", "bf16", "int8"]
"""The precisions of `Predictor.from_pretrained`, named without loading it."""
DtypeOption = Annotated[
    Dtype | None,
    typer.Option("--dtype", metavar="fp32|bf16|int8", help="Precision; default: fp32.", show_default=False),
]
DeviceOption = Annotated[
    str,
    typer.Option("--device", metavar="auto|cpu|cuda|cuda:N|mps", help="Where to compute; auto: a GPU if there is one."),
]
PluginsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--plugins",
        metavar="MODULE",
        help="Import a module that registers kinds and metrics of your own; as often as needed.",
        show_default=False,
    ),
]
