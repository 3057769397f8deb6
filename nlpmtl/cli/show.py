"""`nlpmtl show`: what is in a model, what a run file comes to, which names are registered."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated

import typer

from nlpmtl.cli.console import PluginsOption, print_table, quiet_libraries
from nlpmtl.plugins import import_plugins
from nlpmtl.strict_json import dumps


def show(
    what: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|RUN.toml|kinds",
            help="A model directory or Hub id; a run file or the name of a shipped one; the word kinds.",
        ),
    ],
    plugins: PluginsOption = None,
) -> None:
    """Show a model, a resolved config, or all kinds."""
    quiet_libraries()
    import_plugins(plugins or ())
    if what == "kinds":
        _show_kinds()
    elif Path(what).is_dir() or ("/" in what and not what.endswith(".toml")):
        _show_model(what)
    else:
        _show_config(what)


def _show_kinds() -> None:
    import nlpmtl.run  # noqa: F401 - it imports every registered kind
    from nlpmtl.registry import METRICS, SAMPLERS, SHARINGS, TASKS, WEIGHTINGS

    for registry in (TASKS, SAMPLERS, WEIGHTINGS, SHARINGS, METRICS):
        members = [(name, registry.get(name)) for name in registry.names()]
        rows = [(name, inspect.cleandoc(member.__doc__ or "").partition("\n")[0]) for name, member in members]
        print_table(registry.noun, "", rows=rows)


def _show_config(run: str) -> None:
    from nlpmtl.run import load_config

    typer.echo(dumps(load_config(run).model_dump(mode="json"), indent=2, ensure_ascii=False))


def _show_model(name: str) -> None:
    from torch import nn

    from nlpmtl.artifact import load_model
    from nlpmtl.model import footprint

    def size(module: nn.Module) -> str:
        return f"{sum(parameter.numel() for parameter in module.parameters()):,}"

    model, _ = load_model(name)
    encoder = model.config.encoder_config
    typer.echo(f"encoder: {encoder.model_type}, {encoder.num_hidden_layers} layers of width {encoder.hidden_size}")
    typer.echo(f"sharing: {model.config.sharing['kind']}; input: {model.config.input_length} wordpieces at most")
    typer.echo(f"parameters: {size(model)}")
    columns, numbers = ["task", "kind", "input", "labels", "head's parameters"], ["head's parameters"]
    rows = [
        [task.name, task.kind, task.input, ", ".join(task.labels), size(model.head(task.name))]
        for task in model.tasks.values()
    ]
    if any(model.sharing.own(task) for task in model.tasks):
        cost = footprint(model, labels=1)
        typer.echo(f"cost: {cost}")
        columns.append("all of its own")
        numbers.append("all of its own")
        rows = [[*row, f"{cost.own[task]:,}"] for row, task in zip(rows, model.tasks, strict=True)]
    print_table(*columns, rows=rows, numbers=numbers)
    for name, matrix in model.relations().items():
        values = [[f"{value:.3f}" for value in row] for row in matrix.values.tolist()]
        named = [[task, *row] for task, row in zip(matrix.tasks, values, strict=True)]
        print_table(name, *matrix.tasks, rows=named, numbers=matrix.tasks)
