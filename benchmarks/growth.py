"""How scoring, tuning of thresholds and cutting of batches grow: time and peak memory at n, 2n and 4n.

    python -m benchmarks.growth [--rows 50000] [--labels 5000]

`--rows` is the largest n. Memory is what is allocated above the input, as `tracemalloc` counts it, in a run of its own.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np

from nlpmtl.data.batching import optimal_length_batches
from nlpmtl.tasks import Multilabel
from nlpmtl.tasks.calibration import best_threshold


def score(rows: int, labels: int) -> Callable[[], object]:
    """Score sets of five labels on average."""
    source = np.random.default_rng(0)
    names = [f"label {i}" for i in range(labels)]
    task = Multilabel(name="t", labels=names, metrics=["micro_f1", "macro_f1", "accuracy"], input="text")
    predicted, gold = (
        [[names[i] for i in source.choice(labels, size=source.integers(0, 11), replace=False)] for _ in range(rows)]
        for _ in range(2)
    )
    return lambda: task.score(predicted, gold)


def threshold(rows: int, labels: int) -> Callable[[], object]:
    """Tune the threshold of one label."""
    source = np.random.default_rng(0)
    sure, right = source.random(rows).astype(np.float32), source.random(rows) < 0.1
    return lambda: best_threshold(sure, right)


def cut(rows: int, labels: int) -> Callable[[], object]:
    """Cut rows into batches, with no limit on a batch."""
    lengths = np.sort(np.random.default_rng(0).integers(1, 513, rows))[::-1].tolist()
    return lambda: optimal_length_batches(lengths, overhead=64)


CASES = {"scores of sets of labels": score, "threshold of a label": threshold, "cuts of batches": cut}


def measure(rows: int, labels: int) -> Iterator[str]:
    """Yield a line of the table for each case and size."""
    for name, case in CASES.items():
        for count in (rows // 4, rows // 2, rows):
            run = case(count, labels)
            start = time.perf_counter()
            run()
            seconds = time.perf_counter() - start
            tracemalloc.start()
            run()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            what = f"{name}, {labels:,} labels" if case is score else name
            yield f"| {what} | {count:,} | {seconds:.3f} | {peak / 2**20:.0f} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--labels", type=int, default=5_000)
    args = parser.parse_args()
    print("| what | rows | seconds | MiB |\n|---|---|---|---|")
    for line in measure(args.rows, args.labels):
        print(line, flush=True)
