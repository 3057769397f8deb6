"""A run that was interrupted and resumed equals one that was not interrupted."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from nlpmtl.errors import RunError
from nlpmtl.run import TrainingStarted, TrainResult, build_run, iter_train, load_config
from nlpmtl.training import EvaluationDone, RunState, StepLogged, read_lines
from tests.tiny import (
    Trained,
    checkpoint,
    digest,
    interrupt,
    make_run,
    max_weight_difference,
    metrics,
    read_json,
    train_tiny,
)

STEPS = 12


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run with dropout and mixed batches."""
    train = {"steps": STEPS, "batch_size": 6, "lr": 1e-3, "save_every": 4, "precision": "fp32"}
    sampling = {"kind": "temperature", "temperature": 2.0}
    return make_run(tmp_path_factory.mktemp("fit"), rows=24, train=train, sampling=sampling, eval={"every": 4})


pytestmark = pytest.mark.usefixtures("drawn_plots")


@pytest.fixture(scope="module")
def uninterrupted(run: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_tiny(run, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def interrupted(run: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints of steps 0 and 4, and with metrics and evaluations up to step 8."""
    output = tmp_path_factory.mktemp("broken") / "out"
    interrupt(run, output, step=8)
    return output


def copy(output: Path, to: Path) -> Path:
    shutil.copytree(output, to)
    return to


def assert_same(expected: Path, actual: Path) -> None:
    last = checkpoint(expected, STEPS).name
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert digest(expected / "checkpoints" / last, name) == digest(actual / "checkpoints" / last, name), name
    assert digest(expected / "model") == digest(actual / "model")
    assert read_json(expected / "scores.json") == read_json(actual / "scores.json")
    checkpoints = [
        [(m["step"], m["loss"], m["losses"], m["lr"], m["tokens"]) for m in metrics(output)]
        for output in (expected, actual)
    ]
    assert checkpoints[0] == checkpoints[1]
    assert read_lines(expected / "evaluations.jsonl") == read_lines(actual / "evaluations.jsonl")
    assert all(
        digest(expected / "model/images", path.name) == digest(path.parent, path.name) for path in plots_of(actual)
    )


def plots_of(output: Path) -> list[Path]:
    """Return the plots of a finished run."""
    plots = sorted((output / "model" / "images").iterdir())
    assert len(plots) == 6, "the learning curve and five tasks"
    return plots


def start(run: dict[str, Any], output: Path) -> TrainingStarted:
    """Return the first event of a resumed run, which computes no step."""
    events = iter_train(load_config(run), output=output, resume=True)
    first = next(events)
    events.close()  # type: ignore[attr-defined]
    assert isinstance(first, TrainingStarted)
    return first


def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(
    run: dict[str, Any], uninterrupted: Trained, interrupted: Path, tmp_path: Path
) -> None:
    output = copy(interrupted, tmp_path / "out")
    assert [path.name for path in sorted((output / "checkpoints").iterdir())] == ["step-000000", "step-000004"]
    assert metrics(output)[-1]["step"] == 8
    result = train_tiny(run, output, resume=True).result
    assert_same(uninterrupted.output, output)
    assert result.scores == uninterrupted.result.scores
    assert result.step == uninterrupted.result.step


@pytest.mark.slow
def test_a_run_interrupted_twice_is_the_uninterrupted_one(
    run: dict[str, Any], uninterrupted: Trained, interrupted: Path, tmp_path: Path
) -> None:
    output = copy(interrupted, tmp_path / "out")
    interrupt(run, output, step=12, resume=True)
    assert start(run, output).step == 12, "the last step is saved before it is evaluated"
    train_tiny(run, output, resume=True)
    assert_same(uninterrupted.output, output)


@pytest.mark.slow
def test_resuming_without_a_checkpoint_starts_from_scratch(
    run: dict[str, Any], uninterrupted: Trained, tmp_path: Path
) -> None:
    first = start(run, tmp_path / "new")
    assert (first.step, first.total) == (0, STEPS)
    assert any("starting from scratch" in note for note in first.notes)
    train_tiny(run, tmp_path / "new", resume=True)
    assert_same(uninterrupted.output, tmp_path / "new")


def test_a_finished_run_that_is_resumed_returns_the_same_result(
    run: dict[str, Any], uninterrupted: Trained, tmp_path: Path
) -> None:
    output = copy(uninterrupted.output, tmp_path / "out")
    again = train_tiny(run, output, resume=True).result
    assert (again.scores, again.step) == (uninterrupted.result.scores, uninterrupted.result.step)
    assert_same(uninterrupted.output, output)


def test_a_damaged_latest_checkpoint_is_skipped_and_reported(
    run: dict[str, Any], uninterrupted: Trained, interrupted: Path, tmp_path: Path
) -> None:
    output = copy(interrupted, tmp_path / "out")
    file = checkpoint(output, 4) / "optimizer.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    first = start(run, output)
    assert first.step == 0
    assert any(note.startswith("skipped") and "step-000004" in note and "damaged" in note for note in first.notes)
    train_tiny(run, output, resume=True)
    assert_same(uninterrupted.output, output)


def test_all_checkpoints_damaged_is_an_error(run: dict[str, Any], interrupted: Path, tmp_path: Path) -> None:
    output = copy(interrupted, tmp_path / "out")
    for step in (0, 4):
        (checkpoint(output, step) / "model.safetensors").unlink()
    with pytest.raises(RunError, match="no checkpoint is intact"):
        start(run, output)


def test_another_config_is_refused_with_the_key_that_differs(run: dict[str, Any], interrupted: Path) -> None:
    with pytest.raises(RunError, match=r"train\.lr \(was 0\.001, is 0\.002\)"):
        start({**run, "train": {**run["train"], "lr": 2e-3}}, interrupted)
    with pytest.raises(RunError, match=r"datasets\.texts"):
        start({**run, "datasets": {k: v for k, v in run["datasets"].items() if k != "texts"}}, interrupted)


def test_an_output_that_holds_a_run_is_refused_without_resume(run: dict[str, Any], interrupted: Path) -> None:
    before = sorted(path.stat().st_mtime_ns for path in interrupted.rglob("*"))
    with pytest.raises(RunError, match="--resume"):
        train_tiny(run, interrupted)
    assert before == sorted(path.stat().st_mtime_ns for path in interrupted.rglob("*"))


def test_the_first_checkpoint_is_written_before_the_first_step(run: dict[str, Any], tmp_path: Path) -> None:
    events = iter_train(load_config({**run, "train": {**run["train"], "batch_size": 1}}), output=tmp_path)
    assert isinstance(next(events), TrainingStarted)
    assert isinstance(next(events), StepLogged)
    events.close()  # type: ignore[attr-defined]
    state = read_json(checkpoint(tmp_path, 0) / "state.json")
    assert state["cursor"] == {"step": 0, "picks": [0, 0, 0], "memory": {}}


def test_the_best_model_is_kept(run: dict[str, Any], tmp_path: Path) -> None:
    """With a constant score the first evaluated model is the best, and training continues."""
    options = {"train.lr": 1e-7, "eval.select": "topic", "train.keep": 1}
    result = train_tiny(run, tmp_path / "out", **options)
    assert result.result.step == 4
    assert [path.name for path in (result.output / "best").iterdir()] == ["step-000004"]
    assert max_weight_difference(result.output / "best" / "step-000004", result.model_dir) == 0.0
    assert max_weight_difference(checkpoint(result.output, STEPS), result.model_dir) > 0.0
    assert read_json(result.output / "scores.json")["step"] == 4


@pytest.mark.slow
def test_a_task_can_select_the_best_model(uninterrupted: Trained, run: dict[str, Any], tmp_path: Path) -> None:
    events = list(iter_train(load_config({**run, "eval": {"every": 2, "select": "places"}}), output=tmp_path))
    evaluations = [event for event in events if isinstance(event, EvaluationDone)]
    best = max(evaluations, key=lambda event: (event.scores.of("places"), -event.step))
    result = events[-1]
    assert isinstance(result, TrainResult)
    assert result.step == best.step
    assert [event.step for event in evaluations] == [2, 4, 6, 8, 10, 12]
    assert [event.step for event in evaluations if event.best][-1] == best.step
    assert len({event.scores.of("places") for event in evaluations}) > 1, "a single candidate"


@pytest.mark.slow
def test_best_models_without_a_checkpoint_are_removed(run: dict[str, Any], tmp_path: Path) -> None:
    """The error on the train rows falls, so there is more than one best model."""
    pairs = run["datasets"]["pairs"]
    files = dict.fromkeys(("train", "validation"), pairs["data"]["files"]["train"])
    tasks = {"grade": {**pairs["tasks"]["grade"], "metrics": ["mse"]}}
    options = {"train.keep": 1, "train.save_every": 1, "eval.every": 1}
    config = load_config(
        {**run, "datasets": {"pairs": {**pairs, "data": {"files": files}, "tasks": tasks}}}, overrides=options
    )
    events = list(iter_train(config, output=tmp_path))
    best = [event.step for event in events if isinstance(event, EvaluationDone) and event.best]
    assert len(best) > 1, "nothing to remove"
    assert [path.name for path in (tmp_path / "best").iterdir()] == [f"step-{best[-1]:06d}"]


@pytest.mark.slow
def test_patience_stops_a_run_early(run: dict[str, Any], tmp_path: Path) -> None:
    options = {"train.lr": 1e-7, "eval.every": 2, "eval.select": "topic", "eval.patience": 2}
    result = train_tiny(run, tmp_path / "out", **options)
    assert metrics(result.output)[-1]["step"] == 6, "one best evaluation, and two without improvement"
    assert checkpoint(result.output, 6).is_dir()
    assert result.result.step == 2
    again = train_tiny(run, result.output, resume=True, **options)
    assert metrics(again.output)[-1]["step"] == 6, "it stays stopped when it is resumed"
    assert again.result == result.result


@pytest.mark.slow
def test_old_checkpoints_are_removed(run: dict[str, Any], tmp_path: Path) -> None:
    result = train_tiny(run, tmp_path / "out", **{"train.save_every": 1, "train.keep": 3, "train.steps": 6})
    assert sorted(path.name for path in (result.output / "checkpoints").iterdir()) == [
        f"step-{step:06d}" for step in (4, 5, 6)
    ]


def test_steps_are_computed_in_training_mode_and_update_the_state(tmp_path: Path, accelerator: Accelerator) -> None:
    train = {"steps": 4, "batch_size": 3, "lr": 1e-3, "precision": "fp32"}
    config = load_config(make_run(tmp_path, rows=10, train=train, sampling={"kind": "proportional"}))
    _, _, trainer = build_run(config, directory=tmp_path / "out", accelerator=accelerator)
    _, second = trainer.plan.next(trainer.plan.start())
    trainer.state = replace(trainer.state, cursor=second)
    steps = []
    for report in trainer.steps():
        assert trainer.model.training
        assert report.step == trainer.state.step
        steps.append(report.step)
        trainer.model.train(False)  # as an evaluation does
    assert steps == [2, 3, 4]
    assert sum(trainer.state.cursor.rows_per_dataset) == 12


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        ({"mean": torch.tensor(1.0)}, r"state\.mean has a value of type Tensor"),
        ({"means": {3: 0.5}}, r"state\.means has the key 3"),
    ],
    ids=["tensor", "key"],
)
def test_a_state_that_a_checkpoint_cannot_keep_is_refused_after_the_first_step(
    state: dict[str, Any], problem: str, tmp_path: Path, accelerator: Accelerator
) -> None:
    config = load_config(make_run(tmp_path, rows=10, weighting={"kind": "scale"}))
    _, _, trainer = build_run(config, directory=tmp_path / "out", accelerator=accelerator)
    trainer.train_step.weighting.state = state
    with pytest.raises(RunError, match=f"Scale: its {problem}"):
        next(trainer.steps())


def test_the_state_of_a_run_round_trips_through_json(uninterrupted: Trained) -> None:
    state = read_json(checkpoint(uninterrupted.output, STEPS) / "state.json")
    added = ("format_version", "config", "data", "encoder_config", "plugins", "pooling")
    again = RunState.from_json(state)
    assert again.to_json() == {key: value for key, value in state.items() if key not in added}
    assert again.cursor.step == STEPS
    assert sum(again.cursor.rows_per_dataset) == STEPS * 6


@pytest.mark.parametrize("key", ["weighting", "best", "cursor"])
def test_the_state_of_another_version_is_refused(uninterrupted: Trained, key: str) -> None:
    state = read_json(checkpoint(uninterrupted.output, STEPS) / "state.json")
    state.pop(key)
    with pytest.raises(RunError, match=r"which run\.json names, or start over"):
        RunState.from_json(state)
