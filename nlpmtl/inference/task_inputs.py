"""Inputs for predictions: select the columns of a row that each task reads, and convert them to examples.

If a row has the columns that a task was trained on, the task reads these. Otherwise it reads the columns `text` and
`pair`, or `words`, and columns with the names of the keys of its `extra_inputs`. Columns are selected for each task
separately, so all tasks of a model can read a table with the columns of the training data.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from nlpmtl.config import ColumnNames, flatten_columns
from nlpmtl.data import (
    EVERY_MARK,
    WHITESPACE,
    Example,
    WordSplitting,
    describe_value,
    is_missing,
    join_cells,
    parse_value,
    to_input,
    to_plain,
)
from nlpmtl.errors import ConfigError, DataError, did_you_mean, escape_control_characters, list_some
from nlpmtl.inference.containers import Container
from nlpmtl.tasks import Task

Columns = tuple[tuple[str, ColumnNames], ...]
"""Keys (`text`, `pair`, `words` or a further input), each with the column it is read from; empty if there is none."""
TaskInputs = list[tuple[Example, tuple[str, ...]]]
"""The examples that a row holds, each with the names of the tasks that read it."""
SKIPPED = object()
"""Placeholder for a skipped input: it keeps its position among the inputs, and its predictions are empty."""
_TEXT_KEYS = ("text", "pair", "words")
_MAX_LISTED = 10
T = TypeVar("T")


def check_task_names(names: Sequence[str] | None, tasks: Collection[str]) -> None:
    """Check the names of the requested tasks against those of the model; None means all tasks.

    Raises:
        ConfigError: `names` is not a list of names, or the model has no task with one of the names.
    """
    if names is None:
        return
    if isinstance(names, str | bytes | Mapping) or not isinstance(names, Collection) or not names:
        raise ConfigError(
            f"tasks: a list of task names was expected, found {describe_value(names)}; the model has {', '.join(tasks)}"
        )
    for name in names:
        if not isinstance(name, str):
            raise ConfigError(f"tasks: task names must be strings, found {describe_value(name)}")
        if name not in tasks:
            raise ConfigError(f"this model has no task {name!r}; {did_you_mean(name, tasks)}")


class InputReader:
    """Converts raw inputs to examples for the tasks to predict.

    Args:
        tasks: tasks of the model by name.
        names: names of the tasks to predict; None: for each input, the tasks that accept it, except tasks that must be
            requested by name.
    """

    def __init__(self, tasks: Mapping[str, Task], *, names: Sequence[str] | None) -> None:
        self._tasks, self._requested = tasks, None if names is None else list(dict.fromkeys(names))
        default = [name for name, task in tasks.items() if not task.only_by_name]
        self._names = default if self._requested is None else self._requested
        self._splitting = {name: task.splitting for name, task in tasks.items()}
        self._selected: dict[tuple[str, ...], dict[Columns, list[str]]] = {}

    @property
    def names(self) -> Sequence[str]:
        """The names of the tasks to predict."""
        return self._names

    @property
    def trained_columns(self) -> list[str]:
        """The columns that the tasks of the model were trained on."""
        tasks = self._tasks.values()
        trained = flatten_columns(column for task in tasks for table in task.input_columns for column in table.values())
        return list(dict.fromkeys([*trained, *(key for task in tasks for key in task.extra_inputs)]))

    @property
    def extra_input_columns(self) -> list[str]:
        """The columns of further inputs: those of the training data, and the keys themselves."""
        tables = [(table, task) for task in self._tasks.values() for table in (*task.input_columns, {})]
        columns = flatten_columns(table.get(key, key) for table, task in tables for key in task.extra_inputs)
        return list(dict.fromkeys(columns))

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The tasks of the model."""
        return self._tasks

    def columns(self, table: Container) -> list[str]:
        """Return the columns of a table that the tasks read.

        Raises:
            ConfigError: all tasks of the model must be requested by name.
            DataError: the table lacks the columns of a requested task, or of all tasks.
        """
        assert table.columns is not None
        if not self._names:
            raise ConfigError(self._explain_no_task([]))
        tasks_by_columns = self._select_columns(table.columns)
        tasks_without_input = tasks_by_columns.get((), [])
        if tasks_without_input and (self._requested is not None or len(tasks_by_columns) == 1):
            hint = self._hint(table.columns, names=tasks_without_input)
            raise DataError(f"the {table.name} lacks the input of task {tasks_without_input[0]!r}: {hint}")
        read = dict.fromkeys(flatten_columns(column for columns in tasks_by_columns for _, column in columns))
        return [column for column in read if column in table.columns]  # the items of a list may have a column each

    def readers(self, keys: Iterable[str]) -> dict[str, dict[str, list[str]]]:
        """Return which tasks read which columns of a row with the given keys.

        Returns:
            ``text``, ``pair``, ``words`` or a further input → column → names of the tasks.
        """
        readers: dict[str, dict[str, list[str]]] = {}
        for columns, names in self._select_columns(tuple(keys)).items():
            for key, column in columns:
                for part in flatten_columns([column]):
                    readers.setdefault(key, {}).setdefault(part, []).extend(names)
        return readers

    def check_series(self, inputs: Any) -> None:
        """Raise DataError if a Series is a row of a table, because its cells would be read as several texts."""
        labels = _row_labels(inputs)
        if {"text", "words", *self.trained_columns}.intersection(labels):
            raise DataError(
                f"input 1: a {type(inputs).__name__} is read as a column of texts, found a row with the columns "
                f"{_list(labels)}: pass row.to_dict()"
            )

    def read(self, value: Any) -> TaskInputs:
        """Return the examples of a row, each with the names of the tasks that read it; an empty list for `SKIPPED`.

        Raises:
            ValueError: the value is not an input.
            ConfigError: a requested task, or every task, cannot read the input.
        """
        if value is SKIPPED:
            return []
        value = to_plain(value)
        if not isinstance(value, Mapping):
            return self._match_tasks({(): self._names}, {(): Example(to_input(value))})
        keys = tuple(key for key in value if isinstance(key, str))
        tasks_by_columns = self._select_columns(keys)
        tasks_without_input = tasks_by_columns.get((), [])
        if tasks_without_input and (self._requested is not None or len(tasks_by_columns) == 1):
            missing = "text: missing or null"
            if len(tasks_by_columns) > 1:
                missing = f"the input of task {tasks_without_input[0]!r} is missing"
            raise ValueError(f"{missing}; {self._hint(keys, names=tasks_without_input)}")
        inputs = {
            columns: _read(value, columns, words_from_text=any(self._splitting[name] == EVERY_MARK for name in names))
            for columns, names in tasks_by_columns.items()
            if columns
        }
        return self._match_tasks(tasks_by_columns, inputs)

    def in_task_order(self, predictions: Mapping[str, T]) -> dict[str, T]:
        """Return predictions in the order of the requested tasks, or in that of the model."""
        return {name: predictions[name] for name in self._names if name in predictions}

    def _match_tasks(
        self, tasks_by_columns: Mapping[Columns, Sequence[str]], inputs: Mapping[Columns, Example]
    ) -> TaskInputs:
        """Return the examples, each with the names of the tasks that can predict for it."""
        matched: TaskInputs = []
        for columns, example in inputs.items():
            text = example.input
            reads_raw_text = text is not None and text.pair is None and text.given is None
            by_input: dict[tuple[WordSplitting, tuple[tuple[str, str], ...]], list[str]] = {}
            examples: dict[tuple[tuple[str, str], ...], Example] = {}
            for name in tasks_by_columns[columns]:
                task = self._tasks[name]
                types = tuple((key, type_) for key, type_ in task.extra_inputs.items() if key in example.extra)
                if types not in examples:
                    examples[types] = _parse_extra(example, types, columns=_names(columns))
                if task.reads(examples[types]):
                    splitting = self._splitting[name] if reads_raw_text else WHITESPACE
                    by_input.setdefault((splitting, types), []).append(name)
                elif self._requested is not None:
                    raise ConfigError(_explain_refusal(task, examples[types]))
            for (splitting, types), names in by_input.items():
                read = replace(examples[types].input, splitting=splitting)  # type: ignore[type-var]
                matched.append((replace(examples[types], input=read), tuple(names)))
        if not matched and self._requested is None:
            raise ConfigError(self._explain_no_task(list(inputs.values())))
        return matched

    def _explain_no_task(self, examples: Sequence[Example]) -> str:
        by_name = [name for name, task in self._tasks.items() if task.only_by_name]
        if not self._names:
            how = "with the argument `tasks` or the option --task"
            return f"the tasks of this model must be requested by name, {how}: {_list(by_name)}"
        paired = any(example.pair is not None for example in examples)
        if all(task.takes_pairs is not paired for task in self._tasks.values()):
            return f"{'no task of this model accepts' if paired else 'all tasks of this model expect'} a text pair"
        lacking = {key for task in self._tasks.values() for key in task.extra_inputs}
        needed = f", which needs {', '.join(f'`{key}`' for key in sorted(lacking))}" if lacking else ""
        unnamed = f"; tasks that must be requested by name: {_list(by_name)}" if by_name else ""
        return f"no task of this model can predict for this input{needed}{unnamed}"

    def _select_columns(self, keys: tuple[str, ...]) -> dict[Columns, list[str]]:
        """Return the names of the tasks, grouped by the columns that they read from a row with the given keys."""
        if keys not in self._selected:
            text_keys = ("text", "pair") if "text" in keys else ("words",)
            tasks_by_columns: dict[Columns, list[str]] = {}
            for name in self._names:
                task = self._tasks[name]
                trained = (table for table in task.input_columns if _has_columns(keys, table.values()))
                columns = next((table for table in trained if any(k != c for k, c in table.items())), None)
                default_columns = tuple((key, key) for key in (*text_keys, *task.extra_inputs) if key in keys)
                if not any(key in text_keys for key, _ in default_columns):
                    default_columns = ()
                selected = default_columns if columns is None else tuple(columns.items())
                tasks_by_columns.setdefault(selected, []).append(name)
            self._selected[keys] = tasks_by_columns
        return self._selected[keys]

    def _hint(self, keys: Sequence[str], *, names: Sequence[str]) -> str:
        """Return the end of an error message: the columns that the given tasks expect, and the keys that a row has."""
        trained = [flatten_columns(columns.values()) for name in names for columns in self._tasks[name].input_columns]
        listed = dict.fromkeys(
            " and ".join(f"`{escape_control_characters(column)}`" for column in columns) for columns in trained
        )
        known = dict.fromkeys(["text", "pair", "words", *(column for columns in trained for column in columns)])
        known |= dict.fromkeys(key for name in names for key in self._tasks[name].extra_inputs)
        hints = (did_you_mean(key, known) for key in keys if key not in known)
        hint = next((f"; {text}" for text in hints if text.startswith("did you mean")), "")
        others = f", or the columns of its training data, {' or '.join(listed)}" if listed else ""
        expected = f"expected columns: `text` (optionally with `pair`), or `words`{others}"
        return f"{expected}; found: {_list(keys) or 'none'}{hint}"


