"""Fields of a task type: one declaration gives config keys, JSON Schema, what a saved model keeps, and loading."""

from __future__ import annotations

import copy
import inspect
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

from pydantic import ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo

from nlpmtl.config import NAME, ColumnNames, TaskOptions
from nlpmtl.data import LabelType, SplittingMethod
from nlpmtl.errors import ConfigError, ModelError, did_you_mean, escape_line, list_some, quote
from nlpmtl.plugins import HINT
from nlpmtl.registry import METRICS, TASKS
from nlpmtl.saved_config import MAX_TEMPERATURE, MIN_TEMPERATURE
from nlpmtl.strict_json import dumps
from nlpmtl.strict_model import StrictModel, rename_keys
from nlpmtl.tasks.options_model import make_options_model

if TYPE_CHECKING:
    from nlpmtl.tasks.base import Task

HOW_TO = "docs/howto/plugins.md"
_MAX_LISTED = 8
"""Maximum number of labels in the representation of a task."""
Temperature = Annotated[float, Field(ge=MIN_TEMPERATURE, le=MAX_TEMPERATURE)]
"""A number by which logits or similarities are divided."""
ProbabilityThreshold = Annotated[float, Field(ge=-1, le=1)]
"""A probability above which something is predicted; −1: always."""
_INPUT_KEYS = {"text": '`text = "…"`', "pair": '`text = "…"` and `pair = "…"`', "words": '`words = "…"`'}


