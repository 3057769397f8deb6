"""Timing of training steps in a separate process, for `throughput.py` and `scaling.py`.

    python -m benchmarks.steps JSON

The JSON contains a run (a file, or its keys), overrides, and the number of steps; the result is a JSON object. The
first few steps are a warm-up; nothing is evaluated or saved.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

WARM = 5


def take_steps(run: str | dict[str, Any], *, steps: int, cache: Path, sets: dict[str, Any] | None = None) -> Any:
    """Return the result of `_measure` in a new process with this cache directory."""
    job = json.dumps({"run": run, "steps": steps, "sets": sets or {}})
    command = [sys.executable, "-m", "benchmarks.steps", job]
    process = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, env={**os.environ, "NLPMTL_CACHE": str(cache)}
    )
    return json.loads(process.stdout.splitlines()[-1])


def _measure(run: str | dict[str, Any], *, steps: int, sets: dict[str, Any]) -> dict[str, Any]:
    import torch
    import transformers

    from nlpmtl.build import build_trainer
    from nlpmtl.model import load_encoder
    from nlpmtl.run import load_config
    from nlpmtl.task_datasets import load_task_datasets
    from nlpmtl.training import accelerator_context, resolve_precision

    transformers.logging.set_verbosity_error()
    config = load_config(run, overrides=sets)
    directory = Path(config.output or "runs/never-written")
    precision = resolve_precision(config.train.precision)
    with accelerator_context(directory=directory, precision=precision, trackers=()) as accelerator:
        encoder = load_encoder(config.encoder.name, attention=config.encoder.attn_implementation)
        before = _peak()
        start, cpu = time.perf_counter(), time.process_time()
        work = load_task_datasets(
            config.datasets, tokenizer=encoder.tokenizer, max_length=config.encoder.max_length, splits=["train"]
        )
        loaded = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "MiB": _peak() - before}
        fit = build_trainer(config, directory=directory, accelerator=accelerator, encoder=encoder, datasets=work)
        times, batch_times, tokens = [], [], []
        cursor = fit.plan.start()
        for _ in range(WARM + steps):
            start = time.perf_counter()
            plan, cursor = fit.plan.next(cursor)
            planned = time.perf_counter()
            tokens.append(fit.train_step(plan).tokens)
            end = time.perf_counter()
            times.append(end - start)
            fit.train_step.accumulator.collate.count(plan.rows)  # again, to measure them apart
            fit.train_step.accumulator.collate(plan.rows)
            batch_times.append(planned - start + time.perf_counter() - end)
    return {
        **loaded,
        "rows": sum(map(len, work.splits["train"].values())),
        "tokens": sum(int(split.tokens.lengths.sum()) for split in work.splits["train"].values()),
        "MiB with training": _peak() - before,
        "model MiB": before,
        "step ms": 1e3 * statistics.median(times[WARM:]),
        "batch ms": 1e3 * statistics.median(batch_times[WARM:]),
        "tokens/s": sum(tokens[WARM:]) / sum(times[WARM:]),
        "threads": torch.get_num_threads(),
        "precision": precision,
    }


def _peak() -> float:
    """Return the peak resident set of this process, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    print(json.dumps(_measure(**json.loads(sys.argv[1]))))