def _read(row: Mapping[str, Any], columns: Columns, *, words_from_text: bool) -> Example:
    """Return a row as an example whose further inputs are not parsed yet.

    Args:
        row: the row.
        columns: the columns that the tasks read.
        words_from_text: whether the column of `words` had raw texts in the training data, which were split into words.
    """
    cells = {
        key: row[name] if isinstance(name, str) else join_cells(to_plain(row.get(part)) for part in name)
        for key, name in columns
    }
    given = {key: cell for key, cell in cells.items() if key in _TEXT_KEYS}
    if words_from_text and isinstance(given.get("words"), str):
        given["text"] = given.pop("words")
        columns = tuple(("text" if key == "words" else key, column) for key, column in columns)
    extra = {key: cell for key, cell in cells.items() if key not in _TEXT_KEYS}
    return Example(to_input(given, columns=_names(columns)), extra=extra)


def _has_columns(keys: Collection[str], columns: Iterable[ColumnNames]) -> bool:
    """Return whether a row has all columns of an input. If the items of a list have a column each, one is enough."""
    return all(any(name in keys for name in flatten_columns([column])) for column in columns)


def _names(columns: Columns) -> dict[str, str]:
    """Return the name of the column of each key, for error messages."""
    return {key: ", ".join(flatten_columns([column])) for key, column in columns}


