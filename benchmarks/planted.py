"""Are the relations that a model learns those that the tasks have? Six tasks with planted relations, over seeds.

    python -m benchmarks.planted [covariance] [cross_stitch] [--seeds 3] [--steps 400] [--output FILE.md]

Each task says yes or no by a weighted count of words; the correlations of the weights are known, see
`benchmarks/planted_tasks.py`: a fan of directions, two clusters of three, or no relations. What is compared with them,
over the 15 pairs of tasks, by Spearman's rank correlation: the correlations of `relations = "covariance"`, and the
mixture of `cross_stitch`, the mean over its layers and both directions. The latter is compared with the truth without
its sign: a column takes as much from the opposite of its task. For tasks without relations there is no rank; the mean
of what stands off the diagonal, without its sign, and the largest are told of all.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from scipy.stats import spearmanr

from benchmarks.planted_tasks import CLUSTERS, FAN, UNRELATED, Numbers, pairs, planted_run, symmetric
from nlpmtl.model import MultiTaskModel
from nlpmtl.run import load_config, prepare
from nlpmtl.training import Evaluated

SCHEMES: dict[str, dict[str, Any]] = {
    "covariance": {"kind": "hard", "relations": "covariance", "relations_strength": 1e-4},
    "cross_stitch": {"kind": "cross_stitch", "shared": 0, "speed": 5.0},
}
TRUTHS = {"fan": FAN, "clusters": CLUSTERS, "unrelated": UNRELATED}
ROWS, LR = 1000, 1e-3


def learned(scheme: str, truth: Numbers, *, seed: int, steps: int) -> tuple[Numbers, float]:
    """The matrix that a model has learned after its last step, and its mean accuracy on validation then."""
    train = {"steps": steps, "batch_size": 48, "lr": LR, "precision": "fp32", "save_every": steps}
    tables = {"sharing": SCHEMES[scheme], "train": train, "eval": {"every": steps}}
    with tempfile.TemporaryDirectory() as scratch:
        run = planted_run(Path(scratch), truth, rows=ROWS, seed=seed, **tables)
        Path(run["output"]).mkdir()
        _, _, fit = prepare(load_config(run), directory=Path(run["output"]), accelerator=Accelerator(cpu=True))
        score = [event.scores.mean for event in fit.events() if isinstance(event, Evaluated)][-1]
        assert isinstance(fit.model, MultiTaskModel)
        matrices = [one.values.double().numpy() for one in fit.model.relations().values()]
    return symmetric(np.mean(matrices, axis=0)), score


def lines(schemes: list[str], *, seeds: int, steps: int) -> Iterator[str]:
    """A row of a table for each scheme, set of tasks and seed."""
    yield f"Six tasks of {ROWS} rows, {steps} steps of 48, a random encoder of two layers of width 64."
    yield ""
    yield "| learned by | tasks | seed | accuracy | rank correlation with the truth | mean off the diagonal | largest |"
    yield "|---|---|---|---|---|---|---|"
    for scheme in schemes:
        for name, truth in TRUTHS.items():
            for seed in range(1, seeds + 1):
                matrix, score = learned(scheme, truth, seed=seed, steps=steps)
                found = pairs(matrix)
                right = np.abs(pairs(truth)) if scheme == "cross_stitch" else pairs(truth)
                rank = "" if name == "unrelated" else f"{spearmanr(found, right).statistic:.2f}"
                sizes = f"{np.abs(found).mean():.2f} | {np.abs(found).max():.2f}"
                yield f"| {scheme} | {name} | {seed} | {score:.3f} | {rank} | {sizes} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("schemes", nargs="*", help=f"of {', '.join(SCHEMES)}; left out: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    told = []
    for line in lines(asked.schemes or list(SCHEMES), seeds=asked.seeds, steps=asked.steps):
        print(line, flush=True)
        told.append(line)
    if asked.output is not None:
        asked.output.write_text("\n".join(told) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
