"""Contracts of every sharing scheme; new ones are tested as soon as they are registered."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from nlpmtl.errors import ModelError
from nlpmtl.kernels import Int8Linear, enable_packing, supports_packing, to_int8
from nlpmtl.registry import SHARINGS
from tests.architectures import ARCHITECTURES
from tests.model.sharing.schemes import (
    CASES,
    ROWS,
    TASKS,
    gradients,
    make_encoder,
    make_inputs,
    make_sharing,
    masked,
    parts,
)
from tests.slow import slow_except

EXACT: dict[str, Any] = {"rtol": 0.0, "atol": 1e-9}
WITH_TASK_PARAMETERS = [case for case in CASES if case != "hard"]


def test_every_registered_scheme_is_tested() -> None:
    builtin = {name for name in SHARINGS.names() if SHARINGS.get(name).__module__.startswith("nlpmtl.")}
    assert builtin == {case["kind"] for case in CASES.values()}


FAST = {*((case, "bert") for case in CASES), ("lora", "modernbert"), ("layers", "deberta-v2")}
"""Every scheme with absolute positions, one with rotary positions and windows, and one with relative positions."""


@pytest.mark.parametrize(
    ("case", "name"),
    [
        pytest.param(case, name, marks=[] if (case, name) in FAST else [pytest.mark.slow])
        for name in ARCHITECTURES
        for case in CASES
    ],
)
def test_a_mixed_batch_equals_single_rows_on_every_architecture(
    case: str, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    encoder = architecture(name, tmp_path_factory)
    if name == "albert" and case != "hard":
        with pytest.raises(ModelError, match=r"'albert' supports only hard sharing.*bert, deberta-v2"):
            make_sharing(encoder, CASES[case])
        return
    sharing, inputs, rows = make_sharing(encoder, CASES[case]), make_inputs(encoder), parts()
    mixed = masked(sharing(inputs, rows), rows, inputs["attention_mask"])
    for task, indices in rows.items():
        for index, row in enumerate(indices.tolist()):
            length = int(inputs["attention_mask"][row].sum())
            separate = {key: value[row : row + 1, :length] for key, value in inputs.items()}
            single = sharing(separate, {task: torch.tensor([0])})
            torch.testing.assert_close(mixed[task][index, :length], single[task][0], **EXACT)
    if case != "hard":
        assert not torch.allclose(mixed["a"][2], mixed["c-d"][0]), "row 3 differs between tasks"
    if supports_packing(encoder.config):
        expected = gradients(sharing, mixed)
        enable_packing(encoder)
        packed = sharing(inputs, rows)
        for task, packed_hidden in masked(packed, rows, inputs["attention_mask"]).items():
            torch.testing.assert_close(packed_hidden, mixed[task], **EXACT)
        packed_gradients = gradients(sharing, packed)
        assert packed_gradients.keys() == expected.keys()
        for key, gradient in expected.items():
            tolerance = 1e-8 * float(gradient.abs().max()) + 1e-9
            torch.testing.assert_close(packed_gradients[key], gradient, rtol=1e-6, atol=tolerance)


ENCODERS: dict[str, PreTrainedModel] = {}


def architecture(name: str, factory: pytest.TempPathFactory) -> PreTrainedModel:
    if name not in ENCODERS:
        ENCODERS[name] = make_encoder(factory.mktemp(name), name)
    return copy.deepcopy(ENCODERS[name])


@pytest.mark.parametrize("case", CASES)
def test_the_standalone_encoder_of_a_task_gives_its_hidden_states(case: str, encoder: PreTrainedModel) -> None:
    names = encoder.state_dict().keys()
    sharing, inputs, rows = make_sharing(encoder, CASES[case]), make_inputs(encoder), parts()
    hidden = masked(sharing(inputs, rows), rows, inputs["attention_mask"])
    for task, indices in rows.items():
        plain = sharing.standalone_encoder(task)
        if plain is None:
            assert CASES[case]["kind"] in ("adapters", "cross_stitch")
            continue
        assert plain.state_dict().keys() == names
        assert type(plain) is type(encoder)
        expected = plain(**{key: value[indices] for key, value in inputs.items()}).last_hidden_state
        expected = expected * inputs["attention_mask"][indices].unsqueeze(-1)
        torch.testing.assert_close(hidden[task], expected, **EXACT)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", WITH_TASK_PARAMETERS)
def test_task_parameters_get_gradients_only_from_rows_of_the_task(
    case: str, packed: bool, encoder: PreTrainedModel
) -> None:
    sharing, inputs = make_sharing(encoder, CASES[case]), make_inputs(encoder)
    if packed:
        enable_packing(encoder)
    rows = {**parts({"a": (0, 2), "type": ()}), "c-d": torch.tensor([1])}
    hidden = sharing(inputs, rows)
    assert hidden["type"].shape == (0, 9, 32)
    learned = gradients(sharing, hidden)
    task_parameter_ids = {task: {id(weight) for weight in sharing.task_parameters(task).values()} for task in TASKS}
    reached = {id(weight) for name, weight in sharing.named_parameters() if name in learned}
    assert all(task_parameter_ids.values())
    assert task_parameter_ids["a"] <= reached
    assert task_parameter_ids["c-d"] <= reached
    if case != "cross_stitch":  # each column feeds all others
        assert not task_parameter_ids["type"] & reached


@pytest.mark.parametrize("case", CASES)
def test_the_order_of_tasks_changes_nothing(case: str, encoder: PreTrainedModel) -> None:
    inputs, rows = make_inputs(encoder), parts()
    hidden = make_sharing(copy.deepcopy(encoder), CASES[case])(inputs, rows)
    reordered = make_sharing(encoder, CASES[case], TASKS[::-1])
    if case == "cross_stitch":
        for stitch in reordered.added_shared_parameters():
            table = stitch.data.view(3, 3)
            table.copy_(table.flip(0, 1).clone())
    other = reordered(inputs, {task: rows[task] for task in reversed(rows)})
    for task in TASKS:
        torch.testing.assert_close(hidden[task], other[task], **EXACT)


@pytest.mark.parametrize("packed", slow_except([False, True], True))
@pytest.mark.parametrize("case", CASES)
def test_recomputed_activations_give_the_same_gradient(case: str, packed: bool, encoder: PreTrainedModel) -> None:
    sharing, inputs, rows = make_sharing(encoder, CASES[case]), make_inputs(encoder), parts()
    if packed:
        enable_packing(encoder)
    for module in sharing.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    encoder.config.attention_probs_dropout_prob = 0.0
    for module in encoder.modules():
        if hasattr(module, "dropout") and isinstance(module.dropout, torch.nn.Dropout):
            module.dropout.p = 0.0
    sharing.train()
    expected = gradients(sharing, sharing(inputs, rows))
    enable = encoder.gradient_checkpointing_enable  # name in older versions of transformers
    getattr(encoder, "activation_checkpointing_enable", enable)({"use_reentrant": False})
    calls = []
    hook = torch.nn.modules.module.register_module_forward_hook(
        lambda module, *_: calls.append(1) if type(module).__name__ == "BertIntermediate" else None
    )
    recomputed = gradients(sharing, sharing(inputs, rows))
    hook.remove()
    assert recomputed.keys() == expected.keys()
    for key, gradient in expected.items():
        torch.testing.assert_close(recomputed[key], gradient, **EXACT)
    assert len(calls) >= 6, "at least three layers, each computed twice"


@pytest.mark.parametrize("case", CASES)
def test_bfloat16_is_close_to_double_precision(case: str, encoder: PreTrainedModel) -> None:
    sharing, inputs, rows = make_sharing(encoder, CASES[case]), make_inputs(encoder), parts()
    exact = masked(sharing(inputs, rows), rows, inputs["attention_mask"])
    sharing.float()
    enable_packing(encoder)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = masked(sharing(inputs, rows), rows, inputs["attention_mask"])
        gradients(sharing, rough)
    for task, hidden in rough.items():
        largest = float(exact[task].detach().abs().max())
        assert 0 < float((hidden - exact[task]).detach().abs().max()) < 0.15 * largest


@pytest.mark.parametrize("case", CASES)
def test_int8_is_close_to_double_precision(case: str, encoder: PreTrainedModel) -> None:
    sharing, inputs, rows = make_sharing(encoder, CASES[case]).float(), make_inputs(encoder), parts()
    with torch.no_grad():
        exact = masked(sharing(inputs, rows), rows, inputs["attention_mask"])
        linears = sum(type(module) is torch.nn.Linear for module in sharing.modules())
        to_int8(sharing)
        rough = masked(sharing(inputs, rows), rows, inputs["attention_mask"])
    assert sum(isinstance(module, Int8Linear) for module in sharing.modules()) == linears >= 18
    for task, hidden in rough.items():
        assert 0 < float((hidden - exact[task]).abs().max()) < 0.2 * float(exact[task].abs().max())


@pytest.mark.parametrize("case", CASES)
def test_freezing_keeps_added_parameters_trainable(case: str, encoder: PreTrainedModel) -> None:
    sharing = make_sharing(encoder, CASES[case])
    sharing.freeze()
    trainable = {id(parameter) for task in TASKS for parameter in sharing.task_parameters(task).values()}
    trainable |= {id(parameter) for parameter in sharing.added_shared_parameters()}
    assert {id(weight) for weight in sharing.parameters() if weight.requires_grad} == trainable


@pytest.mark.parametrize("case", CASES)
def test_relative_flops_equal_the_counted_products(case: str, encoder: PreTrainedModel) -> None:
    """Counted by torch; the batched products of attention are excluded in both."""
    plain_encoder = copy.deepcopy(encoder)
    sharing, rows = make_sharing(encoder, CASES[case]), parts()
    inputs = make_inputs(encoder, (4, 4, 4, 4, 4))
    result = multiplications(sharing, inputs, rows)
    plain = multiplications(make_sharing(plain_encoder, CASES["hard"]), inputs, rows)
    labels = sum(map(len, ROWS.values())) / 5
    assert sharing.relative_flops(labels) == pytest.approx(result / plain, rel=1e-6)


def multiplications(sharing: torch.nn.Module, inputs: dict[str, torch.Tensor], rows: dict[str, torch.Tensor]) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        sharing(inputs, rows)
    counts = counter.get_flop_counts()["Global"]
    return sum(count for op, count in counts.items() if op in (torch.ops.aten.addmm, torch.ops.aten.mm))
