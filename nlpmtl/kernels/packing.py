"""Packing: the rows of a batch are concatenated, so that no layer of an encoder computes padding.

Every layer except attention treats each token separately: to those, a batch of packed rows is one long row. Attention
is computed by `nlpmtl.kernels.packed_attention`.
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

ARCHITECTURES = ("albert", "bert", "distilbert", "electra", "modernbert", "roberta", "xlm-roberta")
"""Architectures whose only operation across tokens is replaceable attention, and that accept `position_ids`."""
_POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta")
"""Architectures whose first position is the id of the padding token plus one."""


def supports_packing(config: PretrainedConfig, *, device: str = "cpu") -> bool:
    """Return whether an encoder with this config can compute packed rows on a type of device."""
    if config.model_type not in ARCHITECTURES:
        return False
    return device == "cpu" or config.hidden_size // config.num_attention_heads % FLASH_MULTIPLE == 0


def enable_packing(encoder: PreTrainedModel) -> None:
    """Set an encoder's attention to packed attention, so that `hidden_states` packs its batches."""
    assert supports_packing(encoder.config), "packed rows of this architecture would attend to each other"
    encoder.set_attn_implementation(PACKED)


def is_packing(encoder: PreTrainedModel) -> bool:
    """Return whether `enable_packing` was called for an encoder."""
    return bool(encoder.config._attn_implementation == PACKED)


class TaskTokens(NamedTuple):
    """Tokens of one task's rows in a packed batch, the longest row first; on the CPU.

    Args:
        lengths: number of tokens of each row, in descending order, ``[task rows]``.
        token_index: position of each token among the packed tokens of the batch, ``[task tokens]``.
        slots: position of each token among the ``task rows · sequence_length`` positions of the padded rows, where
            ``sequence_length`` is that of the longest row.
    """

    lengths: Tensor
    token_index: Tensor
    slots: Tensor

    def unpack(self, tokens: Tensor, *, slots: Tensor) -> Tensor:
        """Pad the task's tokens, ``[task tokens, width]``, with zeros to ``[task rows, sequence_length, width]``.

        Args:
            tokens: hidden states of the task's tokens.
            slots: `slots` on the device of the tokens.
        """
        rows, sequence_length, width = self.lengths.shape[0], int(self.lengths[0]), tokens.shape[1]
        # index_copy and not a gather: its gradient is a plain look-up.
        return (
            tokens.new_zeros(rows * sequence_length, width)
            .index_copy(0, slots, tokens)
            .view(rows, sequence_length, width)
        )


class PackedBatch(NamedTuple):
    """Positions of the tokens of a batch after packing, the longest row first; on the CPU.

    Args:
        lengths: number of tokens of each packed row, in descending order, ``[rows]``.
        starts: position of the first token of each packed row, ``[rows]``.
        packed_row: index of the packed row for each row of the batch, ``[rows]``.
        token_index: position of each packed token among the ``rows · sequence_length`` positions of the batch,
            ``[tokens]``.
        position: position of each packed token in its row, ``[tokens]``.
        layout: lengths of the packed rows, for attention.
    """

    lengths: Tensor
    starts: Tensor
    packed_row: Tensor
    token_index: Tensor
    position: Tensor
    layout: SequenceLayout

    def select(self, rows: Tensor) -> TaskTokens:
        """Return the tokens of some rows, at least one; `TaskTokens.unpack` returns them in the given order.

        Args:
            rows: indices of rows of the batch, ``[task rows]``.
        """
        packed_rows, order = self.packed_row[rows].sort()
        lengths = self.lengths[packed_rows]
        sequence_length = int(lengths[0])
        row, position = _rows_and_positions(lengths, sequence_length)
        return TaskTokens(lengths, self.starts[packed_rows][row] + position, order[row] * sequence_length + position)


def pack(mask: Tensor) -> PackedBatch:
    """Return the packed positions of a batch.

    Args:
        mask: attention mask, ``[rows, sequence_length]``: 1 on tokens, 0 on the padding after them.
    """
    lengths, order = mask.sum(dim=1).cpu().sort(descending=True, stable=True)
    sequence_length = mask.shape[1]
    row, position = _rows_and_positions(lengths, sequence_length)
    layout = SequenceLayout([lengths.tolist()], device=mask.device)
    return PackedBatch(
        lengths, lengths.cumsum(0) - lengths, order.argsort(), order[row] * sequence_length + position, position, layout
    )


