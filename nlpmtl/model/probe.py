"""Measured properties of an encoder: causal attention, the longest input, and dependence on other rows.

What a checkpoint computes is found by running it on a few short rows, because neither its name nor its config says it
reliably: a decoder may be configured as an encoder, and a position table may start behind the padding token.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedModel

from nlpmtl.errors import ModelError

LENGTHS = (4, 7, 11, 16)
"""Tokens of the rows. They are so different that a batch of them has padding of every width."""
_CUT = 7
"""Tokens on the left of the longest row when it is split; not a power of two, as the blocks of local attention are."""
_ONE_SIDED = 1e-3
"""Attention is causal if later tokens influence earlier ones by less than this share of the opposite influence."""


@dataclass(frozen=True)
class Measured:
    """What a few short rows show of an encoder.

    Args:
        causal: tokens do not see the tokens on one of their sides.
        positions: the longest input that its position tables allow; None if it has no such table.
        batch_difference: the largest relative difference between a token's hidden state in a padded batch and in its
            row computed by itself, see `relative_difference`.
        changes: settings of the model that the rows changed: attribute, value before, value after.
    """

    causal: bool
    positions: int | None
    batch_difference: float
    changes: tuple[tuple[str, str, str], ...]


def measure(model: PreTrainedModel, *, pad: int, special: Collection[int]) -> Measured:
    """Run an encoder on a few short rows, on the CPU, in evaluation mode.

    The model, its random generators and its gradients are left as they are.

    Args:
        model: an encoder in single precision.
        pad: the id of the padding token.
        special: ids that ordinary text does not have.

    Raises:
        ModelError: it does not give one hidden state for each token of a batch of token ids.
    """
    encoder = twin(model)
    ids = _ids(encoder, special={pad, *special})
    recorder, settings = Lookups(), _settings(encoder)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        single, lookups = [], []
        for length in LENGTHS:
            with recorder:
                single.append(_encode(encoder, ids[:1, :length])[0])
            lookups.append(recorder.take())
        whole = single[-1]
        backward = relative_difference(_encode(encoder, _replaced(ids, slice(_CUT, None)))[0, :_CUT], whole[:_CUT])
        forward = relative_difference(_encode(encoder, _replaced(ids, slice(_CUT)))[0, _CUT:], whole[_CUT:])
        batch = ids[:1].repeat(len(LENGTHS), 1)
        mask = (torch.arange(batch.shape[1]) < torch.tensor(LENGTHS)[:, None]).long()
        padded = _encode(encoder, batch.masked_fill(mask == 0, pad), mask)
        apart = max(relative_difference(padded[i, : len(row)], row) for i, row in enumerate(single))
    return Measured(
        causal=min(backward, forward) < _ONE_SIDED * max(backward, forward),
        positions=find_positions(lookups),
        batch_difference=apart,
        changes=_changes(settings, _settings(encoder)),
    )


def relative_difference(hidden: Tensor, expected: Tensor) -> float:
    """The largest norm of a token's difference, as a fraction of the root mean square norm of the expected tokens.

    Args:
        hidden: hidden states, ``[time, width]``.
        expected: what they are compared with, ``[time, width]``.
    """
    scale = expected.double().norm(dim=-1).square().mean().sqrt()
    return float((hidden.double() - expected.double()).norm(dim=-1).max() / scale)


def twin(model: PreTrainedModel) -> PreTrainedModel:
    """A copy that shares the weights: some models change themselves in a forward pass, by the length of its rows."""
    twin: PreTrainedModel = copy.deepcopy(model, {id(weight): weight for weight in model.parameters()}).eval()
    if twin.config._attn_implementation not in ("eager", "sdpa"):  # the others may not run on a CPU
        twin.set_attn_implementation("eager")
    return twin


def _settings(model: PreTrainedModel) -> dict[tuple[str, str], str]:
    """The text attributes of all modules, such as the kind of attention, by module and attribute."""
    return {
        (path, name): value
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, str)
    }


def _changes(
    before: Mapping[tuple[str, str], str], after: Mapping[tuple[str, str], str]
) -> tuple[tuple[str, str, str], ...]:
    """What differs between two results of `_settings`: attribute, value before, value after."""
    return tuple(
        sorted({(key[1], value, after[key]) for key, value in before.items() if after.get(key, value) != value})
    )


def _ids(model: PreTrainedModel, *, special: Collection[int]) -> Tensor:
    """Ids of two rows that differ at every token but the first, which has the largest id; ``[2, time]``."""
    size = _vocabulary(model)
    ordinary = [i for i in range(min(size, 4096)) if i not in special] or list(range(size))
    first, longest = max(ordinary), LENGTHS[-1]
    rows = [[first, *(ordinary[(shift + 2 * i) % len(ordinary)] for i in range(longest - 1))] for shift in (0, 1)]
    return torch.tensor(rows)


def _vocabulary(model: PreTrainedModel) -> int:
    """The number of ids that the model has embeddings for; a byte's where it does not say."""
    size = embedding_size(model)
    return 256 if size is None else size


