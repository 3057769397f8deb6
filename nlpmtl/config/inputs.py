"""Config model of the input of a dataset: the columns of its texts or words, and of further inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, model_validator

from nlpmtl.registry import COLUMN_TYPES, TASKS
from nlpmtl.strict_model import StrictModel, unknown_keys

ColumnNames = str | tuple[str, ...]
"""The column of an input, or several columns whose values are the items of a list."""


def takes_columns(task_type: type, key: str) -> bool:
    """Return whether a further input of a task type may be given as a list of columns, one per item."""
    name = getattr(task_type, "extra_inputs", {}).get(key)
    return name in COLUMN_TYPES.names() and bool(getattr(COLUMN_TYPES.get(name), "joins_columns", False))


def find_problem(column: Any, *, several: bool) -> str | None:
    """Return the rule that the value of a further input breaks; None if it names a column, or several if allowed."""
    if isinstance(column, str):
        return None
    if not several:
        return "the name of a column, a string, was expected"
    names = column if isinstance(column, list | tuple) else ()
    if len(names) > 1 and all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
        return None
    return "the name of a column of lists, or a list of at least two columns, each once, was expected"


def flatten_columns(columns: Iterable[ColumnNames]) -> list[str]:
    """Return the names of columns of inputs, some of which are lists of columns.

    >>> flatten_columns(["question", ("first", "second")])
    ['question', 'first', 'second']
    """
    return [name for column in columns for name in ([column] if isinstance(column, str) else column)]


def _add_extra_inputs(schema: dict[str, Any]) -> None:
    """Add the further inputs of the registered task types to the JSON Schema of `InputConfig`."""
    kinds: dict[str, list[str]] = {}
    for kind in TASKS.names():
        for key in getattr(TASKS.get(kind), "extra_inputs", ()):
            kinds.setdefault(key, []).append(kind)
    for key, names in kinds.items():
        about = f"Column of `{key}`, for {' and '.join(names)}"
        column: dict[str, Any] = {"type": "string", "description": f"{about}."}
        if any(takes_columns(TASKS.get(kind), key) for kind in names):
            items = {"type": "array", "items": {"type": "string"}, "minItems": 2}
            column = {"anyOf": [{"type": "string"}, items], "description": f"{about}; or a column for each of them."}
        schema["properties"][key] = column
    schema["additionalProperties"] = False


class InputConfig(StrictModel):
    """Input columns: `words`, or `text`, or `text` and `pair`; and those of further inputs that a task type needs."""

    model_config = ConfigDict(extra="allow", json_schema_extra=_add_extra_inputs)

    table_examples: ClassVar[Mapping[str, str]] = {"": '{text = "sentence"}'}

    words: str | None = None
    """Column with lists of words (pre-tokenized input)."""
    text: str | None = None
    """Column of the text."""
    pair: str | None = None
    """Column of the second text of a pair."""

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if self.words is None and self.text is None and self.extra:
            raise unknown_keys({(key,): column for key, column in self.extra.items()}, type(self).model_fields)
        if (self.words is None) == (self.text is None):
            raise ValueError("exactly one of `words` and `text` is needed")
        if self.pair is not None and self.text is None:
            raise ValueError("`pair` needs `text`, the column of the first text")
        return self

    @property
    def shape(self) -> Literal["words", "text", "pair"]:
        """Input type."""
        if self.words is not None:
            return "words"
        return "pair" if self.pair is not None else "text"

    @property
    def extra(self) -> dict[str, ColumnNames]:
        """Key of each further input = its column, or a tuple of columns whose values are its items."""
        given = self.__pydantic_extra__ or {}
        return {key: tuple(column) if isinstance(column, list) else column for key, column in given.items()}

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns of the input."""
        texts = (column for column in (self.words, self.text, self.pair) if column is not None)
        return (*texts, *flatten_columns(self.extra.values()))
