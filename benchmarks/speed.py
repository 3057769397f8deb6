"""Speed of two versions of nlpmtl: start-up, training and prediction, in alternating pairs.

    python -m benchmarks.speed BASE [--pairs 20] [--output FILE.md]

BASE is a commit, checked out in a temporary git worktree; it is compared with the package in the working tree. In each
pair every measurement is made once with either version, in new processes; the version that comes first alternates:

- start-up: `nlpmtl --help`; importing nlpmtl and loading a model;
- training: the mean step of the quickstart (MiniLM-L6), and of a tiny encoder with all five types of task, where the
  time is that of the framework;
- prediction: all tasks of the quickstart's model, for one text, and for many.

A ratio is working tree / BASE within a pair. Reported is the median of the ratios with its 95% confidence interval,
from their order statistics, so that no distribution is assumed. A measurement is slower if the whole interval is above
1.03. The exit code is 1 if one is. Nothing else should run on the machine.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from scipy.stats import binom

from benchmarks import identity_jobs, speed_jobs
from benchmarks.identity import Version, worktree
from benchmarks.tables import ROOT, commit, facts, make_parser, write_report

LIMIT: Final = 1.03
_STEPS: Final = 30
_TEXTS: Final = 1_000
Ratios = Mapping[str, Sequence[tuple[float, float]]]
"""Measurement → seconds of BASE and of the working tree in each pair."""


def write_inputs(directory: Path) -> dict[str, Path]:
    """Write the arguments of the training runs and the texts to predict; return the files by name."""
    train = {"steps": _STEPS, "save_every": _STEPS}
    tiny = identity_jobs.make_config(directory) | {"eval": {"every": 4 * _STEPS}}
    tiny["train"] |= {"steps": 4 * _STEPS, "save_every": 4 * _STEPS}
    corpus = ROOT / "task_configs" / "support" / "train.jsonl"
    texts = [" ".join(json.loads(line)["tokens"]) for line in corpus.read_text(encoding="utf-8").splitlines()]
    contents: dict[str, Any] = {
        "MiniLM-L6": {"source": "quickstart", "train": train, "eval": {"every": _STEPS}},
        "tiny encoder": {"source": tiny},
        "texts": (texts * (_TEXTS // len(texts) + 1))[:_TEXTS],
    }
    files = {name: directory / f"{name}.json" for name in contents}
    for name, content in contents.items():
        files[name].write_text(json.dumps(content), encoding="utf-8")
    return files


def measure(version: Version, files: Mapping[str, Path], *, model: Path) -> dict[str, float]:
    """Make every measurement once; return the seconds."""
    start = time.perf_counter()
    version.run("-m", "nlpmtl", "--help")
    seconds = {"nlpmtl --help": time.perf_counter() - start}
    # -P: the modules in the directory of this script are not importable there.
    for job in (("train", files["MiniLM-L6"]), ("train", files["tiny encoder"]), ("predict", model, files["texts"])):
        seconds |= json.loads(version.run("-P", speed_jobs.__file__, *job))
    return seconds


def compare_versions(base: Version, current: Version, *, files: Mapping[str, Path], pairs: int) -> Ratios:
    """Measure both versions in pairs, after one pair that is not counted: it fills caches and trains the model."""
    model = base.runs / "quickstart" / "model"
    base.run("-m", "nlpmtl", "train", "quickstart", "--output", model.parent, "--set", "train.steps=20")
    measured: dict[str, list[tuple[float, float]]] = {}
    for pair in range(pairs + 1):
        order = (base, current) if pair % 2 else (current, base)
        seconds = {version.source: measure(version, files, model=model) for version in order}
        for name, value in seconds[base.source].items() if pair else ():
            measured.setdefault(name, []).append((value, seconds[current.source][name]))
        ratios = {name: round(value / seconds[base.source][name], 3) for name, value in seconds[current.source].items()}
        print(f"pair {pair} of {pairs}: {ratios}", file=sys.stderr, flush=True)
    return measured


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95% confidence interval of the median: order statistics; the extremes of fewer than six values.

    >>> median_interval(range(1, 21))
    (6, 15)
    """
    ordered = sorted(values)
    skipped = max(int(binom.ppf(0.025, len(ordered), 0.5)) - 1, 0)
    return ordered[skipped], ordered[-1 - skipped]


def report(measured: Ratios) -> Iterator[str]:
    """Yield the lines of the table, and a last line that names the slower measurements."""
    yield "| | BASE, ms | working tree, ms | ratio, median (95% interval) |\n|---|---|---|---|"
    slower = []
    for name, pairs in measured.items():
        base, current = zip(*pairs, strict=True)
        ratios = [b / a for a, b in pairs]
        low, high = median_interval(ratios)
        cells = [f"{1000 * statistics.median(seconds):,.1f}" for seconds in (base, current)]
        yield f"| {name} | {' | '.join(cells)} | {statistics.median(ratios):.3f} ({low:.3f} to {high:.3f}) |"
        if low > LIMIT:
            slower.append(name)
    yield ""
    yield f"Slower (the interval is above {LIMIT}): {', '.join(slower) or 'none'}."


def main(arguments: Sequence[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("base", metavar="BASE", help="commit to compare with")
    parser.add_argument("--pairs", type=int, default=20)
    args = parser.parse_args(arguments)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = stack.enter_context(worktree(args.base, scratch / "base"))
        threads = os.cpu_count() or 1
        base, current = Version(source, scratch / "old", threads), Version(ROOT, scratch / "new", threads)
        measured = compare_versions(base, current, files=write_inputs(scratch), pairs=args.pairs)
    lines = [f"BASE: {args.base}; working tree: {commit()}.", "", *report(measured)]
    provenance = facts(f"benchmarks.speed {args.base} --pairs {args.pairs}", threads=current.threads)
    write_report(["# Speed of two versions", "", *lines, "", *provenance], args.output)
    return int(not lines[-1].endswith("none."))


if __name__ == "__main__":
    sys.exit(main())
