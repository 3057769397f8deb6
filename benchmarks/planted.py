"""Are the relations that a model learns, or `nlpmtl relate` measures, those that the tasks have? Six tasks, over seeds.

    python -m benchmarks.planted [learned] [measured] [--seeds 3] [--output FILE.md]

Each task says yes or no by a weighted count of words; the cosines of the weights are known, see
`benchmarks/planted_words.py`: a fan of directions, two clusters of three, or no relations. What is compared with them,
over the 15 pairs of tasks, by Spearman's rank correlation:

Learned: the correlations of `relations = "covariance"`, with an encoder that stays as it is, as where the method comes
from, and with one that is trained; and the mixture of `cross_stitch`, the mean over its layers and both directions.
Each task has texts of its own.

Measured: the cosines between gradients over all layers, and the affinities, the mean of both directions. "Together",
every text is labelled for all tasks; "apart", each task has texts of its own, and twice the steps.

The mixture and what is measured are compared with the truth without its sign: a task wants the same of an encoder, or
of a column, as its opposite does. For tasks without relations there is no rank; the mean of what stands off the
diagonal, without its sign, and the largest are told of all.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from scipy.stats import spearmanr
from transformers.utils import logging

import nlpmtl
from benchmarks.planted_words import TRUTHS, Floats, planted_run, word_encoder
from benchmarks.tables import facts
from nlpmtl.model import MultiTaskModel
from nlpmtl.run import build_run, load_config
from nlpmtl.training import EvaluationDone

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
TEXTS, TOGETHER, APART = 8000, 100, 200
MEASURED = {"batch_size": 512, "lr": 2e-3}
"""The `[train]` table where relations are measured: a measurement takes as many rows of each task as a step."""


def pairs(matrix: Floats) -> Floats:
    """The mean of both directions, for each pair of tasks, ``[pairs]``."""
    i, j = np.triu_indices(len(matrix), 1)
    found: Floats = (matrix[i, j] + matrix[j, i]) / 2
    return found


def rank(found: Floats, right: Floats) -> str:
    """Of the pairs; nothing where all are the same."""
    return f"{spearmanr(pairs(found), pairs(right)).statistic:.2f}" if np.ptp(pairs(right)) else ""


def sizes(found: Floats) -> list[str]:
    """How large the numbers of the pairs are, on average and at most."""
    values = np.abs(pairs(found))
    return [f"{values.mean():.2f}", f"{values.max():.2f}"]


def train(scheme: str, truth: Floats, *, directory: Path, encoder: Path, seed: int) -> tuple[Floats, float]:
    """The matrix that a model has learned after its last step, and its mean accuracy on validation then."""
    tables = SCHEMES[scheme]
    steps = tables["train"]["steps"]
    run = planted_run(
        directory,
        cosines=truth,
        joint=False,
        encoder=encoder,
        many=ROWS,
        unseen=UNSEEN,
        seed=seed,
        train={"batch_size": 48, "precision": "fp32", "save_every": steps, **tables["train"]},
    )
    run |= {"sharing": tables["sharing"], "eval": {"every": steps}, "sampling": {"kind": "uniform"}}
    run["encoder"] |= tables.get("encoder", {})
    Path(run["output"]).mkdir()
    _, _, fit = build_run(load_config(run), directory=Path(run["output"]), accelerator=Accelerator(cpu=True))
    score = [event.scores.mean for event in fit.events() if isinstance(event, EvaluationDone)][-1]
    assert isinstance(fit.model, MultiTaskModel)
    return np.mean([one.values.double().numpy() for one in fit.model.task_relations().values()], axis=0), score


def learned(encoders: Mapping[int, Path], scratch: Path) -> Iterator[str]:
    """A row of a table for each scheme, set of tasks and seed."""
    yield f"Six tasks of {ROWS:,} rows, 48 a step; a tiny encoder, for {PRETRAINING:,} steps trained to name words."
    yield ""
    yield "| learned by | steps | tasks | seed | accuracy | rank correlation | mean off the diagonal | largest |"
    yield "|---|---|---|---|---|---|---|---|"
    for scheme, tables in SCHEMES.items():
        for name, truth in TRUTHS.items():
            for seed, encoder in encoders.items():
                directory = scratch / f"{scheme}-{name}-{seed}"
                matrix, score = train(scheme, truth, directory=directory, encoder=encoder, seed=seed)
                right = np.abs(truth) if scheme == "cross_stitch" else truth
                cells = [scheme, str(tables["train"]["steps"]), name, str(seed), f"{score:.3f}", rank(matrix, right)]
                yield f"| {' | '.join([*cells, *sizes(matrix)])} |"


def measured(encoders: Mapping[int, Path], scratch: Path) -> Iterator[str]:
    """A row of a table for texts of all tasks or of each, set of tasks and seed."""
    yield (
        f"`nlpmtl relate` on {TEXTS:,} texts, of each task where they are apart, {MEASURED['batch_size']} a step; a "
        f"tiny encoder, for {PRETRAINING:,} steps trained to name words."
    )
    yield ""
    yield (
        "| texts | steps | tasks | seed | rank by cosine | by affinity | mean cosine | largest | pairs read as "
        "| two groups | gain |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for joint, steps in ((True, TOGETHER), (False, APART)):
        for name, truth in TRUTHS.items():
            for seed, encoder in encoders.items():
                run = planted_run(
                    scratch / f"{name}-{joint}-{seed}",
                    cosines=truth,
                    joint=joint,
                    encoder=encoder,
                    many=TEXTS,
                    seed=seed,
                    train=MEASURED,
                )
                found = nlpmtl.relate(run, steps=steps)
                cosine, right = found.cosines["all"].mean, np.abs(truth)
                read = Counter(verb(pair.reading) for pair in found.pairs)
                cells = [
                    *("together" if joint else "apart", str(steps), name, str(seed)),
                    *(rank(cosine, right), rank(found.affinity.mean, right), *sizes(cosine)),
                    ", ".join(f"{word} {many}" for word, many in sorted(read.items())),
                    " · ".join("".join(task[1:] for task in group) for group in found.groups),
                    f"{100 * found.gain.mean:+.2f} ± {100 * found.gain.error:.2f} %",
                ]
                yield f"| {' | '.join(cells)} |"


def verb(reading: str) -> str:
    return next((word for word in ("hurt", "help") if word in reading), reading)


PARTS = {"learned": learned, "measured": measured}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; left out: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    logging.disable_progress_bar()
    parts = asked.parts or list(PARTS)
    told = ["# Planted relations", ""]
    with tempfile.TemporaryDirectory() as scratch:
        encoders = {
            seed: word_encoder(Path(scratch) / f"words-{seed}", seed=seed, steps=PRETRAINING)
            for seed in range(1, asked.seeds + 1)
        }
        for part in parts:
            for line in PARTS[part](encoders, Path(scratch)):
                print(line, flush=True)
                told.append(line)
            told.append("")
    told += facts(" ".join(["benchmarks.planted", *asked.parts, f"--seeds {asked.seeds}"]))
    if asked.output is not None:
        asked.output.write_text("\n".join(told) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
