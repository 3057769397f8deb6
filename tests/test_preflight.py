"""The preflight check: statistics, errors, and no files written."""

from __future__ import annotations

import copy
import math
import re
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from transformers import DebertaConfig, DebertaModel

import nlpmtl
from nlpmtl.errors import ConfigError, ModelError, RunError
from nlpmtl.preflight import CheckReport, SplitReport, check
from tests.tiny import make_run, write_encoder, write_rows, write_tokenizer


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("check")


@pytest.fixture(scope="module")
def run(directory: Path) -> dict[str, Any]:
    """Texts of known lengths, a label missing in train, a label unknown to the task, and a third split."""
    run = make_run(directory, rows=24)
    run["encoder"]["max_length"] = 8
    train = [{"text": "cat " * words, "topic": topic} for words, topic in [(2, "a"), (2, "b"), (4, "a"), (20, None)]]
    odd = [{"text": "cat", "topic": topic} for topic in ("a", "c", "d")]
    files = {
        split: str(write_rows(directory / "data" / "known" / f"{split}.jsonl", rows))
        for split, rows in (("train", train), ("validation", odd), ("extra", train[:1]))
    }
    run["datasets"]["known"] = {
        "data": {"files": files},
        "input": {"text": "text"},
        "tasks": {"known": {"kind": "classification", "label": "topic", "labels": ["a", "b", "c"]}},
    }
    return run


@pytest.fixture(scope="module")
def before(directory: Path, run: dict[str, Any]) -> set[Path]:
    return set(directory.rglob("*"))


@pytest.fixture(scope="module")
def report(run: dict[str, Any], before: set[Path]) -> CheckReport:
    return check(run, overrides={"train.steps": 3})


def test_the_rows_of_a_split(report: CheckReport) -> None:
    splits = {(split_report.dataset, split_report.split): split_report for split_report in report.splits}
    assert splits["known", "train"] == SplitReport(
        dataset="known",
        split="train",
        rows=4,
        labelled={"known": 3},
        mean=(4 + 4 + 6 + 22) / 4,
        percentile=22,
        longest=22,
        cut=1,
        unseen={},
    )
    assert splits["known", "validation"].unseen == {"known": ("c",)}
    assert splits["known", "extra"].rows == 1
    assert [split for dataset, split in splits if dataset == "pairs"] == ["train", "validation"]


def test_the_tasks(report: CheckReport, run: dict[str, Any]) -> None:
    tasks = {task.name: task for task in report.tasks}
    assert list(tasks) == ["topic", "mood", "places", "grade", "kinds", "known"]
    assert (tasks["known"].kind, tasks["known"].labels, tasks["known"].rows) == ("classification", ("a", "b", "c"), 2)
    assert 0.9 < tasks["known"].loss < 1.3, "near log 3, the loss of a new head"
    assert (report.steps, report.max_length) == (3, 8)


def test_the_notes(report: CheckReport) -> None:
    assert report.notes == ("known, validation: labels unknown to task 'known', scored as errors: d",)
    truncated = [finding for finding in report.data.findings if "longer than max_length" in finding.problem]
    assert len(truncated) == sum(split.cut > 0 for split in report.splits)


def test_nothing_is_written(report: CheckReport, directory: Path, before: set[Path]) -> None:
    assert set(directory.rglob("*")) == before


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("weighting", {"kind": "constant", "weights": {"topik": 2.0}}, "weighting.weights.topik: no such task"),
        ("eval.select", "topik", "eval.select: no task 'topik'; did you mean 'topic'"),
        ("sampling.kind", "temprature", "unknown sampler 'temprature'; did you mean 'temperature'"),
    ],
)
def test_the_errors_of_training(run: dict[str, Any], key: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(copy.deepcopy(run), overrides={"train.steps": 3, key: value})


def test_a_loss_that_is_not_finite(run: dict[str, Any], directory: Path) -> None:
    """The initial weights of the head are so large that their products overflow."""
    broken = copy.deepcopy(run)
    broken["encoder"]["name"] = str(write_encoder(directory / "broken"))
    weights = directory / "broken" / "model.safetensors"
    tensors = load_file(weights)
    tensors["pooler.dense.weight"] = tensors["pooler.dense.weight"].sign() * 3e38
    save_file(tensors, weights)
    with pytest.raises(RunError, match="the loss of a batch of its 2 longest rows is nan"):
        check(broken)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_encoder_with_weights_that_are_not_finite_is_refused(
    run: dict[str, Any], directory: Path, tmp_path: Path, value: float
) -> None:
    broken = copy.deepcopy(run)
    for name, tensor in (
        ("encoder.layer.1.output.dense.bias", "encoder.layer.1.output.dense.bias"),
        ("pooler.dense.bias", "head.dense.bias"),
    ):
        broken["encoder"]["name"] = str(write_encoder(tmp_path))
        tensors = load_file(tmp_path / "model.safetensors")
        tensors[name][3] = value
        save_file(tensors, tmp_path / "model.safetensors")
        message = rf"the tensor {re.escape(tensor)} has 1 of 32 values .* the first is {value}"
        with pytest.raises(ModelError, match=message):
            check(broken)


def test_an_encoder_that_cannot_be_computed_in_bf16(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=8)
    directory = tmp_path / "deberta"
    vocabulary = len(write_tokenizer(directory))
    config = DebertaConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=128,
        relative_attention=True,
        pos_att_type=["c2p", "p2c"],
        pad_token_id=0,
    )
    DebertaModel(config).save_pretrained(directory)
    run = {**run, "output": str(tmp_path / "out"), "encoder": {"name": str(directory)}}
    run["train"] = {**run["train"], "precision": "bf16"}
    for start in (check, nlpmtl.train):
        with pytest.raises(ConfigError, match=r'train\.precision: .* cannot be computed in bf16 .* precision = "fp32"'):
            start(run)
    assert check(run, overrides={"train.precision": "fp32"}).tasks
