"""Packed batches, compared with padded ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModel, PreTrainedModel

from nlpmtl.kernels.packed_attention import SequenceLayout, attend, bucket_by_length
from nlpmtl.kernels.packing import ARCHITECTURES as PACKABLE_ARCHITECTURES
from nlpmtl.kernels.packing import enable_packing, hidden_states, supports_packing
from tests.architectures import ARCHITECTURES, write_architecture

LENGTHS = (5, 40, 3, 40, 12, 5, 39, 1)


def make_encoder(name: str, directory: Path, **config: Any) -> PreTrainedModel:
    model = AutoModel.from_pretrained(write_architecture(name, directory, **config), attn_implementation="sdpa")
    assert isinstance(model, PreTrainedModel)
    model.double().eval()
    return model


def make_batch(model: PreTrainedModel, lengths: tuple[int, ...] = LENGTHS) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(5, model.config.vocab_size, mask.shape, generator=generator)
    return {"input_ids": torch.where(mask == 1, ids, model.config.pad_token_id), "attention_mask": mask}


def all_hidden_states(model: PreTrainedModel, inputs: dict[str, Tensor]) -> Tensor:
    every = torch.arange(len(inputs["input_ids"]))
    return hidden_states(model, inputs, {"all": every})["all"]


def with_gradients(model: PreTrainedModel, inputs: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    model.zero_grad()
    hidden = all_hidden_states(model, inputs) * inputs["attention_mask"].unsqueeze(-1)
    hidden.pow(3).sum().backward()
    return hidden.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


PACKABLE = [name for name in ARCHITECTURES if name in PACKABLE_ARCHITECTURES]
assert len(PACKABLE) == len(PACKABLE_ARCHITECTURES), "every packable architecture is tested"


@pytest.mark.parametrize("name", PACKABLE)
def test_packed_outputs_and_gradients_equal_the_padded_ones(name: str, tmp_path: Path) -> None:
    window = {"local_attention": 16} if name == "modernbert" else {}
    model = make_encoder(name, tmp_path, **window)
    inputs = make_batch(model)
    expected, expected_gradients = with_gradients(model, inputs)
    enable_packing(model)
    hidden, gradients = with_gradients(model, inputs)
    torch.testing.assert_close(hidden, expected, atol=1e-10, rtol=0)
    assert gradients.keys() == expected_gradients.keys()
    largest = max(float(gradient.abs().max()) for gradient in expected_gradients.values())
    for parameter, gradient in expected_gradients.items():
        torch.testing.assert_close(gradients[parameter], gradient, atol=1e-10 * largest, rtol=0, msg=parameter)


@pytest.mark.parametrize("name", PACKABLE)
def test_packed_rows_do_not_affect_each_other(name: str, tmp_path: Path) -> None:
    model = make_encoder(name, tmp_path)
    enable_packing(model)
    inputs = make_batch(model)
    before = all_hidden_states(model, inputs)
    inputs["input_ids"][0, 1:4] += torch.where(inputs["input_ids"][0, 1:4] > 10, -3, 3)
    after = all_hidden_states(model, inputs)
    assert torch.equal(before[1:], after[1:])
    assert not torch.allclose(before[0], after[0])


def test_token_type_ids_are_packed(tmp_path: Path) -> None:
    model = make_encoder("bert", tmp_path)
    inputs = make_batch(model)
    inputs["token_type_ids"] = (inputs["input_ids"] % 2) * inputs["attention_mask"]
    expected, _ = with_gradients(model, inputs)
    enable_packing(model)
    hidden, _ = with_gradients(model, inputs)
    torch.testing.assert_close(hidden, expected, atol=1e-10, rtol=0)


def test_batches_of_one_length_and_of_one_row(tmp_path: Path) -> None:
    model = make_encoder("bert", tmp_path)
    batches = [make_batch(model, lengths) for lengths in ((7, 7, 7), (9,), (1,))]
    expected = [with_gradients(model, batch)[0] for batch in batches]
    enable_packing(model)
    for batch, reference in zip(batches, expected, strict=True):
        torch.testing.assert_close(with_gradients(model, batch)[0], reference, atol=1e-10, rtol=0)


def test_packing_works_under_bf16_and_with_checkpointed_gradients(tmp_path: Path) -> None:
    model = make_encoder("bert", tmp_path, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).float()
    inputs = make_batch(model)
    enable_packing(model)
    exact, gradients = with_gradients(model, inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough, _ = with_gradients(model, inputs)
    assert 0 < float((rough - exact).abs().max()) < 0.1 * float(exact.abs().max())
    enable = model.gradient_checkpointing_enable  # name in older versions of transformers
    getattr(model, "activation_checkpointing_enable", enable)({"use_reentrant": False})
    model.train()
    again, packed_gradients = with_gradients(model, inputs)
    model.eval()
    torch.testing.assert_close(again, exact, atol=1e-5, rtol=0)
    for name, gradient in gradients.items():
        torch.testing.assert_close(
            packed_gradients[name], gradient, atol=1e-4 * float(gradient.abs().max()) + 1e-6, rtol=1e-3
        )


@pytest.mark.parametrize("dropout", [pytest.param(0.0, marks=pytest.mark.slow), 0.3])
@pytest.mark.parametrize("window", [pytest.param(None, marks=pytest.mark.slow), 3])
def test_the_manual_gradient_equals_finite_differences(dropout: float, window: int | None) -> None:
    layout = SequenceLayout([[6, 5, 5], [2, 2]], device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 20, 2, 3, dtype=torch.float64, generator=generator, requires_grad=True)

    def attend_alike(x: Tensor) -> Tensor:
        torch.manual_seed(5)  # the same elements are dropped each time
        return attend(x[0], x[1], x[2], layout, scale=0.7, dropout=dropout, window=window)

    assert torch.autograd.gradcheck(attend_alike, (x,))


def test_rows_of_similar_length_share_a_bucket() -> None:
    buckets = bucket_by_length([128] * 3 + [127] + [8] * 20, device=torch.device("cpu"))
    assert [(bucket.rows, bucket.length) for bucket in buckets] == [(4, 128), (20, 8)]
    assert [bucket.span for bucket in buckets] == [slice(0, 511), slice(511, 671)]


@pytest.mark.parametrize("name", ["deberta-v2", "mpnet"])
def test_architectures_that_mix_rows_are_not_packed(name: str, tmp_path: Path) -> None:
    assert not supports_packing(AutoModel.from_pretrained(write_architecture(name, tmp_path)).config)
