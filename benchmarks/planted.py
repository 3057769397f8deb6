"""Recovery of known task relations by learned relations and by `nlpmtl relate`: six tasks, several seeds.

    python -m benchmarks.planted [learned] [measured] [--seeds 3] [--output FILE.md]

Each task is a binary classification by a weighted count of words; the cosines between the tasks' weights are known, see
`benchmarks/planted_words.py`: a fan of directions, two clusters of three, or no relations. They are compared, over the
15 pairs of tasks, by Spearman's rank correlation, with:

Learned: the correlations of `relations = "covariance"`, with a frozen encoder, as in the original method, and with a
trained one; and the mixing matrix of `cross_stitch`, averaged over its layers and both directions. Each task has
different texts.

Measured: the cosines between gradients over all layers, and the affinities, averaged over both directions. "Together":
every text is labelled for all tasks; "apart": each task has different texts, and twice the steps.

The mixing matrix and the measurements are compared with absolute cosines, because a task needs the same features of an
encoder, or of a column, as its opposite. Unrelated tasks have no ranking; the mean and the maximum of the absolute
off-diagonal entries are reported for all.
"""

from __future__ import annotations

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
from benchmarks.tables import facts, make_parser, run_parts, write_report
from nlpmtl.model import MultiTaskModel
from nlpmtl.run import build_run, load_config
from nlpmtl.training import EvaluationDone

ROWS, VALIDATION, PRETRAINING = 4000, 100, 2500
_COVARIANCE = {"kind": "hard", "relations": "covariance", "relations_strength": 1e-4}
SCHEMES: dict[str, dict[str, Any]] = {
    "covariance, frozen encoder": {
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
"""The `[train]` table of the measurements: a measurement uses as many rows of each task as a step."""


def pairs(matrix: Floats) -> Floats:
    """Return the mean of both directions for each pair of tasks, ``[pairs]``."""
    i, j = np.triu_indices(len(matrix), 1)
    means: Floats = (matrix[i, j] + matrix[j, i]) / 2
    return means


def rank(matrix: Floats, truth: Floats) -> str:
    """Return the rank correlation over the pairs, or nothing if all pairs are equal."""
    return f"{spearmanr(pairs(matrix), pairs(truth)).statistic:.2f}" if np.ptp(pairs(truth)) else ""


def sizes(matrix: Floats) -> list[str]:
    """Return the mean and the maximum of the absolute values of the pairs."""
    values = np.abs(pairs(matrix))
    return [f"{values.mean():.2f}", f"{values.max():.2f}"]


def train(scheme: str, truth: Floats, *, directory: Path, encoder: Path, seed: int) -> tuple[Floats, float]:
    """Return the matrix that a model has learned after its last step, and its mean validation accuracy then."""
    tables = SCHEMES[scheme]
    steps = tables["train"]["steps"]
    run = planted_run(
        directory,
        cosines=truth,
        joint=False,
        encoder=encoder,
        text_count=ROWS,
        validation_count=VALIDATION,
        seed=seed,
        train={"batch_size": 48, "precision": "fp32", "save_every": steps, **tables["train"]},
    )
    run |= {"sharing": tables["sharing"], "eval": {"every": steps}, "sampling": {"kind": "uniform"}}
    run["encoder"] |= tables.get("encoder", {})
    Path(run["output"]).mkdir()
    _, _, fit = build_run(load_config(run), directory=Path(run["output"]), accelerator=Accelerator(cpu=True))
    score = [event.scores.mean for event in fit.events() if isinstance(event, EvaluationDone)][-1]
    assert isinstance(fit.model, MultiTaskModel)
    return np.mean(
        [relation.values.double().numpy() for relation in fit.model.task_relations().values()], axis=0
    ), score


def learned(encoders: Mapping[int, Path], scratch: Path) -> Iterator[str]:
    """Yield one row per scheme, set of tasks and seed."""
    yield f"Six tasks of {ROWS:,} rows, 48 per step; tiny encoder, pretrained on words for {PRETRAINING:,} steps."
    yield ""
    yield "| learned by | steps | tasks | seed | accuracy | rank correlation | mean off the diagonal | largest |"
    yield "|---|---|---|---|---|---|---|---|"
    for scheme, tables in SCHEMES.items():
        for name, truth in TRUTHS.items():
            for seed, encoder in encoders.items():
                directory = scratch / f"{scheme}-{name}-{seed}"
                matrix, score = train(scheme, truth, directory=directory, encoder=encoder, seed=seed)
                expected = np.abs(truth) if scheme == "cross_stitch" else truth
                cells = [scheme, str(tables["train"]["steps"]), name, str(seed), f"{score:.3f}", rank(matrix, expected)]
                yield f"| {' | '.join([*cells, *sizes(matrix)])} |"


def measured(encoders: Mapping[int, Path], scratch: Path) -> Iterator[str]:
    """Yield one row per layout of the texts, set of tasks and seed."""
    yield (
        f"`nlpmtl relate` on {TEXTS:,} texts, per task if they are apart, {MEASURED['batch_size']} per step; a "
        f"tiny encoder, pretrained for {PRETRAINING:,} steps to predict words."
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
                    text_count=TEXTS,
                    seed=seed,
                    train=MEASURED,
                )
                result = nlpmtl.relate(run, steps=steps)
                cosine, expected = result.cosines["all"].mean, np.abs(truth)
                readings = Counter(verb(pair.reading) for pair in result.pairs)
                cells = [
                    *("together" if joint else "apart", str(steps), name, str(seed)),
                    *(rank(cosine, expected), rank(result.affinity.mean, expected), *sizes(cosine)),
                    ", ".join(f"{word} {count}" for word, count in sorted(readings.items())),
                    " · ".join("".join(task[1:] for task in group) for group in result.groups),
                    f"{100 * result.gain.mean:+.2f} ± {100 * result.gain.error:.2f} %",
                ]
                yield f"| {' | '.join(cells)} |"


def verb(reading: str) -> str:
    return next((word for word in ("hurt", "help") if word in reading), reading)


PARTS = {"learned": learned, "measured": measured}


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    logging.disable_progress_bar()
    parts = args.parts or list(PARTS)
    report = ["# Planted relations", ""]
    with tempfile.TemporaryDirectory() as scratch:
        encoders = {
            seed: word_encoder(Path(scratch) / f"words-{seed}", seed=seed, steps=PRETRAINING)
            for seed in range(1, args.seeds + 1)
        }
        report += run_parts(parts, lambda part: PARTS[part](encoders, Path(scratch)))
    report += facts(" ".join(["benchmarks.planted", *args.parts, f"--seeds {args.seeds}"]))
    write_report(report, args.output, echo=False)


if __name__ == "__main__":
    main()
