"""The text of dataset files and of the run file: TOML with comments that say what was seen in the data."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nlpmtl.config import flatten_columns
from nlpmtl.errors import ConfigError, escape_line
from nlpmtl.init.encoder import choose_recipe, default_encoder
from nlpmtl.init.finding import NOT_USED
from nlpmtl.init.proposal import Proposal, TaskProposal
from nlpmtl.init.verify import Verdict
from nlpmtl.strict_json import dumps, has_surrogate
from nlpmtl.tasks import task_type

Tables = dict[str, Any]
_WIDTH = 118
_COMMENT_COLUMN = 40
_LABELS_COMMENTS = {"sentiment": "lowest first", "multilabel": "write the names of the labels"}
_KEY_COMMENTS = {
    "validation": "held out of train: there is no validation split",
    "delimiter": "separates the fields",
    "quoting": "the fields may be in double quotes",
    "encoding": "the file is not in UTF-8",
    "header": 'the first line is a row: the columns are "0", "1", …',
    "separator": "separates the items in a cell",
    "columns": "name = index of the column in the file",
}
_EXAMPLE = {"text": "A text.", "pair": "Another text.", "choices": ["A choice.", "Another choice."]}
"""Input that the comment at the top of a run file predicts."""
_MASKED = "[MASK]"
_OTHER_MASKS = f"Write the mask token of the encoder: {_MASKED} for BERT, <mask> for RoBERTa."


def dataset_tables(proposal: Proposal, *, directory: Path, skip: bool = False) -> Tables:
    """Return the tables of a dataset file.

    Args:
        proposal: the input and the tasks of the dataset.
        directory: the paths of the files are relative to it.
        skip: whether to skip invalid rows.
    """
    sample, data = proposal.sample, Tables()
    if sample.source.hub is not None:
        data["hub"] = sample.source.hub
    if "validation" not in sample.source.files:
        data["validation"] = 0.1
    data |= sample.detected
    if sample.conll_columns:
        columns = [
            *flatten_columns(proposal.input.values()),
            *(column for task in proposal.tasks.values() for column in task.columns),
        ]
        data["columns"] = {column: sample.conll_columns[column] for column in columns}
    if proposal.separator is not None:
        data["separator"] = proposal.separator
    if skip:
        data["on_bad_row"] = "skip"
    if sample.source.hub is None:
        data["files"] = {split: _paths(files, directory) for split, files in sample.source.files.items()}
    tasks = {name: _task_table(task) for name, task in proposal.tasks.items()}
    return {"data": data, "input": dict(proposal.input), "tasks": tasks}


def _paths(files: Sequence[str], directory: Path) -> str | list[str]:
    paths = [_relative_path(path, directory) for path in files]
    return paths[0] if len(paths) == 1 else paths


def _relative_path(path: str, directory: Path) -> str:
    """Return the path of a file relative to a directory, with forward slashes."""
    try:
        relative = os.path.relpath(path, directory)
        if relative.startswith(os.pardir):  # from a link `..` leads to the parent of its target
            relative = os.path.relpath(path, os.path.realpath(directory))
        relative = relative.replace(os.sep, "/")
    except ValueError:  # on another drive of Windows
        relative = os.path.abspath(path).replace(os.sep, "/")  # noqa: PTH100 (it leaves links)
    return f"./{relative}" if relative.startswith("~") else relative


def _encoder_name(encoder: str | None, directory: Path) -> str:
    """Return the name of the encoder, or the path of its directory relative to that of the run file."""
    if encoder is None:
        return default_encoder()
    is_path = os.path.isdir(encoder) or encoder.startswith(".")  # noqa: PTH112 (is_dir raises on a long id)
    return _relative_path(encoder, directory) if is_path and not os.path.isabs(encoder) else encoder  # noqa: PTH117


def _task_table(task: TaskProposal) -> Tables:
    key = next(iter(task_type(task.kind).columns), "label")  # "label", or "target" of generated texts
    label = {key: list(task.columns) if task.has_flags else task.columns[0]} if task.columns else {}
    table: Tables = {"kind": task.kind, **(task.finding.columns or label)}
    if task.finding.relations is not None:
        table["relations"] = task.finding.relations
    if task.finding.scheme is not None:
        table["scheme"] = task.finding.scheme
    if task.finding.labels:
        numbers = all(label.isdecimal() and str(int(label)) == label for label in task.finding.labels)
        table["labels"] = [int(label) if numbers else label for label in task.finding.labels]
    return table


def dataset_text(proposal: Proposal, verdict: Verdict, *, directory: Path) -> str:
    """Return the text of a dataset file.

    Args:
        proposal: the input and the tasks of the dataset.
        verdict: the invalid rows.
        directory: the directory of the file.
    """
    tables = dataset_tables(proposal, directory=directory, skip=verdict.skip)
    data, files = tables["data"], tables["data"].pop("files", None)
    name, table = proposal.sample.source.name, proposal.sample.table
    rows = f"{table.rows:,} rows" if table.complete else f"the first {table.rows:,} rows"
    lines = [*_comment(f"{name}: columns by {rows} of train, written by `nlpmtl init`. Edit it as you like.")]
    lines += ["", "[data]"] if data else [""]
    comments = {**_KEY_COMMENTS, "on_bad_row": str(verdict)}
    lines += [_with_comment(f"{key} = {_value(value)}", comments.get(key, "")) for key, value in data.items()]
    if files is not None:
        lines += ["", "[data.files]"] if data else ["[data.files]"]
        lines += [f"{split} = {_value(path)}" for split, path in files.items()]
    lines += ["", "[input]"]
    lines += [
        _with_comment(f"{key} = {_value(columns)}", proposal.findings[flatten_columns([columns])[0]].evidence)
        for key, columns in proposal.input.items()
    ]
    for name, task in proposal.tasks.items():
        lines += ["", *_comment(_describe_task(proposal, task)), f"[tasks.{name}]"]
        lines += [line for key, value in tables["tasks"][name].items() for line in _assignment(key, value)]
        if task.finding.labels:
            lines[-1] = _with_comment(lines[-1], _LABELS_COMMENTS.get(task.kind, ""))
    unused = {column: finding for column, finding in proposal.findings.items() if finding.kind == NOT_USED}
    if unused:
        lines += ["", "# Not used:"]
        lines += [line for column, finding in unused.items() for line in _comment(f"- {column}: {finding.evidence}")]
    return "\n".join(lines) + "\n"


def _describe_task(proposal: Proposal, task: TaskProposal) -> str:
    columns = [proposal.sample.table.columns[column] for column in task.columns]
    missing = max((column.missing for column in columns), default=0)
    rows = proposal.sample.table.rows
    unlabelled = f"; {missing / rows:.1%} of the rows have no label" if missing else ""
    examples = f": {columns[0].examples}" if task.kind in ("classification", "regression") else ""
    return f"{task.finding.evidence[:1].upper()}{task.finding.evidence[1:]}{examples}{unlabelled}."


def run_text(proposals: Sequence[Proposal], *, name: str, encoder: str | None, run_file: Path) -> str:
    """Return the text of the run file.

    Args:
        proposals: the datasets.
        name: name of the run, for its output directory.
        encoder: name of the encoder; None: the default one.
        run_file: path of the file, for the commands in its comments.
    """
    recipe = choose_recipe(encoder, rows=sum(proposal.sample.table.rows for proposal in proposals))
    tasks = list(dict.fromkeys(task for proposal in proposals for task in proposal.tasks))
    commands = _predict_commands(proposals[0], name=name)
    shown = escape_line(shlex.quote(str(run_file)))
    default = "" if encoder is not None else "small and English; another Hub id, or a directory, can be used"
    lines = [
        *_comment(f"Trains one encoder with {len(tasks)} task{'s' * (len(tasks) > 1)}: {', '.join(tasks)}."),
        f"#     nlpmtl check {shown}",
        f"#     nlpmtl train {shown}",
        *(f"#     {line}" for line in commands),
        *(_comment(_OTHER_MASKS) if encoder is not None and _MASKED in commands[0] else ()),
        "",
        _with_comment("seed = 17", "the same seed gives the same model on the same machine"),
        _with_comment(f"output = {_value(f'runs/{name}')}", "relative to the working directory"),
        "",
        "[encoder]",
        _with_comment(f"name = {_value(_encoder_name(encoder, run_file.parent))}", default),
        _with_comment("max_length = 128", "in tokens; `nlpmtl check` shows how many rows are longer"),
    ]
    for proposal in proposals:
        dataset = proposal.sample.source.name
        lines += ["", f"[datasets.{dataset}]", f"extends = {_value(f'{dataset}.toml')}"]
    lines += [
        "",
        "[train]",
        _with_comment(f"epochs = {recipe.epochs}", "passes over the rows"),
        _with_comment(f"batch_size = {recipe.batch_size}", "rows per step"),
        _with_comment(f"lr = {_number(recipe.lr)}", "learning rate of the encoder"),
        _with_comment(f"head_lr = {_number(recipe.head_lr)}", "of the heads, which are newly initialised"),
        "",
        "[eval]",
        _with_comment(f"every = {recipe.every}", "steps between evaluations; the best model is kept"),
    ]
    return "\n".join(lines) + "\n"


def _predict_commands(proposal: Proposal, *, name: str) -> list[str]:
    """Return commands that predict an input with the parts that the tasks of a dataset read, such as choices."""
    labelled = {task: proposed.kind for task, proposed in proposal.tasks.items() if proposed.kind != "masked_lm"}
    kinds = {task: task_type(kind) for task, kind in labelled.items()}
    if not kinds:
        return [f'nlpmtl predict runs/{name}/model "A {_MASKED}."']
    by_name = "".join(f" --task {task}" for task in kinds) if all(kind.only_by_name for kind in kinds.values()) else ""
    row = {key: example for key, example in _EXAMPLE.items() if key in proposal.input}
    if row.keys() <= {"text"} or all(kind.embeds for kind in kinds.values()):  # words are given as text
        return [f'nlpmtl predict runs/{name}/model "A text."{by_name}']
    return [f"echo '{dumps(row)}' > new.jsonl", f"nlpmtl predict runs/{name}/model --input new.jsonl{by_name}"]


def _assignment(key: str, value: Any) -> Iterator[str]:
    """Yield the lines of a key; a long list has one line per few items."""
    line = f"{key} = {_value(value)}"
    if len(line) <= _WIDTH or not isinstance(value, list):
        yield line
        return
    yield f"{key} = ["
    row = "   "
    for item in map(_value, value):
        if len(row) + len(item) + 2 > _WIDTH:
            yield row
            row = "   "
        row += f" {item},"
    yield row
    yield "]"


def _value(value: Any) -> str:
    """Return a value as TOML.

    Raises:
        ConfigError: a string is not valid Unicode, such as the name of a file in another encoding than UTF-8.
    """
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        if has_surrogate(value):
            raise ConfigError(
                f"{escape_line(value)}: this name is not valid Unicode, so a config file cannot contain it: rename the "
                "file, directory or column"
            )
        return dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _key(key: str) -> str:
    return key if key.isascii() and key.replace("_", "").replace("-", "").isalnum() else _value(key)


def _number(value: float) -> str:
    return f"{value:.0e}".replace("e-0", "e-")


def _comment(text: str) -> list[str]:
    """Return a comment on as many lines as it needs. TOML forbids control characters in comments."""
    return textwrap.wrap(escape_line(text), _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def _with_comment(line: str, comment: str) -> str:
    return f"{line:<{_COMMENT_COLUMN}} # {escape_line(comment)}" if comment else line
