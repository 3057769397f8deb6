"""Are the relations that a model learns those that the tasks have? Six tasks with planted relations, over seeds.

    python -m benchmarks.planted [--seeds 3] [--output FILE.md]

Each task says yes or no by a weighted count of words, of texts of its own; the cosines of the weights are known, see
`benchmarks/planted_words.py`: a fan of directions, two clusters of three, or no relations. What is compared with them,
over the 15 pairs of tasks, by Spearman's rank correlation: the correlations of `relations = "covariance"`, with an
encoder that stays as it is, as where the method comes from, and with one that is trained; and the mixture of
`cross_stitch`, the mean over its layers and both directions. The latter is compared with the truth without its sign: a
column takes as much from the opposite of its task. For tasks without relations there is no rank; the mean of what
stands off the diagonal, without its sign, and the largest are told of all.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from scipy.stats import spearmanr

from benchmarks.planted_words import Floats, planted_run, word_encoder
from nlpmtl.model import MultiTaskModel
from nlpmtl.run import load_config, prepare
from nlpmtl.training import Evaluated

CLUSTERS: Floats = np.array(
    [
        [1.00, 0.95, 0.80, 0.30, 0.20, 0.10],
        [0.95, 1.00, 0.70, 0.25, 0.15, 0.05],
        [0.80, 0.70, 1.00, 0.35, 0.00, -0.05],
        [0.30, 0.25, 0.35, 1.00, 0.85, 0.60],
        [0.20, 0.15, 0.00, 0.85, 1.00, 0.75],
        [0.10, 0.05, -0.05, 0.60, 0.75, 1.00],
    ]
)
"""Two clusters of three tasks, no two pairs alike; most pairs across differ by 0.05 alone."""
_ANGLES = np.deg2rad([0, 17, 48, 90, 126, 170])
FAN: Floats = 0.9 * np.cos(_ANGLES[:, None] - _ANGLES) + 0.1 * np.eye(6)
"""Tasks as directions in a plane, from alike to opposite, and a tenth of each its own."""
TRUTHS = {"fan": FAN, "clusters": CLUSTERS, "unrelated": np.eye(6)}
ROWS, UNSEEN, PRETRAINING = 4000, 100, 2500
_COVARIANCE = {"kind": "hard", "relations": "covariance", "relations_strength": 1e-4}
SCHEMES: dict[str, dict[str, Any]] = {
    "covariance, encoder as it is": {
        "sharing": _COVARIANCE,
        "train": {"steps": 1600, "lr": 5e-3},
        "encoder": {"freeze": True},
    },
    "covariance": {"sharing": _COVARIANCE, "train": {"steps": 400, "lr": 1e-3}},
    "cross_stitch": {
        "sharing": {"kind": "cross_stitch", "shared": 0, "speed": 5.0},
        "train": {"steps": 400, "lr": 1e-3},
    },
}


def learned(scheme: str, truth: Floats, *, encoder: Path, seed: int) -> tuple[Floats, float]:
    """The matrix that a model has learned after its last step, and its mean accuracy on validation then."""
    tables = SCHEMES[scheme]
    steps = tables["train"]["steps"]
    train = {"batch_size": 48, "precision": "fp32", "save_every": steps, **tables["train"]}
    with tempfile.TemporaryDirectory() as scratch:
        run = planted_run(
            Path(scratch),
            cosines=truth,
            joint=False,
            encoder=encoder,
            many=ROWS,
            unseen=UNSEEN,
            seed=seed,
            train=train,
        )
        run |= {"sharing": tables["sharing"], "eval": {"every": steps}, "sampling": {"kind": "uniform"}}
        run["encoder"] |= tables.get("encoder", {})
        Path(run["output"]).mkdir()
        _, _, fit = prepare(load_config(run), directory=Path(run["output"]), accelerator=Accelerator(cpu=True))
        score = [event.scores.mean for event in fit.events() if isinstance(event, Evaluated)][-1]
        assert isinstance(fit.model, MultiTaskModel)
        matrix = np.mean([one.values.double().numpy() for one in fit.model.relations().values()], axis=0)
    return (matrix + matrix.T) / 2, score


def lines(*, seeds: int, scratch: Path) -> Iterator[str]:
    """A row of a table for each scheme, set of tasks and seed."""
    yield f"Six tasks of {ROWS:,} rows, 48 a step; a tiny encoder, for {PRETRAINING:,} steps trained to name words."
    yield ""
    yield "| learned by | steps | tasks | seed | accuracy | rank correlation | mean off the diagonal | largest |"
    yield "|---|---|---|---|---|---|---|---|"
    encoders = {
        seed: word_encoder(scratch / f"words-{seed}", seed=seed, steps=PRETRAINING) for seed in range(1, seeds + 1)
    }
    i, j = np.triu_indices(6, k=1)
    for scheme, tables in SCHEMES.items():
        for name, truth in TRUTHS.items():
            for seed, encoder in encoders.items():
                matrix, score = learned(scheme, truth, encoder=encoder, seed=seed)
                found, right = matrix[i, j], truth[i, j]
                right = np.abs(right) if scheme == "cross_stitch" else right
                rank = "" if name == "unrelated" else f"{spearmanr(found, right).statistic:.2f}"
                sizes = f"{np.abs(found).mean():.2f} | {np.abs(found).max():.2f}"
                yield f"| {scheme} | {tables['train']['steps']} | {name} | {seed} | {score:.3f} | {rank} | {sizes} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    told = [
        "# Planted relations, learned",
        "",
        f"`python -m benchmarks.planted --seeds {asked.seeds}`, torch {torch.__version__}, CPU with "
        f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} thread(s).",
        "",
    ]
    with tempfile.TemporaryDirectory() as scratch:
        for line in lines(seeds=asked.seeds, scratch=Path(scratch)):
            print(line, flush=True)
            told.append(line)
    if asked.output is not None:
        asked.output.write_text("\n".join(told) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
