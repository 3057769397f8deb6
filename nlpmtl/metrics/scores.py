"""Computation of several metrics by name, and the score of a task, which is the first of them.

An error counts negated, and `perplexity` as its negated logarithm, which is the negated loss. An undefined metric
counts as 0, an undefined error as 10⁹, which is worse than any other value.

Example:
    >>> from nlpmtl.metrics import scores, task_score
    >>> values = scores(["accuracy", "macro_f1"], predictions=[0, 1, 1, 1], references=[0, 1, 1, 0], reads="label")
    >>> task_score(values)
    0.75
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from numbers import Real
from typing import Any

import numpy as np

from nlpmtl.errors import ConfigError
from nlpmtl.metrics.base import LOSS, Metric, PredictionType, defined
from nlpmtl.registry import METRICS

FOREIGN = "evaluate:"
"""Prefix of metrics from the `evaluate` library: `evaluate:<id>` is loaded with `evaluate.load(<id>)`."""
_UNDEFINED_ERROR = 1e9
"""Replaces an undefined error. It is worse than any other, because the highest score selects the best checkpoint."""


def check(name: str, *, reads: PredictionType, pos_label: str | int | None) -> None:
    """Check that a metric can score a task. Names of the form `evaluate:<id>` are not checked.

    Args:
        name: name of the metric.
        reads: type of the task's predictions.
        pos_label: positive class, by name or id; None if the task has none.

    Raises:
        ConfigError: the metric is unknown, does not read that type, or needs a positive class and there is none.
    """
    if name.startswith(FOREIGN):
        return
    try:
        metric = _find(name)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if reads not in metric.reads and not reads_losses(name):
        suitable = [other for other in METRICS.names() if reads in _find(other).reads or reads_losses(other)]
        raise ConfigError(
            f"the metric {name!r} scores predictions of type {' or '.join(sorted(metric.reads))}, found {reads}; "
            f"metrics for {reads}: {', '.join(suitable)}"
        )
    if metric.needs_positive and pos_label is None:
        raise ConfigError(f'the metric {name!r} needs the positive class; write `pos_label = "<label>"`')


def scores(
    names: Sequence[str],
    *,
    predictions: Sequence[Any],
    references: Sequence[Any],
    reads: PredictionType,
    pos_label: int | None = None,
) -> dict[str, float | None]:
    """Compute several metrics.

    A metric `evaluate:<id>` is loaded with `evaluate.load(<id>)`, which needs the network and runs the code of that
    metric. The first number of its result is used.

    Args:
        names: registered names, or `evaluate:<id>`.
        predictions: a prediction per row, of the type `reads`; sets of labels also as a Boolean array,
            ``[rows, labels]``.
        references: a reference per row, of the same type.
        reads: type of predictions and references.
        pos_label: id of the positive class, for `f1`.

    Returns:
        The value of each metric, in the order of `names`; None where it is undefined.

    Raises:
        ValueError: a name is unknown, a metric does not read this type, `f1` has no `pos_label`, or predictions and
            references differ in length.
    """
    values: dict[str, float | None] = {}
    for name in sorted(names, key=_takes_arrays, reverse=True):
        if isinstance(predictions, np.ndarray) and not _takes_arrays(name):
            predictions, references = (np.asarray(rows, dtype=np.int64).tolist() for rows in (predictions, references))
        if name.startswith(FOREIGN):
            values[name] = _foreign(name.removeprefix(FOREIGN), predictions=predictions, references=references)
        else:
            metric = _make(_find(name), reads)
            values[name] = metric.value(predictions, references, pos_label=pos_label)
    return {name: values[name] for name in names}


def _takes_arrays(name: str) -> bool:
    """Return whether a metric's `score` accepts arrays, as declared by the class that defines `score`."""
    if name.startswith(FOREIGN):
        return False
    definer = next(member for member in _find(name).__mro__ if "score" in vars(member))
    return bool(vars(definer).get("takes_arrays", False))


def task_score(values: Mapping[str, float | None]) -> float:
    """Return the score of a task, which is the first of its metrics; the others are only reported.

    An error (`mae`, `mse`, `loss`, `perplexity`) counts negated, perplexity as its negated logarithm. An undefined
    metric counts as 0, an undefined error as 10⁹. For metrics from `evaluate`, higher is taken as better.

    Args:
        values: value of each metric, by name, in the order of the task's `metrics`; at least one.

    Returns:
        The score; higher is better.

    Raises:
        ValueError: `values` is empty, or the first name is unknown.
    """
    if not values:
        raise ValueError("a task's score needs at least one metric, found none")
    name, value = next(iter(values.items()))
    if _higher_is_better(name):
        return value or 0.0
    error = _UNDEFINED_ERROR if value is None else _find(name).to_error(value)
    return 0.0 - error  # -error would make a perfect error -0.0


def reads_losses(name: str) -> bool:
    """Return whether a metric reads losses instead of predictions, as `loss` and `perplexity` do."""
    return not name.startswith(FOREIGN) and name in METRICS.names() and LOSS in _find(name).reads


def load_foreign(names: Sequence[str]) -> None:
    """Load the metrics `evaluate:<id>` among these names, so that a failure shows before training.

    Args:
        names: names of metrics; registered ones are ignored.

    Raises:
        ConfigError: a metric cannot be loaded.
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
    import evaluate

    return evaluate.load(identifier, keep_in_memory=True)


@cache
def _make(metric: type[Metric], reads: PredictionType) -> Metric:
    """Return a cached instance: creating one takes longer than scoring some rows, and `value` does not change it."""
    return metric(reads_as=reads)


def _higher_is_better(name: str) -> bool:
    return name.startswith(FOREIGN) or _find(name).higher_is_better


def _find(name: str) -> type[Metric]:
    member = METRICS.get(name)
    if not issubclass(member, Metric):
        raise TypeError(f"the metric {name!r} is not a subclass of {Metric.__module__}.{Metric.__qualname__}")
    return member
