"""Helpers of the fault tests: training without finalization, child processes that can be killed, counts of failures."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import torch

from nlpmtl.config import plain_config
from nlpmtl.run import build_run, load_config
from nlpmtl.training import (
    Trainer,
    accelerator_context,
    open_run_dir,
    quarantine_corrupt,
    resolve_precision,
)
from tests.tiny import make_run

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
FSDP_ENVIRONMENT = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
"""Environment variables that `accelerate launch` sets for FSDP2."""


@dataclass
class FaultCount:
    """Attempts of one fault, and the failures among them.

    Args:
        description: the fault and the expected behaviour, in a sentence.
        attempts: number of attempts.
        failures: one line per failed attempt.
    """

    description: str
    attempts: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, name: str, passed: bool, reason: str = "") -> None:
        """Count an attempt; `reason` says why it failed."""
        self.attempts += 1
        if not passed:
            self.failures.append(f"{name}: {reason}" if reason else name)

    def __str__(self) -> str:
        return f"{self.attempts - len(self.failures):,} of {self.attempts:,}"


def small_run(
    directory: Path, *, dropout: float = 0.1, steps: int = 40, rows: int = 24, **tables: Any
) -> dict[str, Any]:
    """Return a run of five task types (see `make_run`) that takes about a second."""
    train = {"steps": steps, "batch_size": 6, "lr": 1e-3, "save_every": 1, "keep": steps + 1, "precision": "fp32"}
    train |= tables.pop("train", {})
    return make_run(directory, rows=rows, dropout=dropout, train=train, **{"eval": {"every": 10}, **tables})


@contextmanager
def open_trainer(run: Mapping[str, Any], output: Path, *, resume: bool) -> Iterator[Trainer]:
    """Yield the trainer of a run, restored from its latest checkpoint: `nlpmtl.run.iter_train` without finalization."""
    config = load_config({**run, "output": str(output)})
    precision = resolve_precision(config.train.precision)
    with accelerator_context(directory=output, precision=precision, trackers=()) as accelerator:
        config_values = plain_config(config, output=output)
        checkpoint, _ = open_run_dir(output, config=config_values, resume=resume)
        accelerator.wait_for_everyone()
        output.mkdir(parents=True, exist_ok=True)
        if accelerator.is_main_process:
            quarantine_corrupt(output / "checkpoints")
        _, _, trainer = build_run(config, directory=output, accelerator=accelerator, checkpoint=checkpoint)
        if checkpoint is not None:
            trainer.state = trainer.checkpoints.restore(checkpoint)
        yield trainer


def train_job(run: Mapping[str, Any], output: Path, *, resume: bool = False, until: int | None = None) -> None:
    """Train to the end or up to a step; the rows that this rank computes are also written to rows-<rank>.json."""
    with open_trainer(run, output, resume=resume) as trainer:
        rows: dict[int, Any] = {}
        accumulator = trainer.train_step.accumulator
        run_passes = accumulator.run

        def record_rows(step_rows: Any, **options: Any) -> Any:
            result = run_passes(step_rows, **options)
            rows[step_rows.step + 1] = sorted(result.rows)
            return result

        accumulator.run = record_rows  # type: ignore[method-assign, assignment]
        for _ in trainer.events():
            if until is not None and trainer.state.cursor.step > until:
                break  # the step is saved, and the next one computed
        path = output / f"rows-{accumulator.accelerator.process_index}.json"
        path.write_text(json.dumps(rows), encoding="utf-8")


def computed_rows(output: Path) -> dict[str, list[Any]]:
    """Return the rows of each step that all ranks of a run of `train_job` computed together."""
    rows: dict[str, list[Any]] = {}
    for path in output.glob("rows-*.json"):
        for step, of_rank in json.loads(path.read_text(encoding="utf-8")).items():
            rows[step] = sorted(rows.get(step, []) + of_rank)
    return rows


def train_all(
    jobs: Sequence[Mapping[str, Any]], *, processes: int, scratch: Path, sharded: bool = False, parallel: int = 1
) -> None:
    """Train several jobs in this process, or in processes that are started once for all of them.

    Args:
        jobs: the arguments of `train_job`.
        processes: number of processes (ranks) of each run.
        scratch: directory for the job files and logs.
        sharded: whether to train with FSDP2.
        parallel: number of single-process runs at the same time; 1: run in this process.
    """
    if processes == parallel == 1:
        train_jobs(jobs)
        return
    environment = {**single_thread_environment(), **(FSDP_ENVIRONMENT if sharded else {})}
    launch = [sys.executable] if processes == 1 else [*TORCHRUN, "--nproc-per-node", str(processes)]
    started = []
    for number in range(parallel):
        path = scratch / f"jobs-{number}.json"
        path.write_text(json.dumps(list(jobs)[number::parallel]), encoding="utf-8")
        command = [*launch, "-m", "tests.faults.harness", str(path)]
        log = path.with_suffix(".log")  # not a pipe: a process whose pipe is full waits until it is read
        with log.open("wb") as errors:
            process = subprocess.Popen(command, stdout=DEVNULL, stderr=errors, env=environment)
        started.append((process, log))
    for process, log in started:
        assert process.wait(timeout=7200) == 0, log.read_text(encoding="utf-8", errors="replace")[-4000:]


def train_jobs(jobs: Sequence[Mapping[str, Any]]) -> None:
    """Run jobs one after another in this process."""
    for job in jobs:
        train_job(job["run"], Path(job["output"]), resume=job["resume"], until=job.get("until"))


def single_thread_environment() -> dict[str, str]:
    """Return environment variables for child processes with one thread, offline."""
    variables = {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": str(ROOT),
    }
    return {**os.environ, **variables}


def copy_until(output: Path, step: int, target: Path) -> Path:
    """Copy a run to `target` as it was when the checkpoint of `step` was the latest, and return `target`."""
    (target / "checkpoints").mkdir(parents=True)
    shutil.copytree(output / "checkpoints" / f"step-{step:06d}", target / "checkpoints" / f"step-{step:06d}")
    if (output / "best").exists():
        shutil.copytree(output / "best", target / "best")
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        shutil.copy(output / name, target / name)
    return target


def run_in_fork(function: Callable[[], None], *, kill: Callable[[int], None] | None = None) -> int:
    """Call a function in a forked process, and return its exit status: negative for the number of a signal.

    `kill` gets the process id and may end the process. A fork is fast: no module is imported again.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            function()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
    if kill is not None:
        kill(child)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    torch.set_num_threads(1)
    train_jobs(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
