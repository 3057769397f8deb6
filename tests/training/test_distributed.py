"""Two processes give the results of one. Starting them is slow, so configurations share a start.

The fast tests compare two processes with one for every task type: see tests/tasks/test_contract_in_runs.py.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nlpmtl.environment import MPI_RANKS
from nlpmtl.training import read_lines
from tests.tiny import checkpoint, make_run, max_weight_difference, metrics, read_json, train_tiny, write_rows
from tests.training.bench import assert_heads_without_rows_unchanged

SCRIPT = """
import atexit
import json
import os
import pathlib
import sys

import torch.distributed as dist

import nlpmtl

atexit.register(lambda: pathlib.Path(sys.argv[2] + os.environ["RANK"]).write_text(str(dist.is_initialized())))
assert os.environ["WORLD_SIZE"] == "2"
for run in json.loads(pathlib.Path(sys.argv[1]).read_text()):
    nlpmtl.train(run)
"""


ONE_RANK_FAILS = """
import sys
import time
from datetime import timedelta

from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs

from nlpmtl.training.distributed import gather_results, work_of_one_rank

group = InitProcessGroupKwargs(backend="gloo", timeout=timedelta(seconds=20))
rank = Accelerator(cpu=True, kwargs_handlers=[group]).process_index


def results(broken_rank):
    yield rank
    if rank == broken_rank:
        raise ValueError("no prediction")


for broken_rank in (1, 0):
    try:
        gather_results(results(broken_rank))
    except Exception as error:
        sys.stdout.write(f"rank {rank}: {type(error).__name__}: {error}\\n")
with work_of_one_rank():
    if rank == 0:
        time.sleep(25)  # longer than the time-out of the group
sys.stdout.write(f"rank {rank}: {gather_results(results(None))}\\n")
"""

FAILING_PLUGIN = """
from nlpmtl.registry import TASKS
from nlpmtl.tasks import Classification


@TASKS.register("failing_copies")
class FailingCopies(Classification):
    kind = "failing_copies"

    def corrupt(self, sequences, targets, rng):
        if len(sequences[0].ids) > 7:
            raise ValueError("no copy of a long text")
        return sequences, targets
