"""The option `crf` of a task with a tag per word: its head, its decoding, and rows in which words have no tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from nlpmtl.config import TaskOptions
from nlpmtl.data import LabelType
from nlpmtl.tasks.classification import LabelTask
from nlpmtl.tasks.crf import crf_decode
from nlpmtl.tasks.outputs import ExampleOutputs, Logits

if TYPE_CHECKING:
    from torch import nn

    from nlpmtl.heads import HeadContext


class CrfFields(LabelTask):
    """Base of the task types that may have a linear-chain CRF."""

    crf: Literal[True, False, "partial"] | None = None
    """Whether a linear-chain CRF learns scores of transitions between tags (default: false).

    The loss of a row is then the negative log-likelihood of its tags. The most probable sequence of tags is predicted,
    with marginal probabilities. "partial": a word may have no tag, which is null or `_`, and may then have any tag.
    """

    @classmethod
    def check_options(cls, options: Any) -> None:
        super().check_options(options)
        if options.crf and (
            options.loss.kind != "cross_entropy" or options.label_smoothing or options.class_weights is not None
        ):
            raise ValueError("`crf` has its own loss: remove `loss`, `label_smoothing` and `class_weights`")
        if options.crf == "partial" and options.scheme not in ("bio", "plain"):
            raise ValueError(f'`crf = "partial"` needs tags of the scheme "bio" or "plain", found "{options.scheme}"')

    @classmethod
    def column_types(cls, options: TaskOptions) -> Mapping[str, LabelType]:
        return {"label": "partial_tags"} if getattr(options, "crf", None) == "partial" else cls.columns

    @property
    def is_partial(self) -> bool:
        """Whether words may have no tag."""
        return self.crf == "partial"

    @property
    def stock_refusal(self) -> str:
        return "no model of transformers has a CRF" if self.crf else super().stock_refusal

    def build_head(self, context: HeadContext) -> nn.Module:
        from nlpmtl.heads import CrfHead

        head = context.token_head(len(self.labels))
        return CrfHead(head, tags=len(self.labels)) if self.crf else head

    def scored_items(self, values: Sequence[Any], gold: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        """Exclude the words whose gold tag is missing."""
        if not self.is_partial:
            return values, gold
        known = [[i for i, tag in enumerate(row) if tag is not None] for row in gold]
        values, gold = (
            [[row[i] for i in kept] for row, kept in zip(rows, known, strict=True)] for rows in (values, gold)
        )
        return values, gold

    def decode_chain(
        self,
        items: Sequence[ExampleOutputs],
        logits: Logits,
        *,
        has_token: NDArray[np.bool_],
        ends: NDArray[np.int64],
        allowed: NDArray[np.float64] | None,
        missing: int,
    ) -> tuple[NDArray[np.int64], Logits]:
        """Return the most probable tags of the words of all rows, and log-probabilities of all tags.

        Args:
            items: the rows.
            logits: scores of the tags of their words, ``[words, tags]``.
            has_token: whether each word has a token, ``[words]``.
            ends: index after the last word of each row, ``[rows]``.
            allowed: 0 for allowed transitions and −inf for others; None: all are allowed.
            missing: the tag of words without a token. If it is not a tag, −1, they are not a part of the sequence.
        """
        size = logits.shape[1] + 1
        transitions = items[0].outputs["transitions"][0].reshape(size, size)
        transitions = transitions if allowed is None else transitions + allowed
        if missing >= 0:
            only = np.where(np.arange(size - 1) == missing, 0.0, -np.inf)
            return crf_decode(np.where(has_token[:, None], logits, only), transitions, ends)
        tags, values = np.full(len(logits), missing), np.zeros(logits.shape)
        ends = np.append(0, np.cumsum(has_token))[ends]
        tags[has_token], values[has_token] = crf_decode(logits[has_token], transitions, ends)
        return tags, values
