"""Shared lower layers and task-specific upper layers."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from nlpmtl.errors import ModelError
from nlpmtl.kernels import enable_packing
from nlpmtl.model.architectures import find_layers
from nlpmtl.model.sharing.split_encoder import Layers
from nlpmtl.model.sharing.task_routing import TaskSpecificLayer
from tests.model.sharing.schemes import CASES, ROWS, gradients, make_encoder, make_inputs, make_sharing, parts


@pytest.mark.parametrize("packed", [False, True])
def test_shared_layers_run_once_and_task_layers_only_on_their_rows(packed: bool, encoder: PreTrainedModel) -> None:
    sharing, inputs = make_sharing(encoder, {"kind": "layers", "shared": 1}), make_inputs(encoder)
    if packed:
        enable_packing(encoder)
    lower, first, _ = find_layers(encoder)
    assert isinstance(first, TaskSpecificLayer)
    shapes: dict[str, torch.Size] = {}
    watched = {"shared": lower, **{task: first.copies.of(task) for task in ROWS}}
    for name, module in watched.items():
        module.register_forward_hook(lambda module, given, output, name=name: shapes.update({name: given[0].shape[:2]}))
    sharing(inputs, parts())
    lengths = inputs["attention_mask"].sum(dim=1)
    if packed:
        expected = {"shared": (1, int(lengths.sum()))}
        expected |= {task: (1, int(lengths[list(indices)].sum())) for task, indices in ROWS.items()}
    else:
        expected = {"shared": (5, 9)} | {task: (len(indices), 9) for task, indices in ROWS.items()}
    assert {name: tuple(shape) for name, shape in shapes.items()} == expected


@pytest.mark.parametrize("kind", ["layers", "soft_l2"])
def test_a_single_task_is_trained_as_with_hard_sharing(kind: str, encoder: PreTrainedModel) -> None:
    inputs, rows = make_inputs(encoder), {"a": torch.arange(5)}
    hard = make_sharing(copy.deepcopy(encoder), CASES["hard"], ("a",))
    expected = gradients(hard, hard(inputs, rows))
    sharing = make_sharing(encoder, {"kind": kind, "shared": 1}, ("a",))
    with torch.no_grad():  # the original weights
        for weight, before in zip(sharing.parameters(), hard.parameters(), strict=True):
            weight.copy_(before)
    actual = gradients(sharing, sharing(inputs, rows))
    assert len(actual) == len(expected)
    for gradient, other in zip(actual.values(), expected.values(), strict=True):
        torch.testing.assert_close(gradient, other, rtol=0, atol=1e-12)
    penalty = sharing.penalty()
    assert penalty is None or float(penalty.detach()) == 0.0


def test_copies_follow_the_encoders_config(encoder: PreTrainedModel) -> None:
    make_sharing(encoder, CASES["layers"])
    enable_packing(encoder)
    configs = {id(module.config) for module in encoder.modules() if hasattr(module, "config")}
    assert configs == {id(encoder.config)}


@pytest.mark.parametrize("kind", ["layers", "soft_l2", "cross_stitch"])
def test_at_least_one_layer_is_task_specific(kind: str, encoder: PreTrainedModel) -> None:
    with pytest.raises(ModelError, match=r'sharing\.shared: the encoder has 3 layers, found 3.*kind = "hard"'):
        make_sharing(encoder, {"kind": kind, "shared": 3})


def test_a_convolution_after_the_first_layer_requires_a_shared_layer(tmp_path: Path) -> None:
    convolved = make_encoder(tmp_path, "deberta-v2", conv_kernel_size=3)
    with pytest.raises(ModelError, match=r"sharing\.shared: this encoder convolves.*share at least 1 layer"):
        make_sharing(copy.deepcopy(convolved), {"kind": "layers", "shared": 0})
    sharing, inputs = make_sharing(convolved, {"kind": "layers", "shared": 1}), make_inputs(convolved)
    assert sharing(inputs, parts())["a"].shape == (3, 9, 32)


def test_half_of_the_layers_are_shared_by_default(encoder: PreTrainedModel) -> None:
    sharing = Layers(encoder=encoder, tasks=("a", "b"), shared=None)
    assert sharing.shared == len(find_layers(encoder)) // 2 > 0
