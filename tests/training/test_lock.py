"""A second run in the same directory is refused, and locks leave no files."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import pytest

import nlpmtl
from nlpmtl import RunError
from nlpmtl.comparison import iter_compare
from nlpmtl.run import iter_train, load_config
from nlpmtl.training import StepLogged, hold_lock
from nlpmtl.training.lock import HOLDER, LOCK
from tests.tiny import make_run

HOLD_LOCK = """
import sys, time
from pathlib import Path
from nlpmtl.training.lock import hold_lock
with hold_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    train = {"steps": 4, "batch_size": 4, "save_every": 2, "precision": "fp32"}
    run = make_run(tmp_path_factory.mktemp("locked"), rows=30, train=train)
    run["datasets"] = {"texts": run["datasets"]["texts"], "pairs": run["datasets"]["pairs"]}
    return run


@pytest.fixture
def lock_holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start another process that holds the lock of ``out``."""
    command = [sys.executable, "-c", HOLD_LOCK, str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_run_is_refused_with_the_process_of_the_first(run: dict[str, Any], tmp_path: Path) -> None:
    events = iter_train(load_config(run), output=tmp_path / "out")
    next(events)
    message = rf"out is in use by another run in this process \({os.getpid()} on {socket.gethostname()}\), since 2"
    for resume in (False, True):
        with pytest.raises(RunError, match=message):
            nlpmtl.train(run, output=tmp_path / "out", resume=resume)
    result = list(events)[-1]
    assert result.scores is not None  # type: ignore[union-attr]
    assert len((tmp_path / "out" / "metrics.jsonl").read_text().splitlines()) == 4
    assert not list((tmp_path / "out").glob(".nlpmtl*"))
    nlpmtl.train(run, output=tmp_path / "out", resume=True)


@pytest.mark.slow
def test_another_process_is_named_until_it_is_killed(
    run: dict[str, Any], tmp_path: Path, lock_holder: subprocess.Popen[str]
) -> None:
    for _ in range(2):
        with pytest.raises(RunError, match=rf"is in use by process {lock_holder.pid} on {socket.gethostname()}, since"):
            next(iter_train(load_config(run), output=tmp_path / "out"))
    lock_holder.send_signal(signal.SIGKILL)
    lock_holder.wait()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {LOCK, HOLDER}, "a killed process leaves its files"
    nlpmtl.train(run, output=tmp_path / "out")
    assert not list((tmp_path / "out").glob(".nlpmtl*"))


def test_a_thread_of_the_same_process_is_refused(tmp_path: Path) -> None:
    messages: list[str] = []

    def try_lock() -> None:
        try:
            with hold_lock(tmp_path):
                messages.append("held twice")
        except RunError as error:
            messages.append(str(error))

    with hold_lock(tmp_path):
        thread = threading.Thread(target=try_lock)
        thread.start()
        thread.join()
    assert len(messages) == 1
    assert "another run in this process" in messages[0]
    try_lock()
    assert messages[1:] == ["held twice"]


def test_a_forked_process_is_refused(tmp_path: Path) -> None:
    with hold_lock(tmp_path):
        child = os.fork()
        if child == 0:
            try:
                with hold_lock(tmp_path):
                    os._exit(1)
            except RunError as error:
                os._exit(0 if f"process {os.getppid()} on" in str(error) else 2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert (tmp_path / LOCK).exists()
        with pytest.raises(RunError, match="in this process"), hold_lock(tmp_path):
            pytest.fail("held twice")


def test_a_comparison_holds_its_directory_and_its_runs_hold_theirs(run: dict[str, Any], tmp_path: Path) -> None:
    events = iter_compare(load_config(run), seeds=1, output=tmp_path / "out")
    for event in events:
        if isinstance(event, StepLogged):
            break
    for other in (
        lambda: nlpmtl.compare(run, seeds=1, output=tmp_path / "out"),
        lambda: nlpmtl.train(run, output=tmp_path / "out"),
        lambda: nlpmtl.train(run, output=tmp_path / "out" / "seed-5" / "mixture", resume=True),
    ):
        with pytest.raises(RunError, match="is in use by another run in this process"):
            other()
    events.close()  # type: ignore[attr-defined]
    assert not list((tmp_path / "out").rglob(".nlpmtl*"))


def test_a_run_that_did_not_start_leaves_no_files(run: dict[str, Any], tmp_path: Path) -> None:
    broken = {**run, "encoder": {**run["encoder"], "max_length": 4000}}
    for output in (tmp_path / "a" / "b", tmp_path / "a"):
        with pytest.raises(nlpmtl.ConfigError):
            nlpmtl.train(broken, output=output)
        with pytest.raises(nlpmtl.ConfigError):
            nlpmtl.compare(broken, output=output)
    assert not list(tmp_path.iterdir())


def test_reading_takes_no_lock(trained: Any) -> None:
    with hold_lock(trained.output), hold_lock(trained.model_dir):
        nlpmtl.evaluate(trained.model_dir, trained.run)
        nlpmtl.Predictor.from_pretrained(trained.model_dir).predict_all("a cat")


def write_holder(directory: Path, *, pid: int, host: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / HOLDER).write_text(json.dumps({"pid": pid, "host": host, "since": "2026-01-01 00:00:00"}))


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_without_file_locks_the_process_record_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As on some network file systems. A process of this machine that has ended does not hold the lock."""

    def refuse(self: object, *arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with hold_lock(tmp_path / "out") as notes:
        assert len(notes) == 1
        assert "does not support locks" in notes[0]
        with pytest.raises(RunError, match="in this process"), hold_lock(tmp_path / "out"):
            pytest.fail("held twice")
    assert not (tmp_path / "out").exists()
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    write_holder(tmp_path / "out", pid=finished.pid, host=socket.gethostname())
    with hold_lock(tmp_path / "out") as notes:
        assert len(notes) == 1
    write_holder(tmp_path / "out", pid=1, host="another-host")
    message = rf"is in use by process 1 on another-host, .*If that machine is no longer running, remove .*{LOCK}"
    with pytest.raises(RunError, match=message), hold_lock(tmp_path / "out"):
        pytest.fail("held twice")


def test_without_file_locks_a_stale_record_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A restarted container has the host and often the process number of the run that was killed."""

    def refuse(self: object, *arguments: object, **options: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    out = tmp_path / "out"
    write_holder(out, pid=os.getpid(), host=socket.gethostname())
    with hold_lock(out), pytest.raises(RunError, match="in this process"), hold_lock(tmp_path / "a" / ".." / "out"):
        pytest.fail("held twice")
    write_holder(out, pid=os.getppid(), host=socket.gethostname())
    message = rf"is in use by process {os.getppid()} on .*\. If that process is not a run, remove .*{LOCK}"
    with pytest.raises(RunError, match=message), hold_lock(out):
        pytest.fail("held")
    host, since = socket.gethostname(), "2026-01-01 00:00:00"
    for pid in ("x", None, -1, 0, 10**20, 1.5, True):
        (out / HOLDER).write_text(json.dumps({"pid": pid, "host": host, "since": since}))
        with hold_lock(out) as notes:
            assert len(notes) == 1


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"), hold_lock(tmp_path / "file" / "out"):
        pytest.fail("held")


def test_an_error_of_the_run_is_raised_unchanged(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="failed"), hold_lock(tmp_path / "out"):
        raise OSError("failed")
    assert not (tmp_path / "out").exists()