def _rows_and_positions(lengths: Tensor, sequence_length: int) -> tuple[Tensor, Tensor]:
    """Return the row of each packed token, and its position in that row."""
    row, position = (torch.arange(sequence_length) < lengths[:, None]).nonzero(as_tuple=True)
    return row, position


def encode_packed(
    encoder: PreTrainedModel,
    inputs: Mapping[str, Tensor],
    packed: PackedBatch,
    *,
    graphed: GraphedEncoder | None = None,
) -> Tensor:
    """Compute the last hidden states of a packed batch.

    Args:
        encoder: encoder for which `enable_packing` was called.
        inputs: arguments of the encoder, each ``[rows, sequence_length]``.
        packed: positions of the packed tokens.
        graphed: the encoder with CUDA graphs, for training.

    Returns:
        ``[tokens, width]``; with CUDA graphs, padding tokens to ignore may follow.
    """
    position = packed.position
    if encoder.config.model_type in _POSITIONS_AFTER_PADDING:
        position = position + encoder.config.pad_token_id + 1
    index, position = to_device([packed.token_index, position], inputs["input_ids"].device)
    flat = {k: v.flatten()[index].unsqueeze(0) for k, v in inputs.items() if k != "attention_mask"}
    flat["position_ids"] = position.unsqueeze(0)
    hidden: Tensor
    if graphed is not None and encoder.training and torch.is_grad_enabled():
        hidden = graphed(flat, packed.lengths.tolist())
    else:
        hidden = encoder(**flat, layout=packed.layout).last_hidden_state
    return hidden[0]


def hidden_states(
    encoder: PreTrainedModel,
    inputs: Mapping[str, Tensor],
    rows: Mapping[str, Tensor],
    *,
    graphed: GraphedEncoder | None = None,
) -> dict[str, Tensor]:
    """Compute the last hidden states of each task's rows, without padding if `enable_packing` was called.

    Args:
        encoder: the encoder.
        inputs: arguments of the encoder, each ``[rows, sequence_length]``; ``attention_mask`` is 0 on padding.
        rows: indices of the rows of each task, ``[task rows]``, in any order.
        graphed: the encoder with CUDA graphs, for training; requires packing.

    Returns:
        For each task ``[task rows, sequence_length, width]``. With packing, the sequence length is that of the task's
        longest row, and hidden states on padding are 0; without, they are arbitrary.
    """
    if not is_packing(encoder):
        hidden: Tensor = encoder(**inputs).last_hidden_state
        return {task: hidden if is_range(rows[task], hidden.shape[0]) else hidden[rows[task]] for task in rows}
    packed, rows_on_cpu = pack(inputs["attention_mask"]), on_cpu(rows)
    row_sets = {task: tuple(indices.tolist()) for task, indices in rows_on_cpu.items()}
    # Tasks with the same rows share their hidden states.
    selected = {row_sets[task]: packed.select(rows) for task, rows in rows_on_cpu.items() if row_sets[task]}
    flat = encode_packed(encoder, inputs, packed, graphed=graphed)
    by_row_set = {(): flat.new_zeros(0, 1, flat.shape[1])}
    if selected:
        counts = [tokens.token_index.shape[0] for tokens in selected.values()]
        indices = torch.cat([tokens.token_index for tokens in selected.values()])
        index, *all_slots = to_device([indices, *(tokens.slots for tokens in selected.values())], flat.device)
        parts = flat.index_select(0, index).split(counts)
        for (row_set, tokens), part, slots in zip(selected.items(), parts, all_slots, strict=True):
            by_row_set[row_set] = tokens.unpack(part, slots=slots)
    return {task: by_row_set[row_set] for task, row_set in row_sets.items()}


def is_range(indices: Tensor, size: int) -> bool:
    """Return whether indices are 0, 1, … up to a size, so that a task reads the batch as it is.

    The indices are read only if there are as many; a graph that is exported has no values, and reads the whole batch.
    """
    if indices.shape[0] != size:
        return False
    return torch.compiler.is_compiling() or torch.equal(indices, torch.arange(size, device=indices.device))


def on_cpu(rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy the row indices of all tasks to the CPU, in a single transfer."""
    if not rows:
        return {}
    parts = torch.cat(list(rows.values())).cpu().split([indices.shape[0] for indices in rows.values()])
    return dict(zip(rows, parts, strict=True))