"""


BASE: dict[str, Any] = {"steps": 6, "batch_size": 8, "lr": 1e-4, "save_every": 6, "precision": "fp64"}
MIXED = {"kind": "proportional", "batches": "mixed"}
SINGLE = {"kind": "uniform", "batches": "single"}
CONFIGS: dict[str, dict[str, Any]] = {
    "mixed": {"train": {**BASE, "steps": 20, "save_every": 20}, "sampling": MIXED},
    "micro": {"train": {**BASE, "micro_tokens": 30}, "sampling": MIXED},
    "single": {
        "train": {**BASE, "batch_size": 4, "weight_decay": 0.5, "save_every": 1, "keep": 9},
        "sampling": SINGLE,
    },
    "three rows": {"train": {**BASE, "batch_size": 3, "micro_tokens": 1}, "sampling": MIXED},
    "one row": {"train": {**BASE, "batch_size": 1}, "sampling": MIXED},
    "fp32": {"train": {**BASE, "steps": 20, "save_every": 20, "precision": "fp32"}, "sampling": MIXED},
    "upgrad": {"train": BASE, "sampling": {"kind": "exp3"}, "weighting": {"kind": "upgrad"}},
    "gradnorm": {"train": BASE, "sampling": {"kind": "uncertainty"}, "weighting": {"kind": "gradnorm"}},
    "famo": {"train": {**BASE, "micro_tokens": 30}, "sampling": {"kind": "loss_ratio"}, "weighting": {"kind": "famo"}},
}
Outputs = dict[str, tuple[Path, Path]]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """The output of each configuration, with one process and with two."""
    root = tmp_path_factory.mktemp("outputs")
    run = make_run(root, rows=20, dropout=0.0, eval={"every": 20})
    run["datasets"]["words"]["tasks"]["topic"]["metrics"] = ["accuracy", "loss"]
    run["datasets"]["words"]["tasks"]["places"]["metrics"] = ["perplexity"]
    one_process = {name: train_tiny({**run, **config}, root / "one" / name).output for name, config in CONFIGS.items()}
    two_processes = {name: root / "two" / name for name in CONFIGS}
    (root / "script.py").write_text(SCRIPT, encoding="utf-8")
    runs = [{**run, **config, "output": str(two_processes[name])} for name, config in CONFIGS.items()]
    (root / "runs.json").write_text(json.dumps(runs), encoding="utf-8")
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    process = subprocess.run(
        [*start, str(root / "script.py"), str(root / "runs.json"), str(root / "group-of-")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr[-4000:]
    at_exit = [(root / f"group-of-{rank}").read_text(encoding="utf-8") for rank in range(2)]
    assert at_exit == ["False", "False"], "a process group that is not destroyed may abort the process"
    return {name: (one_process[name], two_processes[name]) for name in CONFIGS}


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.slow) for name in CONFIGS])
def pair(request: pytest.FixtureRequest, outputs: Outputs) -> tuple[str, Path, Path]:
    name = str(request.param)
    return name, *outputs[name]


def test_two_processes_give_the_weights_of_one(pair: tuple[str, Path, Path]) -> None:
    """Also if one process has fewer rows than the other, or none."""
    name, single, double = pair
    assert [read_json(output / "run.json")["processes"] for output in (single, double)] == [1, 2]
    steps = CONFIGS[name]["train"]["steps"]
    assert max_weight_difference(checkpoint(single, steps), checkpoint(double, steps)) < (
        1e-5 if name == "fp32" else 1e-10
    )


def test_two_processes_report_the_losses_of_one(pair: tuple[str, Path, Path]) -> None:
    name, single, double = pair
    limit = 1e-5 if name == "fp32" else 1e-8
    assert len(metrics(single)) == len(metrics(double)) == CONFIGS[name]["train"]["steps"]
    for first, second in zip(metrics(single), metrics(double), strict=True):
        assert (first["step"], first["tokens"], first["lr"]) == (second["step"], second["tokens"], second["lr"])
        assert first["loss"] == pytest.approx(second["loss"], abs=limit)
        assert first["losses"] == pytest.approx(second["losses"], abs=limit)


def test_two_processes_evaluate_every_row_once(pair: tuple[str, Path, Path]) -> None:
    name, single, double = pair
    first, second = (read_json(output / "scores.json") for output in (single, double))
    assert {task: values["rows"] for task, values in first["tasks"].items()} == {
        task: values["rows"] for task, values in second["tasks"].items()
    }
    for task, values in first["tasks"].items():
        assert values == pytest.approx(second["tasks"][task], abs=1e-3 if name == "fp32" else 1e-8), task
    assert first["step"] == second["step"]


def test_two_processes_evaluate_the_losses_of_one(pair: tuple[str, Path, Path]) -> None:
    name, single, double = pair
    for task, metric in (("topic", "loss"), ("places", "perplexity")):
        values = [
            [line["tasks"][task][metric] for line in read_lines(output / "evaluations.jsonl")]
            for output in (single, double)
        ]
        assert values[0]
        assert values[0] == pytest.approx(values[1], rel=1e-5 if name == "fp32" else 1e-9)


@pytest.mark.slow
def test_a_head_without_rows_is_unchanged_bit_for_bit_in_two_processes(outputs: Outputs) -> None:
    assert_heads_without_rows_unchanged(outputs["single"][1])


def launch_two(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a script or a module in two processes."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(cwd), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(
        [*start, *arguments], capture_output=True, text=True, timeout=200, cwd=cwd, env=environment, check=False
    )


@pytest.mark.slow
def test_a_failure_on_one_rank_is_raised_on_all_and_a_rank_may_work_longer_than_the_time_out(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(ONE_RANK_FAILS, encoding="utf-8")
    process = launch_two("script.py", cwd=tmp_path)
    assert process.returncode == 0, process.stderr[-3000:]
    assert sorted(process.stdout.splitlines()) == [
        "rank 0: RunError: another process failed: ValueError: no prediction",
        "rank 0: ValueError: no prediction",
        "rank 0: [0, 1]",
        "rank 1: RunError: another process failed: ValueError: no prediction",
        "rank 1: ValueError: no prediction",
        "rank 1: [0, 1]",
    ]


@pytest.mark.slow
def test_a_task_type_that_fails_on_one_of_two_ranks_ends_the_run_with_its_message(tmp_path: Path) -> None:
    (tmp_path / "failing_plugin.py").write_text(FAILING_PLUGIN, encoding="utf-8")
    rows = [{"text": "a cat", "topic": "animals"}, {"text": "a lamp", "topic": "things"}] * 50
    long = {"text": "a cat and a dog and a lamp and a kettle", "topic": "animals"}
    tasks = {"topic": {"kind": "failing_copies", "label": "topic"}}
    run = make_run(tmp_path, rows=8, train={**BASE, "steps": 20}, output=str(tmp_path / "out"))
    files = {"train": str(write_rows(tmp_path / "train.jsonl", [*rows, long]))}
    run["datasets"] = {
        "notes": {"data": {"files": files, "validation": 0.2}, "input": {"text": "text"}, "tasks": tasks}
    }
    run["plugins"] = ["failing_plugin"]
    script = "import json, sys, nlpmtl; nlpmtl.train(json.loads(sys.argv[1]), progress=False)"
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    process = launch_two("script.py", json.dumps(run), cwd=tmp_path)
    assert process.returncode != 0
    assert "task 'topic': corrupt() failed: ValueError: no copy of a long text" in process.stderr


@pytest.mark.slow
def test_two_processes_of_mpirun_train_one_model(tmp_path: Path) -> None:
    """Only rank 0 locks the directory of the run: mpirun does not set WORLD_SIZE."""
    run = make_run(tmp_path, rows=20, train={**BASE, "steps": 2, "save_every": 2}, output=str(tmp_path / "out"))
    script = "import json, sys, nlpmtl; nlpmtl.train(json.loads(sys.argv[1]), progress=False)"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name not in MPI_RANKS}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMPI_COMM_WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, json.dumps(run)],
            env={**environment, "OMPI_COMM_WORLD_RANK": rank, "OMPI_COMM_WORLD_LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    try:
        errors = [process.communicate(timeout=200)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], errors[0][-2000:]
    assert read_json(tmp_path / "out/run.json")["processes"] == 2
