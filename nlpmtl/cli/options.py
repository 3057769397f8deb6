"""Arguments and options shared by several commands, and functions that parse them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nlpmtl.cli.console import quiet_libraries, report_device

if TYPE_CHECKING:
    from nlpmtl.config import RunConfig
    from nlpmtl.inference.predictor import Predictor


def complete_runs(incomplete: str) -> list[str]:
    """Complete the name of a built-in run, or the path of a run file."""
    from nlpmtl.config.run_files import builtin_configs

    built_in = sorted(file.stem for file in (builtin_configs() / "runs").glob("*.toml"))
    folder = Path(incomplete).parent if not incomplete.endswith("/") else Path(incomplete)
    try:
        entries = sorted(path for path in folder.iterdir() if path.is_dir() or path.suffix == ".toml")
    except OSError:
        entries = []
    paths = [f"{path}/" if path.is_dir() else str(path) for path in entries]
    return [name for name in (*built_in, *paths) if name.startswith(incomplete)]


SET = "--set"
Run = Annotated[
    str,
    typer.Argument(metavar="RUN.toml|NAME", help="Run file, or name of a built-in run.", autocompletion=complete_runs),
]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="Model directory, or Hub id.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        SET,
        metavar="KEY=VALUE",
        help="Override a config key, such as train.lr=3e-5 (repeatable).",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Revision = Annotated[
    str | None,
    typer.Option(
        metavar="REVISION", help="Commit, tag or branch of a model on the Hub (default: main).", show_default=False
    ),
]
Dtype = Literal["fp32", "bf16", "int8"]
"""The precisions of `Predictor.from_pretrained`, repeated here so that torch need not be imported."""
DtypeOption = Annotated[
    Dtype | None,
    typer.Option(
        "--dtype",
        metavar="fp32|bf16|int8",
        help="Compute precision (default: that of the weights, usually fp32).",
        show_default=False,
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option("--device", metavar="auto|cpu|cuda|cuda:N|mps", help="Device (auto: a GPU if there is one)."),
]
PluginsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--plugins",
        metavar="MODULE",
        help="Python module that registers your own task types, metrics, … (repeatable).",
        show_default=False,
    ),
]


def parse_overrides(overrides: list[str] | None) -> dict[str, Any]:
    """Return the values of `--set` by dotted key."""
    from nlpmtl.config import parse_override

    return dict(map(parse_override, overrides or ()))


def check_files(config: RunConfig) -> None:
    """Check the beginning of the data, and the path of the encoder, before torch is imported.

    Training checks them again. Datasets on the Hub are checked only then, because they are downloaded first.

    Raises:
        ConfigError, DataError: a file, a column, a label list or a metric is wrong; all problems are in one message.
        ModelError: the directory of the encoder does not exist.
    """
    from nlpmtl.config import find_directory
    from nlpmtl.data_checks import check_datasets

    if all(dataset.data.hub is None for dataset in config.datasets.values()):
        check_datasets(config.datasets)
    if not config.encoder.name.startswith("package:"):
        find_directory(config.encoder.name, error_prefix=f"the encoder {config.encoder.name!r} cannot be loaded")


def check_model(model: str, *, tasks: Sequence[str] | None = None) -> None:
    """Check the path of a model, and names of its tasks, before torch is imported; a Hub id is not checked.

    Raises:
        ConfigError: the model has no task with one of the names.
        ModelError: the directory does not exist, or has no model.
    """
    from nlpmtl.config import find_directory

    directory = find_directory(model, error_prefix=f"the model {model!r} cannot be loaded")
    if tasks and directory is not None:
        from nlpmtl.inference.task_inputs import check_task_names

        # A damaged config.json is reported when the model is loaded.
        with suppress(OSError, ValueError, LookupError, TypeError):
            known = json.loads((directory / "config.json").read_bytes())["tasks"]
            check_task_names(tasks, [*known])


def load_predictor(
    model: str, *, revision: str | None, device: str, dtype: Dtype | None, plugins: list[str] | None
) -> Predictor:
    """Load a model for prediction, and print the device on stderr unless it is the CPU."""
    check_model(model)
    from nlpmtl.inference.predictor import Predictor  # after the path is checked: this imports torch

    quiet_libraries()
    predictor = Predictor.from_pretrained(model, revision=revision, device=device, dtype=dtype, plugins=plugins or ())
    report_device(predictor.model)
    return predictor
