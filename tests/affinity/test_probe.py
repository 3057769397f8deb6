"""Lookahead steps and gradients: quadratics in closed form, and a real model against its first-order expansion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nlpmtl.affinity import probe as probe
from nlpmtl.affinity.metrics import affinity, cosines
from nlpmtl.affinity.probe import AffinityProbe, lookahead_losses, parameters_by_layer, shared_parameters
from nlpmtl.model import MultiTaskModel
from nlpmtl.run import build_run, load_config
from nlpmtl.training import Trainer, accelerator_context, inner_products
from tests.tiny import make_run

RATE = 0.1


class Quadratics:
    """L_j(θ) = ½ ‖θ − c_j‖² in double precision, with closed-form results."""

    def __init__(self, *centres: list[float]) -> None:
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
        self.centres = [torch.tensor(centre, dtype=torch.float64) for centre in centres]

    def losses(self) -> np.ndarray:
        return np.array([0.5 * float((self.weight.detach() - centre).square().sum()) for centre in self.centres])

    @property
    def gradients(self) -> list[list[Tensor | None]]:
        return [[(self.weight - centre).detach()] for centre in self.centres]


def test_affinity_of_quadratics() -> None:
    model = Quadratics([0.0, 0.0, 0.0], [2.0, -2.0, 0.0], [1.0, -4.0, 1.0])
    start = model.weight.detach().clone()
    before = model.losses()
    after = lookahead_losses([model.weight], gradients=model.gradients, rate=RATE, losses=model.losses)
    away = np.stack([(start - centre).numpy() for centre in model.centres])
    products = away @ away.T
    squares = np.diag(products)
    # ½ ‖d_j − η d_i‖² = ½ ‖d_j‖² − η d_i·d_j + ½ η² ‖d_i‖²
    expected = (2 * RATE * products - RATE**2 * squares[:, None]) / squares
    np.testing.assert_allclose(affinity(before, after), expected, rtol=1e-12)
    np.testing.assert_allclose(inner_products(model.gradients, indices=[0]), products, rtol=1e-12)
    assert torch.equal(model.weight, start), "the parameters are restored"


def test_a_task_with_its_copy_and_its_opposite() -> None:
    model = Quadratics([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [2.0, -4.0, 1.0])
    after = lookahead_losses([model.weight], gradients=model.gradients, rate=RATE, losses=model.losses)
    result = affinity(model.losses(), after)
    np.testing.assert_allclose(result[0], [0.19, 0.19, -0.21], rtol=1e-12)
    np.testing.assert_array_equal(result[0], result[1])
    angles = cosines(inner_products(model.gradients, indices=[0]))
    np.testing.assert_allclose(angles, [[1, 1, -1], [1, 1, -1], [-1, -1, 1]], rtol=1e-12)


def test_parameters_without_gradient_stay() -> None:
    first, second = (nn.Parameter(torch.ones(2, dtype=torch.float64)) for _ in range(2))

    def losses() -> np.ndarray:
        return np.array([float(first.detach().sum()), float(second.detach().sum())])

    gradients = [[torch.ones(2, dtype=torch.float64), None], [None, torch.ones(2, dtype=torch.float64)]]
    np.testing.assert_allclose(
        lookahead_losses([first, second], gradients=gradients, rate=0.5, losses=losses), [[1, 2], [2, 1]]
    )
    np.testing.assert_allclose(inner_products(gradients, indices=[0, 1]), [[2, 0], [0, 2]])


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("sharing.encoder.embeddings.word_embeddings.weight", "embeddings"),  # BERT
        ("sharing.encoder.encoder.layer.11.output.dense.bias", "layer 12"),
        ("sharing.encoder.transformer.layer.0.ffn.lin1.weight", "layer 1"),  # DistilBERT
        ("sharing.encoder.layers.3.attn.Wqkv.weight", "layer 4"),  # ModernBERT
        ("sharing.encoder.embeddings.tok_embeddings.weight", "embeddings"),
        ("sharing.encoder.final_norm.weight", "other"),
        ("sharing.encoder.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight", "layer 1"),  # ALBERT
    ],
)
def test_layers_by_parameter_name(name: str, layer: str) -> None:
    assert probe.layer_of(name) == layer


def test_layers_in_order() -> None:
    names = ["final_norm.w", *(f"layers.{i}.w" for i in (10, 2, 0)), "embeddings.w", "layers.2.b"]
    assert parameters_by_layer(names) == {
        "embeddings": [4],
        "layer 1": [3],
        "layer 3": [2, 5],
        "layer 11": [1],
        "other": [0],
        "all": [0, 1, 2, 3, 4, 5],
    }


@pytest.fixture(scope="module")
def fit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainer]:
    """Five task types on texts, words and pairs, and a task that is an exact copy of another; double precision."""
    directory = tmp_path_factory.mktemp("probe")
    train = {"steps": 1, "batch_size": 8, "precision": "fp64", "micro_tokens": 64}
    run: dict[str, Any] = make_run(directory, rows=24, train=train)
    run["datasets"]["words"]["tasks"]["copy"] = {"kind": "classification", "label": "topic"}
    with accelerator_context(directory=directory, precision="fp64", trackers=()) as accelerator:
        _, _, trainer = build_run(load_config(run), directory=directory, accelerator=accelerator)
        assert isinstance(trainer.model, MultiTaskModel)
        trainer.model.head("copy").load_state_dict(trainer.model.head("topic").state_dict())
        yield trainer


def make_probe(fit: Trainer, *, tokens: int = 64) -> AffinityProbe:
    accumulator = replace(fit.train_step.accumulator, micro_tokens=tokens)
    return AffinityProbe(fit.model, fit.tasks, accumulator.collate, accumulator.split, accumulator.device)


ROWS = [(d, r) for d in range(3) for r in range(7)]


def test_small_steps_follow_the_first_order_expansion(fit: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """To first order Z_ij L_j = η g_i · g_j, and η is such that Σ Z_ii L_i is the given fraction of Σ L_i."""
    monkeypatch.setattr(probe, "LOSS_DECREASE", 1e-6)
    affinity_probe = make_probe(fit)
    result = affinity_probe(ROWS)
    losses = affinity_probe._losses(affinity_probe._microbatches(ROWS, list(fit.tasks)))
    gained = result.affinity * losses
    assert np.diag(gained).sum() == pytest.approx(1e-6 * losses.sum(), rel=1e-3)
    lengths = np.sqrt(np.diag(gained))
    np.testing.assert_allclose(gained / np.outer(lengths, lengths), result.cosines["all"], atol=2e-3)


def test_the_effect_of_a_step_on_held_out_rows(fit: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same rows in both halves, the effect on held-out rows equals that on the rows of the step."""
    monkeypatch.setattr(probe, "LOSS_DECREASE", 1e-6)
    affinity_probe = make_probe(fit)
    twice = [row for row in ROWS for _ in range(2)]
    result = affinity_probe(twice)
    np.testing.assert_allclose(result.self_affinity, np.diag(result.affinity), rtol=1e-3)
    distinct = affinity_probe([(d, r) for d in range(3) for r in range(8)])
    halves = np.array([task != "places" for task in fit.tasks])  # its halves have different numbers of words
    assert (distinct.self_affinity < np.diag(distinct.affinity))[halves].all(), "a · b < ‖a + b‖² / 4"
    assert np.isnan(affinity_probe([(d, 1) for d in range(3)]).self_affinity).all(), "a single row has no second half"


