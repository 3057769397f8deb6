"""SIGINT and SIGTERM to a launcher, to one of its processes and to a single process; and a killed process."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from nlpmtl.training import latest_valid
from tests.faults.harness import TORCHRUN, FaultCount, single_thread_environment, small_run, train_all
from tests.tiny import checkpoint, digest, metrics

PATIENCE = 60.0
"""Seconds after a signal until a process counts as hanging."""
STEPS = 60
SIGNAL_SENT = "sent"
"""File in the notes of a run: it exists once the signal was sent."""
AHEAD = 5
"""Steps after which a run waits for a late signal, so that it never finishes before."""


def stop(scratch: Path, *, repetitions: int) -> FaultCount:
    """Send a signal to runs at a random step; then resume them, and compare the weights.

    The receivers take turns: a run of one process, a launcher of two, and the first and second of two processes.
    """
    count = FaultCount(
        "SIGINT or SIGTERM: no hang, correct exit code, checkpoint of the last step, "
        "identical final weights after resume"
    )
    run = small_run(scratch / "tiny", steps=STEPS, train={"save_every": 1000, "keep": 2}, eval={"every": 20})
    generator = random.Random(0)
    references = {n: scratch / f"whole-{n}" for n in (1, 2)}
    for processes, output in references.items():
        train_all([_job(run, output)], processes=processes, scratch=scratch)
    for number in range(repetitions):
        signal_number = (signal.SIGTERM, signal.SIGINT)[number % 2]
        receiver = ("single", "launcher", "first", "second")[number // 2 % 4]
        processes = 1 if receiver == "single" else 2
        output = scratch / f"{receiver}-{number}"
        name = f"{signal_number.name} to {receiver}"
        step = generator.randrange(1, STEPS - 10)
        reason = _stop(run, output, signal_number=signal_number, receiver=receiver, stop_step=step, scratch=scratch)
        if reason is None:
            train_all([_job(run, output, resume=True)], processes=processes, scratch=scratch)
            same = digest(checkpoint(output, STEPS)) == digest(checkpoint(references[processes], STEPS))
            reason = None if same else "the resumed run has other weights"
        count.add(name, reason is None, reason or "")
    return count


def restart(scratch: Path, *, repetitions: int) -> FaultCount:
    """Kill one of two processes under `torchrun --standalone --max-restarts 1`: the final weights are the same."""
    count = FaultCount("one process of two is killed: torchrun restarts both, and they end with the same weights")
    run = small_run(scratch / "tiny", steps=STEPS, train={"save_every": 5, "keep": 2}, eval={"every": 20})
    train_all([_job(run, scratch / "whole")], processes=2, scratch=scratch)
    generator = random.Random(0)
    for number in range(repetitions):
        output = scratch / f"killed-{number}"
        kill_step = generator.randrange(6, STEPS - 15)
        job = _write(scratch, [_job(run, output, resume=True, stop_at=kill_step)])
        process = _launch(["--max-restarts", "1", "--nproc-per-node", "2", "-m", "tests.faults.signals", str(job)])
        rank = number % 2
        _wait_for_step(output, kill_step, process)
        os.kill(_pids(output)[rank], signal.SIGKILL)
        (_notes(output) / SIGNAL_SENT).touch()
        try:
            _, stderr = process.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            for pid in (process.pid, *_pids(output)):
                os.kill(pid, signal.SIGKILL)
            stderr = "the process hangs"
        passed = process.returncode == 0 and digest(checkpoint(output, STEPS)) == digest(
            checkpoint(scratch / "whole", STEPS)
        )
        count.add(f"rank {rank}, {number}", passed, stderr[-500:])
    return count


def _stop(
    run: dict[str, Any], output: Path, *, signal_number: signal.Signals, receiver: str, stop_step: int, scratch: Path
) -> str | None:
    job = _write(scratch, [_job(run, output, stop_at=stop_step)])
    if receiver == "single":
        command = [sys.executable, "-m", "tests.faults.signals", str(job)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=single_thread_environment())
    else:
        process = _launch(["--nproc-per-node", "2", "-m", "tests.faults.signals", str(job)])
    _wait_for_step(output, stop_step, process)
    pids = _pids(output)
    pid = {"single": process.pid, "launcher": process.pid, "first": pids[0], "second": pids[-1]}[receiver]
    os.kill(pid, signal_number)
    (_notes(output) / SIGNAL_SENT).touch()
    try:
        _, stderr = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        return "the process hangs"
    codes = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(_notes(output).glob("code-*.json"))]
    if receiver == "launcher" and signal_number is signal.SIGINT:  # torchrun sends SIGINT or SIGTERM to its processes
        expected = all(code in (130, 143) for code in codes)
    else:
        expected = set(codes) == {128 + signal_number}
    if len(codes) != len(pids) or not expected:
        return f"exit codes {codes}: {stderr[-500:]}"
    exit_code = _exit_code(process, receiver, stderr)
    if exit_code != 128 + signal_number:
        return f"the exit code is {exit_code}: {stderr[-500:]}"
    latest, damaged = latest_valid(output / "checkpoints")
    last = metrics(output)[-1]["step"]
    if damaged or latest is None or latest != checkpoint(output, last):
        return f"the latest checkpoint is {latest} after step {last}: {damaged}"
    return None


def _exit_code(process: subprocess.Popen[str], receiver: str, stderr: str) -> int | None:
    """Return the exit code of a single process, or of the process that torchrun reports as the first to end.

    After a signal to itself torchrun reports no exit code of its processes: it ends with 1.
    """
    if receiver == "single":
        return process.returncode
    if receiver == "launcher":
        number = re.findall(r"SignalException: Process \d+ got signal: (\d+)", stderr)
        return 128 + int(number[-1]) if number and process.returncode == 1 else None
    codes = re.findall(r"^ +exitcode +: (-?\d+)", stderr, flags=re.MULTILINE)
    return int(codes[-1]) if codes else None


def _job(run: dict[str, Any], output: Path, *, resume: bool = False, stop_at: int = STEPS) -> dict[str, Any]:
    return {"run": run, "output": str(output), "resume": resume, "stop_at": stop_at}


def _write(scratch: Path, jobs: list[dict[str, Any]]) -> Path:
    path = scratch / "jobs.json"
    path.write_text(json.dumps(jobs), encoding="utf-8")
    return path


def _launch(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen([*TORCHRUN, *arguments], stderr=subprocess.PIPE, text=True, env=single_thread_environment())


def _wait_for_step(output: Path, step: int, process: subprocess.Popen[str]) -> None:
    path = _notes(output) / "step"
    while process.poll() is None and not (path.exists() and int(path.read_text(encoding="utf-8") or 0) >= step):
        time.sleep(0.01)


def _notes(output: Path) -> Path:
    """Return the directory for files of these tests next to the output of a run, which may hold only a run."""
    return output.with_name(f"{output.name}-notes")


def _pids(output: Path) -> list[int]:
    paths = sorted(_notes(output).glob("pid-*"))
    return [int(path.read_text(encoding="utf-8")) for path in paths]


def _main() -> None:
    """Train like `nlpmtl train`; write the current step, and the exit code at the end."""
    from nlpmtl.errors import NlpmtlError
    from tests.faults.harness import open_trainer

    (job,) = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    output, rank = Path(job["output"]), os.environ.get("RANK", "0")
    notes = _notes(output)
    notes.mkdir(parents=True, exist_ok=True)
    (notes / f"pid-{rank}").write_text(str(os.getpid()), encoding="utf-8")
    code = 0
    try:
        with open_trainer(job["run"], output, resume=job["resume"] or (output / "checkpoints").exists()) as trainer:
            next_plan = trainer.plan.next

            def report_step(cursor: Any) -> Any:
                if rank == "0":
                    (notes / "step").write_text(str(cursor.step), encoding="utf-8")
                time.sleep(0.02)
                while cursor.step >= job["stop_at"] + AHEAD and not (notes / SIGNAL_SENT).exists():
                    time.sleep(0.01)
                return next_plan(cursor)

            trainer.plan.next = report_step  # type: ignore[method-assign]
            for _ in trainer.events():
                pass
    except NlpmtlError as error:
        code = error.exit_code
        print(error, file=sys.stderr)
    (notes / f"code-{rank}.json").write_text(str(code), encoding="utf-8")
    sys.exit(code)


if __name__ == "__main__":
    _main()
