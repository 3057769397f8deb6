"""The head of spans: rotations by position, the layout of its outputs, and independence of padding."""

from __future__ import annotations

import pytest
import torch

from nlpmtl.heads import HeadInputs, SpanHead
from nlpmtl.heads.spans import rotate


def test_products_of_rotated_vectors_depend_on_the_distance() -> None:
    query, key = torch.randn(2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    queries, keys = rotate(query.expand(1, 9, 8))[0], rotate(key.expand(1, 9, 8))[0]
    products = queries @ keys.T
    assert torch.allclose(products[:-2, :-2], products[2:, 2:], atol=1e-6)
    assert products[0, 0] == pytest.approx(float(query @ key))
    assert (products[0, 1:] - products[0, 0]).abs().min() > 1e-3
    assert torch.allclose(queries.norm(dim=-1), query.norm().expand(9), atol=1e-6)


def test_rotation_of_the_first_pair_is_by_the_position_in_radians() -> None:
    vectors = torch.zeros(1, 4, 6, dtype=torch.float64)
    vectors[..., 0] = 1.0
    rotated = rotate(vectors)[0]
    angles = torch.arange(4, dtype=torch.float64)
    assert torch.allclose(rotated[:, 0], angles.cos(), atol=1e-6)
    assert torch.allclose(rotated[:, 3], angles.sin(), atol=1e-6)


@pytest.mark.parametrize("relations", [0, 2])
def test_outputs_do_not_depend_on_padding(relations: int) -> None:
    torch.manual_seed(0)
    head = SpanHead(8, labels=3, relations=relations).eval()
    hidden = torch.randn(2, 7, 8)
    outputs = head(HeadInputs(hidden, torch.ones(2, 7)))
    assert outputs.keys() == ({"spans", "relations"} if relations else {"spans"})
    assert outputs["spans"].shape == (2, 7, 2 * 64 + 2 * 3)
    if relations:
        assert outputs["relations"].shape == (2, 7, 4 * 2 * 33)
    shorter = head(HeadInputs(hidden[:, :4], torch.ones(2, 4)))
    for name, values in shorter.items():
        assert torch.allclose(values, outputs[name][:, :4], atol=1e-6)


def test_initial_scores_are_below_0() -> None:
    torch.manual_seed(0)
    head = SpanHead(32, labels=4)
    terms = head(HeadInputs(torch.randn(1, 20, 32), torch.ones(1, 20)))["spans"][0]
    scores = (terms[:, :64] @ terms[:, 64:128].T)[..., None] + terms[:, None, 128:132] + terms[None, :, 132:]
    assert (scores < 0).float().mean() > 0.95
