"""Mean loss and perplexity of a task.

    loss = Σ_i ℓ_i / Σ_i c_i        perplexity = exp(loss)

Symbols:
- ℓ_i: summed loss of row i, as `Task.loss` returns it; without the weight of the row
- c_i: number of items of the loss in row i, such as words or masked tokens

Both read losses instead of predictions: a "prediction" is ℓ_i, a "reference" is c_i. Lower is better. In
the score of a task, both count as the loss, which is the logarithm of perplexity. They are undefined if a loss is not
finite, or if all rows have 0 items.

References:
    Jelinek, Mercer, Bahl and Baker (1977), Perplexity: a measure of the difficulty of speech recognition tasks,
        Journal of the Acoustical Society of America 62(S1), https://doi.org/10.1121/1.2016299

Example:
    >>> from nlpmtl.metrics import Loss, Perplexity
    >>> Loss().compute(predictions=[0.5, 2.5], references=[1, 2])
    {'loss': 1.0}
    >>> round(Perplexity().compute(predictions=[0.5, 2.5], references=[1, 2])["perplexity"], 4)
    2.7183
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from nlpmtl.metrics.base import LOSS, Metric
from nlpmtl.registry import METRICS


@METRICS.register("loss")
class Loss(Metric):
    """Mean loss: loss of the task per item, such as a row or a word; at least 0 for most losses.

    It is the mean that training minimises, but in evaluation mode and without weights of tasks and options for training
    only, such as class weights, label smoothing and weights of rows. A row with a label unknown to the task is left
    out. Losses and predictions need separate forward passes. Undefined: no row has a loss,
    or a loss is not finite.
    """

    name = "loss"
    reads = frozenset({LOSS})
    higher_is_better = False

    def score(self, predictions: Sequence[float], references: Sequence[float]) -> float | None:
        items = math.fsum(references)
        return math.fsum(predictions) / items if items else None


@METRICS.register("perplexity")
class Perplexity(Loss):
    """Perplexity: exp(mean loss), the usual metric of language modelling; at least 1 if the loss is a cross-entropy.

    It is meant for task types whose loss is a cross-entropy, and is computed from the metric `loss`. In a task's score
    it counts as its logarithm, so `loss` and `perplexity` select the same checkpoint. Undefined: `loss` is undefined,
    or exp overflows.

    References:
        Jelinek, Mercer, Bahl and Baker (1977), Journal of the Acoustical Society of America 62
    """

    other_names = "ppl"

    name = "perplexity"

    @staticmethod
    def to_error(value: float) -> float:
        return math.log(max(value, sys.float_info.min))

    def score(self, predictions: Sequence[float], references: Sequence[float]) -> float | None:
        loss = super().score(predictions, references)
        try:
            return None if loss is None else math.exp(loss)
        except OverflowError:
            return None
