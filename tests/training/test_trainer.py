"""A run that was interrupted and went on is the run that was not interrupted."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator

from nlpmtl.errors import RunError
from nlpmtl.run import TrainingStarted, TrainResult, build_run, iter_train, load_config
from nlpmtl.training import EvaluationDone, RunState, StepLogged, read_lines
from tests.tiny import Trained, apart, checkpoint, digest, interrupt, make_run, metrics, read_json, train_tiny

STEPS = 12


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """With dropout, and with a sampler whose batches are mixed."""
    train = {"steps": STEPS, "batch_size": 6, "lr": 1e-3, "save_every": 4, "precision": "fp32"}
    sampling = {"kind": "temperature", "temperature": 2.0}
    return make_run(tmp_path_factory.mktemp("fit"), rows=30, train=train, sampling=sampling, eval={"every": 4})


@pytest.fixture(scope="module")
def whole(run: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_tiny(run, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def broken_off(run: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of the steps 0 and 4; steps up to 8 are in metrics.jsonl, and evaluated."""
    output = tmp_path_factory.mktemp("broken") / "out"
    interrupt(run, output, at=8)
    return output


def copy(output: Path, to: Path) -> Path:
    shutil.copytree(output, to)
    return to


def assert_same(one: Path, two: Path) -> None:
    last = checkpoint(one, STEPS).name
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert digest(one / "checkpoints" / last, name) == digest(two / "checkpoints" / last, name), name
    assert digest(one / "model") == digest(two / "model")
    assert read_json(one / "scores.json") == read_json(two / "scores.json")
    kept = [
        [(m["step"], m["loss"], m["losses"], m["lr"], m["tokens"]) for m in metrics(output)] for output in (one, two)
    ]
    assert kept[0] == kept[1]
    assert read_lines(one / "evaluations.jsonl") == read_lines(two / "evaluations.jsonl")
    assert all(digest(one / "model/images", path.name) == digest(path.parent, path.name) for path in drawn(two))


def drawn(output: Path) -> list[Path]:
    """The pictures of a finished run."""
    found = sorted((output / "model" / "images").iterdir())
    assert len(found) == 6, "the learning curve and five tasks"
    return found


def start(run: dict[str, Any], output: Path) -> TrainingStarted:
    """The first event of a resumed run, which then takes no step."""
    events = iter_train(load_config(run), output=output, resume=True)
    first = next(events)
    events.close()  # type: ignore[attr-defined]
    assert isinstance(first, TrainingStarted)
    return first


def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(
    run: dict[str, Any], whole: Trained, broken_off: Path, tmp_path: Path
) -> None:
    output = copy(broken_off, tmp_path / "out")
    assert [path.name for path in sorted((output / "checkpoints").iterdir())] == ["step-000000", "step-000004"]
    assert metrics(output)[-1]["step"] == 8
    result = train_tiny(run, output, resume=True).result
    assert_same(whole.output, output)
    assert result.scores == whole.result.scores
    assert result.step == whole.result.step


def test_a_run_interrupted_twice_is_the_uninterrupted_one(
    run: dict[str, Any], whole: Trained, broken_off: Path, tmp_path: Path
) -> None:
    output = copy(broken_off, tmp_path / "out")
    interrupt(run, output, at=12, resume=True)
    assert start(run, output).step == 12, "the last step is saved before it is evaluated"
    train_tiny(run, output, resume=True)
    assert_same(whole.output, output)


def test_resume_on_an_empty_output_starts_and_says_so(run: dict[str, Any], whole: Trained, tmp_path: Path) -> None:
    first = start(run, tmp_path / "new")
    assert (first.step, first.total) == (0, STEPS)
    assert any("starting from scratch" in note for note in first.notes)
    train_tiny(run, tmp_path / "new", resume=True)
    assert_same(whole.output, tmp_path / "new")


def test_a_finished_run_resumed_answers_again(run: dict[str, Any], whole: Trained, tmp_path: Path) -> None:
    output = copy(whole.output, tmp_path / "out")
    again = train_tiny(run, output, resume=True).result
    assert (again.scores, again.step) == (whole.result.scores, whole.result.step)
    assert_same(whole.output, output)


def test_a_damaged_newest_checkpoint_is_passed_over_and_said(
    run: dict[str, Any], whole: Trained, broken_off: Path, tmp_path: Path
) -> None:
    output = copy(broken_off, tmp_path / "out")
    file = checkpoint(output, 4) / "optimizer.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    first = start(run, output)
    assert first.step == 0
    assert any(note.startswith("skipped") and "step-000004" in note and "damaged" in note for note in first.notes)
    train_tiny(run, output, resume=True)
    assert_same(whole.output, output)


def test_all_checkpoints_damaged_is_an_error(run: dict[str, Any], broken_off: Path, tmp_path: Path) -> None:
    output = copy(broken_off, tmp_path / "out")
    for step in (0, 4):
        (checkpoint(output, step) / "model.safetensors").unlink()
    with pytest.raises(RunError, match="no checkpoint is intact"):
        start(run, output)


