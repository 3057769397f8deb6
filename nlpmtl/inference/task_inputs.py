"""Task inputs: selection of the columns of a row that each task reads, and the examples made from them.

A row with the columns that a task was trained on is read as in training, any other row by the names `text`, `pair` and
`words`, and the keys of the task's `extra_inputs`. Columns are selected per task, so all tasks of a model can read a
table with the columns of the training data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from nlpmtl.data import (
    WHITESPACE,
    Container,
    Example,
    WordSplitting,
    parse_value,
    row_labels,
    to_input,
    to_plain,
)
from nlpmtl.errors import ConfigError, DataError, did_you_mean, plain
from nlpmtl.tasks import Task

Columns = tuple[tuple[str, str], ...]
"""`text`, `pair`, `words` and keys of further inputs, each with its column; empty where there is none to read."""
TaskInputs = list[tuple[Example, tuple[str, ...]]]
"""The examples that a row holds, each with the names of the tasks that read it."""
SKIPPED = object()
"""An input that is not read, but counted: its predictions are empty."""
_TEXT_KEYS = ("text", "pair", "words")
_SHOWN = 10
T = TypeVar("T")


class InputReader:
    """Reads raw inputs for the tasks to predict.

    Args:
        tasks: tasks of the model by name.
        names: names of the tasks to predict; None: all tasks that accept an input.
    """

    def __init__(self, tasks: Mapping[str, Task], *, names: Sequence[str] | None) -> None:
        self._tasks, self._requested = tasks, None if names is None else list(dict.fromkeys(names))
        default = [name for name, task in tasks.items() if not task.only_by_name]
        self._names = default if self._requested is None else self._requested
        self._chosen: dict[tuple[str, ...], dict[Columns, list[str]]] = {}

    @property
    def trained_columns(self) -> list[str]:
        """The columns that the tasks of the model were trained on."""
        tasks = self._tasks.values()
        trained = [column for task in tasks for table in task.input_columns for column in table.values()]
        return list(dict.fromkeys([*trained, *(key for task in tasks for key in task.extra_inputs)]))

    def columns(self, table: Container) -> list[str]:
        """The columns of a table that are read.

        Raises:
            DataError: it has no column that a task reads.
        """
        assert table.columns is not None
        chosen = self._choose(table.columns)
        without = chosen.get((), [])
        if without and (self._requested is not None or len(chosen) == 1):
            raise DataError(f"the {table.name} lacks the input of task {without[0]!r}: {self._hint(table.columns)}")
        return list(dict.fromkeys(column for columns in chosen for _, column in columns))

    def check_series(self, inputs: Any) -> None:
        """DataError if a Series is a row of a table: its cells would be read as several texts."""
        labels = row_labels(inputs)
        if {"text", "words", *self.trained_columns}.intersection(labels):
            raise DataError(
                f"input 1: a {type(inputs).__name__} is read as a column of texts, and this one is a row with the "
                f"columns {_list(labels)}: write row.to_dict()"
            )

    def read(self, value: Any) -> TaskInputs:
        """The inputs that a row holds, each with the tasks that read it; none for `SKIPPED`.

        Raises:
            ValueError: the value is not an input.
            ConfigError: a requested task cannot read it.
        """
        if value is SKIPPED:
            return []
        value = to_plain(value)
        if not isinstance(value, Mapping):
            return self._match({(): self._names}, {(): Example(to_input(value))})
        chosen = self._choose(tuple(key for key in value if isinstance(key, str)))
        if () in chosen and (self._requested is not None or len(chosen) == 1):
            raise ValueError(f"text: missing or null; {self._hint([key for key in value if isinstance(key, str)])}")
        inputs = {columns: _read(value, columns) for columns in chosen if columns}
        return self._match(chosen, inputs)

    def in_order(self, predictions: Mapping[str, T]) -> dict[str, T]:
        """Return predictions in the order of the requested tasks, or in that of the model."""
        return {name: predictions[name] for name in self._names if name in predictions}

    def _match(self, chosen: Mapping[Columns, Sequence[str]], inputs: Mapping[Columns, Example]) -> TaskInputs:
        """Return each example with those of its tasks that can predict for it."""
        matched: TaskInputs = []
        for columns, example in inputs.items():
            by_input: dict[tuple[WordSplitting, tuple[tuple[str, str], ...]], list[str]] = {}
            examples: dict[tuple[tuple[str, str], ...], Example] = {}
            for name in chosen[columns]:
                task = self._tasks[name]
                types = tuple((key, type_) for key, type_ in task.extra_inputs.items() if key in example.extra)
                if types not in examples:
                    examples[types] = _parse_extra(example, types, columns=dict(columns))
                if task.reads(examples[types]):
                    by_input.setdefault((self._splitting(task, example), types), []).append(name)
                elif self._requested is not None:
                    raise ConfigError(_why_not(task, examples[types]))
            for (splitting, types), names in by_input.items():
                read = replace(examples[types].input, splitting=splitting)  # type: ignore[type-var]
                matched.append((replace(examples[types], input=read), tuple(names)))
        if not matched and self._requested is None:
            raise ConfigError(self._why_none(list(inputs.values())))
        return matched

    @staticmethod
    def _splitting(task: Task, example: Example) -> WordSplitting:
        read = example.input
        return WHITESPACE if read is None or read.pair is not None or read.given is not None else task.splitting

    def _why_none(self, examples: Sequence[Example]) -> str:
        by_name = [name for name, task in self._tasks.items() if task.only_by_name]
        if not self._names:
            return f"the tasks of this model predict only if they are named: name one of {_list(by_name)}"
        paired = any(example.pair is not None for example in examples)
        if all(task.takes_pairs is not paired for task in self._tasks.values()):
            return "no task of this model reads a pair" if paired else "all tasks of this model read pairs"
        lacking = {key for task in self._tasks.values() for key in task.extra_inputs}
        needed = f", which needs {', '.join(f'`{key}`' for key in sorted(lacking))}" if lacking else ""
        unnamed = f"; tasks that predict only if they are named: {_list(by_name)}" if by_name else ""
        return f"no task of this model can predict for this input{needed}{unnamed}"

    def _choose(self, keys: tuple[str, ...]) -> dict[Columns, list[str]]:
        """The tasks by the columns that each reads of a row with these keys."""
        if keys not in self._chosen:
            named = ("text", "pair") if "text" in keys else ("words",)
            chosen: dict[Columns, list[str]] = {}
            for name in self._names:
                trained = (table for table in self._tasks[name].input_columns if set(table.values()) <= set(keys))
                columns = next((table for table in trained if any(k != c for k, c in table.items())), None)
                usual = tuple((key, key) for key in (*named, *self._tasks[name].extra_inputs) if key in keys)
                if not any(key in named for key, _ in usual):
                    usual = ()
                chosen.setdefault(usual if columns is None else tuple(columns.items()), []).append(name)
            self._chosen[keys] = chosen
        return self._chosen[keys]

    def _hint(self, keys: Iterable[str]) -> str:
        """Return the end of an error: the columns that a row needs, and those that it has."""
        names = self._names
        trained = {
            " and ".join(f"`{plain(column)}`" for column in columns.values()): list(columns.values())
            for name in names
            for columns in self._tasks[name].input_columns
        }
        known = dict.fromkeys(
            ["text", "pair", "words", *(column for columns in trained.values() for column in columns)]
        )
        known |= dict.fromkeys(key for name in names for key in self._tasks[name].extra_inputs)
        hints = (did_you_mean(key, known) for key in keys)
        hint = next((f"; {text}" for text in hints if text.startswith("did you mean")), "")
        others = f", or the columns of its training data, {' or '.join(trained)}" if trained else ""
        expected = f"expected columns: `text` (optionally with `pair`), or `words`{others}"
        return f"{expected}; found: {_list(keys) or 'none'}{hint}"


def _read(row: Mapping[str, Any], columns: Columns) -> Example:
    """Return a row as an example whose further inputs are not parsed yet."""
    texts = {key: row[column] for key, column in columns if key in _TEXT_KEYS}
    extra = {key: row[column] for key, column in columns if key not in _TEXT_KEYS}
    return Example(to_input(texts, columns=dict(columns)), extra=extra)


def _parse_extra(example: Example, types: Sequence[tuple[str, str]], *, columns: Mapping[str, str]) -> Example:
    """Return an example with its further inputs, parsed by their column types; a null one is left out."""
    parsed = Example(example.input)
    for key, name in types:
        value = to_plain(example.extra[key])
        if value is None:
            continue
        try:
            parsed = replace(parsed, extra={**parsed.extra, key: parse_value(value, parsed, type=name)})
        except ValueError as error:
            raise ValueError(f"{columns.get(key, key)}: {error}") from None
    return parsed


def _why_not(task: Task, example: Example) -> str:
    """Return why a task cannot predict for an example."""
    paired = example.pair is not None
    if task.takes_pairs is not paired:
        needed, given = ("a single text", "a pair") if paired else ("a pair (text, pair)", "a single text")
        return f"task {task.name!r} reads {needed}, and was given {given}"
    missing = [key for key in task.extra_inputs if key not in example.extra and key not in task.optional]
    if missing:
        required = [key for key in task.extra_inputs if key not in task.optional]
        keys = ", ".join(f'"{key}": …' for key in ("text", *(["pair"] if paired else []), *required))
        return f"task {task.name!r} needs {', '.join(f'`{key}`' for key in missing)}: pass a row, {{{keys}}}"
    return f"task {task.name!r} cannot predict for this input"


def _list(names: Iterable[str]) -> str:
    shown = [plain(name) for name in names]
    return ", ".join(shown[:_SHOWN]) + (", …" if len(shown) > _SHOWN else "")
