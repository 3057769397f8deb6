"""Cost of the dataset cache: loading cached rows, and fetching and padding batches of them.

    python -m benchmarks.dataset_store [--rows 1000000] [--labels 1] [--repeats 5] [--output FILE.md]

The rows are random: texts of 3 to 33 words, one token each (20 tokens per row on average), with class labels of one
task or several. Each measurement is a process of its own: it loads the cached rows, labels them, and then builds
batches of 32 random rows, as training does. Memory is that of the process (Linux, ``/proc/self/status``) above what it
was before the rows were loaded, after every row has been in a batch once: anonymous memory, and mapped file pages,
which the operating system takes back when it needs them. The same script measures other commits.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

BATCH, STEPS, DATASETS = 32, 300, (1, 10)
WORDS = [f"w{number}" for number in range(1000)]


def write(path: Path, rows: int, tasks: int) -> None:
    """Write random rows."""
    source = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        for count in source.integers(3, 34, rows):
            words = (WORDS[i] for i in source.integers(0, len(WORDS), count))
            labels = {f"label{task}": f"l{source.integers(5)}" for task in range(tasks)}
            file.write(json.dumps({"text": " ".join(words), **labels}) + "\n")


def memory() -> dict[str, float]:
    """Return this process's anonymous memory and mapped file pages, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return {key: int(status[key].split()[0]) / 1024 for key in ("RssAnon", "RssFile")}


def measure(files: Sequence[Path], tasks: int) -> dict[str, float]:
    """Return the seconds that loading takes, CPU milliseconds per batch, and memory after every row was in a batch."""
    import datasets  # noqa: F401 (imports are not part of the cost of a store)
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    from nlpmtl.config import DataConfig, InputConfig
    from nlpmtl.data import Collator, DatasetLoader, LabelMapping, attach_labels

    torch.set_num_threads(1)
    backend = Tokenizer(WordLevel({"[S]": 0, "[U]": 1, **{word: i + 2 for i, word in enumerate(WORDS)}}, "[U]"))
    backend.pre_tokenizer = Whitespace()
    backend.post_processor = TemplateProcessing(single="[S] $A [S]", special_tokens=[("[S]", 0)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[U]", pad_token="[S]")
    load = DatasetLoader(tokenizer, max_length=64)
    names = tuple(f"l{number}" for number in range(5))
    mappings = {f"task{task}": LabelMapping(f"label{task}", "class", names) for task in range(tasks)}
    before, start = memory(), time.perf_counter()
    splits = []
    for file in files:
        columns = {mapping.column: mapping.type for mapping in mappings.values()}
        data = DataConfig(files={"train": file})
        rows = load(data, input=InputConfig(text="text"), columns=columns, limit={}, name="d")["train"]
        splits.append(attach_labels(rows, mappings=mappings, train=True))
    seconds = time.perf_counter() - start
    collate = Collator(splits, pad=0, types=False)
    source = np.random.default_rng(1)

    def step() -> None:
        chosen = zip(source.integers(0, len(splits), BATCH), source.integers(0, len(splits[0]), BATCH), strict=True)
        collate([(int(dataset), int(row)) for dataset, row in chosen])

    for _ in range(20):
        step()
    start = time.process_time()
    for _ in range(STEPS):
        step()
    milliseconds = (time.process_time() - start) / STEPS * 1000
    for number, split in enumerate(splits):  # in larger batches, because only the memory matters here
        for offset in range(0, len(split), 1000):
            collate([(number, row) for row in range(offset, min(offset + 1000, len(split)))])
    after = memory()
    return {"seconds": seconds, "milliseconds": milliseconds, **{key: after[key] - before[key] for key in after}}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--labels", type=int, default=1, help="tasks with a label on every row")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--measure", nargs="+", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    if options.measure:
        print(json.dumps(measure(options.measure, options.labels)))
        return
    lines = [
        f"{options.rows:,} rows of 20 tokens on average, labels of {options.labels} task(s), batches of {BATCH}, "
        f"median (range) of {options.repeats} runs; load average {os.getloadavg()[0]:.1f}.",
        "",
        "| datasets | loading the cached rows, s | CPU ms per batch | anonymous memory, MiB | mapped file pages, MiB |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "benchmarks.dataset_store", "--labels", str(options.labels), "--measure"]
        environment = {**os.environ, "NLPMTL_CACHE": str(Path(scratch, "cache"))}
        for count in DATASETS:
            files = [Path(scratch, f"{count}-{number}.jsonl") for number in range(count)]
            for file in files:
                write(file, options.rows // count, options.labels)
            results: list[dict[str, Any]] = []
            for _ in range(options.repeats + 1):
                run = [*command, *map(str, files)]
                output = subprocess.run(run, check=True, stdout=subprocess.PIPE, env=environment).stdout
                results.append(json.loads(output.splitlines()[-1]))
            cells = [f"{_spread(results[1:], key)}" for key in ("seconds", "milliseconds", "RssAnon", "RssFile")]
            lines.append(f"| {count} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    if options.output is not None:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _spread(results: Sequence[dict[str, Any]], key: str) -> str:
    values = [result[key] for result in results]
    digits = 0 if key.startswith("Rss") else 2
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


if __name__ == "__main__":
    main()
