"""Does `nlpmtl relate` find relations that were planted? Six tasks, three worlds, together and apart, several seeds.

    python -m benchmarks.planted_relate [--seeds 2] [--output benchmarks/results]

In "angles" the tasks' weights of words lie in a plane, at 0, 8, 25, 55, 75 and 90 degrees; in "clusters" there are two
of three tasks, with a cosine of 0.8 inside and 0 between; in "unrelated" all cosines are 0. "Together", every text is
labelled for all tasks; "apart", each task has texts of its own, and four times the steps, as a step then has a sixth of
the labels. What is measured is compared with what was planted, over the 15 pairs of tasks, by Spearman's rank
correlation; where planted values are equal, no measurement can reach 1: the best that can be stands beside it.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from transformers.utils import logging

import nlpmtl
from benchmarks.planted_words import Floats, planted_run, word_encoder

PRETRAINING, TOGETHER, APART = 2500, 400, 1600
TEXTS = 2000
TRAIN = {"batch_size": 32, "lr": 1e-3}
_TURNED = np.deg2rad([0, 8, 25, 55, 75, 90])
_CLUSTERS = np.where(np.eye(6) > 0, 1.0, np.kron(np.eye(2), np.full((3, 3), 0.8)))
WORLDS = {"angles": np.cos(_TURNED[:, None] - _TURNED), "clusters": _CLUSTERS, "unrelated": np.eye(6)}


def pairs(matrix: Floats) -> Floats:
    """The mean of both directions, for each pair of tasks."""
    i, j = np.triu_indices(len(matrix), 1)
    found: Floats = (matrix[i, j] + matrix[j, i]) / 2
    return found


def rank(found: Floats, planted: Floats) -> str:
    truth = pairs(planted)
    if np.ptp(truth) == 0:
        return "–"
    return f"{spearmanr(pairs(found), truth)[0]:.2f}"


def attainable(planted: Floats) -> str:
    """The rank correlation of an order without a mistake."""
    truth = pairs(planted)
    return (
        rank(np.zeros(0), planted)
        if np.ptp(truth) == 0
        else f"{spearmanr(np.argsort(np.argsort(truth)), truth)[0]:.2f}"
    )


def verb(reading: str) -> str:
    return next((word for word in ("hurt", "help") if word in reading), reading)


def lines(seeds: int, root: Path) -> Iterator[str]:
    yield "| texts | world | seed | rank by cosine | by affinity | at best | pairs read as | two groups | gain |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for seed in range(1, seeds + 1):
        encoder = word_encoder(root / f"words-{seed}", seed=seed, steps=PRETRAINING)
        for joint in (True, False):
            for world, planted in WORLDS.items():
                directory = root / f"{world}-{joint}-{seed}"
                run = planted_run(
                    directory, cosines=planted, joint=joint, encoder=encoder, many=TEXTS, seed=seed, train=TRAIN
                )
                found = nlpmtl.relate(run, steps=TOGETHER if joint else APART)
                read = Counter(verb(pair.reading) for pair in found.pairs)
                groups = " · ".join("".join(name[1:] for name in group) for group in found.groups)
                cells = [
                    *("together" if joint else "apart", world, str(seed)),
                    *(
                        rank(found.cosines["all"].mean, planted),
                        rank(found.affinity.mean, planted),
                        attainable(planted),
                    ),
                    *(", ".join(f"{word} {many}" for word, many in sorted(read.items())), groups),
                    f"{100 * found.gain.mean:+.2f} ± {100 * found.gain.error:.2f} %",
                ]
                yield f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    given = parser.parse_args()
    logging.disable_progress_bar()
    head = [
        "# Planted relations",
        "",
        f"`python -m benchmarks.planted_relate --seeds {given.seeds}`, {date.today()}, {os.cpu_count()} cores "
        f"({torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} thread), torch {torch.__version__}, "
        f"Python {platform.python_version()}. {TOGETHER} steps together, {APART} apart, {TEXTS} texts, {TRAIN}.",
        "",
    ]
    path = given.output / f"planted_relate_{os.cpu_count()}core_{date.today()}.md"
    with tempfile.TemporaryDirectory() as root:
        for line in lines(given.seeds, Path(root)):
            print(line, flush=True)
            head.append(line)
            path.write_text("\n".join(head) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
