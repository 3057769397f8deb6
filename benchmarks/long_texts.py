"""Time and memory of predicting long texts, at n, 2n and 4n characters, each measured in a separate process.

    python -m benchmarks.long_texts [cases …] [--size 250000] [--output FILE.md]

The encoder is tiny, randomly initialised, and reads 16 tokens at once; the model has tasks of five types, and a second
one that labels words. Time is CPU time. Memory is the peak resident set above that of the process with its model,
predictions included. "prepare" and "evaluate" read, tokenise and score rows of 100,000 characters.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.tables import facts, make_parser, write_report

FACTORS = (1, 2, 4)
_ROW = 100_000
_INPUT = 16


def text_of(size: int) -> str:
    """Return random words with `size` characters in total."""
    from tests.tiny import WORDS

    source, words, length = random.Random(size), [], 0
    while length < size:
        words.append(source.choice(WORDS))
        length += len(words[-1]) + 1
    return " ".join(words)[:size]


PREDICTIONS: dict[str, Callable[[int], tuple[Any, dict[str, Any]]]] = {
    "a text": lambda size: (text_of(size), {}),
    "a text, all scores of all words": lambda size: (
        text_of(size),
        {"all_scores": True, "aggregation_strategy": "none"},
    ),
    "words of a row": lambda size: ({"words": text_of(size).split()}, {}),
    "one word": lambda size: ("a" * size, {}),
    "words of one character": lambda size: ("a " * (size // 2), {}),
    "punctuation": lambda size: ("." * size, {}),
    "a text without classes": lambda size: (text_of(size), {"tasks": ["labeling"]}),
    "a text of classes only": lambda size: (text_of(size), {"tasks": ["classification"]}),
    "a long text and a short one as a pair": lambda size: ((text_of(size), "a cat"), {}),
    "two long texts as a pair": lambda size: ((text_of(size), text_of(size + 1)), {}),
    "ten texts in a list": lambda size: ([text_of(size // 10 + i) for i in range(10)], {}),
}
CASES = (*PREDICTIONS, "prepare", "evaluate")


def measure(case: str, size: int) -> dict[str, float]:
    """Return CPU seconds and MiB of one case, measured in a new process."""
    command = [sys.executable, "-m", "benchmarks.long_texts", "--job", case, "--size", str(size)]
    process = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    measured: dict[str, float] = json.loads(process.stdout.splitlines()[-1])
    return measured


def _run(case: str, size: int) -> dict[str, float]:
    import transformers

    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as scratch:
        work = _predict(case, size) if case in PREDICTIONS else _work_on_rows(case, size, Path(scratch))
        before, start = _peak(), time.process_time()
        work()
        return {"seconds": time.process_time() - start, "MiB": _peak() - before}


def _predict(case: str, size: int) -> Callable[[], object]:
    from tests.test_threads import make_predictor
    from tests.tiny import write_encoder

    with tempfile.TemporaryDirectory() as scratch:
        predictor = make_predictor(write_encoder(Path(scratch)))
    predictor.predict_all(["a cat", ("a cat", "a dog")])
    inputs, options = PREDICTIONS[case](size)
    return lambda: predictor.predict_all(inputs, **options)


def _work_on_rows(case: str, size: int, scratch: Path) -> Callable[[], object]:
    import nlpmtl
    from nlpmtl.data import DatasetLoader
    from nlpmtl.model import load_encoder
    from nlpmtl.run import load_config
    from tests.tiny import make_run, train_tiny, write_rows

    os.environ["NLPMTL_CACHE"] = str(scratch / "cache")
    run = make_run(scratch, encoder={"name": str(scratch / "encoder"), "max_length": _INPUT})
    del run["datasets"]["pairs"], run["datasets"]["texts"]
    trained = train_tiny(run)
    words = [text_of(_ROW + i).split() for i in range(max(1, size // _ROW))]
    rows = [{"tokens": row, "tags": ["O"] * len(row), "topic": "things", "mood": "neutral"} for row in words]
    path = str(write_rows(scratch / "long.jsonl", rows))
    run["datasets"]["words"]["data"] = {"files": {"train": path, "validation": path}}
    if case == "evaluate":
        return lambda: nlpmtl.evaluate(trained.model_dir, run, split="validation")
    data = load_config(run).datasets["words"]
    prepare = DatasetLoader(load_encoder(run["encoder"]["name"]).tokenizer, max_length=_INPUT)
    return lambda: prepare(data.data, input=data.input, columns={"tags": "tags"}, limit={}, name="d", splits=["train"])


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def table(cases: Sequence[str], size: int) -> list[str]:
    """Return one row per case: seconds and MiB at each size."""
    sizes = [size * factor for factor in FACTORS]
    head = [f"{count:,}: s" for count in sizes] + [f"{count:,}: MiB" for count in sizes]
    lines = [f"| characters | {' | '.join(head)} |", f"|---|{'---|' * len(head)}"]
    for case in cases:
        results = [measure(case, count) for count in sizes]
        cells = [f"{result['seconds']:.2f}" for result in results] + [f"{result['MiB']:.0f}" for result in results]
        lines.append(f"| {case} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("cases", nargs="*", help=f"of: {'; '.join(CASES)}; default: all")
    parser.add_argument("--size", type=int, default=250_000, help="characters of the smallest text")
    parser.add_argument("--job", choices=CASES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(_run(arguments.job, arguments.size)))
        return
    if unknown := set(arguments.cases) - set(CASES):
        parser.error(f"unknown case {', '.join(sorted(unknown))}; cases: {'; '.join(CASES)}")
    lines = table(arguments.cases or CASES, arguments.size)
    command = f"benchmarks.long_texts --size {arguments.size}"
    report = ["# Long texts", "", *lines, "", *facts(command, "tokenizers"), "- One thread, fp32."]
    write_report(report, arguments.output, echo=False)


if __name__ == "__main__":
    main()
