"""Config keys of the task types that predict from one vector for a sequence: `pooling` and `long`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from nlpmtl.config import Pooling, TaskOptions
from nlpmtl.data import TaskBatch
from nlpmtl.tasks.fields import TaskFields, task_type
from nlpmtl.tasks.outputs import ExampleOutputs, Logits, stack_outputs

if TYPE_CHECKING:
    from torch import Tensor

_OMITTED = (
    "Long texts: nlpmtl reads them to the end, in overlapping windows, and takes the {} of their logits. The pipeline "
    "reads the beginning."
)


class PooledFields(TaskFields):
    """Fields of the task types that predict from one vector for a sequence."""

    pooling: Pooling | None = None
    """Pooling, how the hidden states of the tokens become one vector: that of the "first" token, the "mean" or "max" of
    each dimension over all tokens, or "attention", a mean with learned weights. Default: that of the encoder, which is
    in `1_Pooling` of a sentence-transformers model, otherwise that of the architecture, the first token for most."""


class LongTextFields(PooledFields):
    """Fields of the task types that predict from one vector for a text, or a pair of texts, or from several windows."""

    changeable: ClassVar[frozenset[str]] = frozenset({"long"})

    long: Literal["truncate", "mean", "max"] = "truncate"
    """Reading of a text of more than `encoder.max_length` tokens, or of the second text of a pair that is too long:
    "truncate" reads its beginning; "mean" and "max" read all of it in overlapping windows, and combine their logits, in
    training, evaluation and prediction."""

    @property
    def window_stride(self) -> Literal["half"] | None:
        """Stride of the windows of a long text; None: it is truncated."""
        return None if self.long == "truncate" else "half"

    def to_config(self) -> dict[str, Any]:
        config = super().to_config()
        if self.long == "truncate":
            del config["long"]
        return config

    def example_logits(self, logits: Tensor, batch: TaskBatch) -> Tensor:
        """Return the logits of examples, combined over their windows: ``[sequences, ...]`` -> ``[examples, ...]``."""
        match self.long:
            case "truncate":
                return logits
            case "mean":
                return batch.mean_by_example(logits)
            case "max":
                return batch.by_example(logits, fill=-np.inf).amax(dim=1)

    def item_logits(self, items: Sequence[ExampleOutputs]) -> Logits:
        """Return the logits of at least one example, combined over its windows, ``[examples, outputs]``."""
        if self.long == "truncate":
            return stack_outputs(items)
        combine = np.mean if self.long == "mean" else np.max
        return np.stack([combine(np.stack(list(item.outputs["logits"])), axis=0) for item in items])

    def omitted_windows(self) -> tuple[str, ...]:
        """Return what an export to a stock model leaves out of reading long texts, in a sentence; empty for nothing."""
        return () if self.long == "truncate" else (_OMITTED.format({"mean": "mean", "max": "maximum"}[self.long]),)


def pooling_argument(
    options: TaskOptions, *, earlier: TaskFields | None, default: Pooling | None
) -> dict[str, Pooling | None]:
    """Return the pooling of a task as an argument of its class, None if it is the default; empty for other task types.

    A task that was trained before and whose table has no `pooling` keeps its pooling.

    Args:
        options: the options of the task.
        earlier: the task of the model that training continues from.
        default: the default pooling of the encoder.
    """
    if not issubclass(task_type(options.kind), PooledFields):
        return {}
    pooling = getattr(options, "pooling", None) or getattr(earlier, "pooling", None)
    return {"pooling": None if pooling == default else pooling}
