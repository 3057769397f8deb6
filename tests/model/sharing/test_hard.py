"""Hard parameter sharing: one encoder for all tasks."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModel

from nlpmtl.model import Hard, Sharing, SharingOptions
from nlpmtl.registry import SHARINGS
from tests.tiny import write_encoder


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> Hard:
    encoder = AutoModel.from_pretrained(write_encoder(tmp_path_factory.mktemp("encoder")), add_pooling_layer=False)
    options = SHARINGS.parse({"kind": "hard"})
    shared = SharingOptions.model_fields
    sharing = SHARINGS.build(options, Sharing, exclude=shared, encoder=encoder.eval(), tasks=("a", "b"))
    assert isinstance(sharing, Hard)
    return sharing


def test_the_encoder_runs_once_for_all_tasks(hard: Hard) -> None:
    batch_sizes: list[int] = []
    hook = hard.encoder.register_forward_hook(
        lambda module, args, kwargs, output: batch_sizes.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    ids = torch.tensor([[2, 7, 3], [2, 8, 3], [2, 9, 3]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    outputs = hard(inputs, {"a": torch.arange(3), "b": torch.tensor([2])})
    hook.remove()
    assert batch_sizes == [3]
    hidden = hard.encoder(**inputs).last_hidden_state
    assert torch.equal(outputs["a"], hidden)
    assert torch.equal(outputs["b"], hidden[[2]])


def test_the_encoder_is_shared_by_every_task(hard: Hard) -> None:
    assert hard.standalone_encoder("a") is hard.standalone_encoder("b") is hard.encoder
