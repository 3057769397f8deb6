"""The tables of a dataset file: where rows come from, what the input is, and which tasks are labelled on it."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SerializeAsAny,
    StringConstraints,
    field_serializer,
    field_validator,
    model_validator,
)

from nlpmtl.config.names import LabelName, label_name
from nlpmtl.registry import TASKS, KindOptions
from nlpmtl.strict_model import StrictModel

NAME = r"^[A-Za-z_-][A-Za-z0-9_-]{0,63}$"
Name = Annotated[str, StringConstraints(pattern=NAME)]
"""A task or a dataset: letters, digits, `_` and `-`, not starting with a digit, 64 at most."""


FORMAT_KEYS = {"delimiter", "quoting", "encoding", "header"}
"""The keys of `data` that say how text files are written."""


class TaskOptions(KindOptions):
    """What every kind of task understands; each kind adds its own keys."""

    label: str | tuple[str, ...]
    """The column that holds the label.

    For multilabel also a list of columns of 0 and 1 (or true and false): each column is a label. A row with a gap in
    one of them is unlabelled.
    """
    metrics: tuple[str, ...] | None = None
    """What to score; default: the kind's default."""
    labels: tuple[LabelName, ...] | None = None
    """The names of the labels, in order; default: the order of a ClassLabel feature (Hub, Dataset, parquet), else the
    names in the train split, sorted (numbers by value).

    Integers in the data that are not names themselves are indices into this list.
    """

    takes_columns: ClassVar[bool] = False
    """Whether `label` may be a list of columns."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that hold the label."""
        return (self.label,) if isinstance(self.label, str) else self.label

    def resolved(self, spell: Callable[[str], str]) -> dict[str, Any]:
        """The options whose values the model has in another form, such as the spelling of a label's name."""
        return {}

    @field_validator("label", mode="before")
    @classmethod
    def _check_columns(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        if not cls.takes_columns:
            raise ValueError("the name of one column was expected; only multilabel takes a list of columns")
        if not value or not all(isinstance(column, str) for column in value) or len(set(value)) < len(value):
            raise ValueError("a list of columns names at least one column, each once")
        return tuple(value)

    @model_validator(mode="after")
    def _columns_are_the_labels(self) -> Self:
        if not isinstance(self.label, str) and self.labels and set(self.labels) != set(map(label_name, self.label)):
            raise ValueError(f"`labels` must be the columns of `label` in some order; found {list(self.labels)}")
        return self

    @model_validator(mode="after")
    def _no_repeated_names(self) -> Self:
        for key, names in (("labels", self.labels), ("metrics", self.metrics)):
            if names is not None and (not names or len(set(names)) < len(names)):
                raise ValueError(f"`{key}` must list at least one name, each once; found {list(names)}")
        return self


class DataConfig(StrictModel):
    """Where rows come from: exactly one source."""

    table_examples: ClassVar[Mapping[str, str]] = {
        "": '{files = {train = "train.jsonl"}}',
        "files": '{train = "train.jsonl"}',
        "splits": '{validation = "dev"}',
    }

    files: dict[str, Any] | None = None
    """Our split name = a file: .jsonl, .csv, .tsv, each also with .gz, or .parquet. A list of files, or a pattern such
    as "train-*.jsonl", is read as one split.

    From Python also a Dataset, a DataFrame or a list of dicts.
    """
    hub: str | None = None
    """A dataset id on the Hub."""
    revision: str | None = None
    """A commit, tag or branch of the Hub's dataset."""
    subset: str | None = None
    """The Hub dataset's configuration."""
    splits: dict[str, str] | None = None
    """Our split name = the Hub's; default: the Hub's own train, validation and test."""
    validation: float | None = Field(None, gt=0, lt=1)
    """The share of train that becomes validation where there is none: the same rows for every seed."""
    delimiter: str | None = None
    """What separates the fields of .csv and .tsv files; default: a comma in .csv files, a tab in .tsv files."""
    quoting: Literal["minimal", "none"] | None = None
    """"minimal": fields may be in double quotes. "none": quotes are ordinary characters and each line is a row.

    Default: "minimal" for .csv files, "none" for .tsv files.
    """
    encoding: str = "utf-8"
    """Of .jsonl, .csv and .tsv files, such as "utf-16", "cp1252" or "gb18030"."""
    header: bool | tuple[str, ...] = True
    """Whether the first line of .csv and .tsv files names the columns; without it they are "0", "1", ….

    Or the names of the columns of files without such a line.
    """
    license: str | None = None
    """The data's licence, as the model card tells it: the Hub's name of it, such as "cc-by-4.0", or a few words."""
    on_bad_row: Literal["stop", "skip"] = "stop"
    """What a row that breaks a rule does: stop the run before training, or be left out and counted."""

    @field_validator("delimiter", mode="after")
    @classmethod
    def _one_character(cls, delimiter: str | None) -> str | None:
        delimiter = "\t" if delimiter == "\\t" else delimiter
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n\0'):
            raise ValueError("one character was expected, other than a quote or a line end")
        return delimiter

    @field_validator("encoding", mode="after")
    @classmethod
    def _known_encoding(cls, encoding: str) -> str:
        try:
            codec = codecs.lookup(encoding)
            codec.incrementaldecoder(errors="strict").decode(b"", final=True)
            "".encode(encoding)  # some codecs are not for text
        except (LookupError, ValueError, TypeError) as error:
            raise ValueError(f'a text encoding that Python knows was expected, such as "utf-8": {error}') from None
        return codec.name

    @field_validator("header", mode="before")
    @classmethod
    def _names_or_not(cls, header: Any) -> Any:
        if isinstance(header, bool):
            return header
        names = list(header) if isinstance(header, list | tuple) else []
        if not names or not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
            raise ValueError("true, false, or a list of the columns' names, each once, was expected")
        return tuple(names)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.files is None) == (self.hub is None):
            raise ValueError("exactly one source is needed: `files` or `hub`")
        if self.hub is None and (self.subset or self.splits or self.revision):
            raise ValueError("`subset`, `splits` and `revision` belong to `hub`")
        if self.hub is not None:
            moot = [key for key in sorted(FORMAT_KEYS) if getattr(self, key) != type(self).model_fields[key].default]
            if moot:
                raise ValueError(f"`{moot[0]}` belongs to `files`")
        if not (self.files or self.hub):
            raise ValueError("the source is empty")
        splits = self.files or self.splits or {}
        if self.validation is not None and "validation" in splits:
            raise ValueError("`validation` is a share of train, for data without a validation split; this one has one")
        return self

    @property
    def split_names(self) -> tuple[str, ...]:
        """Our names of the splits, where they are given."""
        return tuple(self.files or self.splits or ())

    @field_serializer("files", when_used="json")
    def _name_objects(self, files: dict[str, Any] | None) -> dict[str, str | list[str]] | None:
        if files is None:
            return None
        return {split: _name(value) for split, value in files.items()}


