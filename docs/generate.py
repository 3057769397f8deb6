"""Generator of the reference of configs, kinds and metrics, and of the list of files in docs/architecture.md.

`make reference` runs it; the reference of the Python API and of file formats is not written by it.

The sentences come from the docstrings of modules, classes and config fields.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import nlpmtl.run_config  # noqa: F401 - it imports all kinds
from docs.architecture_files import architecture
from docs.docstrings import prose
from nlpmtl.config import DatasetConfig, LabelledOptions, RunConfig
from nlpmtl.metrics import Metric, reads_losses
from nlpmtl.registry import (
    LOSSES,
    METRICS,
    OPTIMIZERS,
    SAMPLERS,
    SCHEDULES,
    SHARINGS,
    TASKS,
    WEIGHTINGS,
    KindOptions,
    Registry,
)
from nlpmtl.sampling import SamplingOptions
from nlpmtl.tasks import Task
from nlpmtl.training import Schedule

Schema: TypeAlias = Mapping[str, Any]

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"
_NOTE = "<!-- Written by docs/generate.py from the code: change it there, then `make reference`. -->"
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def pages() -> dict[Path, str]:
    """Return the text of each generated file."""
    written = {
        "run-file.md": run_file(),
        "dataset-file.md": dataset_file(),
        "kinds.md": kinds(),
        "metrics.md": metrics(),
    }
    reference = {DOCS / "reference" / name: text for name, text in written.items()}
    return {**reference, DOCS / "architecture.md": architecture((DOCS / "architecture.md").read_text(encoding="utf-8"))}


# --- config files -------------------------------------------------------------------------------------------------


def run_file() -> str:
    """Return the reference page of run files."""
    schema = RunConfig.model_json_schema()
    tables = schema["$defs"]
    links = {
        "datasets": "one table per dataset, each with the keys of a [dataset file](dataset-file.md) and `extends`",
        "sampling": "table, see [samplers](kinds.md#samplers)",
        "weighting": "table, see [weightings](kinds.md#weightings)",
        "sharing": "table, see [sharing schemes](kinds.md#sharing-schemes)",
        "optimizer": "table, see [optimizers](kinds.md#optimizers)",
        **{name: f"table, see [below](#{name})" for name in ("encoder", "train", "eval")},
    }
    schedule = "name or table, see [learning-rate schedules](kinds.md#learning-rate-schedules)"
    return _page(
        "Run file",
        "A run file defines one training run: the encoder, the datasets with their tasks, and all training options.",
        "It is TOML; unknown keys are errors. Input paths are relative to the file that contains them, `output` is",
        "relative to the working directory. On the command line, `--set train.lr=3e-5` overrides any key.",
        "",
        *_keys(schema, types=links),
        "",
        "In `[datasets.<name>]`, `extends` names a dataset file, relative to the run file; every other key there",
        "overrides that file's. Another `files` or `hub` replaces the whole source.",
        *_table("encoder", tables["EncoderConfig"]),
        *_table("train", tables["TrainConfig"], types={"schedule": schedule}),
        *_table("eval", tables["EvalConfig"]),
    )


def dataset_file() -> str:
    """Return the reference page of dataset files."""
    schema = DatasetConfig.model_json_schema()
    tables = schema["$defs"]
    links = {
        **{name: f"table, see [below](#{name})" for name in ("data", "input")},
        "tasks": "one table per task, see [below](#tasksname)",
    }
    return _page(
        "Dataset file",
        "A dataset file declares where the rows are, which columns are the input, and which tasks are labelled on",
        "them. Names of tasks and datasets consist of letters, digits, `_` and `-`, do not start with a digit, and",
        "have at most 64 characters.",
        "",
        *_keys(schema, types=links),
        *_table("data", tables["DataConfig"]),
        *_table("input", tables["InputConfig"]),
        *_table("tasks.<name>", LabelledOptions.model_json_schema()),
        "",
        "Each task type adds its own keys: see [task types](kinds.md#task-types).",
    )


def _table(name: str, schema: Schema, *, types: Mapping[str, str] | None = None) -> list[str]:
    return [
        "",
        f"## {name}" if "<" not in name else f"## {name.replace('<', '').replace('>', '')}",
        "",
        *([schema["description"], ""] if "description" in schema else []),
        *_keys(schema, types=types),
    ]


def _keys(schema: Schema, *, types: Mapping[str, str] | None = None, leave_out: Sequence[str] = ()) -> list[str]:
    """Return a table with one row per key: type and range, default, description."""
    required = schema.get("required", ())
    rows = [
        f"| `{key}` | {(types or {}).get(key) or _type(value)} | {_default(key, value, required)} | {_cell(value)} |"
        for key, value in schema["properties"].items()
        if key not in leave_out
    ]
    return ["| key | value | default | |", "|---|---|---|---|", *rows] if rows else []


def _cell(value: Schema) -> str:
    return " ".join(value.get("description", "").split()).replace("|", "\\|")


def _default(key: str, value: Schema, required: Sequence[str]) -> str:
    if key in required:
        return "*required*"
    default = value.get("default")
    if default is None or default == {} or default == []:
        return ""
    if isinstance(default, Mapping):
        return f"`kind = {_literal(default['kind'])}`" if "kind" in default else ""
    return f"`{_literal(default)}`"


def _literal(value: object) -> str:
    """Return a value in TOML syntax."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _type(schema: Schema) -> str:
    """Return the type of a value and its range, in words."""
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"] if option.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{_literal(value)}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        if "prefixItems" in schema:
            return f"list of {len(schema['prefixItems'])}: {_type(schema['prefixItems'][0])}"
        return f"list of {_type(schema['items'])}"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return f"table of {_type(inner)}" if isinstance(inner, Mapping) and inner else "table"
    if "$ref" in schema:
        return "table"
    word = {"integer": "integer", "number": "number", "boolean": "true or false", "string": "string"}
    name = word.get(schema.get("type", ""), "value")
    bounds = [f"{sign} {schema[key]:g}" for key, sign in _BOUNDS.items() if key in schema and schema[key] < 2**31]
    return f"{name} {', '.join(bounds)}" if bounds else name


