"""Tasks from what describes them: the options of a config, or the plain values of a saved model."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from nlpmtl.config import NAME, TaskOptions
from nlpmtl.errors import ConfigError, ModelError, did_you_mean
from nlpmtl.plugins import HINT
from nlpmtl.registry import METRICS, TASKS
from nlpmtl.strict_model import rename_keys
from nlpmtl.tasks.base import Task


def build_task(
    options: TaskOptions,
    *,
    name: str,
    labels: Sequence[str],
    input: Literal["text", "pair", "words"],
    spell: Callable[[str], str] = str,
    **found: Any,
) -> Task:
    """A task as a config describes it, with its labels and what else was found in its data.

    Args:
        options: the options of its kind.
        name: its name.
        labels: its labels.
        input: the shape of its input.
        spell: how options that name labels are spelled.
        found: further arguments of `Task`, such as ``input_columns``.
    """
    resolved = options.model_copy(update={"labels": tuple(labels), **options.resolved(spell)})
    return TASKS.build(resolved, Task, exclude={"label"}, name=name, input=input, **found)


def task_from_config(name: str, spec: Mapping[str, Any]) -> Task:
    """A task as `Task.to_config` described it.

    Raises:
        ModelError: the name is none, or the description is of an unknown kind, lacks or adds something, or says
            something impossible.
    """
    if not re.fullmatch(NAME, name):  # it becomes the name of files
        raise ModelError(
            f"a task of this model is called {name!r}: letters, digits, `_` and `-` were expected, 64 at most"
        )
    try:
        values = dict(spec)
        kind, metrics = values.pop("kind"), values.pop("metrics")
        if kind not in TASKS.names():
            raise ValueError(f"unknown task type {kind!r}; {did_you_mean(str(kind), TASKS.names())}; {HINT}")
        values = rename_keys(values, TASKS.options(kind).renamed_keys, where=None)
        _check(metrics=metrics, **values)
        numbers = [key for key, value in values.items() if not _all_finite(value)]
        if numbers:
            raise ValueError(f"`{numbers[0]}` must be finite, found {values[numbers[0]]!r}")
        # A metric that is not registered, as a plugin's may be, is looked for when something is scored.
        known = None if metrics is None else [metric for metric in metrics if metric in METRICS.names()]
        task = TASKS.get(kind)(name=name, metrics=known, **values)
        if metrics is not None:
            task.metrics = tuple(metrics)
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ModelError(f"task {name!r} of this model cannot be made: {said}") from None
    assert isinstance(task, Task)
    return task


def _check(
    *,
    metrics: object,
    labels: object,
    input: object,
    input_columns: object = (),
    split_marks: object = (),
    temperature: object = 1.0,
    **_: object,
) -> None:
    """What the classes take on trust, because a config has been checked."""
    if not isinstance(labels, list | tuple) or not all(isinstance(label, str) for label in labels):
        raise TypeError(f"`labels` must be a list of names, found {labels!r}")
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise ValueError(f"`labels` must have each label once, found {twice!r} several times")
    if isinstance(temperature, bool) or not isinstance(temperature, int | float) or temperature <= 0:
        raise ValueError(f"`temperature` must be a positive number, found {temperature!r}")
    if metrics is not None and not (isinstance(metrics, list | tuple) and all(isinstance(m, str) for m in metrics)):
        raise TypeError(f"`metrics` must be a list of names, found {metrics!r} ({type(metrics).__name__})")
    if input not in ("text", "pair", "words"):
        raise ValueError(f'`input` is "text", "pair" or "words", found {input!r}')
    if not isinstance(input_columns, list | tuple) or not all(map(_is_columns, input_columns)):
        raise TypeError(f"`input_columns` must list the columns of `text`, `pair` or `words`, found {input_columns!r}")
    if not isinstance(split_marks, list | tuple):
        raise TypeError(f"`split_marks` must be a list of strings, found {split_marks!r}")


def _all_finite(value: object) -> bool:
    """Return whether all numbers in plain values are finite."""
    if isinstance(value, Mapping):
        return all(map(_all_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_all_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _is_columns(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and value.keys() in ({"text"}, {"text", "pair"}, {"words"})
        and all(isinstance(column, str) for column in value.values())
    )
