"""`nlpmtl show`: what is in a model, what a run file comes to, which names are registered."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated

import typer

from nlpmtl.cli.console import echo, echo_json, print_table, quiet_libraries
from nlpmtl.cli.options import Overrides, PluginsOption, Revision
from nlpmtl.errors import ConfigError
from nlpmtl.plugins import import_plugins


def show(
    what: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|RUN.toml|kinds",
            help="A model directory or Hub id; a run file or the name of a shipped one; the word kinds.",
        ),
    ],
    plugins: PluginsOption = None,
    overrides: Overrides = None,
    revision: Revision = None,
) -> None:
    """Show a model, a resolved config, or all kinds."""
    quiet_libraries()
    is_model = Path(what).is_dir() or ("/" in what and not what.endswith(".toml"))
    if overrides and (is_model or what == "kinds"):
        raise ConfigError("--set changes keys of a run file, and this is none")
    if revision is not None and not is_model:
        raise ConfigError("--revision is that of a model on the Hub, and this is none")
    import_plugins(plugins or ())
    if what == "kinds":
        _show_kinds()
    elif is_model:
        _show_model(what, revision=revision)
    else:
        _show_config(what, overrides)


def _show_kinds() -> None:
    import nlpmtl.run  # noqa: F401 - it imports every registered kind
    from nlpmtl.registry import METRICS, SAMPLERS, SHARINGS, TASKS, WEIGHTINGS

    for registry in (TASKS, SAMPLERS, WEIGHTINGS, SHARINGS, METRICS):
        members = [(name, registry.get(name)) for name in registry.names()]
        rows = [(name, inspect.cleandoc(member.__doc__ or "").partition("\n")[0]) for name, member in members]
        print_table(registry.noun, "", rows=rows)


def _show_config(run: str, set_keys: list[str] | None) -> None:
    from nlpmtl.config import parse_override
    from nlpmtl.run import load_config

    overrides = dict(map(parse_override, set_keys or ()))
    echo_json(load_config(run, overrides=overrides).model_dump(mode="json"), indent=2)


def _show_model(name: str, *, revision: str | None) -> None:
    from torch import nn

    from nlpmtl.hub import load_model
    from nlpmtl.model import estimate_cost

    def size(module: nn.Module) -> str:
        return f"{sum(parameter.numel() for parameter in module.parameters()):,}"

    model, _ = load_model(name, revision=revision)
    encoder = model.config.encoder_config
    echo(f"encoder: {encoder.model_type}, {encoder.num_hidden_layers} layers of width {encoder.hidden_size}")
    echo(f"sharing: {model.config.sharing['kind']}; input: {model.config.input_length} tokens at most")
    echo(f"parameters: {size(model)}")
    columns, numbers = ["task", "kind", "input", "labels", "head's parameters"], ["head's parameters"]
    rows = [
        [task.name, task.kind, task.input, ", ".join(task.labels), size(model.head(task.name))]
        for task in model.tasks.values()
    ]
    if any(model.sharing.task_parameters(task) for task in model.tasks):
        cost = estimate_cost(model, tasks_per_row=1)
        echo(f"cost: {cost}")
        columns.append("all of its own")
        numbers.append("all of its own")
        rows = [[*row, f"{cost.task_parameters[task]:,}"] for row, task in zip(rows, model.tasks, strict=True)]
    print_table(*columns, rows=rows, numbers=numbers)
    for name, matrix in model.task_relations().items():
        values = [[f"{value:.3f}" for value in row] for row in matrix.values.tolist()]
        named = [[task, *row] for task, row in zip(matrix.tasks, values, strict=True)]
        print_table(name, *matrix.tasks, rows=named, numbers=matrix.tasks)
