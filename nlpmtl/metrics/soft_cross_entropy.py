"""Soft cross-entropy: cross-entropy between the distribution of the annotators and the predicted one.

    soft_cross_entropy = −mean_i Σ_y p_i(y) · log q_i(y)

Symbols:
- p_i(y): probability of label y among the annotators of row i; 1 for the label of a row without annotators
- q_i(y): predicted probability of label y, without calibration

For sets of labels it is the mean of the binary cross-entropies of the labels. A row without a distribution counts with
its label. It is the metric of Peterson et al. (2019) and, for learning from disagreement, of Uma et al. (2021).

References:
    Peterson, Battleday, Griffiths and Russakovsky (2019), Human uncertainty makes classification more robust, ICCV,
        https://arxiv.org/abs/1908.07086
    Uma, Fornaciari, Hovy, Paun, Plank and Poesio (2021), Learning from Disagreement: A Survey, JAIR 72, section 4.2,
        https://doi.org/10.1613/jair.1.12752

Example:
    >>> from nlpmtl.metrics import SoftCrossEntropy
    >>> SoftCrossEntropy().compute(predictions=[0.5, 2.5], references=[1, 1])
    {'soft_cross_entropy': 1.5}
"""

from __future__ import annotations

from nlpmtl.metrics.loss import Loss
from nlpmtl.registry import METRICS


@METRICS.register("soft_cross_entropy")
class SoftCrossEntropy(Loss):
    """Cross-entropy between the distribution of the annotators' labels and the predicted one; lower is better.

    It is the metric `loss` of a task with the key `soft`, for which it is a default metric. A row without a
    distribution counts with its label. Undefined: no row has a distribution or a label.
    """

    other_names = "soft_ce soft_loss"

    name = "soft_cross_entropy"
