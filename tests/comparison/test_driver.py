"""A comparison from its first run to its report, with interruptions, signals, other configs and other data."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

import nlpmtl
from nlpmtl import CompareResult, ConfigError, RunError, StoppedError
from nlpmtl.comparison import iter_compare
from nlpmtl.comparison.statistics import RESAMPLES
from nlpmtl.run import TrainingStarted, load_config
from nlpmtl.training import EvaluationDone, Message, StepLogged
from tests.tiny import make_run, read_json, train_tiny, weights, write_rows

SEEDS = (5, 6)
SIDES = ("mixture", "alone-topic", "alone-mood")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two tasks, one with 30 rows and one with 10; 10 multi-task steps, so 8 and 3 single-task steps."""
    train = {"steps": 10, "batch_size": 4, "lr": 1e-2, "save_every": 2, "precision": "fp32"}
    run = make_run(tmp_path_factory.mktemp("compared"), rows=30, train=train, eval={"every": 5})
    words, texts = (run["datasets"][name] for name in ("words", "texts"))
    texts["tasks"] = {"mood": {**words["tasks"]["mood"], "metrics": ["accuracy"]}}
    words["tasks"] = {"topic": words["tasks"]["topic"]}
    del run["datasets"]["pairs"]
    return run


@pytest.fixture(scope="module")
def finished(run: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> CompareResult:
    return nlpmtl.compare(run, seeds=2, output=tmp_path_factory.mktemp("whole") / "out")


@pytest.fixture
def copied(finished: CompareResult, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.directory, tmp_path / "copied"))


def without_seconds(directory: Path) -> Any:
    """Return compare.json without the values that differ between equal runs."""
    content = read_json(directory / "compare.json")
    for side in content["cost"].values():
        del side["seconds"]
    del content["config"]["output"]
    return content


def run_directories(result: CompareResult, side: str) -> list[Path]:
    return [result.directory / f"seed-{seed}" / side for seed in SEEDS]


def test_the_result_is_shown_as_a_table(finished: CompareResult) -> None:
    lines = repr(finished).splitlines()
    assert lines[0] == f"CompareResult: {finished.directory}, 2 seeds"
    assert [line.split()[0] for line in lines[1:]] == ["task", "topic", "mood", "mean", "Δm"]
    html = finished._repr_html_()
    assert all(f"<tr><td>{name}</td>" in html for name in ("topic", "mood", "mean", "Δm"))


def test_the_scores_are_those_of_the_runs(finished: CompareResult) -> None:
    assert (finished.seeds, list(finished.tasks)) == (SEEDS, ["topic", "mood"])
    for task, result in finished.tasks.items():
        for condition, name in ((result.multi_task, "mixture"), (result.single_task, f"alone-{task}")):
            scores = [
                read_json(directory / "scores.json")["tasks"][task] for directory in run_directories(finished, name)
            ]
            assert condition.selected.scores == pytest.approx([score["score"] for score in scores])
            assert result.rows == scores[0]["rows"]
            for directory, best in zip(run_directories(finished, name), condition.best.scores, strict=True):
                lines = [json.loads(line) for line in (directory / "evaluations.jsonl").read_text().splitlines()]
                assert best == max(line["tasks"][task]["score"] for line in lines)
        assert result.difference == pytest.approx(result.multi_task.selected.mean - result.single_task.selected.mean)
    assert finished["topic"].multi_task.selected.scores != finished["topic"].single_task.selected.scores, (
        "else the conditions could be swapped"
    )


def test_the_interval_is_that_of_its_rows(finished: CompareResult) -> None:
    """Recompute it from answers.json."""
    correct = {}
    for side in ("mixture", "alone-topic"):
        predictions = [
            read_json(directory / "answers.json")["answered"]["topic"] for directory in run_directories(finished, side)
        ]
        correct[side] = np.array([np.equal(seed["predicted"], seed["gold"]) for seed in predictions])
    seed = int.from_bytes(hashlib.sha256(b"topic").digest())
    generator = np.random.Generator(np.random.PCG64(seed))
    rows = correct["mixture"].shape[1]
    row_differences = (correct["mixture"].astype(float) - correct["alone-topic"]).mean(axis=0)
    differences = [row_differences[generator.integers(rows, size=rows)].mean() for _ in range(RESAMPLES)]
    interval = finished["topic"].interval
    assert interval == pytest.approx(tuple(np.quantile(differences, [0.025, 0.975])))
    assert interval is not None
    assert interval[0] < interval[1]


