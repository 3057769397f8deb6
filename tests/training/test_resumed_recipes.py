"""Runs with every pair of recipe options resume bit for bit: weights, optimizer state, losses and scores."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from nlpmtl.registry import LOSSES, SCHEDULES
from tests.faults.harness import copy_until, small_run, train_all
from tests.faults.resume import covering_pairs, difference
from tests.tiny import checkpoint, weights

SHARINGS: dict[str, dict[str, Any]] = {
    "hard": {"kind": "hard"},
    "relations": {"kind": "hard", "relations": "covariance"},
    "layers": {"kind": "layers", "shared": 1},
    "soft_l2": {"kind": "soft_l2", "shared": 1},
    "cross_stitch": {"kind": "cross_stitch", "shared": 1},
    "lora": {"kind": "lora"},
    "adapters": {"kind": "adapters"},
    "pal": {"kind": "adapters", "form": "pal"},
}
WITHOUT_SHARED_LAYERS = ("lora", "adapters", "pal")
STEPS, RESUMED = 6, 3
_STRIDE = 7
"""Every so many settings are considered, which contain all pairs of values in a seventh of the time."""


class Recipe(NamedTuple):
    """A value of each option."""

    optimizer: str
    schedule: str
    layer_decay: float
    freeze_layers: int | None
    task_lr: float | None
    sharing: str
    weighting: str
    loss: str
    pooling: str | None

    @property
    def is_accepted(self) -> bool:
        refused = self.optimizer == "sgd" and self.sharing == "cross_stitch"
        return not (refused or (self.freeze_layers == 1 and self.sharing in WITHOUT_SHARED_LAYERS))

    def run(self, directory: Path) -> dict[str, Any]:
        """Return a run with these values."""
        train = {"schedule": self.schedule, "layer_decay": self.layer_decay, "warmup": 0.3}
        run = small_run(directory, steps=STEPS, train=train, sharing=SHARINGS[self.sharing])
        run |= {"optimizer": {"kind": self.optimizer}, "weighting": {"kind": self.weighting}}
        run["encoder"]["freeze_layers"] = self.freeze_layers
        run["datasets"]["texts"]["tasks"]["kinds"]["lr"] = self.task_lr
        run["datasets"]["words"]["tasks"]["topic"] |= {"loss": {"kind": self.loss}, "pooling": self.pooling}
        return run


def accepted() -> list[Recipe]:
    """Return all combinations that are accepted."""
    parameters = (("adamw", "sgd"), SCHEDULES.names(), (1.0, 0.8), (None, 0, 1), (None, 0.01))
    others = (SHARINGS, ("constant", "famo", "upgrad"), LOSSES.names(), (None, "mean", "attention"))
    return [recipe for recipe in map(Recipe._make, product(*parameters, *others)) if recipe.is_accepted]


def recipes() -> list[Recipe]:
    """Return a subset of all combinations in which each pair of values occurs that is accepted."""
    return covering_pairs(accepted()[::_STRIDE])


@pytest.mark.slow
def test_each_pair_of_values_occurs() -> None:
    def pairs(settings: list[Recipe]) -> set[Any]:
        return {pair for recipe in settings for pair in combinations(enumerate(recipe), 2)}

    assert pairs(recipes()) == pairs(accepted())


@pytest.mark.slow
@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: "-".join(map(str, recipe)))
def test_a_resumed_run_is_the_uninterrupted_one(recipe: Recipe, tmp_path: Path) -> None:
    run, whole = recipe.run(tmp_path), tmp_path / "whole"
    train_all([{"run": run, "output": str(whole), "resume": False}], processes=1, scratch=tmp_path)
    resumed = copy_until(whole, RESUMED, tmp_path / "resumed")
    train_all([{"run": run, "output": str(resumed), "resume": True}], processes=1, scratch=tmp_path)
    assert difference(whole, resumed, after=RESUMED, last=STEPS) is None
    frozen = () if recipe.freeze_layers is None else ("embeddings.", "encoder.layer.0.")[: recipe.freeze_layers + 1]
    first, last = weights(checkpoint(whole, 1)), weights(checkpoint(whole, STEPS))
    for name, value in first.items():
        if name.removeprefix("sharing.encoder.").startswith(frozen):
            assert value.equal(last[name]), name
    assert any(not value.equal(last[name]) for name, value in first.items())


@pytest.mark.slow
def test_sharded_runs_resume_bit_for_bit(tmp_path: Path) -> None:
    recipe = Recipe("adamw", "polynomial", 0.8, 1, 0.01, "hard", "constant", "focal", "mean")
    runs = {
        "losses known before": recipe.run(tmp_path),
        "gradients": recipe._replace(weighting="upgrad", freeze_layers=0, schedule="inverse_sqrt").run(tmp_path),
        "relations": recipe._replace(sharing="relations", freeze_layers=None, weighting="famo").run(tmp_path),
    }
    frozen = recipe._replace(layer_decay=1.0, freeze_layers=None).run(tmp_path)
    runs["frozen encoder"] = {**frozen, "encoder": {**frozen["encoder"], "freeze": True}}
    outputs = {name: tmp_path / "whole" / name for name in runs}
    jobs = [{"run": run, "output": str(outputs[name]), "resume": False} for name, run in runs.items()]
    train_all(jobs, processes=2, scratch=tmp_path, sharded=True)
    copies = {name: copy_until(output, RESUMED, tmp_path / "resumed" / name) for name, output in outputs.items()}
    jobs = [{"run": run, "output": str(copies[name]), "resume": True} for name, run in runs.items()]
    train_all(jobs, processes=2, scratch=tmp_path, sharded=True)
    for name, output in outputs.items():
        assert difference(output, copies[name], after=RESUMED, last=STEPS) is None, name
