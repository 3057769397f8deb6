"""Adapters per task, compared with layers that contain them."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nlpmtl.model import Adapters
from nlpmtl.model.architectures import find_layers
from nlpmtl.model.sharing.adapters import Bottleneck
from nlpmtl.model.sharing.pals import PalLayer, Projection, SmallAttention
from nlpmtl.model.sharing.task_routing import SharedLayer, TaskRouted
from tests.model.sharing.schemes import CASES, TASKS, make_encoder, make_inputs, make_sharing, masked, parts


def test_task_adapters_equal_layers_with_the_adapter_inserted(tmp_path: Path) -> None:
    """An unmodified encoder per task; hooks add U gelu(D x + d) + u after the last matrix of both blocks."""
    encoder = make_encoder(tmp_path)
    plain, inputs, rows = copy.deepcopy(encoder), make_inputs(encoder), parts()
    sharing = make_sharing(encoder, CASES["adapters"])
    hidden = masked(sharing(inputs, rows), rows, inputs["attention_mask"])
    for task, indices in rows.items():
        reference = copy.deepcopy(plain)
        for layer, routed in zip(find_layers(reference), find_layers(encoder), strict=True):
            assert isinstance(routed, SharedLayer)
            for name in ("attention.output", "output"):
                block: Any = layer.get_submodule(name)
                inside: Any = routed.layer.get_submodule(name)
                norm = inside.LayerNorm.own.of(task)
                block.LayerNorm.load_state_dict(norm.state_dict())
                block.dense.register_forward_hook(_add_bottleneck(inside.dense[1].own.of(task)))
        expected = reference(**inputs).last_hidden_state[indices] * inputs["attention_mask"][indices].unsqueeze(-1)
        torch.testing.assert_close(hidden[task], expected)


def _add_bottleneck(bottleneck: Bottleneck) -> Any:
    weights = {name: weight.detach() for name, weight in bottleneck.named_parameters()}

    def hook(module: nn.Module, given: Any, x: Tensor) -> Tensor:
        inner = x @ weights["down.weight"].T + weights["down.bias"]
        inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
        return x + inner @ weights["up.weight"].T + weights["up.bias"]

    return hook


def test_projected_attention_is_added_to_the_layer_output(tmp_path: Path) -> None:
    """V_D g(V_E h) for each row without padding, head by head, added before the last normalisation."""
    encoder = make_encoder(tmp_path)
    plain, inputs, rows = copy.deepcopy(encoder), make_inputs(encoder), parts()
    sharing = make_sharing(encoder, CASES["pal"])
    hidden = sharing(inputs, rows)
    assert isinstance(sharing, Adapters)
    for task, indices in rows.items():
        projection = sharing.projections.of(task)
        assert isinstance(projection, Projection)
        for index, row in enumerate(indices.tolist()):
            length = int(inputs["attention_mask"][row].sum())
            reference = copy.deepcopy(plain)
            for layer, routed in zip(find_layers(reference), find_layers(encoder), strict=True):
                assert isinstance(routed, PalLayer)
                small = routed.own.of(task)
                assert isinstance(small, SmallAttention)
                _add_parallel_attention(layer, projection, small)
            expected = reference(input_ids=inputs["input_ids"][row : row + 1, :length]).last_hidden_state[0]
            torch.testing.assert_close(hidden[task][index, :length], expected)


def _add_parallel_attention(layer: nn.Module, projection: Projection, small: SmallAttention) -> None:
    added: list[Tensor] = []

    def before(module: nn.Module, given: Any) -> None:
        h = projection.down(given[0][0])
        query, key, value = functional.linear(h, *small.query_key_value.parameters()).chunk(3, dim=-1)
        heads = []
        for head in range(2):
            q, k, v = (matrix[:, 3 * head : 3 * head + 3] for matrix in (query, key, value))
            heads.append(torch.softmax(q @ k.T / math.sqrt(3), dim=-1) @ v)
        added.append(projection.up(torch.cat(heads, dim=-1)))

    layer.register_forward_pre_hook(before)
    layer.get_submodule("output.dense").register_forward_hook(lambda module, given, output: output + added.pop())


@pytest.mark.parametrize(("form", "frozen"), [("bottleneck", True), ("pal", False)])
def test_new_adapters_are_the_identity_and_freeze_the_encoder_if_configured(
    form: Any, frozen: bool, tmp_path: Path
) -> None:
    encoder = make_encoder(tmp_path)
    inputs, plain = make_inputs(encoder), copy.deepcopy(encoder)
    sharing = Adapters(encoder=encoder, tasks=TASKS, form=form, size=6)
    sharing.double()
    expected = plain(**inputs).last_hidden_state
    for task, indices in parts().items():
        torch.testing.assert_close(
            masked(sharing(inputs, parts()), parts(), inputs["attention_mask"])[task],
            expected[indices] * inputs["attention_mask"][indices].unsqueeze(-1),
        )
    task_parameter_ids = {id(weight) for task in TASKS for weight in sharing.task_parameters(task).values()}
    base = [weight for weight in sharing.parameters() if id(weight) not in task_parameter_ids]
    assert all(weight.requires_grad == (not frozen) for weight in base)
    drawn = {task: sharing.task_parameters(task) for task in TASKS}
    assert all(torch.equal(drawn["a"][name], drawn["type"][name]) for name in drawn["a"]), "equal initial weights"
    before = {name: weight.clone() for name, weight in drawn["a"].items()}
    sharing.init_parameters(1)
    assert any(not torch.equal(before[name], weight) for name, weight in sharing.task_parameters("a").items())


def test_no_activations_are_kept_after_a_pass(tmp_path: Path) -> None:
    encoder = make_encoder(tmp_path)
    sharing = make_sharing(encoder, CASES["pal"]).train()
    sharing(make_inputs(encoder), parts())
    again = copy.deepcopy(sharing)  # tensors with an autograd graph cannot be copied
    assert isinstance(again, Adapters)
    assert not any(isinstance(module, TaskRouted) for module in again.modules())
    assert sum(isinstance(module, SharedLayer) for module in again.modules()) == 3