def _parse_extra(example: Example, types: Sequence[tuple[str, str]], *, columns: Mapping[str, str]) -> Example:
    """Return an example with its further inputs parsed by their column types. Missing values are omitted."""
    parsed = Example(example.input)
    for key, name in types:
        value = to_plain(example.extra[key])
        if is_missing(value):
            continue
        try:
            value = parse_value(value, parsed, type=name)
        except ValueError as error:
            raise ValueError(f"{columns.get(key, key)}: {error}") from None
        if value is not None:
            parsed = replace(parsed, extra={**parsed.extra, key: value})
    return parsed


def _explain_refusal(task: Task, example: Example) -> str:
    """Return why a task cannot predict for an example."""
    paired = example.pair is not None
    if task.takes_pairs is not paired:
        expected, found = ("single text", "text pair") if paired else ("text pair (text, pair)", "single text")
        return f"task {task.name!r} expects a {expected}, found a {found}"
    missing = [key for key in task.extra_inputs if key not in example.extra and key not in task.optional]
    if missing:
        required = [key for key in task.extra_inputs if key not in task.optional]
        keys = ", ".join(f'"{key}": …' for key in ("text", *(["pair"] if paired else []), *required))
        return f"task {task.name!r} needs {', '.join(f'`{key}`' for key in missing)}: pass a row, {{{keys}}}"
    needed = task.needed_input
    return f"task {task.name!r} cannot predict for this input{needed and f': it needs {needed}'}"


def _list(names: Iterable[str]) -> str:
    return list_some(map(escape_control_characters, names), limit=_MAX_LISTED)


def _row_labels(inputs: Any) -> tuple[str, ...]:
    """Return the string labels of a Series, such as a row of a DataFrame."""
    index = getattr(inputs, "index", None)
    if not hasattr(inputs, "iloc") or index is None:
        return ()
    return tuple(label for label in index if isinstance(label, str))