def test_a_task_and_its_copy(fit: Trainer) -> None:
    names, result = list(fit.tasks), make_probe(fit)(ROWS)
    topic, copy = names.index("topic"), names.index("copy")
    for layer, angles in result.cosines.items():
        assert angles[topic, copy] == pytest.approx(1.0, abs=1e-9), layer
        assert np.abs(np.delete(angles[topic], [topic, copy])).max() < 0.99, layer
    assert result.affinity[topic, copy] == pytest.approx(result.affinity[topic, topic], rel=1e-9)
    others = [i for i in range(len(names)) if i not in (topic, copy)]
    assert result.affinity[others, topic].max() < result.affinity[copy, topic]
    assert list(result.cosines) == ["embeddings", "layer 1", "layer 2", "all"]


@pytest.mark.slow
def test_results_do_not_depend_on_microbatches(fit: Trainer) -> None:
    large, small = make_probe(fit, tokens=100_000)(ROWS), make_probe(fit, tokens=16)(ROWS)
    np.testing.assert_allclose(small.affinity, large.affinity, atol=1e-10)
    np.testing.assert_allclose(small.cosines["all"], large.cosines["all"], atol=1e-10)


@pytest.mark.slow
def test_tasks_in_another_order(fit: Trainer) -> None:
    names = sorted(fit.tasks)
    order = [list(fit.tasks).index(name) for name in names]
    result = make_probe(fit)(ROWS)
    accumulator = fit.train_step.accumulator
    tasks = {name: fit.tasks[name] for name in names}
    reordered = AffinityProbe(fit.model, tasks, accumulator.collate, accumulator.split, accumulator.device)(ROWS)
    np.testing.assert_allclose(reordered.affinity, result.affinity[np.ix_(order, order)], atol=1e-12)
    np.testing.assert_allclose(reordered.cosines["all"], result.cosines["all"][np.ix_(order, order)], atol=1e-12)


