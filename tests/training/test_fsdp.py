"""Sharded training on two ranks gives the results of one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from nlpmtl.environment import USE_FSDP
from nlpmtl.errors import ConfigError
from nlpmtl.inference.predictor import Predictor
from nlpmtl.model import MultiTaskModel, load_encoder
from nlpmtl.tasks import task_from_config
from nlpmtl.training import fsdp
from tests.architectures import ARCHITECTURES, write_architecture
from tests.faults import non_finite, resume
from tests.faults.harness import copy_until, single_thread_environment
from tests.tiny import checkpoint, make_run, max_weight_difference, metrics, read_json, train_tiny, write_encoder

EXAMPLE = Path(__file__).resolve().parents[2] / "task_configs" / "accelerate" / "fsdp2.yaml"
TRAIN = {"steps": 12, "batch_size": 6, "lr": 1e-3, "save_every": 4, "keep": 9, "precision": "fp32"}
SCRIPT = """
import json
import pathlib
import sys

import nlpmtl
from nlpmtl.training import fsdp

apply_fsdp, sharded = fsdp.apply_fsdp, []
fsdp.apply_fsdp = lambda model, **where: (apply_fsdp(model, **where), sharded.append(fsdp.is_sharded(model)))[0]
runs = json.loads(pathlib.Path(sys.argv[1]).read_text())
for run in runs:
    nlpmtl.train(run)
