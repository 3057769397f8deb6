"""Sizes of CUDA graphs; `tests/training/test_gpu.py` tests their capture."""

from __future__ import annotations

import random
from itertools import pairwise

from nlpmtl.kernels.cuda_graphs import padded_bounds, size_for


def test_graph_sizes_hold_the_tokens_and_are_not_much_larger() -> None:
    for tokens in range(1, 20_000):
        size, step = size_for(tokens)
        assert size - step < tokens <= size
        assert size % step == 0
        assert step == 64 or size - tokens < tokens / 8


def test_there_are_few_graph_sizes() -> None:
    assert len({size_for(tokens)[0] for tokens in range(300, 1200)}) == 14
    assert len({size_for(tokens)[0] for tokens in range(4096, 8192)}) == 9


def test_bounds_hold_every_row_of_a_batch() -> None:
    """A row of a batch may be several sequences, so a batch may have more sequences than the batch size."""
    generator = random.Random(0)
    bounds_by_size: dict[int, set[int]] = {}
    for _ in range(300):
        lengths = [generator.randint(1, 128) for _ in range(generator.randint(1, 200))]
        bounds = padded_bounds(lengths, rows=32, max_length=128).tolist()
        assert bounds[: len(lengths) + 1] == [sum(lengths[:i]) for i in range(len(lengths) + 1)]
        assert bounds[-1] == size_for(sum(lengths))[0]
        assert all(0 <= end - start <= 128 for start, end in pairwise(bounds))
        if len(lengths) <= 32:
            bounds_by_size.setdefault(bounds[-1], set()).add(len(bounds))
    assert {len(counts) for counts in bounds_by_size.values()} == {1}, "one graph for each size"