class TaskFields(StrictModel):
    """Fields that all tasks have. The fields of a task type are the annotated ones of its class.

    A field is a config key of the type, and is saved with a model, unless it is

    - named in `fitted` or `calibrated`: it is learned, so it is saved, but is not a config key;
    - ``Field(exclude=True)``: it is a config key for training only, so it is not saved.

    Example:
        >>> from nlpmtl.config import TaskOptions
        >>> class Rating(TaskFields):
        ...     kind = "rating"
        ...     fitted = frozenset({"mean"})
        ...     low: float = 1.0
        ...     '''The lowest rating.'''
        ...     mean: float = 0.0
        >>> sorted(Rating.options_model().model_fields)
        ['kind', 'label', 'labels', 'low', 'lr', 'metrics', 'weight']
        >>> Rating(name="stars", input="text", labels=[], mean=3.5).to_config()["low"]
        1.0
    """

    model_config = ConfigDict(frozen=False)

    kind: ClassVar[str]
    """The registered name."""
    columns: ClassVar[Mapping[str, LabelType]] = {"label": "class"}
    """Config key of each label column, and its column type."""
    inputs: ClassVar[frozenset[str]] = frozenset({"text", "pair", "words"})
    """Input shapes on which it can be trained."""
    extra_inputs: ClassVar[Mapping[str, LabelType]] = {}
    """Key of each further input, such as the choices of multiple choice, and its column type. The key is also that in
    the table `input` of a dataset, and in raw inputs to predict for."""
    metrics: ClassVar[tuple[str, ...]] = ()
    """Default metrics of the type; on an instance, the metrics that its config lists. The first one is the score."""
    fitted: ClassVar[frozenset[str]] = frozenset()
    """Fields that `fit` learns from the train splits, and that a continued run takes over."""
    calibrated: ClassVar[frozenset[str]] = frozenset({"temperature"})
    """Fields that `calibrate` sets at the end of a run; a continued run starts with their defaults."""
    changeable: ClassVar[frozenset[str]] = frozenset()
    """Saved fields that may differ in a continued run, because the outputs of the head do not depend on them."""

    name: str
    """The name of the task."""
    input: Literal["text", "pair", "words"]
    """The shape of the input that it was trained on."""
    labels: tuple[str, ...]
    """Its label names, in order; empty for a type without a vocabulary."""
    listed_metrics: tuple[str, ...] | None = Field(None, alias="metrics")
    """Metrics that the config lists; default: those of the type."""
    temperature: Temperature = 1.0
    """Logits are divided by it before they become probabilities."""
    input_columns: tuple[dict[str, ColumnNames], ...] = ()
    """The columns of each dataset that it was trained on, by `text`, `pair` or `words`: a table with them is read as in
    training."""
    conll_columns: Mapping[str, int] = Field(default_factory=dict)
    """Index of these columns in CoNLL files, if the datasets name them in `data.columns`."""
    word_separator: str | None = None
    """Separator of the words in a cell of a table, if the datasets have one."""
    word_splitting: SplittingMethod = "whitespace"
    """Method by which its training data were split into words; raw text is split in the same way."""
    split_marks: tuple[str, ...] = ()
    """Marks that the method "punctuation" splits off."""
    whole_words: tuple[str, ...] = ()
    """Words that keep the mark at their end, such as abbreviations; at most 500."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            raise ConfigError(
                f"{cls.__module__}.{cls.__qualname__} has an `__init__`, as task types of nlpmtl 0.1 had: declare its "
                f"options as annotated fields of the class, such as `margin: float = 0.0`, see {HOW_TO}"
            )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(f"task {values.get('name')!r}: {_describe(error)}") from None
        self.set_metrics(self.metrics if self.listed_metrics is None else self.listed_metrics)
        self.check_fields()

    def set_metrics(self, names: Sequence[str]) -> None:
        """Score this task by other metrics than those of its type."""
        self.__dict__["metrics"] = tuple(names)  # pydantic sets no class variable on an instance

    def check_fields(self) -> None:
        """Check the fields against each other, once all are set. A type that overrides it calls ``super()``.

        Raises:
            ConfigError: the rule that they break; it names the task.
        """
        self.check_input(self.input, task=self.name)

    @classmethod
    def check_input(cls, shape: str, *, task: str) -> None:
        """Check that the type can be trained on inputs of a shape.

        Raises:
            ConfigError: it cannot; the message names the task and the keys to write in `[input]`.
        """
        if shape not in cls.inputs:
            needed = " or ".join(_INPUT_KEYS[known] for known in sorted(cls.inputs))
            raise ConfigError(f"task {task!r}: the input of {cls.kind} must be {needed}, found {_INPUT_KEYS[shape]}")

    def __repr__(self) -> str:
        """Return its name, type, input shape and labels: ``topic: classification of text, 2 labels (no, yes)``."""
        names = list_some(map(escape_line, self.labels), limit=_MAX_LISTED)
        labels = f", {len(self.labels)} labels ({names})" if self.labels else ""
        return f"{escape_line(self.name)}: {self.kind} of {self.input}{labels}"

    @cached_property
    def _ids(self) -> dict[str, int]:
        """Id of each label; not read before `check_fields`."""
        return {label: i for i, label in enumerate(self.labels)}

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        repeated = next((label for label, count in Counter(labels).items() if count > 1), None)
        if repeated is not None:
            raise ValueError(f"each label must be listed once, {repeated!r} is listed several times")
        return labels

    @field_validator("input_columns")
    @classmethod
    def _check_input_columns(cls, columns: tuple[dict[str, ColumnNames], ...]) -> tuple[dict[str, ColumnNames], ...]:
        shapes = ({"text"}, {"text", "pair"}, {"words"})
        texts = [{key: name for key, name in table.items() if key not in cls.extra_inputs} for table in columns]
        if not all(table.keys() in shapes and all(isinstance(v, str) for v in table.values()) for table in texts):
            raise ValueError(
                "a list of tables with the columns of `text`, of `text` and `pair`, or of `words` was expected"
            )
        return columns

    @classmethod
    def own_fields(cls) -> dict[str, FieldInfo]:
        """Return the fields of the type, without those of all tasks."""
        declared = {name for base in cls.__mro__ if base not in TaskFields.__mro__ for name in _annotations(base)}
        return {name: field for name, field in cls.model_fields.items() if name in declared}

    @classmethod
    def options_model(cls) -> type[TaskOptions]:
        """Return the model of the tables of this type in config files, made from the fields of the class."""
        return make_options_model(cls)

    @classmethod
    def check_options(cls, options: Any) -> None:
        """Check the options of a config table against each other, before data are read. Default: nothing.

        Raises:
            ValueError: the rule that they break.
        """

    @classmethod
    def resolve(cls, options: Mapping[str, Any], spell: Callable[[str], str]) -> dict[str, Any]:
        """Return the options whose values change when the labels are known, such as the spelling of a label name.

        Args:
            options: the values of a config table.
            spell: returns the task's spelling of a label name.
        """
        return {}

    def continue_from(self, earlier: Any) -> None:
        """Continue a task that was trained before: take over what `fit` learned.

        Raises:
            ConfigError: the outputs of its head would get another meaning.
        """
        same = self._saved_fields() - self.fitted - self.calibrated - self.changeable
        for field in ("kind", "labels", "takes_pairs", *sorted(same)):
            value, earlier_value = getattr(self, field), getattr(earlier, field, None)
            if value != earlier_value:
                raise ConfigError(
                    f"task {self.name!r}: the model to start from has a task of this name whose "
                    f"{field.replace('_', ' ')} is {earlier_value!r}, not {value!r}: describe the same task here, or "
                    "give it another name"
                )
        for field in self.fitted:
            setattr(self, field, copy.deepcopy(getattr(earlier, field)))

    def to_config(self) -> dict[str, Any]:
        """Return plain values from which `task_from_config` makes the same task: what a saved model keeps."""
        values: dict[str, Any] = {"kind": self.kind, "labels": list(self.labels), "metrics": list(self.metrics)}
        values["input"] = self.input
        if self.temperature != 1.0:
            values["temperature"] = self.temperature
        if self.input_columns:
            values |= self.model_dump(mode="json", include={"input_columns"})
        if self.conll_columns:
            values["conll_columns"] = dict(self.conll_columns)
        if self.word_separator is not None:
            values["word_separator"] = self.word_separator
        if self.input == "words":
            values["word_splitting"] = self.word_splitting
        for key in ("split_marks", "whole_words"):
            if words := getattr(self, key):
                values[key] = list(words)
        fields = self.model_dump(mode="json", include=self._saved_fields())
        for name in fields:
            if isinstance(getattr(self, name), Set):
                fields[name].sort(key=dumps)  # or their order would differ between processes
        unset = {
            name for name, value in fields.items() if value is None and type(self).model_fields[name].default is None
        }
        return values | {name: value for name, value in fields.items() if name not in unset}

    @classmethod
    def _saved_fields(cls) -> set[str]:
        return {name for name, field in cls.own_fields().items() if not field.exclude} - TaskFields.model_fields.keys()


def task_type(kind: str) -> type[Task]:
    """Return a registered task type.

    Raises:
        ValueError: it is unknown; the message has the nearest known name.
    """
    member = TASKS.get(kind)
    if not issubclass(member, TaskFields):
        raise TypeError(f"the task type {kind!r} is not a subclass of Task")
    return cast("type[Task]", member)


def build_task(
    options: TaskOptions,
    *,
    name: str,
    labels: Sequence[str],
    input: Literal["text", "pair", "words"],
    spell: Callable[[str], str] = str,
    **fields: Any,
) -> Task:
    """Build a task from a table of a config, its labels, and what else was found in its data.

    Args:
        options: the options of its type.
        name: its name.
        labels: its label names.
        input: the shape of its input.
        spell: returns the task's spelling of a label name.
        fields: further fields of `Task`, such as ``input_columns``.
    """
    member = task_type(options.kind)
    keys = type(options).model_fields.keys() - {"kind", "labels", "lr", "weight", *member.columns}
    values = {key: getattr(options, key) for key in keys}
    values |= member.resolve(values, spell) | fields
    return member(**values, name=name, labels=tuple(labels), input=input)


def task_from_config(name: str, config: Mapping[str, Any]) -> Task:
    """Build a task from the plain values that `Task.to_config` returned.

    A metric that is not registered, as that of a plugin may be, is an error only when something is scored.

    Raises:
        ModelError: the name is not a name, the task type is unknown, or a field is missing, unknown or invalid.
    """
    if not re.fullmatch(NAME, name):  # it becomes the name of files
        raise ModelError(
            f"a task of this model is called {name!r}: letters, digits, `_` and `-` were expected, 64 at most"
        )
    try:
        values = dict(config)
        kind, metrics = values.pop("kind"), values.pop("metrics")
        if kind not in TASKS.names():
            raise ValueError(f"unknown task type {kind!r}; {did_you_mean(str(kind), TASKS.names())}; {HINT}")
        member = task_type(kind)
        values = rename_keys(values, member.renamed_keys, where=None)
        names = metrics if isinstance(metrics, list | tuple) else ()
        registered = [metric for metric in names if metric in METRICS.names() or not isinstance(metric, str)]
        task = member(**values, name=name, metrics=registered if names else metrics)
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error).removeprefix(f"task {name!r}: ")
        raise ModelError(f"task {name!r} of this model cannot be made: {reason}") from None
    if metrics is not None:
        task.set_metrics(metrics)
    return task


def _annotations(cls: type) -> Mapping[str, Any]:
    return inspect.get_annotations(cls)


def _describe(error: ValidationError) -> str:
    lines = []
    for details in error.errors(include_url=False):
        place = ".".join(map(str, details["loc"]))
        value = f" (found {quote(details['input'], limit=80)})" if place and details["type"] != "missing_key" else ""
        lines.append(f"{f'`{place}`: ' if place else ''}{details['msg'].removeprefix('Value error, ')}{value}")
    return "; ".join(lines)
