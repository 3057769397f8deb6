"""Sizes of CUDA graphs; `tests/training/test_gpu.py` tests their capture."""

from __future__ import annotations

from nlpmtl.kernels.cuda_graphs import size_for


def test_graph_sizes_hold_the_tokens_and_are_not_much_larger() -> None:
    for tokens in range(1, 20_000):
        size, step = size_for(tokens)
        assert size - step < tokens <= size
        assert size % step == 0
        assert step == 64 or size - tokens < tokens / 8


def test_there_are_few_graph_sizes() -> None:
    assert len({size_for(tokens)[0] for tokens in range(300, 1200)}) == 14
    assert len({size_for(tokens)[0] for tokens in range(4096, 8192)}) == 9
