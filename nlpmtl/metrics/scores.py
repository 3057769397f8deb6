"""Several metrics at once, by name, and the one number that stands for a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from numbers import Real
from statistics import fmean
from typing import Any

import evaluate
import numpy as np

from nlpmtl.errors import ConfigError, did_you_mean
from nlpmtl.metrics.base import Metric, Shape, defined
from nlpmtl.registry import METRICS

FOREIGN = "evaluate:"
"""What a name begins with that is not ours: `evaluate:<id>` is what `evaluate.load(<id>)` loads."""


def check(name: str, *, reads: Shape, positive: str | int | None) -> None:
    """Check that a metric can score a task, before anything is scored. Names of the form `evaluate:<id>` pass.

    Args:
        name: the metric's name.
        reads: the shape of the task's predictions.
        positive: the positive class, by name or id; None where the task has none.

    Raises:
        ConfigError: no such metric; it does not read that shape; it needs a positive class and there is none.
    """
    if name.startswith(FOREIGN):
        return
    if name not in METRICS.names():
        raise ConfigError(f"unknown metric {name!r}; {did_you_mean(name, METRICS.names())}")
    metric = _find(name)
    if reads not in metric.reads:
        able = [known for known in METRICS.names() if reads in _find(known).reads]
        raise ConfigError(
            f"the metric {name!r} scores {' or '.join(sorted(metric.reads))}, found {reads}; "
            f"those that score {reads}: {', '.join(able)}"
        )
    if metric.needs_positive and positive is None:
        raise ConfigError(f'the metric {name!r} needs the positive class; write `positive = "<label>"`')


def scores(
    names: Sequence[str],
    *,
    predictions: Sequence[Any],
    references: Sequence[Any],
    reads: Shape,
    positive: int | None = None,
) -> dict[str, float | None]:
    """The values of several metrics, by name, in the order of the names; None where one is undefined.

    A name of the form `evaluate:<id>` is loaded with `evaluate.load(<id>)`: that needs the network and runs the code of
    that metric, so it happens only where the name asks for it. The first number of its result is taken.

    Args:
        names: registered names, or `evaluate:<id>`.
        predictions: one for each row, in the shape `reads`; sets of labels also as a Boolean array, ``[rows, labels]``.
        references: one for each row, in the same shape.
        reads: the shape of both.
        positive: the id of the class that `f1` is about.

    Raises:
        ValueError: an unknown name, a metric that does not read this shape, `f1` without `positive`, or predictions and
            references of different length.
    """
    found: dict[str, float | None] = {}
    for name in sorted(names, key=_takes_arrays, reverse=True):
        if isinstance(predictions, np.ndarray) and not _takes_arrays(name):
            predictions, references = (np.asarray(rows, dtype=np.int64).tolist() for rows in (predictions, references))
        if name.startswith(FOREIGN):
            found[name] = _foreign(name.removeprefix(FOREIGN), predictions=predictions, references=references)
        else:
            metric = _make(_find(name), reads)
            found[name] = metric.value(predictions, references, pos_label=positive)
    return {name: found[name] for name in names}


def _takes_arrays(name: str) -> bool:
    """Whether a metric's `score` takes arrays. One that a subclass overrides takes lists, unless it says otherwise."""
    if name.startswith(FOREIGN):
        return False
    definer = next(member for member in _find(name).__mro__ if "score" in vars(member))
    return bool(vars(definer).get("takes_arrays", False))


def task_score(values: Mapping[str, float | None]) -> float:
    """The mean of a task's metrics, an undefined one counting 0.

    Errors (`mae`, `mse`) are left out; where there is nothing else, the score is the negated mean of them. Metrics from
    `evaluate` count as better when higher.

    Args:
        values: at least one metric, by name.

    Raises:
        ValueError: no metric, or an unknown name.
    """
    if not values:
        raise ValueError("a task's score needs at least one metric, found none")
    upward = {name: value for name, value in values.items() if _higher_is_better(name)}
    mean = fmean(value or 0.0 for value in (upward or values).values())
    return mean if upward else 0.0 - mean  # -mean would make a perfect error -0.0


def load_foreign(names: Sequence[str]) -> None:
    """Load the metrics of the form `evaluate:<id>` among these names, so that a run need not find out late.

    Raises:
        ConfigError: one cannot be loaded.
    """
    for name in names:
        if name.startswith(FOREIGN):
            try:
                _load(name.removeprefix(FOREIGN))
            except (OSError, ValueError, ImportError) as error:
                raise ConfigError(f"the metric {name!r} cannot be loaded: {error}") from error


def _foreign(identifier: str, *, predictions: Sequence[Any], references: Sequence[Any]) -> float | None:
    if not len(references):
        return None
    result = _load(identifier).compute(predictions=predictions, references=references)
    return defined(next((float(value) for value in result.values() if isinstance(value, Real)), None))


@cache
def _load(identifier: str) -> Any:
    return evaluate.load(identifier, keep_in_memory=True)


@cache
def _make(metric: type[Metric], reads: Shape) -> Metric:
    """Once for all: to make one takes longer than to score some rows, and `value` leaves it as it is."""
    return metric(reads_as=reads)


def _higher_is_better(name: str) -> bool:
    return name.startswith(FOREIGN) or _find(name).higher_is_better


def _find(name: str) -> type[Metric]:
    member = METRICS.get(name)
    if not issubclass(member, Metric):
        raise TypeError(f"the metric {name!r} is no {Metric.__module__}.{Metric.__qualname__}")
    return member