def are_paths(value: object) -> bool:
    """Whether a value is the path of a file, a pattern, or a list of such."""
    several = value if isinstance(value, list | tuple) and value else [value]
    return all(isinstance(one, str | Path) for one in several)


def _name(value: Any) -> str | list[str]:
    if not are_paths(value):
        return f"<{type(value).__name__} in memory>"
    return str(value) if isinstance(value, str | Path) else [str(one) for one in value]


class InputConfig(StrictModel):
    """The shape of the input: `words`, or `text`, or `text` and `pair`."""

    table_examples: ClassVar[Mapping[str, str]] = {"": '{text = "sentence"}'}

    words: str | None = None
    """The column of pre-split words."""
    text: str | None = None
    """The column of the text."""
    pair: str | None = None
    """The column of the second text of a pair."""

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if (self.words is None) == (self.text is None):
            raise ValueError("exactly one shape of input is needed: `words` or `text`")
        if self.pair is not None and self.text is None:
            raise ValueError("`pair` goes with `text`")
        return self

    @property
    def shape(self) -> Literal["words", "text", "pair"]:
        """Which of the three it is."""
        if self.words is not None:
            return "words"
        return "pair" if self.pair is not None else "text"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that hold it."""
        return tuple(c for c in (self.words, self.text, self.pair) if c is not None)


class DatasetConfig(StrictModel):
    """A dataset file: one source, one shape of input, the tasks labelled on it."""

    table_examples: ClassVar[Mapping[str, str]] = {
        "": '{extends = "dataset.toml"}',
        "tasks": '{topic = {kind = "classification", label = "topic"}}',
        "limit": "{train = 1000}",
    }
    renamed_keys: ClassVar[Mapping[str, str]] = {"use": "extends"}

    data: DataConfig
    """Where rows come from."""
    input: InputConfig
    """What the encoder reads."""
    tasks: dict[Name, Annotated[SerializeAsAny[TaskOptions], BeforeValidator(TASKS.parse)]] = Field(min_length=1)
    """The tasks labelled on these rows."""
    limit: dict[str, Annotated[int, Field(gt=0)]] = Field(default_factory=dict)
    """Split = how many rows of it to use: the first of a shuffle that is the same for every seed."""
