"""SIGINT and SIGTERM to a launcher, to one of its processes, to a run alone; and a process that is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from nlpmtl.training import latest_valid
from tests.faults.harness import LAUNCH, Count, one_thread, play_all, small_run
from tests.tiny import checkpoint, digest, metrics

PATIENCE = 60.0
"""Seconds after which a process that was asked to stop is said to hang."""
STEPS = 60
SENT = "sent"
"""The file among a run's notes that says that the signal was sent."""
AHEAD = 5
"""Steps that a run may take before it waits for a signal that is late, so that it never ends before the signal."""


def signals(scratch: Path, *, many: int) -> Count:
    """Ask runs to stop, at a random moment of their training; then have them go on, and compare the weights.

    In turns: a run of one process, a launcher of two, the first and the second process of two.
    """
    count = Count(
        "SIGINT or SIGTERM: no hang, correct exit code, checkpoint of the last step, "
        "identical final weights after resume"
    )
    run = small_run(scratch / "tiny", steps=STEPS, train={"save_every": 1000, "keep": 2}, eval={"every": 20})
    source = random.Random(0)
    whole = {n: scratch / f"whole-{n}" for n in (1, 2)}
    for processes, output in whole.items():
        play_all([_job(run, output)], processes=processes, scratch=scratch)
    for number in range(many):
        sent = (signal.SIGTERM, signal.SIGINT)[number % 2]
        target = ("alone", "launcher", "first", "second")[number // 2 % 4]
        processes = 1 if target == "alone" else 2
        output = scratch / f"{target}-{number}"
        name = f"{sent.name} to {target}"
        why = _stop(run, output, sent=sent, target=target, at=source.randrange(1, STEPS - 10), scratch=scratch)
        if why is None:
            play_all([_job(run, output, resume=True)], processes=processes, scratch=scratch)
            same = digest(checkpoint(output, STEPS)) == digest(checkpoint(whole[processes], STEPS))
            why = None if same else "it goes on to other weights"
        count.add(name, why is None, why or "")
    return count


def replaced(scratch: Path, *, many: int) -> Count:
    """Kill a process of two under `torchrun --standalone --max-restarts 1`: it ends with the same weights."""
    count = Count("one process of two is killed: torchrun restarts both, and they end with the same weights")
    run = small_run(scratch / "tiny", steps=STEPS, train={"save_every": 5, "keep": 2}, eval={"every": 20})
    play_all([_job(run, scratch / "whole")], processes=2, scratch=scratch)
    source = random.Random(0)
    for number in range(many):
        output = scratch / f"killed-{number}"
        at = source.randrange(6, STEPS - 15)
        job = _write(scratch, [_job(run, output, resume=True, stop_at=at)])
        process = _launch(["--max-restarts", "1", "--nproc-per-node", "2", "-m", "tests.faults.stopping", str(job)])
        rank = number % 2
        _wait_for_step(output, at, process)
        os.kill(_pids(output)[rank], signal.SIGKILL)
        (_notes(output) / SENT).touch()
        try:
            _, said = process.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            for pid in (process.pid, *_pids(output)):
                os.kill(pid, signal.SIGKILL)
            said = "it hangs"
        same = process.returncode == 0 and digest(checkpoint(output, STEPS)) == digest(
            checkpoint(scratch / "whole", STEPS)
        )
        count.add(f"rank {rank}, {number}", same, said[-500:])
    return count


def _stop(
    run: dict[str, Any], output: Path, *, sent: signal.Signals, target: str, at: int, scratch: Path
) -> str | None:
    job = _write(scratch, [_job(run, output, stop_at=at)])
    if target == "alone":
        command = [sys.executable, "-m", "tests.faults.stopping", str(job)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=one_thread())
    else:
        process = _launch(["--nproc-per-node", "2", "-m", "tests.faults.stopping", str(job)])
    _wait_for_step(output, at, process)
    pids = _pids(output)
    asked = {"alone": process.pid, "launcher": process.pid, "first": pids[0], "second": pids[-1]}[target]
    os.kill(asked, sent)
    (_notes(output) / SENT).touch()
    try:
        _, said = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        return "it hangs"
    codes = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(_notes(output).glob("code-*.json"))]
    if (
        target == "launcher" and sent is signal.SIGINT
    ):  # what torchrun makes of it for its processes is SIGINT or SIGTERM
        right = all(code in (130, 143) for code in codes)
    else:
        right = set(codes) == {128 + sent}
    if len(codes) != len(pids) or not right:
        return f"exit codes {codes}: {said[-500:]}"
    latest, damaged = latest_valid(output / "checkpoints")
    last = metrics(output)[-1]["step"]
    if damaged or latest is None or latest != checkpoint(output, last):
        return f"the newest checkpoint is {latest} after step {last}: {damaged}"
    return None


def _job(run: dict[str, Any], output: Path, *, resume: bool = False, stop_at: int = STEPS) -> dict[str, Any]:
    return {"run": run, "output": str(output), "resume": resume, "stop_at": stop_at}


def _write(scratch: Path, jobs: list[dict[str, Any]]) -> Path:
    path = scratch / "jobs.json"
    path.write_text(json.dumps(jobs), encoding="utf-8")
    return path


def _launch(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen([*LAUNCH, *arguments], stderr=subprocess.PIPE, text=True, env=one_thread())


def _wait_for_step(output: Path, step: int, process: subprocess.Popen[str]) -> None:
    path = _notes(output) / "step"
    while process.poll() is None and not (path.exists() and int(path.read_text(encoding="utf-8") or 0) >= step):
        time.sleep(0.01)


def _notes(output: Path) -> Path:
    """The directory beside a run's output for what these tests write: the output itself may hold nothing but a run."""
    return output.with_name(f"{output.name}-notes")


def _pids(output: Path) -> list[int]:
    paths = sorted(_notes(output).glob("pid-*"))
    return [int(path.read_text(encoding="utf-8")) for path in paths]


def _main() -> None:
    """Train as `nlpmtl train` does, and tell on the way which step it is at, and at the end the exit code."""
    from nlpmtl.errors import NlpmtlError
    from tests.faults.harness import ready

    (job,) = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    output, rank = Path(job["output"]), os.environ.get("RANK", "0")
    notes = _notes(output)
    notes.mkdir(parents=True, exist_ok=True)
    (notes / f"pid-{rank}").write_text(str(os.getpid()), encoding="utf-8")
    code = 0
    try:
        with ready(job["run"], output, resume=job["resume"] or (output / "checkpoints").exists()) as trainer:
            following = trainer.plan.next

            def told(cursor: Any) -> Any:
                if rank == "0":
                    (notes / "step").write_text(str(cursor.step), encoding="utf-8")
                time.sleep(0.02)
                while cursor.step >= job["stop_at"] + AHEAD and not (notes / SENT).exists():
                    time.sleep(0.01)
                return following(cursor)

            trainer.plan.next = told  # type: ignore[method-assign]
            for _ in trainer.events():
                pass
    except NlpmtlError as error:
        code = error.exit_code
        print(error, file=sys.stderr)
    (notes / f"code-{rank}.json").write_text(str(code), encoding="utf-8")
    sys.exit(code)


if __name__ == "__main__":
    _main()
