"""Inputs and outputs of heads."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

Outputs = Mapping[str, Tensor]
"""Outputs of a head by name: ``[sequences, ...]``, or ``[sequences, time, size]`` of tokens."""


class HeadInputs:
    """The sequences of one task, as its head is called with them.

    Tasks that read the same sequences share one object, so that what is computed here is computed once for all.

    Args:
        hidden: last hidden states of the encoder, ``[sequences, time, width]``.
        mask: 1 or True on tokens, 0 or False on padding, ``[sequences, time]``; with `rows` that of the whole batch.
        input_ids: token ids, ``[sequences, time]``; with `rows` those of the whole batch.
        targets: what the loss will read, by name; None in prediction and export.
        words: position of the first token of each word, -1 for a word without one, ``[sequences, words]``; with `rows`
            those of the whole batch; None if no task of the batch reads words.
        rows: rows of the batch that the sequences are, ``[sequences]``; None: `mask`, `input_ids` and `words` are
            theirs.
        dtype: precision of the head's weights; None: that of the hidden states.
    """

    def __init__(
        self,
        hidden: Tensor,
        mask: Tensor,
        input_ids: Tensor | None = None,
        *,
        targets: Mapping[str, Tensor] | None = None,
        words: Tensor | None = None,
        rows: Tensor | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.targets = targets
        self._hidden, self._mask, self._input_ids, self._words, self._rows = hidden, mask, input_ids, words, rows
        self._dtype = hidden.dtype if dtype is None else dtype

    @cached_property
    def hidden(self) -> Tensor:
        """Last hidden states of the encoder, ``[sequences, time, width]``."""
        return self._hidden.to(self._dtype)

    @cached_property
    def mask(self) -> Tensor:
        """True on tokens, False on padding, ``[sequences, time]``."""
        return self._cut(self._mask).bool()

    @cached_property
    def input_ids(self) -> Tensor:
        """Token ids, ``[sequences, time]``."""
        if self._input_ids is None:
            raise ValueError("these inputs have no token ids")
        return self._cut(self._input_ids)

    @cached_property
    def words(self) -> Tensor:
        """Position of the first token of each word, -1 for a word without one, ``[sequences, words]``.

        Raises:
            ValueError: the inputs are texts whose words are not known.
        """
        if self._words is None:
            raise ValueError("these inputs have no words")
        return self._words if self._rows is None else self._words[self._rows]

    def at_words(self) -> Tensor:
        """Return the hidden states of the first token of each word, ``[sequences, words, width]``.

        Those of a word without a token, where `words` is -1, are those of the first token of the sequence.
        """
        index = self.words.clamp(min=0).unsqueeze(-1).expand(-1, -1, self._hidden.shape[-1])
        return self.hidden.gather(1, index)

    @cached_property
    def first(self) -> Tensor:
        """Hidden states of the first tokens, ``[sequences, width]``."""
        return self._hidden[:, 0].to(self._dtype)

    @cached_property
    def mean(self) -> Tensor:
        """Mean hidden states over tokens, ``[sequences, width]``."""
        hidden = self._hidden.to(self._dtype)
        weights = self._cut(self._mask).unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1)

    def _cut(self, values: Tensor) -> Tensor:
        """Return the part of a batch's values that belongs to the sequences: the hidden states may end earlier."""
        return (values if self._rows is None else values[self._rows])[:, : self._hidden.shape[1]]


def named_outputs(outputs: Tensor | Outputs) -> Outputs:
    """Return the outputs of a head by name: a single tensor is named "logits"."""
    return {"logits": outputs} if isinstance(outputs, Tensor) else outputs