def embedding_size(model: PreTrainedModel) -> int | None:
    """The number of rows of the token embeddings; None if there is no such table, as for hashed characters."""
    try:
        weight = getattr(model.get_input_embeddings(), "weight", None)
    except NotImplementedError:
        return None
    return int(weight.shape[0]) if isinstance(weight, Tensor) else None


def _replaced(ids: Tensor, part: slice) -> Tensor:
    """The first row with a part of the second, ``[1, time]``."""
    row = ids[:1].clone()
    row[0, part] = ids[1, part]
    return row


def _encode(model: PreTrainedModel, ids: Tensor, mask: Tensor | None = None) -> Tensor:
    """The last hidden states, ``[rows, time, width]``."""
    try:
        output: Any = model(input_ids=ids, attention_mask=torch.ones_like(ids) if mask is None else mask)
    except Exception as error:  # what models raise for missing inputs and unsupported lengths has no base of its own
        text = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"a batch of token ids cannot be computed: {text}") from error
    hidden = getattr(output, "last_hidden_state", None)
    width = getattr(model.config, "hidden_size", None)
    if width is None:
        raise ModelError("its config has no hidden_size, as a model of texts alone has")
    if not isinstance(hidden, Tensor) or hidden.shape != (*ids.shape, width):
        found = "none" if not isinstance(hidden, Tensor) else f"shape {list(hidden.shape)}"
        raise ModelError(
            f"it gives no hidden state for each token: last_hidden_state should have the shape "
            f"{[*ids.shape, width]}, found {found}"
        )
    if not hidden.isfinite().all():
        raise ModelError("its hidden states are not finite in single precision")
    return hidden


class Lookups(TorchDispatchMode):
    """Record the embedding look-ups of a forward pass: the table's rows, and the shape and maximum of the indices."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._found: list[tuple[int, tuple[int, ...], int]] = []

    def take(self) -> list[tuple[int, tuple[int, ...], int]]:
        """The look-ups since the last call."""
        found, self._found = self._found, []
        return found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.embedding.default:
            table, indices = args[:2]
            self._found.append((table.shape[0], tuple(indices.shape), int(indices.max())))
        return func(*args, **(kwargs or {}))


def find_positions(lookups: Sequence[Sequence[tuple[int, tuple[int, ...], int]]]) -> int | None:
    """The longest input that the tables allow whose largest index grows with the length of the row."""
    limits = []
    for calls in zip(*lookups, strict=False):
        offsets = {largest + 1 - length for (_, _, largest), length in zip(calls, LENGTHS, strict=True)}
        flat = all(shape[-1] == torch.Size(shape).numel() for _, shape, _ in calls)
        if flat and len(offsets) == 1:
            limits.append(calls[0][0] - offsets.pop())
    return min(limits, default=None)