assert sharded == [True] * len(runs), "whole models in all processes would give the same"
"""


def launch(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Start two ranks as in the documentation."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(EXAMPLE), script]
    return subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env=single_thread_environment(),
        check=False,
    )


RUNS: dict[str, dict[str, Any]] = {
    # One process has fewer micro-batches than the other, and heads without rows.
    "single": {"sampling": {"kind": "uniform", "batches": "single"}, "train": {**TRAIN, "micro_tokens": 30}},
    "one row": {"train": {**TRAIN, "batch_size": 1}},
    "gradients": {"weighting": {"kind": "upgrad"}, "sharing": {"kind": "hard", "relations": "covariance"}},
    "losses": {"weighting": {"kind": "famo"}, "sampling": {"kind": "exp3"}},
    "recipe": {
        "encoder": {"freeze_layers": 1},
        "train": {**TRAIN, "layer_decay": 0.7, "schedule": {"kind": "polynomial", "power": 2.0}},
    },
    "not evaluated": {"eval": {"every": 100, "patience": 0}, "encoder": {"gradient_checkpointing": True}},
}


DROPOUTS = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout_prob"),
    *("dropout", "attention_dropout", "seq_classif_dropout"),
)
"""Names of dropout options in the architectures."""
Outputs = dict[str, tuple[Path, Path]]


def train_both(root: Path, runs: Mapping[str, Mapping[str, Any]]) -> Outputs:
    """Train each run in one process and sharded over two; return both outputs."""
    base = make_run(root, rows=20, dropout=0.0, train=TRAIN, eval={"every": 6})
    runs_by_name = {}
    for name, tables in runs.items():
        encoder = {**base["encoder"], **tables.get("encoder", {})}
        runs_by_name[name] = {**base, **tables, "encoder": encoder, "output": str(root / "two" / name)}
    (root / "script.py").write_text(SCRIPT, encoding="utf-8")
    (root / "runs.json").write_text(json.dumps(list(runs_by_name.values())), encoding="utf-8")
    process = launch(str(root / "script.py"), root / "runs.json")
    assert process.returncode == 0, process.stderr[-4000:]
    single = {name: train_tiny(run, root / "one" / name).output for name, run in runs_by_name.items()}
    return {name: (single[name], root / "two" / name) for name in runs}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    return train_both(tmp_path_factory.mktemp("fsdp"), RUNS)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_two_shards_train_the_same_as_one_process(pairs: Outputs, name: str) -> None:
    single, sharded_output = pairs[name]
    assert [read_json(output / "run.json")["processes"] for output in (single, sharded_output)] == [1, 2]
    assert max_weight_difference(checkpoint(single, 12), checkpoint(sharded_output, 12)) < 1e-5
    for first, second in zip(metrics(single), metrics(sharded_output), strict=True):
        assert first["losses"] == pytest.approx(second["losses"], abs=1e-5)
    scores = [read_json(output / "scores.json") for output in (single, sharded_output)]
    for task, values in scores[0]["tasks"].items():
        assert values == pytest.approx(scores[1]["tasks"][task], abs=1e-3), task


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_layers_are_found_in_every_architecture(kind: str, tmp_path: Path) -> None:
    encoder = load_encoder(str(write_architecture(kind, tmp_path))).model
    layers = fsdp.encoder_layers(encoder)
    assert len(layers) == (1 if kind == "albert" else encoder.config.num_hidden_layers)  # ALBERT's layers share weights


@pytest.mark.slow
def test_every_architecture_can_be_sharded(tmp_path: Path) -> None:
    still: dict[str, Any] = dict.fromkeys(DROPOUTS, 0.0)
    encoders = {kind: str(write_architecture(kind, tmp_path / kind, **still)) for kind in ARCHITECTURES}
    few = {**TRAIN, "steps": 3, "lr": 1e-4, "precision": "fp64"}
    runs = {kind: {"encoder": {"name": name}, "train": few} for kind, name in encoders.items()}
    for kind, (single, sharded_output) in train_both(tmp_path, runs).items():
        assert max_weight_difference(checkpoint(single, 3), checkpoint(sharded_output, 3)) < 1e-8, kind


@pytest.mark.slow
def test_the_saved_model_is_complete(pairs: Outputs) -> None:
    first, second = (Predictor.from_pretrained(output / "model") for output in pairs["losses"])
    text = "Ada lives in Turin."
    single, sharded_output = first.predict(text, task="mood"), second.predict(text, task="mood")
    assert single["label"] == sharded_output["label"]
    assert single["score"] == pytest.approx(sharded_output["score"], abs=1e-4)


@pytest.mark.slow
def test_one_process_resumes_a_sharded_run(pairs: Outputs, tmp_path: Path) -> None:
    single, sharded_output = pairs["single"]
    copy = copy_until(sharded_output, 4, tmp_path / "copy")
    run = read_json(sharded_output / "run.json")["config"]
    train_tiny({**run, "output": str(copy)}, copy, resume=True)
    assert max_weight_difference(checkpoint(single, 12), checkpoint(copy, 12)) < 1e-5


@pytest.mark.slow
def test_a_sharded_run_resumes_bit_for_bit(tmp_path: Path) -> None:
    count = resume.sharded(tmp_path, every=4, last=6)
    assert count.attempts == len(resume.sharded_settings())  # each is resumed once
    assert count.failures == []


@pytest.mark.slow
def test_a_non_finite_gradient_names_its_row(tmp_path: Path) -> None:
    process = launch("-m", "tests.faults.harness", _jobs(tmp_path, "gradient"))
    assert process.returncode != 0
    assert f"train.jsonl:{non_finite.LINE}: the gradient of task 'grade' is not finite" in process.stderr


@pytest.mark.slow
def test_out_of_memory_ends_a_sharded_run(tmp_path: Path) -> None:
    process = launch("-m", "tests.faults.harness", _jobs(tmp_path, "memory"))
    assert process.returncode != 0
    assert "out of memory, and with FSDP a step cannot be repeated: lower train.micro_tokens" in process.stderr


def _jobs(scratch: Path, fault: str) -> Path:
    run = non_finite.faulty_run(scratch / "tiny", fault)
    run["sampling"] = {"kind": "uniform", "batches": "single"}
    path = scratch / "jobs.json"
    path.write_text(json.dumps([{"run": run, "output": str(scratch / "out"), "resume": False}]), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "only FSDP2 is supported: set FSDP_VERSION=2 "),
        ({"FSDP_VERSION": "2", "FSDP_OFFLOAD_PARAMS": "true"}, r"fsdp_offload_params\): not supported: set false"),
        (
            {"FSDP_VERSION": "2", "FSDP_CPU_RAM_EFFICIENT_LOADING": "true"},
            r"cpu_ram_efficient_loading\): not supported",
        ),
    ],
)
def test_unsupported_fsdp_options_are_refused(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("FSDP_")]:
        monkeypatch.delenv(name)
    assert not fsdp.is_requested()
    for name, value in {USE_FSDP: "true", **environment}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        fsdp.is_requested()


def test_task_specific_layers_cannot_be_sharded(tmp_path: Path) -> None:
    spec = {"kind": "classification", "labels": ["a", "b"], "metrics": None, "input": "text"}
    sharing = {"kind": "layers", "shared": 1}
    encoder, tasks = load_encoder(str(write_encoder(tmp_path))), [task_from_config("one", spec)]
    model = MultiTaskModel.from_encoder(encoder, tasks=tasks, sharing=sharing, input_length=8, seed=0)
    with pytest.raises(ConfigError, match=r"sharing\.kind.*found 'layers'"):
        fsdp.apply_fsdp(model, device=torch.device("cpu"))
