"""Steps ahead and gradients against what they are in closed form; a real model against its own first order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nlpmtl.affinity import probe as measure
from nlpmtl.affinity.metrics import affinity, cosines
from nlpmtl.affinity.probe import AffinityProbe, lookahead_losses, parameters_by_layer, shared_parameters
from nlpmtl.model import MultiTaskModel
from nlpmtl.run import build_run, load_config
from nlpmtl.training import Trainer, accelerator_context, inner_products
from tests.tiny import make_run

RATE = 0.1


class Quadratics:
    """L_j(θ) = ½ ‖θ − c_j‖², in double precision: all of it can be written down."""

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
    assert torch.equal(model.weight, start), "the weights are as they were"


def test_a_task_beside_its_copy_and_its_opposite() -> None:
    model = Quadratics([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [2.0, -4.0, 1.0])
    after = lookahead_losses([model.weight], gradients=model.gradients, rate=RATE, losses=model.losses)
    found = affinity(model.losses(), after)
    np.testing.assert_allclose(found[0], [0.19, 0.19, -0.21], rtol=1e-12)
    np.testing.assert_array_equal(found[0], found[1])
    angles = cosines(inner_products(model.gradients, indices=[0]))
    np.testing.assert_allclose(angles, [[1, 1, -1], [1, 1, -1], [-1, -1, 1]], rtol=1e-12)


def test_weights_that_a_loss_does_not_depend_on_stay() -> None:
    one, other = (nn.Parameter(torch.ones(2, dtype=torch.float64)) for _ in range(2))

    def losses() -> np.ndarray:
        return np.array([float(one.detach().sum()), float(other.detach().sum())])

    gradients = [[torch.ones(2, dtype=torch.float64), None], [None, torch.ones(2, dtype=torch.float64)]]
    np.testing.assert_allclose(
        lookahead_losses([one, other], gradients=gradients, rate=0.5, losses=losses), [[1, 2], [2, 1]]
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
def test_layers_by_the_names_of_weights(name: str, layer: str) -> None:
    assert measure.layer_of(name) == layer


def test_layers_from_the_bottom_upward() -> None:
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
    """All kinds of task on text, words and pairs, and a task that is another's copy, head and all; double precision."""
    directory = tmp_path_factory.mktemp("measure")
    train = {"steps": 1, "batch_size": 8, "precision": "fp64", "micro_tokens": 64}
    run: dict[str, Any] = make_run(directory, rows=24, train=train)
    run["datasets"]["words"]["tasks"]["copy"] = {"kind": "classification", "label": "topic"}
    with accelerator_context(directory=directory, precision="fp64", trackers=()) as accelerator:
        _, _, made = build_run(load_config(run), directory=directory, accelerator=accelerator)
        assert isinstance(made.model, MultiTaskModel)
        made.model.head("copy").load_state_dict(made.model.head("topic").state_dict())
        yield made


def meter(fit: Trainer, *, tokens: int = 64) -> AffinityProbe:
    return AffinityProbe(
        fit.model, fit.tasks, fit.train_step.accumulator.collate, tokens, fit.train_step.accumulator.device
    )


ROWS = [(d, r) for d in range(3) for r in range(7)]


def test_small_steps_do_what_the_gradients_say(fit: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """To first order Z_ij L_j = η g_i · g_j, and η is such that Σ Z_ii L_i is the share of Σ L_i."""
    monkeypatch.setattr(measure, "SHARE", 1e-6)
    one = meter(fit)
    found = one(ROWS)
    losses = one._losses(one._deal(ROWS))
    gained = found.affinity * losses
    assert np.diag(gained).sum() == pytest.approx(1e-6 * losses.sum(), rel=1e-3)
    lengths = np.sqrt(np.diag(gained))
    np.testing.assert_allclose(gained / np.outer(lengths, lengths), found.cosines["all"], atol=2e-3)


def test_what_a_step_does_to_other_rows(fit: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both halves the same rows: all that a step does to its own rows it does to the others."""
    monkeypatch.setattr(measure, "SHARE", 1e-6)
    one = meter(fit)
    twice = [row for row in ROWS for _ in range(2)]
    found = one(twice)
    np.testing.assert_allclose(found.own, np.diag(found.affinity), rtol=1e-3)
    apart = one([(d, r) for d in range(3) for r in range(8)])
    halves = np.array([task != "places" for task in fit.tasks])  # its words are not dealt out evenly
    assert (apart.own < np.diag(apart.affinity))[halves].all(), "a · b < ‖a + b‖² / 4"
    assert np.isnan(one([(d, 1) for d in range(3)]).own).all(), "one row has no other half"


def test_a_task_and_its_copy(fit: Trainer) -> None:
    names, found = list(fit.tasks), meter(fit)(ROWS)
    topic, copy = names.index("topic"), names.index("copy")
    for layer, angles in found.cosines.items():
        assert angles[topic, copy] == pytest.approx(1.0, abs=1e-9), layer
        assert np.abs(np.delete(angles[topic], [topic, copy])).max() < 0.99, layer
    assert found.affinity[topic, copy] == pytest.approx(found.affinity[topic, topic], rel=1e-9)
    others = [i for i in range(len(names)) if i not in (topic, copy)]
    assert found.affinity[others, topic].max() < found.affinity[copy, topic]
    assert list(found.cosines) == ["embeddings", "layer 1", "layer 2", "all"]


def test_micro_batches_change_nothing(fit: Trainer) -> None:
    whole, cut = meter(fit, tokens=100_000)(ROWS), meter(fit, tokens=16)(ROWS)
    np.testing.assert_allclose(cut.affinity, whole.affinity, atol=1e-10)
    np.testing.assert_allclose(cut.cosines["all"], whole.cosines["all"], atol=1e-10)


def test_tasks_in_another_order(fit: Trainer) -> None:
    names = sorted(fit.tasks)
    order = [list(fit.tasks).index(name) for name in names]
    found = meter(fit)(ROWS)
    turned = AffinityProbe(
        fit.model,
        {n: fit.tasks[n] for n in names},
        fit.train_step.accumulator.collate,
        64,
        fit.train_step.accumulator.device,
    )(ROWS)
    np.testing.assert_allclose(turned.affinity, found.affinity[np.ix_(order, order)], atol=1e-12)
    np.testing.assert_allclose(turned.cosines["all"], found.cosines["all"][np.ix_(order, order)], atol=1e-12)


def test_the_model_is_as_it_was(fit: Trainer) -> None:
    before = {name: value.clone() for name, value in fit.model.state_dict().items()}
    meter(fit)(ROWS)
    assert all(torch.equal(value, before[name]) for name, value in fit.model.state_dict().items())
    assert all(weight.grad is None for weight in fit.model.parameters())
    assert not any(name.startswith("heads.") for name in shared_parameters(fit.model))
