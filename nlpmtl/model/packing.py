"""Rows of different lengths end to end, so that no layer of an encoder computes padding.

Every layer but attention treats each wordpiece by itself: to those, a batch of rows is one long row. Attention is that
of `nlpmtl.model.packed_attention`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from nlpmtl.model.packed_attention import PACKED, Group, group_rows

_ARCHITECTURES = ("albert", "bert", "distilbert", "electra", "modernbert", "roberta", "xlm-roberta")
"""Those whose only look from one wordpiece to another is an attention that can be replaced, and that take positions."""
_COUNTING_FROM_PADDING = ("roberta", "xlm-roberta")
"""Those that count positions from the one behind the padding's."""


def can_pack(config: PretrainedConfig) -> bool:
    """Whether rows of an encoder of that architecture may stand end to end."""
    return config.model_type in _ARCHITECTURES


def use_packing(encoder: PreTrainedModel) -> None:
    """Have an encoder of such an architecture compute without padding from now on."""
    assert can_pack(encoder.config), "rows would see each other, and nothing would say so"
    encoder.set_attn_implementation(PACKED)


def is_packing(encoder: PreTrainedModel) -> bool:
    """Whether `use_packing` was told of an encoder."""
    return bool(encoder.config._attn_implementation == PACKED)


class Packed(NamedTuple):
    """Where the wordpieces of a batch are, once its rows stand end to end, the longest first.

    Args:
        lengths: of the rows as they stand, ``[rows]``.
        order: which row of the batch each of them is, ``[rows]``.
        taken: for each wordpiece its place in the batch, ``[wordpieces]``, of ``rows · time`` places.
        shape: rows and time.
        groups: the rows by like length.
        position: of each wordpiece in its row, ``[wordpieces]``.
    """

    lengths: Tensor
    order: Tensor
    taken: Tensor
    shape: tuple[int, int]
    groups: list[Group]
    position: Tensor

    def unpack(self, flat: Tensor) -> Tensor:
        """``[wordpieces, width]`` as ``[rows, time, width]``, 0 on padding."""
        rows, time = self.shape
        # Copied to their places, not gathered from them: the gradient of that is a plain look-up.
        return flat.new_zeros(rows * time, flat.shape[1]).index_copy(0, self.taken, flat).view(rows, time, -1)


def pack(mask: Tensor) -> Packed:
    """How a batch is packed whose mask, ``[rows, time]``, is 1 on wordpieces and 0 on the padding behind them."""
    lengths, order = mask.sum(dim=1).sort(descending=True, stable=True)
    row, position = mask[order].nonzero(as_tuple=True)
    groups = group_rows(lengths.tolist(), device=mask.device)
    rows, time = mask.shape
    return Packed(lengths, order, order[row] * time + position, (rows, time), groups, position)


def encode_packed(encoder: PreTrainedModel, inputs: Mapping[str, Tensor], packed: Packed) -> Tensor:
    """The last hidden states of a batch, ``[wordpieces, width]``, of an encoder that `use_packing` was told of."""
    flat = {k: v.flatten()[packed.taken].unsqueeze(0) for k, v in inputs.items() if k != "attention_mask"}
    position = packed.position
    if encoder.config.model_type in _COUNTING_FROM_PADDING:
        position = position + encoder.config.pad_token_id + 1
    hidden: Tensor = encoder(**flat, position_ids=position.unsqueeze(0), groups=packed.groups).last_hidden_state
    return hidden[0]


def hidden_states(encoder: PreTrainedModel, inputs: Mapping[str, Tensor]) -> Tensor:
    """The last hidden states of a batch, packed if the encoder was told so by `use_packing`.

    Args:
        encoder: the encoder.
        inputs: its arguments, each ``[rows, time]``; of them ``attention_mask`` is 1 on wordpieces, 0 on padding.

    Returns:
        ``[rows, time, width]``; on padding it is 0 where it was packed, else anything.
    """
    if is_packing(encoder):
        packed = pack(inputs["attention_mask"])
        return packed.unpack(encode_packed(encoder, inputs, packed))
    hidden: Tensor = encoder(**inputs).last_hidden_state
    return hidden
