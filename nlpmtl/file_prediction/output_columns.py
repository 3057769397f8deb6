"""Columns of predictions in CSV and Parquet files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from nlpmtl.errors import ConfigError, RunError
from nlpmtl.strict_json import dumps
from nlpmtl.tasks import OutputOptions, Task

ERROR, PREDICTIONS = "error", "predictions"
"""Column with the reason why a row is invalid, and field of JSON Lines with the predictions."""
_VALUES = ("label", "labels", "value")
"""Keys of `Task.format` whose value is in the column of the task; of a prediction with none of them, the first key."""

Predictions = Mapping[str, Any] | None
"""Predictions of a row by task; None for an invalid row."""


class OutputColumn(NamedTuple):
    """A column of predictions.

    Args:
        name: its name: the name of the task, or ``<task>_<key>``, such as ``<task>_score``.
        task: the task.
        key: key of its value in a prediction; None: the whole prediction.
        type: its type in Parquet; None: JSON text.
    """

    name: str
    task: str
    key: str | None
    type: pa.DataType | None

    def value(self, predictions: Predictions) -> Any:
        """Return the value in a row; None where the task has no prediction."""
        prediction = None if predictions is None else predictions.get(self.task)
        if prediction is not None and self.key is not None:
            prediction = prediction.get(self.key)
        return prediction if self.type is not None or prediction is None else dumps(prediction, ensure_ascii=False)

    def array(self, rows: Sequence[Predictions]) -> pa.Array:
        """Return the column.

        Raises:
            RunError: a prediction does not have the type of the column.
        """
        values = list(map(self.value, rows))
        try:
            return pa.array(values, type=self.type or pa.string())
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise RunError(
                f"task {self.task!r}: format() returned a value that is not of its output_type(), {self.type}: {error}"
            ) from error


def output_columns(tasks: Mapping[str, Task], *, options: OutputOptions) -> list[OutputColumn]:
    """Return the columns of predictions: ``<task>``, and ``<task>_<key>`` for each further key of a prediction.

    The column ``<task>`` has the label, number, answer or text, and ``<task>_score`` its score. With `all_scores`,
    ``<task>_scores`` has the probability of every label.

    Args:
        tasks: the tasks that predict.
        options: what a formatted prediction shows.
    """
    columns = []
    for name, task in tasks.items():
        type_ = task.output_type(options)
        fields = {field.name: field.type for field in type_} if isinstance(type_, pa.StructType) else {}
        key = next((key for key in (*_VALUES, *fields) if key in fields), None)
        columns.append(OutputColumn(name, name, key, fields[key] if key else type_))
        columns += [OutputColumn(f"{name}_{other}", name, other, fields[other]) for other in fields if other != key]
    return columns


def check_names(columns: Collection[str], new: Sequence[str], *, where: str) -> None:
    """Check that new columns have names of their own.

    Args:
        columns: columns of the input.
        new: columns of predictions.
        where: the input file, for the message.

    Raises:
        ConfigError: a name is used twice.
    """
    for index, name in enumerate(new):
        if name in columns:
            raise ConfigError(
                f"{where}: the column {name!r} has the name of a column of predictions: rename it, or "
                f"write .jsonl, which has predictions in the field {PREDICTIONS!r}"
                if name != PREDICTIONS
                else f"{where}: the field {name!r} has the name of the field of predictions: rename it"
            )
        if name in new[:index]:
            raise ConfigError(f"two columns of predictions have the name {name!r}: write .jsonl")
