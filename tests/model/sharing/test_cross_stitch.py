"""Cross-stitch units, compared with a computation by hand."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.masking_utils import create_bidirectional_mask

from nlpmtl.model import CrossStitch
from nlpmtl.model.architectures import find_layers
from nlpmtl.model.sharing.cross_stitch import Stitch, StitchedLayer
from tests.model.sharing.schemes import TASKS, make_encoder, make_inputs, make_sharing, masked, parts


def test_cross_stitch_units_mix_the_columns_linearly(tmp_path: Path) -> None:
    """h_t ← Σ_s α_ts h_s after each layer, by hand: column by column."""
    encoder = make_encoder(tmp_path)
    plain: Any = copy.deepcopy(encoder)
    inputs, rows = make_inputs(encoder), parts()
    sharing = make_sharing(encoder, {"kind": "cross_stitch", "shared": 1, "speed": 30.0})
    outputs = masked(sharing(inputs, rows), rows, inputs["attention_mask"])
    hidden = plain.embeddings(input_ids=inputs["input_ids"])
    mask = create_bidirectional_mask(config=plain.config, inputs_embeds=hidden, attention_mask=inputs["attention_mask"])
    hidden = plain.encoder.layer[0](hidden, mask)
    columns = dict.fromkeys(TASKS, hidden)
    for layer in list(find_layers(encoder))[1:]:
        assert isinstance(layer, StitchedLayer)
        alpha = np.where(np.eye(3, dtype=bool), 0.9, 0.05) + 30 * layer.stitch.learned.detach().numpy().reshape(3, 3)
        assert np.abs(alpha - np.eye(3)).max() > 0.06
        layer_outputs = [layer.copies.of(task)(columns[task], mask) for task in TASKS]
        columns = {task: sum(float(alpha[t, s]) * layer_outputs[s] for s in range(3)) for t, task in enumerate(TASKS)}
    expected = masked({task: columns[task][indices] for task, indices in rows.items()}, rows, inputs["attention_mask"])
    for task in TASKS:
        torch.testing.assert_close(outputs[task], expected[task])


def test_cross_stitch_weights_are_reported_and_start_near_the_identity(tmp_path: Path) -> None:
    encoder = make_encoder(tmp_path)
    inputs, plain = make_inputs(encoder), copy.deepcopy(encoder)
    sharing = CrossStitch(encoder=encoder, tasks=TASKS, shared=1, speed=100.0)
    relations = sharing.task_relations()
    assert list(relations) == ["mixture after layer 2", "mixture after layer 3"]
    for relation in relations.values():
        assert relation.tasks == TASKS
        torch.testing.assert_close(relation.values, torch.full((3, 3), 0.05).fill_diagonal_(0.9))
    sharing.double()
    expected = plain(**inputs).last_hidden_state
    for task, indices in parts().items():
        torch.testing.assert_close(sharing(inputs, parts())[task], expected[indices]), "columns are still alike"
    single = CrossStitch(encoder=make_encoder(tmp_path / "other"), tasks=("a",), shared=0, speed=1.0)
    assert [relation.values.tolist() for relation in single.task_relations().values()] == [[[1.0]]] * 3


def test_cross_stitch_weights_have_their_own_rate_and_no_weight_decay() -> None:
    stitch = Stitch(2, speed=50.0)
    before = stitch.alpha.detach().clone()
    optimizer = torch.optim.AdamW(stitch.parameters(), lr=1e-3, weight_decay=0.0)
    stitch(torch.eye(2)[:, None, :])[0, 0, 1].backward()
    optimizer.step()
    moved = stitch.alpha.detach() - before
    assert float(moved[0, 1]) == pytest.approx(-0.05, rel=1e-3)
    assert moved.flatten()[[0, 2, 3]].abs().max() == 0
    assert stitch.learned.dim() == 1, "vectors are not decayed"


def test_the_speed_multiplies_the_learning_rate_of_every_optimizer() -> None:
    stitch = Stitch(2, speed=50.0)
    before = stitch.alpha.detach().clone()
    optimizer = torch.optim.SGD(stitch.parameters(), lr=1e-3)
    (3.0 * stitch(torch.eye(2)[:, None, :])[0, 0, 1]).backward()
    optimizer.step()
    assert float((stitch.alpha.detach() - before)[0, 1]) == pytest.approx(-50.0 * 1e-3 * 3.0, rel=1e-3)


def test_the_gradient_of_the_learned_matrix_is_that_of_the_coefficients() -> None:
    """Gradient clipping and gradient methods see the coefficients on their own scale, whatever their speed."""
    hidden, gradients = torch.randn(2, 4, 3, dtype=torch.float64), []
    for speed in (1.0, 100.0):
        stitch = Stitch(2, speed=speed).double()
        stitch(hidden).pow(2).sum().backward()
        gradients.append(stitch.learned.grad)
    assert gradients[0] is not None
    assert gradients[1] is not None
    torch.testing.assert_close(gradients[0], gradients[1])
    assert gradients[0].abs().min() > 0
