"""Loss functions of tasks with labels: cross-entropy and focal loss.

The key `loss` of a task with labels names one by `kind`: `loss = { kind = "focal", gamma = 2 }`. A loss function is
registered in `nlpmtl.registry.LOSSES`.

Symbols:
- z: logits of an item; y: its target; w: the class weight of the target, 1 unless `class_weights` is given
- p: predicted probability of the target, by softmax for a single label, by sigmoid for each of several labels

Example:
    >>> import torch
    >>> from nlpmtl.tasks.losses import Focal
    >>> logits, targets = torch.tensor([[0.0, 0.0], [4.0, 0.0]]), torch.tensor([0, 0])
    >>> losses = Focal(gamma=2.0).single_label(logits, targets, weight=None, label_smoothing=0.0)
    >>> [round(loss, 6) for loss in losses.tolist()]  # the easy item has almost no loss
    [0.173287, 6e-06]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from nlpmtl.registry import LOSSES, KindOptions

if TYPE_CHECKING:
    from torch import Tensor


class LabelLoss(ABC):
    """Base class of the loss functions of tasks with labels."""

    supports_label_smoothing: ClassVar[bool] = False
    """Whether the loss is defined for targets with label smoothing."""
    supports_soft_labels: ClassVar[bool] = False
    """Whether the loss is defined for distributions over labels."""

    @abstractmethod
    def single_label(self, logits: Tensor, targets: Tensor, *, weight: Tensor | None, label_smoothing: float) -> Tensor:
        """Return the loss of items with exactly one label, ``[items]``.

        Args:
            logits: ``[items, labels]``.
            targets: ids of the labels, ``[items]``; or, if the class `supports_soft_labels`, probabilities of the
                labels, ``[items, labels]``.
            weight: class weights, ``[labels]``; None: 1.
            label_smoothing: ε, from 0 to below 1.
        """

    @abstractmethod
    def multi_label(self, logits: Tensor, targets: Tensor, *, pos_weight: Tensor | None) -> Tensor:
        """Return the loss of each label of each item, ``[items, labels]``.

        Args:
            logits: ``[items, labels]``.
            targets: 1 for a label of the item and 0 for another; with label smoothing, numbers between them.
            pos_weight: weights of the positive targets, ``[labels]``; None: 1.
        """


@LOSSES.register("cross_entropy")
class CrossEntropy(LabelLoss):
    """Cross-entropy, and binary cross-entropy for sets of labels: −w · log p."""

    other_names = "ce nll binary_cross_entropy bce bce_with_logits"

    supports_label_smoothing = True
    supports_soft_labels = True

    def single_label(self, logits: Tensor, targets: Tensor, *, weight: Tensor | None, label_smoothing: float) -> Tensor:
        from torch.nn import functional

        return functional.cross_entropy(
            logits, targets, weight=weight, label_smoothing=label_smoothing, reduction="none"
        )

    def multi_label(self, logits: Tensor, targets: Tensor, *, pos_weight: Tensor | None) -> Tensor:
        from torch.nn import functional

        return functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=pos_weight, reduction="none")


class FocalOptions(KindOptions):
    """Options of `Focal`."""

    other_keys: ClassVar[Mapping[str, str]] = {
        "gamma": "focal_gamma focusing",
        "class_weights of the task": "alpha weight weights focal_alpha",
    }

    gamma: float = Field(2.0, ge=0)
    """Focusing parameter γ: larger values reduce the loss of items that are predicted well; 0 is cross-entropy."""


@LOSSES.register("focal", FocalOptions)
@dataclass(frozen=True, kw_only=True)
class Focal(LabelLoss):
    """Focal loss: −w · (1 − p)^γ · log p, with less weight on items that are predicted well (Lin et al., 2017).

    Use it for imbalanced labels. w is α_t in the paper. `label_smoothing` is refused, because the paper does not define
    it.

    Departures from the paper: softmax as well as sigmoid; in the factor, 1 − p is at least the machine epsilon, so that
    the gradient is finite for γ < 1; the loss is divided by the number of items, not of positive anchors.

    References:
        Lin, Goyal, Girshick, He and Dollár (2017), Focal Loss for Dense Object Detection, ICCV, equation 5,
            https://arxiv.org/abs/1708.02002

    Args:
        gamma: γ ≥ 0; 2 in the paper.
    """

    other_names = "focal_loss sigmoid_focal_loss"

    gamma: float

    def single_label(self, logits: Tensor, targets: Tensor, *, weight: Tensor | None, label_smoothing: float) -> Tensor:
        losses = CrossEntropy().single_label(logits, targets, weight=None, label_smoothing=0.0)
        focal = self._factor(losses) * losses
        return focal if weight is None else focal * weight[targets]

    def multi_label(self, logits: Tensor, targets: Tensor, *, pos_weight: Tensor | None) -> Tensor:
        losses = CrossEntropy().multi_label(logits, targets, pos_weight=None)
        focal = self._factor(losses) * losses
        return focal if pos_weight is None else focal * (1 + (pos_weight - 1) * targets)

    def _factor(self, losses: Tensor) -> Tensor:
        """Return (1 − p)^γ for losses −log p."""
        import torch

        factor: Tensor = (-torch.expm1(-losses)).clamp(min=torch.finfo(losses.dtype).eps) ** self.gamma
        return factor
