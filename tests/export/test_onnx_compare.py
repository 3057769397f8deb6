"""Comparison of the logits of an ONNX graph and its model."""

from __future__ import annotations

import math

import pytest
import torch

from nlpmtl.export.onnx_compare import max_logit_difference, random_batches
from nlpmtl.export.onnx_model import load_onnx
from nlpmtl.hub import load_model
from tests.exported import Exported
from tests.tiny import Trained


def test_random_batches_have_realistic_shapes_and_padding(trained: Trained) -> None:
    model, tokenizer = load_model(str(trained.model_dir))
    shapes = [(1, 1), (5, 9), (2, None), (1, 1000)]
    batches = list(random_batches(model, tokenizer, shapes=shapes))
    assert [tuple(batch.input_ids.shape) for batch in batches] == [(1, 1), (5, 9), (2, 48), (1, 48)]
    for batch in batches:
        mask = batch.attention_mask
        assert mask[0].all()
        assert (mask[:, 0] == 1).all()
        assert (mask.diff(dim=1) <= 0).all()
        assert (batch.input_ids[mask == 0] == tokenizer.pad_token_id).all()
        assert batch.token_type_ids is not None
        assert (batch.token_type_ids <= mask).all()
    again = list(random_batches(model, tokenizer, shapes=shapes))
    assert all(torch.equal(batch.input_ids, other.input_ids) for batch, other in zip(batches, again, strict=True))


def test_differences_are_relative_to_the_largest_logit(exported: Exported) -> None:
    model, tokenizer = load_model(str(exported.source))
    graph, _ = load_onnx(exported.directory, device="cpu")
    batches = list(random_batches(model, tokenizer))
    assert all(0 <= difference <= 1e-5 for difference in max_logit_difference(model, graph, batches).values())
    with torch.no_grad():
        model.head("topic").get_submodule("out").get_parameter("bias").add_(500)
        model.head("places").get_submodule("out").get_parameter("bias")[0].add_(0.01)
        model.head("kinds").get_submodule("out").get_parameter("bias")[0] = math.nan
    differences = max_logit_difference(model, graph, batches)
    assert differences["topic"] == pytest.approx(1, abs=0.02)
    assert 1e-4 < differences["places"] <= 0.01
    assert math.isnan(differences["kinds"])
    assert differences["mood"] <= 1e-5
