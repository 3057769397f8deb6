"""CUDA graphs: forward and backward of an encoder, captured once per batch size and then replayed.

The kernels of a small encoder take less time than their launches; a CUDA graph launches all of them at once. A captured
graph has fixed sizes, so the rows of a batch are followed by padding tokens. Nothing reads their hidden states, so
their gradient is 0.

Last run on 2026-11-27 (commit 809f76f, torch 2.11 on an H100). Since then, names have changed, and batches of more rows
than the capacity of a `GraphedEncoder` get graphs of their own.
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

_MIN_STEP = 64
"""Minimum difference between two sizes, in tokens."""
_WARMUP_PASSES = 3
"""Passes before a capture, in which libraries select their kernels."""


class _StaticLayout(SequenceLayout):
    """A layout with given bounds, at a fixed address."""

    def __init__(self, bounds: Tensor, longest: int) -> None:
        super().__init__([[longest]], device=bounds.device)
        self.bounds = bounds


@dataclass(frozen=True)
class _CapturedGraph:
    """Captured forward and backward of one size; inputs and outputs have fixed addresses.

    Args:
        forward: reads the arguments and writes the output.
        backward: reads the gradient of the output and writes the gradients of the parameters.
        arguments: bounds of the rows, and the inputs of the encoder.
        output: last hidden states, ``[1, size, width]``.
        output_gradient: gradient of the output.
        gradients: gradient of each parameter; None if it has none.
    """

    forward: torch.cuda.CUDAGraph
    backward: torch.cuda.CUDAGraph
    arguments: Sequence[Tensor]
    output: Tensor
    output_gradient: Tensor
    gradients: Sequence[Tensor | None]


class _GraphReplay(torch.autograd.Function):
    """A captured graph as a function of the parameters; its arguments were copied to their addresses before."""

    @staticmethod
    def forward(ctx: Any, graph: _CapturedGraph, *parameters: Tensor) -> Tensor:
        ctx.graph = graph
        graph.forward.replay()
        return graph.output.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        graph: _CapturedGraph = ctx.graph
        graph.output_gradient.copy_(gradient)
        graph.backward.replay()
        present = [captured for captured in graph.gradients if captured is not None]
        copies = iter(torch._foreach_mul(present, 1.0))  # the next replay overwrites the captured gradients
        return None, *(None if captured is None else next(copies) for captured in graph.gradients)


class GraphedEncoder:
    """Training passes of an encoder over packed rows on a GPU in bf16, as CUDA graphs.

    The output of a pass is valid until the next pass.

    Args:
        encoder: encoder for which `nlpmtl.kernels.packing.enable_packing` was called; some parameters are trainable.
        rows: maximum number of rows of a graph; a batch with more gets graphs of its own.
        max_length: maximum number of tokens in a row.
    """

    def __init__(self, encoder: PreTrainedModel, *, rows: int, max_length: int) -> None:
        self._encoder, self._rows, self._max_length = encoder, rows, max_length
        self._parameters = {
            name: parameter for name, parameter in encoder.named_parameters() if parameter.requires_grad
        }
        # Aliases of the parameters: capturing leaves no gradients and hooks at the parameters themselves.
        self._aliases = {name: parameter.detach().requires_grad_() for name, parameter in self._parameters.items()}
        self._graphs: dict[tuple[int, int, tuple[str, ...]], _CapturedGraph] = {}
        self._pool, self._stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream()

    def __call__(self, inputs: Mapping[str, Tensor], lengths: Sequence[int]) -> Tensor:
        """Compute the last hidden states, ``[1, size, width]``; those of the rows come first, then padding.

        Args:
            inputs: arguments of the encoder, each ``[1, tokens]``.
            lengths: number of tokens of each row.
        """
        bounds = padded_bounds(lengths, rows=self._rows, max_length=self._max_length)
        size = int(bounds[-1])
        padded = [functional.pad(value, (0, size - value.shape[1])) for value in inputs.values()]
        arguments = [bounds.to(padded[0].device), *padded]
        key = size, len(bounds), tuple(inputs)
        if key not in self._graphs:
            self._graphs[key] = self._capture(arguments, names=key[-1])
        graph = self._graphs[key]
        torch._foreach_copy_(list(graph.arguments), arguments)
        output: Tensor = _GraphReplay.apply(graph, *self._parameters.values())  # type: ignore[no-untyped-call]
        return output

    def _capture(self, arguments: Sequence[Tensor], *, names: Sequence[str]) -> _CapturedGraph:
        """Capture forward and backward for the size of the arguments; the random state is left unchanged."""
        static = [value.clone() for value in arguments]
        layout = _StaticLayout(static[0], self._max_length)
        inputs = {**dict(zip(names, static[1:], strict=True)), "layout": layout}
        parameters = list(self._aliases.values())

        def encode() -> Tensor:
            hidden: Tensor = functional_call(self._encoder, self._aliases, kwargs=inputs).last_hidden_state
            return hidden

        def differentiate(output: Tensor, gradient: Tensor) -> Sequence[Tensor | None]:
            return torch.autograd.grad(output, parameters, gradient, allow_unused=True)

        with (
            torch.random.fork_rng(devices=[static[0].device]),
            torch.autocast("cuda", dtype=torch.bfloat16, cache_enabled=False),
        ):
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                for _ in range(_WARMUP_PASSES):
                    output = encode()
                    differentiate(output, torch.zeros_like(output))
                    del output
            torch.cuda.current_stream().wait_stream(self._stream)
            forward, backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
            with torch.cuda.graph(forward, pool=self._pool, stream=self._stream):
                output = encode()
            gradient = torch.zeros_like(output)
            with torch.cuda.graph(backward, pool=self._pool, stream=self._stream):
                gradients = differentiate(output, gradient)
        return _CapturedGraph(forward, backward, static, output.detach(), gradient, gradients)


def padded_bounds(lengths: Sequence[int], *, rows: int, max_length: int) -> Tensor:
    """Return the bounds of the rows of a batch, of the rows of padding tokens after them, and of empty rows.

    Args:
        lengths: number of tokens of each row.
        rows: number of rows that the bounds are for; of a batch with more, the next power of two.
        max_length: maximum number of tokens in a row.

    Returns:
        The start of each row, and the end of the last, which is the captured size, ``[rows + 1]`` in int32. Batches of
        one size have the same number of bounds, if none has more rows than `rows`.
    """
    size, step = size_for(sum(lengths))
    padding = size - sum(lengths)
    tail = [min(max_length, padding - start) for start in range(0, padding, max_length)]
    capacity = rows if len(lengths) <= rows else 1 << (len(lengths) - 1).bit_length()
    ends = torch.tensor([0, *lengths, *tail]).cumsum(0)
    empty = capacity + -(-step // max_length) + 1 - len(ends)
    return functional.pad(ends, (0, empty), value=size).to(torch.int32)


def size_for(tokens: int) -> tuple[int, int]:
    """Return the captured size for a number of tokens, and the difference between sizes.

    Beyond the first few sizes, at most an eighth of a size is padding.
    """
    step = max(_MIN_STEP, 1 << max(0, tokens.bit_length() - 4))
    return -(-tokens // step) * step, step
