"""Failures after the last step are reported, and the model is still saved."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from nlpmtl import Predictor, RunError
from nlpmtl.metrics import Metric
from nlpmtl.prediction_analysis import RESAMPLES
from nlpmtl.registry import METRICS, TASKS
from nlpmtl.run import TrainResult, iter_train, load_config
from nlpmtl.tasks import Classification
from nlpmtl.training import EvaluationDone, Message
from tests.tiny import checkpoint, make_run, max_weight_difference, read_json, write_rows


class FailingMetric(Metric):
    """A metric that raises an error after `working_calls` calls."""

    name = "failing"
    reads = frozenset({"label"})
    calls = 0
    working_calls = 0
    result = 0.5

    def score(self, predictions: Any, references: Any) -> float:
        FailingMetric.calls += 1
        if FailingMetric.calls > FailingMetric.working_calls:
            raise ZeroDivisionError("no score today")
        return FailingMetric.result


class FailingTask(Classification):
    """A task type of which the method `broken` raises an error."""

    kind = "failing_task"
    broken: ClassVar[str] = ""

    def calibrate(self, items: Any, gold: Any) -> None:
        super().calibrate(items, gold)
        self._fail_if_broken("calibrate")
        if FailingTask.broken == "temperature":
            self.temperature = np.float32(self.temperature)  # type: ignore[assignment]

    def score(self, values: Any, gold: Any) -> Any:
        return {**super().score(values, gold), **({"extra": object()} if FailingTask.broken == "score" else {})}

    def error_analysis(self, values: Any, gold: Any) -> Any:
        self._fail_if_broken("error_analysis")
        return super().error_analysis(values, gold)

    def row_error(self, prediction: Any, gold: Any, example: Any) -> Any:
        self._fail_if_broken("row_error")
        return super().row_error(prediction, gold, example)

    def to_config(self) -> dict[str, Any]:
        if self.temperature != 1.0:
            self._fail_if_broken("to_config")
        return super().to_config()

    def _fail_if_broken(self, name: str) -> None:
        if FailingTask.broken == name:
            raise RuntimeError(f"{name} is broken")


@pytest.fixture(autouse=True)
def plugins() -> Iterator[None]:
    before = dict(METRICS._members), dict(TASKS._members)
    METRICS.register("failing")(FailingMetric)
    TASKS.register("failing_task")(FailingTask)
    FailingMetric.calls, FailingMetric.working_calls, FailingMetric.result = 0, 10**9, 0.5
    FailingTask.broken = ""
    yield
    METRICS._members, TASKS._members = before


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("end")
    run = make_run(
        directory, rows=8, train={"steps": 4, "batch_size": 4, "lr": 1e-3, "save_every": 2, "precision": "fp32"}
    )
    words = ["cat", "dog", "lamp", "kettle"]
    rows = [{"text": f"{words[i % 4]} {words[i % 3]}", "topic": ["animals", "things"][i % 4 > 1]} for i in range(80)]
    files = {split: str(write_rows(directory / f"{split}.jsonl", rows)) for split in ("train", "validation")}
    tasks = {"topic": {"kind": "failing_task", "label": "topic", "metrics": ["accuracy", "failing"]}}
    run["datasets"] = {"notes": {"data": {"files": files}, "input": {"text": "text"}, "tasks": tasks}}
    run["eval"] = {"every": 4}
    return run


def train(run: dict[str, Any], output: Path, *, resume: bool = False) -> tuple[TrainResult, list[str]]:
    """Train, and return the result and the notes."""
    *events, result = iter_train(load_config(run), output=output, resume=resume)
    assert isinstance(result, TrainResult)
    return result, [event.line for event in events if isinstance(event, Message)]


def assert_loads(model: Path) -> None:
    assert set(Predictor.from_pretrained(model).predict_all("a cat")) == {"topic"}


FAILURES: dict[str, tuple[Callable[[], None], str, set[str]]] = {
    "the last evaluation": (
        lambda: setattr(FailingMetric, "working_calls", 0),
        "the evaluation at step 4 failed: task 'topic': metric 'failing': ZeroDivisionError: no score today",
        {"scores.json", "images/answers-topic.png"},
    ),
    "calibration": (
        lambda: setattr(FailingTask, "broken", "calibrate"),
        "task 'topic' is not calibrated: RuntimeError: calibrate is broken",
        set(),
    ),
    "the config of a task": (
        lambda: setattr(FailingTask, "broken", "to_config"),
        "the model is not calibrated: RuntimeError: to_config is broken",
        set(),
    ),
    "scores that JSON cannot hold": (
        lambda: setattr(FailingTask, "broken", "score"),
        "the evaluation at step 4 failed: TypeError: Object of type object is not JSON serializable",
        {"scores.json", "images/answers-topic.png"},
    ),
    "a temperature that JSON cannot hold": (
        lambda: setattr(FailingTask, "broken", "temperature"),
        "the model is not calibrated: TypeError: Object of type float32 is not JSON serializable",
        set(),
    ),
    "the wrong rows": (
        lambda: setattr(FailingTask, "broken", "row_error"),
        "the wrong rows of task 'topic' are not in report.html: RuntimeError: row_error is broken",
        set(),
    ),
    "a plot": (
        lambda: setattr(FailingTask, "broken", "error_analysis"),
        "the predictions of task 'topic' are not drawn: RuntimeError: error_analysis is broken",
        {"images/answers-topic.png"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("failure", FAILURES)
def test_failures_after_the_last_step_are_reported_and_the_model_is_saved(
    run: dict[str, Any], tmp_path: Path, failure: str
) -> None:
    break_it, message, missing = FAILURES[failure]
    break_it()
    result, notes = train(run, tmp_path / "out")
    assert notes[0] == message
    assert len(notes) == 1 + (failure == "the last evaluation"), "calibration needs the same metric"
    assert read_json(tmp_path / "out" / "run.json")["failures"] == notes
    assert_loads(result.model_dir)
    assert max_weight_difference(checkpoint(tmp_path / "out", 4), result.model_dir) == 0.0
    files = ("README.md", "scores.json", "images/learning-curve.png", "images/answers-topic.png")
    assert {name for name in files if not (result.model_dir / name).exists()} == missing
    assert (result.scores is None) == ("scores.json" in missing)
    assert (tmp_path / "out" / "report.html").exists()
    FailingMetric.working_calls, FailingTask.broken = 10**9, ""
    again, notes = train(run, tmp_path / "out", resume=True)
    assert notes == []
    assert again.scores is not None
    assert "failures" not in read_json(tmp_path / "out" / "run.json")
    assert all((again.model_dir / name).exists() for name in files)


@pytest.mark.slow
def test_a_failed_final_evaluation(run: dict[str, Any], tmp_path: Path) -> None:
    """The metric is computed for the evaluation, for both halves before and after calibration, and for the scores.

    After that it is computed for the confidence intervals, and no more.
    """
    train(run, tmp_path / "counted")
    FailingMetric.working_calls, FailingMetric.calls = FailingMetric.calls - 1 - (RESAMPLES + 1), 0
    result, notes = train(run, tmp_path / "out")
    assert notes == ["the saved model is not scored: task 'topic': metric 'failing': ZeroDivisionError: no score today"]
    assert result.scores is None
    assert_loads(result.model_dir)
    assert not (tmp_path / "out" / "scores.json").exists()


@pytest.mark.slow
def test_failed_intervals_leave_the_rest_of_the_report(run: dict[str, Any], tmp_path: Path) -> None:
    train(run, tmp_path / "counted")
    FailingMetric.working_calls, FailingMetric.calls = FailingMetric.calls - (RESAMPLES + 1), 0
    result, notes = train(run, tmp_path / "out")
    assert notes == [
        "the confidence intervals of task 'topic' are not computed: task 'topic': metric 'failing': "
        "ZeroDivisionError: no score today",
    ]
    assert result.scores is not None
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "rows differ from their gold label" in report
    assert 'alt="Reliability diagram of topic' in report


@pytest.mark.slow
def test_an_unwritable_file(run: dict[str, Any], tmp_path: Path) -> None:
    notes = []
    for event in iter_train(load_config(run), output=tmp_path / "out"):
        if isinstance(event, EvaluationDone):
            (tmp_path / "out" / "scores.json" / "in the way").mkdir(parents=True)
        elif isinstance(event, Message):
            notes.append(event.line)
        last = event
    assert isinstance(last, TrainResult)
    assert len(notes) == 1
    assert notes[0].startswith("scores.json is not written: ")
    assert_loads(last.model_dir)


@pytest.mark.parametrize("name", ["metrics.jsonl", "evaluations.jsonl"])
@pytest.mark.parametrize("removed", [True, False])
@pytest.mark.slow
def test_a_log_that_was_removed_or_cannot_be_written(
    run: dict[str, Any], tmp_path: Path, name: str, removed: bool
) -> None:
    run = {**run, "eval": {"every": 2}}
    log, notes = tmp_path / "out" / name, []
    for event in iter_train(load_config(run), output=tmp_path / "out"):
        if isinstance(event, EvaluationDone) and event.step == 2:
            log.unlink()
            if not removed:
                log.mkdir()
        elif isinstance(event, Message):
            notes.append(event.line)
        last = event
    assert isinstance(last, TrainResult)
    assert last.scores is not None
    assert_loads(last.model_dir)
    assert max_weight_difference(checkpoint(tmp_path / "out", last.step), last.model_dir) == 0.0
    if removed:
        assert notes == []
    else:
        assert notes[0].startswith(f"{name} is not complete: ")
        assert read_json(tmp_path / "out" / "run.json")["failures"] == notes
        log.rmdir()
    assert train(run, tmp_path / "out", resume=True)[0].scores == last.scores


def test_a_failed_evaluation_saves_a_checkpoint(run: dict[str, Any], tmp_path: Path) -> None:
    FailingMetric.working_calls = 0
    run = {**run, "eval": {"every": 3}}
    with pytest.raises(
        RunError,
        match=r"the evaluation at step 3 failed: task 'topic': metric 'failing': ZeroDivisionError: .* --resume",
    ):
        train(run, tmp_path / "out")
    assert checkpoint(tmp_path / "out", 3).is_dir()
    FailingMetric.working_calls = 10**9
    result, _ = train(run, tmp_path / "out", resume=True)
    lines = (tmp_path / "out" / "evaluations.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [3, 4]
    assert result.scores is not None


def test_a_failing_tracker(run: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate.tracking import TensorBoardTracker

    def fail(self: object, *arguments: object, **options: object) -> None:
        raise ConnectionError("no server")

    for name in ("log", "finish"):
        monkeypatch.setattr(TensorBoardTracker, name, fail)
    result, notes = train({**run, "train": {**run["train"], "trackers": ["tensorboard"]}}, tmp_path / "out")
    assert notes == [
        "train.trackers: tensorboard failed at step 1: ConnectionError: no server",
        "train.trackers: tensorboard could not be finished: ConnectionError: no server",
    ]
    assert result.scores is not None


def test_the_weights_are_saved_first(run: dict[str, Any], tmp_path: Path) -> None:
    """A second Ctrl-C ends the process; the model is already saved."""

    class Stop(BaseException):
        pass

    def stop(self: FailingTask, items: Any, gold: Any) -> None:
        raise Stop

    events = iter_train(load_config(run), output=tmp_path / "out")
    before = FailingTask.calibrate
    try:
        FailingTask.calibrate = stop  # type: ignore[method-assign]
        with pytest.raises(Stop):
            list(events)
    finally:
        FailingTask.calibrate = before  # type: ignore[method-assign]
    assert_loads(tmp_path / "out" / "model")
    assert max_weight_difference(checkpoint(tmp_path / "out", 4), tmp_path / "out" / "model") == 0.0


@pytest.mark.slow  # a process that imports everything, and trains
def test_without_matplotlib_there_are_no_plots(tmp_path: Path, to_toml: Callable[[Mapping[str, Any]], str]) -> None:
    """A broken installation, an unknown backend, and no directory for its files."""
    broken = tmp_path / "broken" / "matplotlib"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise OSError('libfreetype.so: cannot open shared object file')\n")
    run = make_run(tmp_path, rows=8, train={"steps": 2, "batch_size": 4, "precision": "fp32"})
    (tmp_path / "run.toml").write_text(to_toml(run), encoding="utf-8")
    path = os.pathsep.join([str(broken.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "MPLBACKEND": "no_such_backend", "MPLCONFIGDIR": "/dev/null/x"}
    command = [sys.executable, "-m", "nlpmtl", "train", str(tmp_path / "run.toml")]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    assert "the plots are not drawn: OSError: libfreetype.so" in result.stderr
    assert read_json(tmp_path / "out" / "run.json")["failures"]
    assert not (tmp_path / "out" / "model" / "images").exists()
    assert "](images/" not in (tmp_path / "out" / "model" / "README.md").read_text(encoding="utf-8")
    assert "rows differ from their gold label" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    shutil.rmtree(tmp_path / "out")
    environment["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    predictor = Predictor.from_pretrained(tmp_path / "out" / "model")
    assert len(predictor.tasks) == 5


@pytest.mark.parametrize(("score", "noted"), [(0.5, True), pytest.param(1.0, False, marks=pytest.mark.slow)])
def test_a_score_that_no_evaluation_changes_is_noted(
    run: dict[str, Any], tmp_path: Path, score: float, noted: bool
) -> None:
    run = copy.deepcopy(run) | {"eval": {"every": 1}}
    run["datasets"]["notes"]["tasks"]["topic"]["metrics"] = ["failing"]
    FailingMetric.result = score
    result, messages = train(run, tmp_path / "run")
    note = f"the validation score of task 'topic' was {score:.4g} at all 4 evaluations"
    assert result.step == 1
    assert any(line.startswith(note) for line in messages) == noted
    assert (note in (result.model_dir / "README.md").read_text(encoding="utf-8")) == noted
