"""Frequencies of every sampler compared with its formula, on GLUE's nine train sets.

    python -m benchmarks.sampler_frequencies [--output FILE.md]

The first column of numbers is the largest difference between a dataset's count in 100,000 draws and N · p, over all
datasets, three steps (the first, middle and last of a run) and five seeds. The last column follows the plan of a run of
3,000 steps of 32 rows (with 1/50 of GLUE's sizes, so that every row is used several times) and counts the rows that are
not used as often as the cursor says: once per full pass, or once more.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from benchmarks.tables import make_parser, write_report
from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling import build_plan, build_sampler

GLUE = (8_551, 67_349, 3_668, 5_749, 363_846, 392_702, 104_743, 2_490, 635)
DRAWS, SEEDS, STEPS, ROWS = 100_000, range(5), 3_000, 32
RUN: dict[str, Any] = {"total_steps": STEPS, "epoch_steps": 1_000}
OPTIONS: dict[str, dict[str, object]] = {
    "temperature": {"temperature": 2.0},
    "capped": {"cap": 20_000},
    "unimax": {"max_epochs": 4.0},
}


def largest_difference(kind: str) -> float:
    worst = 0.0
    for seed in SEEDS:
        options = SAMPLERS.parse({"kind": kind, **OPTIONS.get(kind, {})})
        sampler = build_sampler(options, sizes=GLUE, rows_per_step=ROWS, seed=seed, **RUN)
        for step in (0, STEPS // 2, STEPS - 1):
            counts = Counter(sampler.draw(0, DRAWS, step=step))
            differences = (abs(counts[i] - DRAWS * p) for i, p in enumerate(sampler.probabilities(step)))
            worst = max(worst, *differences)
    return worst


def rows_used_otherwise(kind: str) -> tuple[int, int]:
    """Return the number of rows not used as often as the cursor says, and the number of rows used."""
    sizes = [max(1, size // 50) for size in GLUE]
    options = SAMPLERS.parse({"kind": kind, **OPTIONS.get(kind, {})})
    plan = build_plan(options, names=list("abcdefghi"), sizes=sizes, batch_size=ROWS, seed=17, **RUN)
    used: Counter[tuple[int, int]] = Counter()
    cursor = plan.start()
    for step, after in plan.steps(cursor, STEPS):
        used.update((row.dataset, row.row) for row in step.rows)
        cursor = after
    wrong = 0
    for d, size in enumerate(sizes):
        passes, rest = divmod(cursor.rows_per_dataset[d], size)
        times = Counter(used[d, r] for r in range(size))
        expected = Counter({passes: size - rest, passes + 1: rest})
        wrong += (times - expected).total()
    assert used.total() == STEPS * ROWS
    return wrong, len(used)


def main() -> None:
    args = make_parser(__doc__).parse_args()
    lines = [
        "| sampler | largest difference of a count | of a frequency | rows used otherwise than planned |",
        "|---|---|---|---|",
    ]
    for kind in SAMPLERS.names():
        worst = largest_difference(kind)
        wrong, rows = rows_used_otherwise(kind)
        lines.append(f"| {kind} | {worst:.2f} | {worst / DRAWS:.1e} | {wrong} of {rows:,} |")
    write_report(lines, args.output)


if __name__ == "__main__":
    main()
