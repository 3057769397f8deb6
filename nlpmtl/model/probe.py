"""Measured properties of an encoder: causal attention, the longest input, and dependence on other rows.

They are measured on a few short rows, because neither name nor config of a checkpoint states them reliably: a decoder
may be configured as an encoder, and a position table may start after the padding token.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedModel

from nlpmtl.errors import ModelError

LENGTHS = (4, 7, 11, 16)
"""Number of tokens of each row; different enough that a batch of them has padding of several widths."""
_CUT = 7
"""Number of tokens before the split of the longest row; not a power of two, unlike blocks of local attention."""
_ONE_SIDED = 1e-3
"""Attention is causal if later tokens influence earlier ones by less than this fraction of the opposite influence."""


@dataclass(frozen=True)
class EncoderProperties:
    """Measured properties of an encoder.

    Args:
        causal: whether tokens don't attend to the tokens on one of their sides.
        positions: maximum input length that the position tables allow; None without such a table.
        batch_difference: largest relative difference between a token's hidden state in a padded batch and in its row
            computed separately, see `relative_difference`.
        changes: settings that the model changed in its forward: attribute, value before, value after.
    """

    causal: bool
    positions: int | None
    batch_difference: float
    changes: tuple[tuple[str, str, str], ...]


def measure(model: PreTrainedModel, *, pad: int, special: Collection[int]) -> EncoderProperties:
    """Run an encoder on a few short rows, on the CPU, in evaluation mode.

    The model, its gradients and the random state are not changed.

    Args:
        model: encoder in single precision.
        pad: id of the padding token.
        special: ids that don't occur in ordinary text.

    Raises:
        ModelError: the encoder does not return one hidden state per token of a batch of token ids.
    """
    encoder = eval_copy(model)
    # A position table may skip the padding token of the config, which is not always that of the tokenizer.
    ids = _ids(encoder, special={pad, getattr(encoder.config, "pad_token_id", None), *special})
    recorder, settings = EmbeddingLookups(), _settings(encoder)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        single, lookups = [], []
        for length in LENGTHS:
            try:
                with recorder:
                    single.append(_encode(encoder, ids[:1, :length])[0])
            except ModelError as error:
                if not single:
                    raise
                raise ModelError(
                    f"an encoder must read at least {LENGTHS[-1]} tokens; this one computes {len(single[-1])} tokens, "
                    f"but not {length} ({error.__cause__ or error})"
                ) from error
            lookups.append(recorder.take())
        whole = single[-1]
        backward = relative_difference(_encode(encoder, _replaced(ids, slice(_CUT, None)))[0, :_CUT], whole[:_CUT])
        forward = relative_difference(_encode(encoder, _replaced(ids, slice(_CUT)))[0, _CUT:], whole[_CUT:])
        batch = ids[:1].repeat(len(LENGTHS), 1)
        mask = (torch.arange(batch.shape[1]) < torch.tensor(LENGTHS)[:, None]).long()
        padded = _encode(encoder, batch.masked_fill(mask == 0, pad), mask)
        batch_difference = max(relative_difference(padded[i, : len(row)], row) for i, row in enumerate(single))
    return EncoderProperties(
        causal=min(backward, forward) < _ONE_SIDED * max(backward, forward),
        positions=find_position_limit(lookups),
        batch_difference=batch_difference,
        changes=_changes(settings, _settings(encoder)),
    )


def relative_difference(hidden: Tensor, expected: Tensor) -> float:
    """Return the largest norm of a token's difference, relative to the root mean square norm of the expected tokens.

    Args:
        hidden: hidden states, ``[sequence_length, width]``.
        expected: expected hidden states, ``[sequence_length, width]``.
    """
    scale = expected.double().norm(dim=-1).square().mean().sqrt()
    return float((hidden.double() - expected.double()).norm(dim=-1).max() / scale)


def eval_copy(model: PreTrainedModel) -> PreTrainedModel:
    """Return a copy in evaluation mode that shares the parameters; some models change settings in their forward."""
    memo = {id(parameter): parameter for parameter in model.parameters()}
    copied: PreTrainedModel = copy.deepcopy(model, memo).eval()
    if copied.config._attn_implementation not in ("eager", "sdpa"):  # others may not run on a CPU
        copied.set_attn_implementation("eager")
    return copied


def _settings(model: PreTrainedModel) -> dict[tuple[str, str], str]:
    """Return the string attributes of all modules, such as the type of attention, by module and attribute."""
    return {
        (path, name): value
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, str)
    }


def _changes(
    before: Mapping[tuple[str, str], str], after: Mapping[tuple[str, str], str]
) -> tuple[tuple[str, str, str], ...]:
    """Return the differences between two results of `_settings`: attribute, value before, value after."""
    return tuple(
        sorted({(key[1], value, after[key]) for key, value in before.items() if after.get(key, value) != value})
    )


def _ids(model: PreTrainedModel, *, special: Collection[int | None]) -> Tensor:
    """Return ids of two rows, ``[2, sequence_length]``, that differ except at the first token, the largest id."""
    size = _vocabulary_size(model)
    ordinary = [i for i in range(min(size, 4096)) if i not in special] or list(range(size))
    first, longest = max(ordinary), LENGTHS[-1]
    rows = [[first, *(ordinary[(shift + 2 * i) % len(ordinary)] for i in range(longest - 1))] for shift in (0, 1)]
    return torch.tensor(rows)


def _vocabulary_size(model: PreTrainedModel) -> int:
    """Return the number of token embeddings; 256, for bytes, if the model does not state it."""
    size = embedding_size(model)
    return 256 if size is None else size


def embedding_size(model: PreTrainedModel) -> int | None:
    """Return the number of token embeddings; None without an embedding table, as with hashed characters."""
    try:
        weight = getattr(model.get_input_embeddings(), "weight", None)
    except NotImplementedError:
        return None
    return int(weight.shape[0]) if isinstance(weight, Tensor) else None


def _replaced(ids: Tensor, part: slice) -> Tensor:
    """Return the first row with a part replaced by that of the second, ``[1, sequence_length]``."""
    row = ids[:1].clone()
    row[0, part] = ids[1, part]
    return row


def _encode(model: PreTrainedModel, ids: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the last hidden states, ``[rows, sequence_length, width]``."""
    try:
        output: Any = model(input_ids=ids, attention_mask=torch.ones_like(ids) if mask is None else mask)
    except Exception as error:  # errors for missing inputs and unsupported lengths have no common base class
        text = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"a batch of token ids cannot be computed: {text}") from error
    hidden = getattr(output, "last_hidden_state", None)
    width = getattr(model.config, "hidden_size", None)
    if width is None:
        raise ModelError("its config has no hidden_size, so it is not a text encoder")
    if not isinstance(hidden, Tensor) or hidden.shape != (*ids.shape, width):
        shape = "none" if not isinstance(hidden, Tensor) else f"shape {list(hidden.shape)}"
        raise ModelError(
            f"it does not return one hidden state per token: last_hidden_state should have the shape "
            f"{[*ids.shape, width]}, found {shape}"
        )
    if not hidden.isfinite().all():
        raise ModelError("its hidden states are not finite in single precision")
    return hidden


