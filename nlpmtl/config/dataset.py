"""Config models of a dataset file: source of the rows, input columns and tasks."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
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

from nlpmtl.config.inputs import InputConfig as InputConfig
from nlpmtl.config.inputs import find_problem, takes_columns
from nlpmtl.config.names import LabelName, label_name
from nlpmtl.registry import TASKS, KindOptions
from nlpmtl.strict_model import Place, StrictModel, broken_rules, missing_key, unknown_keys

NAME = r"^[A-Za-z_-][A-Za-z0-9_-]{0,63}$"
Name = Annotated[str, StringConstraints(pattern=NAME)]
"""Name of a task or a dataset: letters, digits, `_` and `-`, not starting with a digit, at most 64 characters."""
FORMAT_KEYS = {"delimiter", "quoting", "encoding", "header", "separator", "columns", "format"}
"""Keys of `data` for the format of files."""
AUTO, BRAT = "auto", "brat"
"""Values of `data.format`: the tool is recognised; brat, whose documents are files."""


class TaskOptions(KindOptions):
    """Options of all task types; each type adds its own keys, and the keys of its label columns."""

    metrics: tuple[str, ...] | None = None
    """Metrics; default: those of the task type."""
    labels: tuple[LabelName, ...] | None = None
    """Label names, in order. Default: the order of a ClassLabel feature (Hub, Dataset, Parquet), otherwise the labels
    of the train split, sorted (numbers by value).

    Integers in the data that are not label names are indices into this list.
    """
    lr: float | None = Field(None, gt=0)
    """Peak learning rate of the head; default: `train.head_lr`."""
    weight: str | None = None
    """Column of the weights of rows in training, numbers of at least 0; default: all weights are 1.

    Within a step, a row of weight 2 counts as much as two rows of weight 1 of the same task; a row of weight 0 is not
    trained on, and one without a weight has weight 1. Weights don't change how much the task counts relative to others:
    if all its rows in a step have the same weight, this weight has no effect. Metrics count all rows alike.
    """

    task_type: ClassVar[Any] = None
    """The task type, a subclass of `nlpmtl.tasks.Task`."""

    @classmethod
    def meant_by(cls, key: str) -> str | None:
        """Return also the keys of the columns of a task type that has no `label`."""
        meant = super().meant_by(key)
        if meant is None and key == "label" and cls.task_type is not None:
            nothing = f"nothing: a task of the kind {cls.task_type.kind} has no label"
            meant = " and ".join(cls.task_type.columns) or nothing
        return meant

    @property
    def label_columns(self) -> dict[str, tuple[str, ...]]:
        """Columns by the key of the task type's `columns`; several where there is one column per label.

        An optional column that the data do not have is omitted.
        """
        keys = ("label",) if self.task_type is None else self.task_type.columns
        values = {key: getattr(self, key) for key in keys}
        columns = {key: (value,) if isinstance(value, str) else value for key, value in values.items()}
        return {key: names for key, names in columns.items() if names is not None}

    @property
    def has_column_per_label(self) -> bool:
        """Whether `label` is a list of columns with 0 and 1, one per label."""
        return isinstance(getattr(self, "label", None), tuple)

    @property
    def columns(self) -> tuple[str, ...]:
        """All label columns."""
        return tuple(column for columns in self.label_columns.values() for column in columns)

    @field_validator("weight", mode="before")
    @classmethod
    def _check_weight(cls, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise ValueError(
                "the column of the weights of rows was expected; for a weight of the task's loss write "
                'weighting.weights.TASK, with weighting.kind = "constant"'
            )
        return value

    @model_validator(mode="after")
    def _no_repeated_names(self) -> Self:
        for key, names in (("labels", self.labels), ("metrics", self.metrics)):
            if names is not None and (not names or len(set(names)) < len(names)):
                raise ValueError(f"`{key}` must list at least one name, each once; found {list(names)}")
        return self

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        any_of = [key for key in type(self).model_fields if key in getattr(self.task_type, "any_of", ())]
        if any_of and not any(getattr(self, key) for key in any_of):
            raise missing_key(type(self).model_fields, *any_of)
        if self.task_type is not None:
            self.task_type.check_options(self)
        return self


class LabelledOptions(TaskOptions):
    """Options of all task types with one label column; each type adds its own keys."""

    label: str | tuple[str, ...]
    """Column of the label.

    For a kind that predicts sets of labels, such as multilabel, also a list of columns with 0 and 1, or true and false,
    one per label. A row with a missing value in one of them is unlabelled.
    """

    takes_columns: ClassVar[bool] = False
    """Whether `label` may be a list of columns, one per label."""

    @field_validator("label", mode="before")
    @classmethod
    def _check_columns(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        if not cls.takes_columns:
            raise ValueError(
                "the name of one column was expected; only a kind that predicts sets of labels, such as multilabel, "
                "takes a list of columns"
            )
        if not value or not all(isinstance(column, str) for column in value) or len(set(value)) < len(value):
            raise ValueError("a list of columns must have at least one column, each once")
        return tuple(value)

    @model_validator(mode="after")
    def _columns_are_the_labels(self) -> Self:
        if isinstance(self.label, tuple) and self.labels and set(self.labels) != set(map(label_name, self.label)):
            raise ValueError(f"`labels` must be the columns of `label` in some order; found {list(self.labels)}")
        return self


class DataConfig(StrictModel):
    """Source of the rows: files, or a dataset on the Hub."""

    table_examples: ClassVar[Mapping[str, str]] = {
        "": '{files = {train = "train.jsonl"}}',
        "files": '{train = "train.jsonl"}',
        "splits": '{validation = "dev"}',
        "columns": "{words = 0, tags = -1}",
    }

    files: dict[str, Any] | None = None
    """Split name = file: .jsonl, .json, .csv, .tsv, .parquet, .conll, .conllu, .bio or .iob, a .txt file with CoNLL
    columns or a text per line, each also with .gz; or a directory of brat or of a saved Dataset. A list of files, or a
    pattern such as "train-*.jsonl", is read as one split. A file in a zip archive is "RTE.zip/RTE/train.jsonl".

    In Python also a Dataset, a DataFrame or a list of dicts.
    """
    hub: str | None = None
    """Id of a dataset on the Hub."""
    revision: str | None = None
    """Commit, tag or branch of the dataset on the Hub."""
    subset: str | None = None
    """Configuration (subset) of the dataset on the Hub."""
    splits: dict[str, str] | None = None
    """Split name = split of the dataset on the Hub; default: train, validation and test, if they exist."""
    validation: float | None = Field(None, gt=0, lt=1)
    """Fraction of train that is held out as validation split, if there is none; the same rows for every seed."""
    delimiter: str | None = None
    """Field delimiter of .csv and .tsv files; default: a comma in .csv files, a tab in .tsv files. A .txt file with a
    delimiter is a table."""
    quoting: Literal["minimal", "none"] | None = None
    """"minimal": fields may be in double quotes. "none": quotes are ordinary characters and each line is a row.

    Default: "minimal" for .csv files, "none" for .tsv files.
    """
    encoding: str = "utf-8"
    """Text encoding of text files, such as "utf-16", "cp1252" or "gb18030"."""
    header: bool | tuple[str, ...] = True
    """Whether the first line of .csv and .tsv files has the column names; if not, the columns are "0", "1", ….

    Or a list of column names, for files without such a line.
    """
    separator: str | None = Field(None, min_length=1)
    """Separator of the labels, words or tags in one cell, such as "|" for `drama|comedy` or " " for words and their
    tags; default: a list in a cell of a .csv or .tsv file is a JSON list."""
    columns: dict[str, Annotated[int, Field(strict=True)]] | None = None
    """Columns of CoNLL files: name = index from 0, or from the end: -1 is the last column.

    Default: the first column is `words` (the second one, if the first one counts the words of each sentence), the last
    `tags`, and the others "0", "1", …; in CoNLL-U `id`, `form`, `lemma`, `upos`, `xpos`, `feats`, `head`, `deprel`,
    `deps` and `misc`. With `columns`, a file of any name is a CoNLL file.
    """
    format: Literal["auto", "doccano", "label_studio", "prodigy", "spacy", "squad", "superglue", "brat"] = "auto"
    """Annotation tool that exported the files, which are read as the columns `text` and `label`; or "squad", the JSON
    of SQuAD, which is read as the columns `question`, `context` and `answers`; or "superglue", that of MultiRC and
    ReCoRD.

    "auto" recognises it by the first row. Files without such a row are read as they are.
    """
    license: str | None = None
    """Licence of the data for the model card: an identifier of the Hub, such as "cc-by-4.0", or a few words."""
    on_bad_row: Literal["stop", "skip"] = "stop"
    """Handling of invalid rows: "stop" ends the run before training, "skip" excludes the row and counts it.

    A column whose rows contradict each other ends the run in both cases: an unknown label in train, tags of another
    scheme, lists of names mixed with lists of 0 and 1.
    """

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

    @field_validator("columns", mode="after")
    @classmethod
    def _named_columns(cls, columns: dict[str, int] | None) -> dict[str, int] | None:
        if columns is not None and not (columns and all(columns)):
            raise ValueError("at least one column was expected, each with a name, such as {words = 0, tags = -1}")
        return columns

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if type(self) is not DataConfig:  # a source that a run file replaced a key with, see `expand_texts`
            return self
        if (self.files is None) == (self.hub is None):
            raise ValueError("exactly one source is needed: `files` or `hub`")
        if self.hub is None and (self.subset or self.splits or self.revision):
            raise ValueError("`subset`, `splits` and `revision` apply to `hub` only: remove them for `files`")
        if self.hub is not None:
            fields = type(self).model_fields
            given = [key for key in sorted(FORMAT_KEYS) if getattr(self, key) != fields[key].default]
            if given:
                raise ValueError(f"`{given[0]}` applies to `files` only: remove it for `hub`")
        if not (self.files or self.hub):
            raise ValueError("`files` must name at least one split, or `hub` a dataset")
        splits = self.files or self.splits or {}
        if self.validation is not None and "validation" in splits:
            raise ValueError(
                "`validation` holds out a fraction of train, but there is a validation split already: remove one"
            )
        return self

    @property
    def split_names(self) -> tuple[str, ...]:
        """Names of the splits, if the config lists them."""
        return tuple(self.files or self.splits or ())

    @field_serializer("files", when_used="json")
    def _name_objects(self, files: dict[str, Any] | None) -> dict[str, str | list[str]] | None:
        if files is None:
            return None
        return {split: _name(value) for split, value in files.items()}


def are_paths(value: object) -> bool:
    """Return whether a value is a path, a pattern, or a list of these."""
    paths = value if isinstance(value, list | tuple) and value else [value]
    return all(isinstance(path, str | Path) for path in paths)


def _name(value: Any) -> str | list[str]:
    if not are_paths(value):
        return f"<{type(value).__name__} in memory>"
    return str(value) if isinstance(value, str | Path) else [str(path) for path in value]


class DatasetConfig(StrictModel):
    """Config of a dataset file: source, input columns, and the tasks with labels on these rows."""

    table_examples: ClassVar[Mapping[str, str]] = {
        "": '{extends = "dataset.toml"}',
        "tasks": '{topic = {kind = "classification", label = "topic"}}',
        "limit": "{train = 1000}",
    }
    renamed_keys: ClassVar[Mapping[str, str]] = {"use": "extends"}

    data: SerializeAsAny[DataConfig]
    """Source of the rows."""
    input: InputConfig
    """Input columns."""
    tasks: dict[Name, Annotated[SerializeAsAny[TaskOptions], BeforeValidator(TASKS.parse)]] = Field(min_length=1)
    """Tasks with labels on these rows, by name."""
    limit: dict[str, Annotated[int, Field(gt=0, strict=True)]] = Field(default_factory=dict)
    """Split = maximum number of rows: the first rows of a shuffle that is the same for every seed."""

    @model_validator(mode="after")
    def _input_keys_are_those_of_the_tasks(self) -> Self:
        types = {task: TASKS.get(options.kind) for task, options in self.tasks.items()}
        known = {key for type_ in types.values() for key in getattr(type_, "extra_inputs", ())}
        columns: dict[Place, Any] = {("input", key): column for key, column in self.input.extra.items()}
        unknown = {place: column for place, column in columns.items() if place[-1] not in known}
        for place in unknown:
            others = [kind for kind in TASKS.names() if place[-1] in getattr(TASKS.get(kind), "extra_inputs", ())]
            if others:
                message = f"only tasks of the kind {' or '.join(others)} read it, and this dataset has none"
                raise broken_rules({place: message}, unknown)
        if unknown:
            raise unknown_keys(unknown, [*InputConfig.model_fields, *sorted(known)])
        wrong = {
            place: rule
            for place, column in columns.items()
            if (rule := find_problem(column, several=any(takes_columns(type_, place[-1]) for type_ in types.values())))
        }
        if wrong:
            raise broken_rules(wrong, columns)
        for task, type_ in types.items():
            for key in getattr(type_, "extra_inputs", ()):
                if key not in self.input.extra and key not in getattr(type_, "optional", ()):
                    raise ValueError(
                        f"task {task!r} ({self.tasks[task].kind}) needs a further input: write the column of `{key}` "
                        f'in [input], such as {key} = "{key}"'
                    )
        return self