# --- kinds and metrics --------------------------------------------------------------------------------------------


def kinds() -> str:
    """Return the reference page of all registered kinds."""
    common = {*LabelledOptions.model_fields, *SamplingOptions.model_fields}
    return _page(
        "Kinds",
        'Values of `kind = "…"` in run files and dataset files, with their keys. A [plugin](../howto/plugins.md) can',
        "add more.",
        "",
        "## Task types",
        "",
        "`[tasks.<name>]` in a dataset file. Common options: `label`, `labels` and `metrics`, see",
        "[dataset file](dataset-file.md#tasksname).",
        *_members(TASKS, leave_out=common),
        "",
        "## Loss functions",
        "",
        '`loss = { kind = "…" }` of a task with labels. The metric `loss` is the mean of this loss.',
        *_members(LOSSES, leave_out=common),
        "",
        "## Samplers",
        "",
        "`[sampling]`: how the datasets are mixed. Common option:",
        "",
        *_keys(SamplingOptions.model_json_schema(), leave_out=["kind"]),
        *_members(SAMPLERS, leave_out=common),
        "",
        "## Weightings",
        "",
        "`[weighting]`: how the task losses are combined. The loss of a step is the sum over tasks of weight, fraction",
        "of the step's labels, and mean loss.",
        *_members(WEIGHTINGS, leave_out=common),
        "",
        "## Sharing schemes",
        "",
        "`[sharing]`: which parameters of the encoder the tasks share. Common options: `relations` and",
        "`relations_strength`.",
        *_members(SHARINGS, leave_out=common),
        "",
        "## Optimizers",
        "",
        "`[optimizer]`: how the gradient changes the parameters. Learning rates, weight decay, schedule and clipping",
        "are in `[train]`.",
        *_members(OPTIMIZERS, leave_out=common),
        "",
        "## Learning-rate schedules",
        "",
        '`train.schedule`: a name, such as "cosine", or a table with options, such as',
        '`{ kind = "polynomial", power = 2.0 }`.',
        "",
        *prose(Schedule),
        *_members(SCHEDULES, leave_out=common),
    )


def _members(registry: Registry, *, leave_out: set[str]) -> list[str]:
    lines: list[str] = []
    for name in registry.names():
        member = registry.get(name)
        keys = _own_keys(registry.options(name), leave_out=leave_out)
        facts = _task_facts(member) if issubclass(member, Task) else []
        lines += ["", f"### {name}", "", *_description(member, registry), *facts, *(["", *keys] if keys else [])]
    return lines


def _description(member: type, registry: Registry) -> list[str]:
    """The docstring of the module if it registers a single method, otherwise that of the class."""
    siblings = [name for name in registry.names() if registry.get(name).__module__ == member.__module__]
    own_module = len(siblings) == 1 and not issubclass(member, Task)
    return prose(inspect.getmodule(member) if own_module else member)


def _own_keys(options: type[KindOptions], *, leave_out: set[str]) -> list[str]:
    """Return the keys of one kind, without the common ones that it does not redefine."""
    shared = options in (LabelledOptions, SamplingOptions)
    changed = set() if shared else leave_out & inspect.get_annotations(options).keys()
    types = {"loss": "table, see [loss functions](#loss-functions)"}
    return _keys(options.model_json_schema(), types=types, leave_out=[*(leave_out - changed), "kind"])


def _task_facts(member: type[Task]) -> list[str]:
    """Return the form of a prediction and the default metrics."""
    scored = ", ".join(f"[`{name}`](metrics.md#{name})" for name in member.metrics)
    return ["", "Prediction: " + "\n".join(prose(member.format)), "", f"Default metrics: {scored}"]


def metrics() -> str:
    """Return the reference page of metrics."""
    lines: list[str] = []
    for name in METRICS.names():
        member = METRICS.get(name)
        assert issubclass(member, Metric)
        able = [f"[`{kind}`](kinds.md#{kind})" for kind in TASKS.names() if member.reads & set(_reads(kind))]
        if reads_losses(name):
            able = ["every task type whose loss of a row does not depend on other rows"]
        direction = "higher is better" if member.higher_is_better else "lower is better"
        pos_label = "; requires `pos_label`" if member.needs_positive else ""
        lines += ["", f"## {name}", "", *prose(member), "", f"For {', '.join(able)}; {direction}{pos_label}."]
    return _page(
        "Metrics",
        "Names for `metrics = […]` of a task. Values are fractions, not percentages. An undefined value is null.",
        "",
        "The score of a task is the first of its metrics; the others are only reported. An error, such as `mae` or",
        "`loss`, counts negated, and `perplexity` as its negated logarithm, which is the negated loss. An undefined",
        "metric counts as 0, an undefined error as 10⁹.",
        "",
        "`evaluate:<id>` loads a metric with `evaluate.load(<id>)`: this needs the network and runs the metric's code,",
        "so it happens only if a run file requests it.",
        *lines,
    )


def _reads(kind: str) -> tuple[str, ...]:
    member = TASKS.get(kind)
    assert issubclass(member, Task)
    return member.prediction_types


def _page(title: str, *lines: str) -> str:
    return "\n".join([f"# {title}", "", _NOTE, "", *lines]).rstrip() + "\n"


def main() -> None:
    """Write all generated pages."""
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
