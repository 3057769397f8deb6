"""Are the relations that a model learns those that the tasks have? Six tasks with planted relations, five seeds.

    python -m benchmarks.planted [--seeds 5] [--steps 600] [--output FILE.md]

Each task says yes or no by a weighted count of words; the correlations of the weights are known (two clusters of three,
or no relations at all), see `benchmarks/planted_tasks.py`. What is compared with them, over the 15 pairs of tasks, by
Spearman's rank correlation: the correlations of `relations = "covariance"`, and the mixture of `cross_stitch`, the mean
over its layers and both directions. For tasks without relations the largest of them is told instead.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from benchmarks.planted_tasks import CLUSTERS, FAN, UNRELATED, Numbers, planted_run, symmetric
from nlpmtl.model import MultiTaskModel
from nlpmtl.run import load_config, prepare
from nlpmtl.training import Evaluated, Fit

SCHEMES: dict[str, dict[str, Any]] = {
    "covariance": {"kind": "hard", "relations": "covariance", "relations_strength": 1e-4},
    "cross_stitch": {"kind": "cross_stitch", "shared": 0},
}
LR = 1e-3
TRUTHS = {"fan": FAN, "clusters": CLUSTERS, "unrelated": UNRELATED}


def add_penalty(fit: Fit) -> None:
    """What the model asks for besides its losses, by way of the optimizer."""
    model = fit.model
    assert isinstance(model, MultiTaskModel)

    def before(*_: Any) -> None:
        penalty = model.penalty()
        if penalty is not None:
            penalty.backward()

    fit.optimizer.register_step_pre_hook(before)
    fit.optimizer.register_step_post_hook(lambda *_: model.after_step())


def learned(scheme: str, truth: Numbers, *, seed: int, steps: int, **more: Any) -> tuple[Numbers, float]:
    """The matrix that a model has learned after its last step, and its mean accuracy on validation then."""
    train = {"steps": steps, "batch_size": 48, "lr": LR, "precision": "fp32", "save_every": steps}
    with tempfile.TemporaryDirectory() as scratch:
        run = planted_run(
            Path(scratch),
            truth,
            rows=1000,
            seed=seed,
            sharing=SCHEMES[scheme] | more,
            train=train,
            eval={"every": steps},
        )
        config = load_config(run)
        Path(run["output"]).mkdir()
        _, _, fit = prepare(config, directory=Path(run["output"]), accelerator=Accelerator(cpu=True))
        add_penalty(fit)
        score = [event.scores.mean for event in fit.events() if isinstance(event, Evaluated)][-1]
        assert isinstance(fit.model, MultiTaskModel)
        matrices = [one.values.double().numpy() for one in fit.model.relations().values()]
    return symmetric(np.mean(matrices, axis=0)), score
