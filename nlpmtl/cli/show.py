"""`nlpmtl show`: describe a model, print a resolved config, or list the registered kinds."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated

import typer

from nlpmtl.cli.console import echo, echo_json, print_table, quiet_libraries
from nlpmtl.cli.options import Overrides, PluginsOption, Revision, parse_overrides
from nlpmtl.errors import ConfigError
from nlpmtl.plugins import import_plugins


def show(
    what: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|RUN.toml|kinds",
            help="Model directory or Hub id; run file or name of a built-in run; or the word kinds.",
        ),
    ],
    plugins: PluginsOption = None,
    overrides: Overrides = None,
    revision: Revision = None,
) -> None:
    """Describe a model, print a resolved config, or list all kinds.

    Kinds are the registered task types, samplers, weightings, sharing schemes and metrics.
    """
    is_model = Path(what).is_dir() or ("/" in what and not what.endswith(".toml"))
    if overrides and (is_model or what == "kinds"):
        raise ConfigError(f"--set applies to run files only, found {what!r}")
    if revision is not None and not is_model:
        raise ConfigError(f"--revision applies to models on the Hub only, found {what!r}")
    import_plugins(plugins or ())
    if what == "kinds":
        _show_kinds()
    elif is_model:
        _show_model(what, revision=revision)
    else:
        _show_config(what, overrides)


def _show_kinds() -> None:
    import nlpmtl.run_config  # noqa: F401 - imports every registered kind
    from nlpmtl.registry import LOSSES, METRICS, OPTIMIZERS, SAMPLERS, SCHEDULES, SHARINGS, TASKS, WEIGHTINGS

    for registry in (TASKS, LOSSES, SAMPLERS, WEIGHTINGS, SHARINGS, OPTIMIZERS, SCHEDULES, METRICS):
        members = [(name, registry.get(name)) for name in registry.names()]
        rows = [(name, inspect.cleandoc(member.__doc__ or "").partition("\n")[0]) for name, member in members]
        print_table(registry.noun, "", rows=rows)


def _show_config(run: str, overrides: list[str] | None) -> None:
    from nlpmtl.run_config import load_config

    echo_json(load_config(run, overrides=parse_overrides(overrides)).model_dump(mode="json"), indent=2)


def _show_model(name: str, *, revision: str | None) -> None:
    from torch import nn

    from nlpmtl.hub import load_model
    from nlpmtl.model import estimate_cost

    quiet_libraries()

    def size(module: nn.Module) -> str:
        return f"{sum(parameter.numel() for parameter in module.parameters()):,}"

    model, _ = load_model(name, revision=revision)
    encoder = model.config.encoder_config
    echo(f"encoder: {encoder.model_type}, {encoder.num_hidden_layers} layers, hidden size {encoder.hidden_size}")
    echo(f"sharing: {model.config.sharing['kind']}; maximum input: {model.config.input_length} tokens")
    echo(f"parameters: {size(model)}")
    columns, numbers = ["task", "kind", "input", "labels", "head parameters"], ["head parameters"]
    rows = [
        [task.name, task.kind, task.input, ", ".join(task.labels), size(model.head(task.name))]
        for task in model.tasks.values()
    ]
    if any(model.sharing.task_parameters(task) for task in model.tasks):
        cost = estimate_cost(model, tasks_per_row=1)
        echo(f"cost: {cost}")
        columns.append("task-specific parameters")
        numbers.append("task-specific parameters")
        rows = [[*row, f"{cost.task_parameters[task]:,}"] for row, task in zip(rows, model.tasks, strict=True)]
    print_table(*columns, rows=rows, numbers=numbers)
    for name, matrix in model.task_relations().items():
        values = [[f"{value:.3f}" for value in row] for row in matrix.values.tolist()]
        labelled_rows = [[task, *row] for task, row in zip(matrix.tasks, values, strict=True)]
        print_table(name, *matrix.tasks, rows=labelled_rows, numbers=matrix.tasks)
