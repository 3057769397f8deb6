"""The config key `pooling` of the task types that predict from one vector for a text, or a pair of texts."""

from __future__ import annotations

from nlpmtl.config import Pooling, TaskOptions
from nlpmtl.tasks.fields import TaskFields, task_type


class PooledFields(TaskFields):
    """Field of the task types that predict from one vector for a text, or a pair of texts."""

    pooling: Pooling | None = None
    """Pooling, how the hidden states of the tokens become one vector: that of the "first" token, the "mean" or "max" of
    each dimension over all tokens, or "attention", a mean with learned weights. Default: that of the encoder, which is
    in `1_Pooling` of a sentence-transformers model, otherwise that of the architecture, the first token for most."""


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
