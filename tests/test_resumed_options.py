"""Resumed runs remember their options, and may be extended."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import nlpmtl
from nlpmtl import RunError
from nlpmtl.comparison import iter_compare
from nlpmtl.run import TrainingStarted, TrainResult, load_config, run_events
from nlpmtl.training import EvaluationDone, recordable_overrides
from tests.tiny import checkpoint, make_run, metrics, read_json, train_tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    train = {"steps": 4, "batch_size": 4, "lr": 1e-3, "save_every": 2, "precision": "fp32"}
    run = make_run(tmp_path_factory.mktemp("options"), rows=30, train=train, eval={"every": 2})
    run["datasets"] = {name: run["datasets"][name] for name in ("texts", "pairs")}
    del run["output"]
    return run


@pytest.fixture(scope="module")
def finished(run: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(run, tmp_path_factory.mktemp("finished") / "out").output


def start(run: dict[str, Any], output: Path, overrides: dict[str, Any], *, resume: bool = False) -> None:
    nlpmtl.train(run, output=output, resume=resume, **overrides)


def resumed(run: dict[str, Any], output: Path, **overrides: Any) -> tuple[TrainingStarted, TrainResult]:
    from nlpmtl.run import load_run

    config, laid = load_run(run, output=output, resume=True, overrides=overrides)
    first, *_, last = run_events(config, output=output, resume=True, overrides=laid)
    assert isinstance(first, TrainingStarted)
    assert isinstance(last, TrainResult)
    return first, last


@pytest.mark.slow
def test_overrides_need_not_be_repeated(run: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    start(run, out, {"seed": 9, "train": {"lr": 2e-3}, "eval.select": "grade"})
    recorded = read_json(out / "run.json")["overrides"]
    assert recorded == {"seed": 9, "train.lr": 2e-3, "eval.select": "grade"}
    first, _ = resumed(run, out)
    assert first.step == 4
    config = read_json(out / "run.json")["config"]
    assert (config["seed"], config["train"]["lr"], config["eval"]["select"]) == (9, 2e-3, "grade")
    assert read_json(out / "run.json")["overrides"] == recorded
    start(run, out, {"train.lr": 2e-3}, resume=True)
    with pytest.raises(RunError, match=r"changed keys: train\.lr \(was 0\.002, is 0\.003\)"):
        start(run, out, {"train.lr": 3e-3}, resume=True)
    start(run, out, {"train.keep": 1}, resume=True)
    assert read_json(out / "run.json")["overrides"] == {**recorded, "train.keep": 1}


@pytest.mark.slow
def test_the_output_may_be_the_config_s(run: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nlpmtl.train({**run, "output": "out"}, seed=9)
    assert nlpmtl.train({**run, "output": "out"}, resume=True).step > 0
    assert read_json(tmp_path / "out" / "run.json")["seed"] == 9


def test_paths_that_were_overridden_are_found_from_elsewhere(
    run: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(run["datasets"]["texts"]["data"]["files"]["train"])
    encoder = Path(run["encoder"]["name"])
    monkeypatch.chdir(source.parent)
    (encoder.parent / "other").mkdir(exist_ok=True)
    names = {"datasets.texts.data.files.train": source.name, "encoder.name": f"../../{encoder.name}"}
    start(run, tmp_path / "out", names)
    monkeypatch.chdir(tmp_path)
    first, _ = resumed(run, tmp_path / "out")
    assert first.step == 4
    recorded = read_json(tmp_path / "out" / "run.json")["overrides"]
    assert recorded == {"datasets.texts.data.files.train": str(source), "encoder.name": str(encoder)}


@pytest.mark.slow
def test_a_list_of_files_that_was_overridden_is_found_from_elsewhere(
    run: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(run["datasets"]["texts"]["data"]["files"]["train"])
    shutil.copy(source, source.with_name("more.jsonl"))
    monkeypatch.chdir(source.parent)
    start(run, tmp_path / "out", {"datasets.texts.data.files.train": [source.name, "more.jsonl"]})
    monkeypatch.chdir(tmp_path)
    first, _ = resumed(run, tmp_path / "out")
    assert first.step == 4


@pytest.mark.slow
def test_a_dataset_file_that_was_overridden(
    run: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = run["datasets"]["texts"]["data"]["files"]
    source = f'files = {{ train = "{files["train"]}", validation = "{files["validation"]}" }}'
    task = '[tasks.kinds]\nkind = "multilabel"\nlabel = "kinds"'
    text = f'[data]\n{source}\n[input]\ntext = "text"\n{task}\n'
    (tmp_path / "texts.toml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    start({**run, "datasets": {"texts": {}}}, tmp_path / "out", {"datasets.texts.extends": "texts.toml"})
    monkeypatch.chdir("/")
    first, _ = resumed({**run, "datasets": {"texts": {}}}, tmp_path / "out")
    assert first.step == 4


def test_rows_in_memory_are_not_recorded(run: dict[str, Any], tmp_path: Path) -> None:
    rows = [{"text": "a cat", "kinds": ["x", "y", "z"]}] * 3
    start(run, tmp_path / "out", {"seed": 2, "datasets.texts.data.files.train": rows})
    assert read_json(tmp_path / "out" / "run.json")["overrides"] == {"seed": 2}


def test_lists_of_tables_are_recorded_except_rows() -> None:
    phases = [{"datasets": ["a"], "until": 0.5}, {}]
    rows = [{"text": "a cat"}]
    overrides = {"sampling.phases": phases, "datasets.a.data.files.train": rows, "datasets.b.data": {"files": rows}}
    config = {"sampling": {"kind": "curriculum", "phases": phases}}
    assert recordable_overrides(overrides, config=config) == {"sampling.phases": phases}


def test_a_finished_run_is_extended(run: dict[str, Any], finished: Path, tmp_path: Path) -> None:
    out = shutil.copytree(finished, tmp_path / "out")
    first, last = resumed(run, out, **{"train.steps": 8})
    assert (first.step, first.total) == (4, 8)
    notes = [note for note in first.notes if "differs from that of a run with this length" in note]
    assert len(notes) == 1
    assert notes[0].startswith("train.steps was 4, is 8: ")
    lines = metrics(out)
    assert [line["step"] for line in lines] == list(range(1, 9))
    assert lines[3]["lr"] < lines[4]["lr"], "the schedule has eight steps"
    assert lines[7]["lr"] < lines[4]["lr"]
    assert checkpoint(out, 8).exists()
    assert last.scores is not None
    again, _ = resumed(run, out)
    assert (again.step, again.total) == (8, 8), "its length is recorded"
    assert not any("length" in note for note in again.notes)
    by_epochs, _ = resumed(run, out, **{"train.epochs": 2})
    assert (by_epochs.step, by_epochs.total) == (8, 14)
    assert (resumed(run, out)[0].total, len(metrics(out))) == (14, 14)


@pytest.mark.slow
def test_an_extended_run_continues_with_the_next_rows(run: dict[str, Any], tmp_path: Path) -> None:
    """With a constant learning rate and no dropout, it equals a run with that length from the start."""
    constant = {**run, "train": {**run["train"], "schedule": "constant", "warmup": 0.0}}
    long = train_tiny(constant, tmp_path / "long", **{"train.steps": 8})
    train_tiny(constant, tmp_path / "out")
    resumed(constant, tmp_path / "out", **{"train.steps": 8})
    assert [line["losses"] for line in metrics(tmp_path / "out")] == [line["losses"] for line in metrics(long.output)]


def test_fewer_steps_than_were_taken_are_refused(run: dict[str, Any], finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "out")
    with pytest.raises(RunError, match="the checkpoint is at step 4, past the 3 steps of the config"):
        resumed(run, tmp_path / "out", **{"train.steps": 3})


@pytest.mark.slow
def test_extending_a_run_that_patience_stopped_is_reported(run: dict[str, Any], tmp_path: Path) -> None:
    patient = {**run, "train": {**run["train"], "lr": 1e-9}, "eval": {"every": 1, "patience": 1}}
    train_tiny(patient, tmp_path / "out")
    first, last = resumed(patient, tmp_path / "out", **{"train.steps": 8})
    assert first.step == len(metrics(tmp_path / "out")) == 2
    assert first.notes[-1] == "eval.patience = 1 stopped this run at step 2 of 8: it computes no more steps"
    assert last.scores is not None


def test_a_comparison_is_not_extended(run: dict[str, Any], tmp_path: Path) -> None:
    events = iter_compare(load_config(run), seeds=1, output=tmp_path / "out")
    for event in events:
        if isinstance(event, EvaluationDone):
            break
    events.close()  # type: ignore[attr-defined]
    with pytest.raises(RunError, match=r"train\.steps \(was 4, is 6\)"):
        nlpmtl.compare(run, seeds=1, output=tmp_path / "out", train={"steps": 6})


def test_a_new_run_never_removes_files_of_an_earlier_one(run: dict[str, Any], finished: Path, tmp_path: Path) -> None:
    out = shutil.copytree(finished, tmp_path / "out")
    shutil.rmtree(out / "checkpoints")
    for name in ("run.json", "metrics.jsonl", "evaluations.jsonl"):
        (out / name).unlink()
    before = sorted((str(path), path.stat().st_mtime_ns) for path in out.rglob("*"))
    for resume in (False, True):
        with pytest.raises(RunError, match=r"best, model, report\.html, scores\.json"):
            nlpmtl.train(run, output=out, resume=resume)
    assert sorted((str(path), path.stat().st_mtime_ns) for path in out.rglob("*")) == before


def test_a_comparison_is_refused_in_a_directory_with_other_files(run: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"is not empty and not a comparison; found: notes\.txt"):
        nlpmtl.compare(run, seeds=1, output=tmp_path)


@pytest.mark.parametrize("name", ["seed-list.txt", "compare.json", "seed-5", "seed-5/notes.txt", "seed-one/run/a.txt"])
def test_files_with_the_names_of_a_comparison_are_not_one(run: dict[str, Any], tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("{}")
    with pytest.raises(RunError, match=r"is not empty and not a comparison; found: "):
        nlpmtl.compare(run, seeds=1, output=tmp_path)
