"""Rows of different lengths end to end, so that no layer of an encoder computes padding.

Every layer but attention treats each token by itself: to those, a batch of rows is one long row. Attention is that
of `nlpmtl.kernels.packed_attention`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from nlpmtl.data import to_device
from nlpmtl.kernels.cuda_graphs import GraphedEncoder
from nlpmtl.kernels.packed_attention import FLASH_MULTIPLE, PACKED, SequenceLayout

_ARCHITECTURES = ("albert", "bert", "distilbert", "electra", "modernbert", "roberta", "xlm-roberta")
"""Those whose only look from one token to another is an attention that can be replaced, and that take positions."""
_COUNTING_FROM_PADDING = ("roberta", "xlm-roberta")
"""Those that count positions from the one behind the padding's."""


def supports_packing(config: PretrainedConfig, *, device: str = "cpu") -> bool:
    """Whether rows of such an encoder may stand end to end on a type of device."""
    if config.model_type not in _ARCHITECTURES:
        return False
    return device == "cpu" or config.hidden_size // config.num_attention_heads % FLASH_MULTIPLE == 0


def enable_packing(encoder: PreTrainedModel) -> None:
    """Have an encoder of such an architecture compute without padding from now on."""
    assert supports_packing(encoder.config), "rows would see each other, and nothing would say so"
    encoder.set_attn_implementation(PACKED)


def is_packing(encoder: PreTrainedModel) -> bool:
    """Whether `enable_packing` was told of an encoder."""
    return bool(encoder.config._attn_implementation == PACKED)


class TaskTokens(NamedTuple):
    """Some rows of a packed batch, such as those of one task, the longest first; on the CPU.

    Args:
        lengths: of the rows as they stand, ``[rows]``.
        taken: which tokens of the batch they have, ``[tokens]``.
        place: where each of them belongs, of ``rows · time`` places, with the time of the longest.
    """

    lengths: Tensor
    taken: Tensor
    place: Tensor

    def unpack(self, own: Tensor, *, place: Tensor) -> Tensor:
        """Its tokens, ``[tokens, width]``, as ``[rows, time, width]``, 0 on padding; beside them, `place`."""
        rows, time, width = self.lengths.shape[0], int(self.lengths[0]), own.shape[1]
        # Copied to their places, not gathered from them: the gradient of that is a plain look-up.
        return own.new_zeros(rows * time, width).index_copy(0, place, own).view(rows, time, width)


class PackedBatch(NamedTuple):
    """Where the tokens of a batch are, once its rows stand end to end, the longest first; on the CPU.

    Args:
        lengths: of the rows as they stand, ``[rows]``.
        starts: where each of them starts, ``[rows]``.
        rank: for each row of the batch which of them it is, ``[rows]``.
        taken: for each token its place in the batch, ``[tokens]``, of ``rows · time`` places.
        position: of each token in its row, ``[tokens]``.
        layout: the rows, for attention.
    """

    lengths: Tensor
    starts: Tensor
    rank: Tensor
    taken: Tensor
    position: Tensor
    layout: SequenceLayout

    def share(self, at: Tensor) -> TaskTokens:
        """Some of its rows, at least one, ``[part]``; unpacked, they are in that order again."""
        ranks, order = self.rank[at].sort()
        lengths = self.lengths[ranks]
        time = int(lengths[0])
        row, position = _places(lengths, time)
        return TaskTokens(lengths, self.starts[ranks][row] + position, order[row] * time + position)


def pack(mask: Tensor) -> PackedBatch:
    """How a batch is packed whose mask, ``[rows, time]``, is 1 on tokens and 0 on the padding behind them."""
    lengths, order = mask.sum(dim=1).cpu().sort(descending=True, stable=True)
    time = mask.shape[1]
    row, position = _places(lengths, time)
    layout = SequenceLayout([lengths.tolist()], device=mask.device)
    return PackedBatch(
        lengths, lengths.cumsum(0) - lengths, order.argsort(), order[row] * time + position, position, layout
    )


def _places(lengths: Tensor, time: int) -> tuple[Tensor, Tensor]:
    """Of each token of rows that stand end to end its row, and its position there."""
    row, position = (torch.arange(time) < lengths[:, None]).nonzero(as_tuple=True)
    return row, position


def encode_packed(
    encoder: PreTrainedModel,
    inputs: Mapping[str, Tensor],
    packed: PackedBatch,
    *,
    recorded: GraphedEncoder | None = None,
) -> Tensor:
    """The last hidden states of a batch, of an encoder that `enable_packing` was told of.

    Args:
        encoder: the encoder.
        inputs: its arguments, each ``[rows, time]``.
        packed: the batch.
        recorded: the encoder's recorded passes, for training.

    Returns:
        ``[tokens, width]``; where it was recorded others follow, which say nothing.
    """
    position = packed.position
    if encoder.config.model_type in _COUNTING_FROM_PADDING:
        position = position + encoder.config.pad_token_id + 1
    taken, position = to_device([packed.taken, position], inputs["input_ids"].device)
    flat = {k: v.flatten()[taken].unsqueeze(0) for k, v in inputs.items() if k != "attention_mask"}
    flat["position_ids"] = position.unsqueeze(0)
    hidden: Tensor
    if recorded is not None and encoder.training and torch.is_grad_enabled():
        hidden = recorded(flat, packed.lengths.tolist())
    else:
        hidden = encoder(**flat, layout=packed.layout).last_hidden_state
    return hidden[0]


def hidden_states(
    encoder: PreTrainedModel,
    inputs: Mapping[str, Tensor],
    rows: Mapping[str, Tensor],
    *,
    recorded: GraphedEncoder | None = None,
) -> dict[str, Tensor]:
    """The last hidden states of the rows of each task, packed if the encoder was told so by `enable_packing`.

    Args:
        encoder: the encoder.
        inputs: its arguments, each ``[rows, time]``; of them ``attention_mask`` is 1 on tokens, 0 on padding.
        rows: which rows each task wants, ``[part]``, ascending.
        recorded: the encoder's recorded passes, for training; it packs.

    Returns:
        For each task ``[part, time, width]``, where packed with the time of its longest row; on padding it is 0 where
        it was packed, else anything.
    """
    if not is_packing(encoder):
        hidden: Tensor = encoder(**inputs).last_hidden_state
        # A part holds each row at most once and in order, so one as long as the batch is the batch.
        return {task: hidden if at.shape[0] == hidden.shape[0] else hidden[at] for task, at in rows.items()}
    packed, wanted = pack(inputs["attention_mask"]), on_cpu(rows)
    parts = {task: tuple(at.tolist()) for task, at in wanted.items()}
    # Tasks that want the same rows get the same.
    shares = {parts[task]: packed.share(at) for task, at in wanted.items() if parts[task]}
    flat = encode_packed(encoder, inputs, packed, recorded=recorded)
    found = {(): flat.new_zeros(0, 1, flat.shape[1])}
    if shares:
        many = [share.taken.shape[0] for share in shares.values()]
        indices = torch.cat([share.taken for share in shares.values()])
        index, *places = to_device([indices, *(share.place for share in shares.values())], flat.device)
        own = flat.index_select(0, index).split(many)
        for (part, share), one, place in zip(shares.items(), own, places, strict=True):
            found[part] = share.unpack(one, place=place)
    return {task: found[part] for task, part in parts.items()}


def on_cpu(rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The rows that tasks want, brought from wherever they are at once."""
    if not rows:
        return {}
    parts = torch.cat(list(rows.values())).cpu().split([at.shape[0] for at in rows.values()])
    return dict(zip(rows, parts, strict=True))
