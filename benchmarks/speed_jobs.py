"""Measurements for `benchmarks.speed`, each in a process of its own.

    PYTHONPATH=DIRECTORY python -P benchmarks/speed_jobs.py train CONFIG.json
    PYTHONPATH=DIRECTORY python -P benchmarks/speed_jobs.py predict MODEL TEXTS.json

measures the nlpmtl in DIRECTORY and prints a JSON object: measurement to seconds. Only nlpmtl's public Python is used,
as 0.1 and later versions have it, and this file imports no other file of the repository.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

WARM_UP: Final = 10
"""Steps that are not measured."""


def measure_training(config: Path) -> dict[str, float]:
    """Train, and return the mean seconds of a step.

    Args:
        config: JSON file with the arguments of `nlpmtl.train`, without `output`.
    """
    import nlpmtl

    with tempfile.TemporaryDirectory() as output:
        nlpmtl.train(**json.loads(config.read_text(encoding="utf-8")), output=output)
        lines = (Path(output) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    seconds = [json.loads(line)["seconds"] for line in lines[WARM_UP:]]
    return {f"training step, {config.stem}": sum(seconds) / len(seconds)}


def measure_prediction(model: Path, texts: Path) -> dict[str, float]:
    """Load a model and predict all of its tasks: seconds until it is loaded, per single text, and for all texts.

    Args:
        model: model directory.
        texts: JSON file with a list of texts.
    """
    inputs = json.loads(texts.read_text(encoding="utf-8"))
    start = time.perf_counter()
    from nlpmtl import Predictor

    predictor = Predictor.from_pretrained(model)
    loaded = time.perf_counter()
    predictor.predict_all(inputs[:64])
    predictor.predict_all(inputs[0])
    warm = time.perf_counter()
    for text in inputs[:100]:
        predictor.predict_all(text)
    single = time.perf_counter()
    predictor.predict_all(inputs)
    end = time.perf_counter()
    return {
        "import and load a model": loaded - start,
        "predict one text": (single - warm) / 100,
        f"predict {len(inputs):,} texts": end - single,
    }


def main() -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()
    job, *files = sys.argv[1:]
    seconds = measure_training(*map(Path, files)) if job == "train" else measure_prediction(*map(Path, files))
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
