"""Which columns of a row each task reads, and the inputs that result.

A row with the columns that a task was trained on is read as in training, any other row by the names `text`, `pair` and
`words`. The columns are chosen for each task, so a table laid out like the training data suits all tasks of a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from nlpmtl.data import WHITESPACE, Container, Input, WordSplitting, row_labels, to_input, to_plain
from nlpmtl.errors import ConfigError, DataError, did_you_mean, plain
from nlpmtl.tasks import Task

Columns = tuple[tuple[str, str], ...]
"""`text`, `pair` or `words`, each with the column that it is read from; empty where there is none to read."""
TaskInputs = list[tuple[Input, tuple[str, ...]]]
"""The inputs that a row holds, each with the names of the tasks that read it."""
_SHOWN = 10
T = TypeVar("T")


class InputReader:
    """Reads raw inputs for the tasks to predict.

    Args:
        tasks: the model's tasks by name.
        wanted: the names of the tasks to predict; None for all that can read an input.
    """

    def __init__(self, tasks: Mapping[str, Task], *, wanted: Sequence[str] | None) -> None:
        self._tasks, self._wanted = tasks, None if wanted is None else list(dict.fromkeys(wanted))
        self._chosen: dict[tuple[str, ...], dict[Columns, list[str]]] = {}

    @property
    def trained_columns(self) -> list[str]:
        """The columns that the tasks of the model were trained on."""
        found = (column for task in self._tasks.values() for one in task.input_columns for column in one.values())
        return list(dict.fromkeys(found))

    def columns(self, table: Container) -> list[str]:
        """The columns of a table that are read.

        Raises:
            DataError: it has no column that a task reads.
        """
        assert table.columns is not None
        chosen = self._choose(table.columns)
        without = chosen.get((), [])
        if without and (self._wanted is not None or len(chosen) == 1):
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
        """The inputs that a row holds, each with the tasks that read it.

        Raises:
            ValueError: the value is not an input.
            ConfigError: a task that is asked for cannot read it.
        """
        value = to_plain(value)
        if not isinstance(value, Mapping):
            return self._match({(): self._names()}, {(): to_input(value)})
        chosen = self._choose(tuple(key for key in value if isinstance(key, str)))
        if () in chosen and (self._wanted is not None or len(chosen) == 1):
            raise ValueError(f"text: missing or null; {self._hint([key for key in value if isinstance(key, str)])}")
        found = {
            columns: to_input({k: value[c] for k, c in columns}, columns=dict(columns)) for columns in chosen if columns
        }
        return self._match(chosen, found)

    def in_order(self, predictions: Mapping[str, T]) -> dict[str, T]:
        """Predictions in the order in which the tasks were asked for, or in that of the model."""
        return {name: predictions[name] for name in self._names() if name in predictions}

    def _names(self) -> list[str]:
        return list(self._tasks) if self._wanted is None else self._wanted

    def _match(self, chosen: Mapping[Columns, Sequence[str]], found: Mapping[Columns, Input]) -> TaskInputs:
        """Each input with those of its tasks that read a pair, or a single text, as it is one."""
        inputs = []
        for columns, read in found.items():
            paired = read.pair is not None
            fitting = [name for name in chosen[columns] if self._tasks[name].takes_pairs is paired]
            for name in chosen[columns] if self._wanted is not None else ():
                if name not in fitting:
                    wants, got = ("a single text", "a pair") if paired else ("a pair (text, pair)", "a single text")
                    raise ConfigError(f"task {name!r} reads {wants}, and was given {got}")
            by_splitting: dict[WordSplitting, list[str]] = {}
            for name in fitting:
                splitting = WHITESPACE if paired or read.given is not None else self._tasks[name].splitting
                by_splitting.setdefault(splitting, []).append(name)
            inputs += [(replace(read, splitting=how), tuple(names)) for how, names in by_splitting.items()]
        if not inputs and self._wanted is None:
            paired = any(read.pair is not None for read in found.values())
            raise ConfigError("no task of this model reads a pair" if paired else "all tasks of this model read pairs")
        return inputs

    def _choose(self, keys: tuple[str, ...]) -> dict[Columns, list[str]]:
        """The tasks by the columns that each reads of a row with these keys."""
        if keys not in self._chosen:
            named = ("text", "pair") if "text" in keys else ("words",)
            usual = tuple((key, key) for key in named if key in keys)
            chosen: dict[Columns, list[str]] = {}
            for name in self._names():
                trained = (one for one in self._tasks[name].input_columns if set(one.values()) <= set(keys))
                columns = next((one for one in trained if any(k != c for k, c in one.items())), None)
                chosen.setdefault(usual if columns is None else tuple(columns.items()), []).append(name)
            self._chosen[keys] = chosen
        return self._chosen[keys]

    def _hint(self, keys: Iterable[str]) -> str:
        """What a row needs, and what it has."""
        names = self._names()
        trained = {
            " and ".join(f"`{plain(column)}`" for column in one.values()): list(one.values())
            for name in names
            for one in self._tasks[name].input_columns
        }
        known = dict.fromkeys(["text", "pair", "words", *(column for one in trained.values() for column in one)])
        near = (did_you_mean(key, known) for key in keys)
        found = next((f"; {one}" for one in near if one.startswith("did you mean")), "")
        others = f", or the columns of its training data, {' or '.join(trained)}" if trained else ""
        return f"a row has `text`, and perhaps `pair`, or `words`{others}; found: {_list(keys) or 'none'}{found}"


def _list(names: Iterable[str]) -> str:
    shown = [plain(name) for name in names]
    return ", ".join(shown[:_SHOWN]) + (", …" if len(shown) > _SHOWN else "")
