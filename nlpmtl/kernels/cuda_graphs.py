"""Training passes of an encoder on a GPU, recorded once for each size of a batch and then played again.

The kernels of a small encoder take less time than their launches; a CUDA graph is one launch for all of them. What is
recorded has fixed sizes: behind the rows of a batch stand tokens that fill it up. Nobody reads what becomes of
them, so their gradient is 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.func import functional_call
from torch.nn import functional
from transformers import PreTrainedModel

from nlpmtl.kernels.packed_attention import SequenceLayout

_LEAST = 64
"""Tokens from one size to the next, at least."""
_TRIES = 3
"""Passes before one is recorded, in which libraries choose their kernels."""


class _FixedLayout(SequenceLayout):
    """A layout whose bounds are told."""

    def __init__(self, bounds: Tensor, longest: int) -> None:
        super().__init__([[longest]], device=bounds.device)
        self.bounds = bounds


@dataclass(frozen=True)
class _Pass:
    """A recorded pass, and its gradient; what comes in and goes out stands at the same place each time.

    Args:
        forward: reads the arguments and writes the answer …
        backward: … reads the answer's gradient and writes those of the weights.
        arguments: bounds of the rows, and the encoder's inputs.
        answer: the last hidden states, ``[1, size, width]``.
        gradient: of the answer.
        gradients: of the weights; None of one that has none.
    """

    forward: torch.cuda.CUDAGraph
    backward: torch.cuda.CUDAGraph
    arguments: Sequence[Tensor]
    answer: Tensor
    gradient: Tensor
    gradients: Sequence[Tensor | None]


class _Play(torch.autograd.Function):
    """A recorded pass as a function of the weights; its arguments have been put in place."""

    @staticmethod
    def forward(ctx: Any, recorded: _Pass, *weights: Tensor) -> Tensor:
        ctx.recorded = recorded
        recorded.forward.replay()
        return recorded.answer.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        recorded: _Pass = ctx.recorded
        recorded.gradient.copy_(gradient)
        recorded.backward.replay()
        found = [one for one in recorded.gradients if one is not None]
        copies = iter(torch._foreach_mul(found, 1.0))  # the next pass writes over those that were recorded
        return None, *(None if one is None else next(copies) for one in recorded.gradients)


class GraphedEncoder:
    """An encoder's passes over packed rows on a GPU, with their gradients, in bf16.

    A pass's answer is good until the next one.

    Args:
        encoder: the encoder, told by `nlpmtl.kernels.packing.enable_packing`; some of its weights are trained.
        rows: most rows in a batch.
        longest: tokens of the longest row that may come.
    """

    def __init__(self, encoder: PreTrainedModel, *, rows: int, longest: int) -> None:
        self._encoder, self._rows, self._longest = encoder, rows, longest
        self._weights = {name: weight for name, weight in encoder.named_parameters() if weight.requires_grad}
        # The same numbers under names of their own: what is recorded leaves no trace at the weights.
        self._aliases = {name: weight.detach().requires_grad_() for name, weight in self._weights.items()}
        self._passes: dict[tuple[int, tuple[str, ...]], _Pass] = {}
        self._pool, self._stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream()

    def __call__(self, inputs: Mapping[str, Tensor], lengths: Sequence[int]) -> Tensor:
        """The last hidden states, ``[1, size, width]``, of which the first are those of the rows.

        Args:
            inputs: the encoder's arguments, each ``[1, tokens]``.
            lengths: of the rows.
        """
        many = sum(lengths)
        size, step = size_for(many)
        filling = size - many
        tail = [min(self._longest, filling - at) for at in range(0, filling, self._longest)]
        most = self._rows + -(-step // self._longest)
        ends = torch.tensor([0, *lengths, *tail]).cumsum(0)
        bounds = functional.pad(ends, (0, most + 1 - len(ends)), value=size).to(torch.int32)
        filled = [functional.pad(value, (0, filling)) for value in inputs.values()]
        arguments = [bounds.to(filled[0].device), *filled]
        key = size, tuple(inputs)
        if key not in self._passes:
            self._passes[key] = self._record(arguments, names=key[1])
        recorded = self._passes[key]
        torch._foreach_copy_(list(recorded.arguments), arguments)
        answer: Tensor = _Play.apply(recorded, *self._weights.values())  # type: ignore[no-untyped-call]
        return answer

    def _record(self, arguments: Sequence[Tensor], *, names: Sequence[str]) -> _Pass:
        """A pass of that size; it draws no random number that others would miss."""
        placed = [value.clone() for value in arguments]
        layout = _FixedLayout(placed[0], self._longest)
        inputs = {**dict(zip(names, placed[1:], strict=True)), "layout": layout}
        weights = list(self._aliases.values())

        def answer() -> Tensor:
            found: Tensor = functional_call(self._encoder, self._aliases, kwargs=inputs).last_hidden_state
            return found

        def differentiate(found: Tensor, gradient: Tensor) -> Sequence[Tensor | None]:
            return torch.autograd.grad(found, weights, gradient, allow_unused=True)

        with (
            torch.random.fork_rng(devices=[placed[0].device]),
            torch.autocast("cuda", dtype=torch.bfloat16, cache_enabled=False),
        ):
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                for _ in range(_TRIES):
                    found = answer()
                    differentiate(found, torch.zeros_like(found))
                    del found
            torch.cuda.current_stream().wait_stream(self._stream)
            forward, backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
            with torch.cuda.graph(forward, pool=self._pool, stream=self._stream):
                found = answer()
            gradient = torch.zeros_like(found)
            with torch.cuda.graph(backward, pool=self._pool, stream=self._stream):
                gradients = differentiate(found, gradient)
        return _Pass(forward, backward, placed, found.detach(), gradient, gradients)


def size_for(tokens: int) -> tuple[int, int]:
    """The size of a pass for so many tokens, and the step between sizes: beyond the first few an eighth at most."""
    step = max(_LEAST, 1 << max(0, tokens.bit_length() - 4))
    return -(-tokens // step) * step, step
