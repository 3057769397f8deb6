from __future__ import annotations

import math

import pytest
import torch

from nlpmtl.export.onnx_compare import max_logit_difference, random_batches
from nlpmtl.export.onnx_model import load_onnx
from nlpmtl.hub import load_model
from tests.exported import Exported
from tests.tiny import Trained


def test_batches_have_the_shapes_and_the_padding_of_real_ones(trained: Trained) -> None:
    model, tokenizer = load_model(str(trained.model_dir))
    shapes = [(1, 1), (5, 9), (2, None), (1, 1000)]
    found = list(random_batches(model, tokenizer, shapes=shapes))
    assert [tuple(batch.input_ids.shape) for batch in found] == [(1, 1), (5, 9), (2, 48), (1, 48)]
    for batch in found:
        mask = batch.attention_mask
        assert mask[0].all()
        assert (mask[:, 0] == 1).all()
        assert (mask.diff(dim=1) <= 0).all()
        assert (batch.input_ids[mask == 0] == tokenizer.pad_token_id).all()
        assert batch.token_type_ids is not None
        assert (batch.token_type_ids <= mask).all()
    again = list(random_batches(model, tokenizer, shapes=shapes))
    assert all(torch.equal(one.input_ids, other.input_ids) for one, other in zip(found, again, strict=True))


def test_a_difference_is_a_share_of_the_largest_logit(exported: Exported) -> None:
    model, tokenizer = load_model(str(exported.source))
    graph, _ = load_onnx(exported.directory, device="cpu")
    batches = list(random_batches(model, tokenizer))
    assert all(0 <= one <= 1e-5 for one in max_logit_difference(model, graph, batches).values())
    with torch.no_grad():
        model.head("topic").get_submodule("out").get_parameter("bias").add_(500)
        model.head("places").get_submodule("out").get_parameter("bias")[0].add_(0.01)
        model.head("kinds").get_submodule("out").get_parameter("bias")[0] = math.nan
    found = max_logit_difference(model, graph, batches)
    assert found["topic"] == pytest.approx(1, abs=0.02)
    assert 1e-4 < found["places"] <= 0.01
    assert math.isnan(found["kinds"])
    assert found["mood"] <= 1e-5