class Lookup(NamedTuple):
    """A look-up in an embedding table.

    Args:
        table: shape of the table, ``[rows, width]``.
        shape: shape of the indices.
        largest: the largest index.
        is_range: whether each index is one more than the one before.
    """

    table: tuple[int, ...]
    shape: tuple[int, ...]
    largest: int
    is_range: bool

    @property
    def index_count(self) -> int:
        """Number of indices."""
        return torch.Size(self.shape).numel()


class EmbeddingLookups(TorchDispatchMode):
    """Records the embedding look-ups of a forward pass."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._lookups: list[Lookup] = []

    def take(self) -> list[Lookup]:
        """Return the look-ups since the last call."""
        lookups, self._lookups = self._lookups, []
        return lookups

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # LongT5 looks up the distances to its global tokens, of which a short row has none.
        if func is torch.ops.aten.embedding.default and args[1].numel():
            table, indices = args[:2]
            is_range = bool((indices.flatten().diff() == 1).all())
            self._lookups.append(Lookup(tuple(table.shape), tuple(indices.shape), int(indices.max()), is_range))
        return func(*args, **(kwargs or {}))


def find_position_limit(lookups: Sequence[Sequence[Lookup]]) -> int | None:
    """Return the maximum input length that position tables allow: those whose largest index grows with the length.

    Some encoders, such as LED's, pad a row to a multiple of their attention window: they look up the positions of the
    padded row, and the embeddings of its padding after those of its tokens.

    Args:
        lookups: look-ups of a row of each length in `LENGTHS`; the first one is that of the tokens.
    """
    limits = []
    padded = [sum(call.index_count for call in calls if call.table == calls[0].table) for calls in lookups]
    multiple = math.gcd(*padded)
    for table in dict.fromkeys(call.table for calls in lookups for call in calls):
        in_table = ([call for call in calls if call.table == table] for calls in lookups)
        for calls in zip(*in_table, strict=False):
            if any(call.shape[-1:] != (call.index_count,) for call in calls):  # not one row
                continue
            if (start := _first_position(calls, LENGTHS)) is not None:
                limits.append(table[0] - start)
            elif [call.index_count for call in calls if call.is_range] == padded:
                start = _first_position(calls, padded)
                limits += [] if start is None else [(table[0] - start) // multiple * multiple]
    return min(limits, default=None)


def _first_position(calls: Sequence[Lookup], lengths: Sequence[int]) -> int | None:
    """Return the index of the first position in rows of these lengths; None if it is not the same for all rows."""
    first = {call.largest + 1 - length for call, length in zip(calls, lengths, strict=True)}
    return first.pop() if len(first) == 1 else None