def test_another_config_is_refused_with_the_key_that_differs(run: dict[str, Any], broken_off: Path) -> None:
    with pytest.raises(RunError, match=r"train\.lr \(was 0\.001, is 0\.002\)"):
        start({**run, "train": {**run["train"], "lr": 2e-3}}, broken_off)
    with pytest.raises(RunError, match=r"datasets\.texts"):
        start({**run, "datasets": {k: v for k, v in run["datasets"].items() if k != "texts"}}, broken_off)


def test_an_output_that_holds_a_run_is_refused_without_resume(run: dict[str, Any], broken_off: Path) -> None:
    before = sorted(path.stat().st_mtime_ns for path in broken_off.rglob("*"))
    with pytest.raises(RunError, match="--resume"):
        train_tiny(run, broken_off)
    assert before == sorted(path.stat().st_mtime_ns for path in broken_off.rglob("*"))


def test_the_first_checkpoint_stands_before_the_first_step(run: dict[str, Any], tmp_path: Path) -> None:
    events = iter_train(load_config({**run, "train": {**run["train"], "batch_size": 1}}), output=tmp_path)
    assert isinstance(next(events), TrainingStarted)
    assert isinstance(next(events), StepLogged)
    events.close()  # type: ignore[attr-defined]
    state = read_json(checkpoint(tmp_path, 0) / "state.json")
    assert state["cursor"] == {"step": 0, "picks": [0, 0, 0], "memory": {}}


def test_the_best_model_is_kept(run: dict[str, Any], tmp_path: Path) -> None:
    """With a score that stays as it is the first evaluated model is the best, and the run goes on without it."""
    options = {"train.lr": 1e-7, "eval.select": "topic", "train.keep": 1}
    done = train_tiny(run, tmp_path / "out", **options)
    assert done.result.step == 4
    assert [path.name for path in (done.output / "best").iterdir()] == ["step-000004"]
    assert apart(done.output / "best" / "step-000004", done.model_dir) == 0.0
    assert apart(checkpoint(done.output, STEPS), done.model_dir) > 0.0
    assert read_json(done.output / "scores.json")["step"] == 4


def test_a_task_can_select_the_best_model(whole: Trained, run: dict[str, Any], tmp_path: Path) -> None:
    events = list(iter_train(load_config({**run, "eval": {"every": 2, "select": "places"}}), output=tmp_path))
    seen = [event for event in events if isinstance(event, EvaluationDone)]
    best = max(seen, key=lambda event: (event.scores.of("places"), -event.step))
    result = events[-1]
    assert isinstance(result, TrainResult)
    assert result.step == best.step
    assert [event.step for event in seen] == [2, 4, 6, 8, 10, 12]
    assert [event.step for event in seen if event.best][-1] == best.step
    assert len({event.scores.of("places") for event in seen}) > 1, "nothing to choose between"


def test_best_models_that_no_checkpoint_knows_of_are_removed(run: dict[str, Any], tmp_path: Path) -> None:
    """The error on the rows that it trains on falls, so there is more than one best model."""
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


def test_patience_stops_a_run_early(run: dict[str, Any], tmp_path: Path) -> None:
    options = {"train.lr": 1e-7, "eval.every": 2, "eval.select": "topic", "eval.patience": 2}
    done = train_tiny(run, tmp_path / "out", **options)
    assert metrics(done.output)[-1]["step"] == 6, "one that was best, and two that were not better"
    assert checkpoint(done.output, 6).is_dir()
    assert done.result.step == 2
    again = train_tiny(run, done.output, resume=True, **options)
    assert metrics(again.output)[-1]["step"] == 6, "it stays stopped when it is resumed"
    assert again.result == done.result


def test_no_more_checkpoints_than_asked_for(run: dict[str, Any], tmp_path: Path) -> None:
    done = train_tiny(run, tmp_path / "out", **{"train.save_every": 1, "train.keep": 3, "train.steps": 6})
    assert sorted(path.name for path in (done.output / "checkpoints").iterdir()) == [
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


def test_the_state_of_a_run_is_plain_json(whole: Trained) -> None:
    state = read_json(checkpoint(whole.output, STEPS) / "state.json")
    added = ("format_version", "config", "data", "plugins")
    again = RunState.from_json(state)
    assert again.to_json() == {key: value for key, value in state.items() if key not in added}
    assert again.cursor.step == STEPS
    assert sum(again.cursor.rows_per_dataset) == STEPS * 6


@pytest.mark.parametrize("key", ["weighting", "best", "cursor"])
def test_a_state_of_another_version_says_so(whole: Trained, key: str) -> None:
    state = read_json(checkpoint(whole.output, STEPS) / "state.json")
    state.pop(key)
    with pytest.raises(RunError, match=r"which run\.json names, or start over"):
        RunState.from_json(state)