def test_passes_steps_and_size(finished: CompareResult) -> None:
    topic, mood = finished["topic"], finished["mood"]
    assert (topic.multi_task.steps, topic.single_task.steps, mood.single_task.steps) == (10, 8, 3)
    assert (topic.single_task.passes, mood.single_task.passes) == (8 * 4 / 30, 3 * 4 / 10)
    assert (30 * topic.multi_task.passes + 10 * mood.multi_task.passes) == pytest.approx(10 * 4)
    model = run_directories(finished, "mixture")[0] / "model"
    parameters = sum(math.prod(value.shape) for value in weights(model).values())
    assert (finished.multi_task_cost.models, finished.multi_task_cost.parameters) == (1, parameters)
    assert finished.multi_task_cost.size == (model / "model.safetensors").stat().st_size
    assert finished.single_task_cost.models == 2
    assert parameters < finished.single_task_cost.parameters < 2 * parameters
    lines = (run_directories(finished, "mixture")[0] / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 10
    assert finished.multi_task_cost.seconds > 0.5 * sum(json.loads(line)["seconds"] for line in lines)


def test_a_single_task_run_is_a_normal_run(run: dict[str, Any], finished: CompareResult, tmp_path: Path) -> None:
    """The same run from a config written by hand is equal, bit for bit."""
    config = {
        **run,
        "seed": 6,
        "datasets": {"words": run["datasets"]["words"]},
        "train": {**run["train"], "steps": 8},
        "eval": {"every": 4},
    }
    trained = train_tiny(config, tmp_path / "out")
    directory = run_directories(finished, "alone-topic")[1]
    assert read_json(directory / "scores.json") == read_json(trained.output / "scores.json")
    assert (directory / "evaluations.jsonl").read_bytes() == (trained.output / "evaluations.jsonl").read_bytes()


def test_files_kept_of_the_runs(finished: CompareResult) -> None:
    for side in SIDES:
        for directory in run_directories(finished, side):
            names = {"run.json", "metrics.jsonl", "evaluations.jsonl", "scores.json", "answers.json", "report.html"}
            assert {path.name for path in directory.iterdir()} == names | ({"model"} if side == "mixture" else set())
    model = nlpmtl.Predictor.from_pretrained(run_directories(finished, "mixture")[0] / "model")
    assert set(model.predict_all("a good book")) == {"topic", "mood"}


def test_the_report(finished: CompareResult) -> None:
    assert read_json(finished.directory / "compare.json") == json.loads(json.dumps(finished.to_json()))
    assert matplotlib.image.imread(finished.directory / "compare.png").ndim == 3
    text = (finished.directory / "compare.md").read_text(encoding="utf-8")
    topic = finished["topic"]
    assert f"| topic | accuracy | {topic.rows} | {topic.single_task.selected.mean:.4f} ± " in text
    assert "| mean |  |  | " in text
    assert {name: task.metric for name, task in finished.tasks.items()} == {"topic": "accuracy", "mood": "accuracy"}
    assert "## Selected checkpoints and best evaluations" in text
    assert "checkpoints were selected on the same validation rows" in text
    assert "](compare.png)" in text
    last = [read_json(directory / "scores.json")["step"] == 10 for directory in run_directories(finished, "mixture")]
    assert f"task 'topic': an interval over {topic.rows} rows is too narrow; use at least 20" in finished.notes
    assert any("last evaluation of the multi-task model was its best" in note for note in finished.notes) == all(last)
    assert finished.mean("single_task").mean == pytest.approx(
        np.mean([task.single_task.selected.mean for task in finished.tasks.values()])
    )


def test_finished_runs_are_not_repeated(run: dict[str, Any], finished: CompareResult, copied: Path) -> None:
    written = (copied / "compare.json").read_bytes()
    for name in ("json", "md", "png"):
        (copied / f"compare.{name}").unlink()
    for name in ("seed-5/.DS_Store", "seed-6/notes.txt", "relate.json"):
        (copied / name).write_text("")
    events = list(iter_compare(load_config(run), seeds=2, output=copied))
    assert all(isinstance(event, Message) for event in events[:-1]), "nothing was trained"
    assert events[-1].tasks == finished.tasks  # type: ignore[union-attr]
    assert (copied / "compare.json").read_bytes() == written.replace(
        str(finished.directory).encode(), str(copied).encode()
    )
    assert (copied / "compare.md").read_bytes() == (finished.directory / "compare.md").read_bytes()


@pytest.mark.slow
def test_a_note_on_all_runs_is_reported_once(
    run: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    events = iter_compare(load_config(run), seeds=1, output=tmp_path / "out")
    notes = [event.notes for event in events if isinstance(event, TrainingStarted)]
    assert len(notes) == 3
    reported = [note for started in notes for note in started]
    assert len([note for note in reported if "ACCELERATE_MIXED_PRECISION" in note]) == 1
    assert len({*reported}) == len(reported)


@pytest.mark.slow
def test_a_comparison_may_be_interrupted_repeatedly(run: dict[str, Any], finished: CompareResult, copied: Path) -> None:
    """Interrupt at every second evaluation, so that steps after the last checkpoint are lost; seed 5 is finished."""
    shutil.rmtree(copied / "seed-6")
    (copied / "compare.json").unlink()
    config, interruptions, started = load_config(run), 0, 0
    while not (copied / "compare.json").exists():
        events, evaluations = iter_compare(config, seeds=2, output=copied), 0
        for event in events:
            started += isinstance(event, TrainingStarted)
            evaluations += isinstance(event, EvaluationDone)
            if evaluations == 2:
                break
        events.close()  # type: ignore[attr-defined]
        interruptions += 1
        assert interruptions < 10
    assert (interruptions, started) == (6, 8), "saved steps of the second seed are not repeated"
    assert without_seconds(copied) == without_seconds(finished.directory)


@pytest.mark.slow
def test_a_kill_in_the_middle_of_a_run(
    run: dict[str, Any], finished: CompareResult, copied: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(copied / "seed-6")
    (copied / "compare.json").unlink()
    code = f"""
import os, signal
from nlpmtl.comparison import iter_compare
from nlpmtl.run import load_config
from nlpmtl.training import EvaluationDone

evaluations = 0
for event in iter_compare(load_config({run!r}), seeds=2, output={str(copied)!r}):
    evaluations += isinstance(event, EvaluationDone)
    if evaluations == 3:
        os.kill(os.getpid(), signal.SIGKILL)
"""
    result = subprocess.run([sys.executable, "-c", code], check=False)
    assert result.returncode == -signal.SIGKILL
    broken = copied / "seed-6" / "alone-topic"
    assert {path.name for path in (broken / "checkpoints").iterdir()} == {"step-000000", "step-000002"}
    assert not (broken / "answers.json").exists()
    capfd.readouterr()
    nlpmtl.compare(run, seeds=2, output=copied)
    assert "run 4 of 6: seed 6, multi-task" in capfd.readouterr().err
    assert without_seconds(copied) == without_seconds(finished.directory)


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_with_a_hint_how_to_resume(
    run: dict[str, Any], tmp_path: Path, signal_number: signal.Signals
) -> None:
    def compare() -> None:
        for event in iter_compare(load_config(run), seeds=2, output=tmp_path):
            if isinstance(event, StepLogged) and event.metrics["step"] == 4:
                signal.raise_signal(signal_number)

    with pytest.raises(StoppedError) as stopped:
        compare()
    message = "seed 5, multi-task: stopped after step 5 of 10; run the same command again to resume"
    assert (str(stopped.value), stopped.value.exit_code) == (message, 128 + signal_number)
    checkpoints = tmp_path / "seed-5" / "mixture" / "checkpoints"
    assert max(path.name for path in checkpoints.iterdir()) == "step-000005"


def test_runs_of_another_config_are_refused(run: dict[str, Any], copied: Path) -> None:
    with pytest.raises(RunError, match=r"seed-5/mixture holds a finished run of another.*train\.lr \(was 0\.01,"):
        nlpmtl.compare(run, seeds=2, output=copied, train={"lr": 1e-3})
    shutil.rmtree(copied / "seed-5" / "mixture")
    with pytest.raises(RunError, match=r"seed-5/alone-topic holds a finished run of another config"):
        nlpmtl.compare(run, seeds=2, output=copied, train={"lr": 1e-3})
    assert not (copied / "seed-5" / "mixture").exists(), "refused before anything is trained"


@pytest.mark.parametrize("damage", ["", "{}", '{"answered": 3}', "[]"])
def test_a_damaged_summary_is_refused(run: dict[str, Any], copied: Path, damage: str) -> None:
    (copied / "seed-6" / "alone-mood" / "answers.json").write_text(damage, encoding="utf-8")
    with pytest.raises(RunError, match="seed-6/alone-mood: finished run cannot be read"):
        nlpmtl.compare(run, seeds=2, output=copied)


def test_other_validation_rows_are_refused(run: dict[str, Any], copied: Path) -> None:
    path = copied / "seed-6" / "alone-topic" / "answers.json"
    summary = read_json(path)
    summary["answered"]["topic"]["gold"][0] = 1 - min(1, summary["answered"]["topic"]["gold"][0])
    path.write_text(json.dumps(summary), encoding="utf-8")
    with pytest.raises(RunError, match="task 'topic': the gold labels of the validation split differ between the runs"):
        nlpmtl.compare(run, seeds=2, output=copied)


def test_configs_that_cannot_be_compared(run: dict[str, Any], tmp_path: Path) -> None:
    one_task = {**run, "datasets": {"words": run["datasets"]["words"]}}
    with pytest.raises(ConfigError, match="nothing to compare: the run has only one task, 'topic'"):
        nlpmtl.compare(one_task, output=tmp_path)
    train = {
        name: {**dataset, "data": {"files": {"train": dataset["data"]["files"]["train"]}}}
        for name, dataset in run["datasets"].items()
    }
    with pytest.raises(ConfigError, match="no task has labelled validation rows"):
        nlpmtl.compare({**run, "datasets": train}, output=tmp_path)
    with pytest.raises(ConfigError, match="seeds: must be at least 1, found 0"):
        nlpmtl.compare(run, seeds=0, output=tmp_path)
    with pytest.raises(ConfigError, match="no output directory: set output"):
        nlpmtl.compare({key: value for key, value in run.items() if key != "output"})
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["words", "texts"])
def test_runs_of_other_data_are_refused(run: dict[str, Any], copied: Path, tmp_path: Path, dataset: str) -> None:
    """Also for a finished run, and for a single-task run of that dataset."""
    if dataset == "texts":
        for seed in SEEDS:  # without the multi-task runs, the single-task runs are checked
            shutil.rmtree(copied / f"seed-{seed}" / "mixture")
    config = run["datasets"][dataset]
    path = Path(config["data"]["files"]["validation"])
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    moved = write_rows(tmp_path / "moved.jsonl", rows)
    files = {**config["data"]["files"], "validation": str(moved)}
    other = {**run, "datasets": {**run["datasets"], dataset: {**config, "data": {"files": files}}}}
    if dataset == "words":
        nlpmtl.compare(other, seeds=2, output=copied)  # the same rows in another file
    write_rows(moved, [{**rows[0], "text": "a new text", "tokens": ["a", "new", "text"]}, *rows[1:]])
    task = "topic" if dataset == "words" else "mood"
    directory = "mixture" if dataset == "words" else f"alone-{task}"
    with pytest.raises(
        RunError, match=f"{directory} was trained on different data[^$]*dataset '{dataset}', split 'validation'"
    ):
        nlpmtl.compare(other, seeds=2, output=copied)


@pytest.mark.slow
def test_tasks_outside_the_mean_score_are_left_out_of_delta(run: dict[str, Any], tmp_path: Path) -> None:
    masked = {"from": ["texts"], "tasks": {"masked": {"kind": "masked_lm"}}}
    datasets = {"texts": run["datasets"]["texts"], "masked": masked}
    result = nlpmtl.compare({**run, "datasets": datasets}, seeds=1, output=tmp_path / "out", train={"steps": 4})
    assert list(result.tasks) == ["mood", "masked"]
    assert result.tasks["masked"].change is not None
    assert result.delta == result.tasks["mood"].change
    assert result.mean("multi_task").mean == result.tasks["mood"].multi_task.selected.mean
    excluded = "task 'masked': its score is excluded from the mean and from Δm, as from the mean score of a run"
    assert excluded in result.notes