def test_the_model_is_unchanged(fit: Trainer) -> None:
    before = {name: value.clone() for name, value in fit.model.state_dict().items()}
    make_probe(fit)(ROWS)
    assert all(torch.equal(value, before[name]) for name, value in fit.model.state_dict().items())
    assert all(weight.grad is None for weight in fit.model.parameters())
    assert not any(name.startswith("heads.") for name in shared_parameters(fit.model))


def embedding_run(directory: Path) -> dict[str, Any]:
    """A task with a contrastive loss, of pairs, and one of single texts, of which one is much longer."""
    run = make_run(directory, rows=24, train={"steps": 1, "batch_size": 8, "precision": "fp64", "micro_tokens": 64})
    run["datasets"] = {name: run["datasets"][name] for name in ("pairs", "texts")}
    run["datasets"]["pairs"]["tasks"] = {"vector": {"kind": "embedding"}}
    return run


def test_the_gradient_of_a_coupled_task_is_that_of_its_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row is compared with all others, not only with those of its half."""
    monkeypatch.setattr(probe, "LOSS_DECREASE", 1e-6)
    with accelerator_context(directory=tmp_path, precision="fp64", trackers=()) as accelerator:
        _, _, trainer = build_run(load_config(embedding_run(tmp_path)), directory=tmp_path, accelerator=accelerator)
        affinity_probe = make_probe(trainer)
        rows = [(d, r) for d in range(2) for r in range(8)]
        losses = affinity_probe._losses(affinity_probe._microbatches(rows, list(trainer.tasks)))
        result = affinity_probe(rows)
        task = list(trainer.tasks).index("vector")
        has_label = affinity_probe.collate.has_label(rows, task="vector")
        task_rows = [row for row, labelled in zip(rows, has_label, strict=True) if labelled]
        parameters = list(shared_parameters(trainer.model).values())
        (loss,) = affinity_probe._forward(task_rows, ["vector"]).values()
        expected = torch.autograd.grad(loss / len(task_rows), parameters, allow_unused=True)
        gradient, half_product = affinity_probe._gradient("vector", rows, parameters=parameters)
        for actual, value in zip(gradient, expected, strict=True):
            if value is None:
                assert actual is None
            else:
                torch.testing.assert_close(actual, value)
        assert np.isfinite(half_product)
        assert losses[task] > 0
        assert result.affinity[task, task] > 0


def test_microbatches_are_limited_with_their_padding(fit: Trainer) -> None:
    """A long row and many short ones are not one padded batch."""
    padded = replace(fit.train_step.accumulator, micro_tokens=20, packed=False)
    affinity_probe = replace(make_probe(fit), split=padded.split)
    for batch in affinity_probe._microbatches(ROWS, ["topic"]):
        stats = affinity_probe.collate.count(batch)
        assert len(batch) == 1 or int(stats.longest.max()) * int(stats.sequences.sum()) <= 20
