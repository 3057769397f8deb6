"""Scaling of metrics, threshold tuning and length batching: time and peak memory at n, 2n and 4n.

    python -m benchmarks.growth [--rows 50000] [--labels 5000]

`--rows` is the largest n. Memory is allocated in addition to the input, measured with `tracemalloc` in a separate call.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np

from nlpmtl.data.batch import optimal_length_batches
from nlpmtl.tasks import Multilabel
from nlpmtl.tasks.calibration import best_threshold


def score(rows: int, labels: int) -> Callable[[], object]:
    """Score sets of five labels on average."""
    generator = np.random.default_rng(0)
    names = [f"label {i}" for i in range(labels)]
    task = Multilabel(name="t", labels=names, metrics=["micro_f1", "macro_f1", "accuracy"], input="text")
    predicted, gold = (
        [
            [names[i] for i in generator.choice(labels, size=generator.integers(0, 11), replace=False)]
            for _ in range(rows)
        ]
        for _ in range(2)
    )
    return lambda: task.score(predicted, gold)


def threshold(rows: int, labels: int) -> Callable[[], object]:
    """Tune the threshold of one label."""
    generator = np.random.default_rng(0)
    probabilities, gold = generator.random(rows).astype(np.float32), generator.random(rows) < 0.1
    return lambda: best_threshold(probabilities, gold)


def cut(rows: int, labels: int) -> Callable[[], object]:
    """Divide rows into batches of unlimited size."""
    lengths = np.sort(np.random.default_rng(0).integers(1, 513, rows))[::-1].tolist()
    return lambda: optimal_length_batches(lengths, overhead=64)


CASES = {"multi-label metrics": score, "decision threshold of a label": threshold, "length batching": cut}


def measure(rows: int, labels: int) -> Iterator[str]:
    """Yield one row of the table per case and size."""
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
