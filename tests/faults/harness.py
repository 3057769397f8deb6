"""What all faults are tried with: a run without its end, processes that can be killed, counts of what went right."""

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
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
SLICES = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
"""What `accelerate launch` sets where its configuration asks for FSDP2."""


@dataclass
class Count:
    """How often something was tried, and where it went wrong.

    Args:
        what: what was tried, in a sentence.
        tried: how often.
        wrong: a line for each time that it went wrong.
    """

    what: str
    tried: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, name: str, right: bool, why: str = "") -> None:
        """Count one more."""
        self.tried += 1
        if not right:
            self.wrong.append(f"{name}: {why}" if why else name)

    def __str__(self) -> str:
        return f"{self.tried - len(self.wrong):,} of {self.tried:,}"


def small_run(
    directory: Path, *, dropout: float = 0.1, steps: int = 40, rows: int = 24, **tables: Any
) -> dict[str, Any]:
    """A run of all kinds of task that takes a second."""
    train = {"steps": steps, "batch_size": 6, "lr": 1e-3, "save_every": 1, "keep": steps + 1, "precision": "fp32"}
    train |= tables.pop("train", {})
    return make_run(directory, rows=rows, dropout=dropout, train=train, **{"eval": {"every": 10}, **tables})


@contextmanager
def ready(run: Mapping[str, Any], output: Path, *, resume: bool) -> Iterator[Trainer]:
    """Yield the trainer of a run, restored from its latest checkpoint: `nlpmtl.run.iter_train` without its end."""
    config = load_config({**run, "output": str(output)})
    precision = resolve_precision(config.train.precision)
    with accelerator_context(directory=output, precision=precision, trackers=()) as accelerator:
        plain = plain_config(config, output=output)
        checkpoint, _ = open_run_dir(output, config=plain, resume=resume)
        accelerator.wait_for_everyone()
        output.mkdir(parents=True, exist_ok=True)
        if accelerator.is_main_process:
            quarantine_corrupt(output / "checkpoints")
        _, _, trainer = build_run(config, directory=output, accelerator=accelerator)
        if checkpoint is not None:
            trainer.state = trainer.checkpoints.restore(checkpoint)
        yield trainer


def play(run: Mapping[str, Any], output: Path, *, resume: bool = False, until: int | None = None) -> None:
    """Train to the end or up to a step; the rows of each step are also written to rows-<rank>.json."""
    with ready(run, output, resume=resume) as trainer:
        rows: dict[int, Any] = {}
        following = trainer.plan.next

        def recorded(cursor: Any) -> Any:
            plan, after = following(cursor)
            rows[plan.step + 1] = plan.rows
            return plan, after

        trainer.plan.next = recorded  # type: ignore[method-assign]
        for _ in trainer.events():
            if until is not None and trainer.state.cursor.step > until:
                break  # the step is saved, and the next one computed
        (output / f"rows-{trainer.train_step.accumulator.accelerator.process_index}.json").write_text(
            json.dumps(rows), encoding="utf-8"
        )


def play_all(
    jobs: Sequence[Mapping[str, Any]], *, processes: int, scratch: Path, in_slices: bool = False, at_once: int = 1
) -> None:
    """`play` many, in this process or in several that are started once for all.

    Args:
        jobs: the arguments of `play`.
        processes: of each run.
        scratch: where to write what they are told.
        in_slices: whether each process holds a slice of the model.
        at_once: how many runs of one process go on beside each other; with 1, in this process.
    """
    if processes == at_once == 1:
        play_jobs(jobs)
        return
    environment = {**one_thread(), **(SLICES if in_slices else {})}
    launch = [sys.executable] if processes == 1 else [*LAUNCH, "--nproc-per-node", str(processes)]
    started = []
    for part in range(at_once):
        path = scratch / f"jobs-{part}.json"
        path.write_text(json.dumps(list(jobs)[part::at_once]), encoding="utf-8")
        command = [*launch, "-m", "tests.faults.harness", str(path)]
        log = path.with_suffix(".log")  # not a pipe: a process whose pipe is full waits until it is read
        with log.open("wb") as errors:
            process = subprocess.Popen(command, stdout=DEVNULL, stderr=errors, env=environment)
        started.append((process, log))
    for process, log in started:
        assert process.wait(timeout=7200) == 0, log.read_text(encoding="utf-8", errors="replace")[-4000:]


def play_jobs(jobs: Sequence[Mapping[str, Any]]) -> None:
    """Run jobs one after another in this process."""
    for job in jobs:
        play(job["run"], Path(job["output"]), resume=job["resume"], until=job.get("until"))


def one_thread() -> dict[str, str]:
    """Return the environment of processes that share two cores."""
    own = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(ROOT)}
    return {**os.environ, **own}


def cut_at(output: Path, step: int, to: Path) -> Path:
    """Copy a run as it was when the checkpoint of a step was its latest."""
    (to / "checkpoints").mkdir(parents=True)
    shutil.copytree(output / "checkpoints" / f"step-{step:06d}", to / "checkpoints" / f"step-{step:06d}")
    if (output / "best").exists():
        shutil.copytree(output / "best", to / "best")
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        shutil.copy(output / name, to / name)
    return to


def in_a_fork(work: Callable[[], None], *, kill: Callable[[int], None] | None = None) -> int:
    """Do something in a child process, which `kill` may end; its exit status, negative for a signal's number.

    A fork starts at once: nothing has to be imported again.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            work()
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
    play_jobs(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
