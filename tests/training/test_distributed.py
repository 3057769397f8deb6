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
from tests.tiny import checkpoint, make_run, max_weight_difference, metrics, read_json, train_tiny
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
