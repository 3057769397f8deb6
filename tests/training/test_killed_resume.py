"""A run that is killed while resuming keeps its logs and its model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from nlpmtl import Predictor
from nlpmtl.format_version import FORMAT_VERSION
from nlpmtl.run import iter_train, load_config
from nlpmtl.training import EvaluationDone, read_lines, save_atomic
from tests.tiny import Trained, checkpoint, digest, make_run, read_json, train_tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    train = {"steps": 6, "batch_size": 4, "lr": 1e-3, "save_every": 2, "precision": "fp32"}
    run = make_run(tmp_path_factory.mktemp("killed"), rows=30, train=train, eval={"every": 2})
    run["datasets"] = {"texts": run["datasets"]["texts"]}
    return run


@pytest.fixture(scope="module")
def reference(run: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_tiny(run, tmp_path_factory.mktemp("whole") / "out")


@pytest.fixture
def copied(reference: Trained, tmp_path: Path) -> Path:
    return Path(shutil.copytree(reference.output, tmp_path / "out"))


def steps(output: Path, name: str) -> list[int]:
    return [line["step"] for line in read_lines(output / name)]


def test_logs_are_rebuilt_from_the_checkpoint(run: dict[str, Any], reference: Trained, copied: Path) -> None:
    """Logs that are missing, truncated, incomplete, or have lines after the checkpoint."""
    (copied / "metrics.jsonl").unlink()
    (copied / "evaluations.jsonl").write_text('{"step": 2, "ta')
    train_tiny(run, copied, resume=True)
    for name in ("metrics.jsonl", "evaluations.jsonl"):
        assert (copied / name).read_bytes() == (reference.output / name).read_bytes()
    with (copied / "evaluations.jsonl").open("a") as file:
        file.write(json.dumps({**read_lines(copied / "evaluations.jsonl")[-1]}) + "\n")
    train_tiny(run, copied, resume=True)
    assert steps(copied, "evaluations.jsonl") == [2, 4, 6]


@pytest.mark.slow
def test_an_evaluation_after_the_checkpoint_is_not_logged_twice(run: dict[str, Any], tmp_path: Path) -> None:
    """The run was killed after it wrote the line of a step whose checkpoint existed."""
    for resume in (False, True, True):
        events = iter_train(load_config(run), output=tmp_path / "out", resume=resume)
        for event in events:
            if isinstance(event, EvaluationDone) and event.step == 6:
                break
        events.close()  # type: ignore[attr-defined]
        assert steps(tmp_path / "out", "evaluations.jsonl") == [2, 4, 6]
    train_tiny(run, tmp_path / "out", resume=True)
    assert steps(tmp_path / "out", "evaluations.jsonl") == [2, 4, 6]
    assert read_json(checkpoint(tmp_path / "out", 6) / "state.json")["evaluated"] == 6


@pytest.mark.slow
def test_a_checkpoint_without_logs_truncates_the_logs(run: dict[str, Any], reference: Trained, copied: Path) -> None:
    """nlpmtl 0.1 wrote such checkpoints."""
    for path in copied.glob("checkpoints/step-*"):
        for name in ("metrics.jsonl", "evaluations.jsonl"):
            (path / name).unlink()
        manifest = read_json(path / "manifest.json")
        manifest["sha256"] = {name: sha for name, sha in manifest["sha256"].items() if not name.endswith(".jsonl")}
        (path / "manifest.json").write_text(json.dumps(manifest))
    train_tiny(run, copied, resume=True)
    assert (copied / "metrics.jsonl").read_bytes() == (reference.output / "metrics.jsonl").read_bytes()
    assert steps(copied, "evaluations.jsonl") == [2, 4, 6]


def test_the_model_directory_is_replaced_atomically(run: dict[str, Any], reference: Trained, copied: Path) -> None:
    """Leftovers of a killed process are removed, files of others are kept."""
    for name in (".tmp1234", ".tmpabcd", "images/answers-gone.png"):
        (copied / "model" / name).write_bytes(b"half")
    for name in ("notes.txt", "onnx/model.onnx"):
        (copied / "model" / name).parent.mkdir(exist_ok=True)
        (copied / "model" / name).write_bytes(b"mine")
    for name in (".model.part", ".model.gone", ".run.json.part"):
        (copied / name).mkdir()
    train_tiny(run, copied, resume=True)
    names = {path.name for path in (copied / "model").iterdir()}
    assert names == {path.name for path in reference.model_dir.iterdir()} | {"notes.txt", "onnx"}
    assert (copied / "model" / "onnx" / "model.onnx").read_bytes() == b"mine"
    assert not (copied / "model" / "images" / "answers-gone.png").exists()
    assert {path.name for path in copied.iterdir()} == {path.name for path in reference.output.iterdir()}
    assert digest(copied / "model") == digest(reference.model_dir)


def test_a_model_that_was_moved_away_is_restored(run: dict[str, Any], copied: Path) -> None:
    """Without an atomic exchange, a kill may leave the directory under another name."""
    (copied / "model").rename(copied / ".model.old")
    events = iter_train(load_config(run), output=copied, resume=True)
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert len(Predictor.from_pretrained(copied / "model").tasks) == 1


def test_replacing_a_checkpoint_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "step-000001"
    save_atomic(path, tensors={}, state={"a": 1})
    monkeypatch.setattr("nlpmtl.fs._AT_FDCWD", {})

    def kill(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", kill)
    with pytest.raises(KeyboardInterrupt):
        save_atomic(path, tensors={}, state={"a": 2})
    assert read_json(path / "state.json") == {"format_version": FORMAT_VERSION, "a": 1}
