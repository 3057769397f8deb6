"""Training runs from a config to their outputs, and evaluation of their models."""

from __future__ import annotations

import importlib.util
import json
import math
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest
import torch
import yaml

import nlpmtl
from nlpmtl import ConfigError, DataError, Predictor, RunError
from nlpmtl.run import EvaluationDone, StageProgress, TrainingStarted, TrainResult, iter_train, load_config
from nlpmtl.training import StepLogged, resolve_precision
from tests.tiny import (
    Trained,
    checkpoint,
    digest,
    make_rows,
    make_run,
    max_weight_difference,
    metrics,
    read_json,
    train_tiny,
    weights,
)

SHORT = {"steps": 4, "batch_size": 6, "lr": 1e-3, "save_every": 4, "precision": "fp32"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_run(tmp_path_factory.mktemp("run"), rows=20, train=SHORT)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run without dropout, in double precision."""
    train = {**SHORT, "precision": "fp64"}
    return make_run(tmp_path_factory.mktemp("plain"), rows=20, dropout=0.0, train=train)


def rows_in(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def without(run: dict[str, Any], split: str) -> dict[str, Any]:
    """Return the run without one of its splits."""
    filtered = {}
    for name, dataset in run["datasets"].items():
        files = {key: value for key, value in dataset["data"]["files"].items() if key != split}
        filtered[name] = {**dataset, "data": {"files": files}}
    return {**run, "datasets": filtered}


def test_the_same_seed_gives_the_same_weights_bit_for_bit(run: dict[str, Any], tmp_path: Path) -> None:
    """With dropout."""
    first, second, other = (
        train_tiny(run, tmp_path / name, seed=seed) for name, seed in (("a", 5), ("b", 5), ("c", 6))
    )
    assert digest(first.model_dir) == digest(second.model_dir)
    assert digest(first.model_dir) != digest(other.model_dir)
    assert [line["losses"] for line in metrics(first.output)] == [line["losses"] for line in metrics(second.output)]


@pytest.mark.slow
def test_dropout_is_on_where_the_encoder_has_it(run: dict[str, Any], plain: dict[str, Any], tmp_path: Path) -> None:
    """Otherwise random numbers for dropout would have no effect, and the test of seeds would be weaker."""
    losses = [metrics(train_tiny(r, tmp_path / n).output)[0]["loss"] for r, n in ((run, "a"), (plain, "b"))]
    assert abs(losses[0] - losses[1]) > 1e-6


def test_the_events_of_a_run(run: dict[str, Any], tmp_path: Path) -> None:
    events = list(iter_train(load_config(run, overrides={"train.steps": 12, "eval.every": 6}), output=tmp_path))
    names = [type(event).__name__ for event in events]
    steps = ["StepLogged", "StepLogged", "EvaluationDone"]  # to the next save, then to the next evaluation
    assert names == ["TrainingStarted", *steps, *steps, "TrainResult"]
    assert isinstance(events[0], TrainingStarted)
    assert (events[0].total, events[0].step) == (12, 0)
    assert isinstance(events[-1], TrainResult)
    assert events[-1].model_dir == tmp_path / "model"
    long = list(
        iter_train(
            load_config(run, overrides={"train.steps": 12, "train.save_every": 50, "eval.every": 50}),
            output=tmp_path / "long",
        )
    )
    progressed = [event for event in long if isinstance(event, StepLogged)]
    assert [event.metrics["step"] for event in progressed] == [10, 12]


def test_the_output_of_a_run(trained: Trained) -> None:
    names = {path.name for path in trained.output.iterdir()}
    assert names == {
        "run.json",
        "metrics.jsonl",
        "evaluations.jsonl",
        "scores.json",
        "report.html",
        "checkpoints",
        "best",
        "model",
    }


@pytest.mark.slow
def test_run_json_is_enough_to_run_it_again(trained: Trained, tmp_path: Path) -> None:
    facts = read_json(trained.output / "run.json")
    assert {"config", "seed", "precision", "processes", "threads", "device", "machine", "versions"} <= facts.keys()
    assert (facts["seed"], facts["processes"]) == (5, 1)
    assert facts["precision"] == "fp32"
    assert load_config(facts["config"]) == load_config(trained.run)
    again = train_tiny(facts["config"], tmp_path / "again")
    assert digest(again.model_dir) == digest(trained.model_dir)


def test_run_json_records_the_resolved_precision(run: dict[str, Any], tmp_path: Path) -> None:
    events = iter_train(load_config(run, overrides={"train.precision": "auto"}), output=tmp_path)
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert read_json(tmp_path / "run.json")["precision"] == resolve_precision("auto") != "auto"


def test_scores_json(trained: Trained) -> None:
    scores = read_json(trained.output / "scores.json")
    assert set(scores) == {"step", "split", "tasks", "mean"}
    assert (scores["step"], scores["split"]) == (trained.result.step, "validation")
    tasks = scores["tasks"]
    assert set(tasks) == {"topic", "mood", "places", "grade", "kinds"}
    assert set(tasks["topic"]) == {"accuracy", "score", "rows"}
    assert set(tasks["mood"]) == {"accuracy_macro_f1", "accuracy", "macro_f1", "mae", "score", "rows"}
    assert tasks["mood"]["score"] == pytest.approx((tasks["mood"]["accuracy"] + tasks["mood"]["macro_f1"]) / 2)
    assert tasks["grade"]["score"] == pytest.approx((tasks["grade"]["pearsonr"] + tasks["grade"]["spearmanr"]) / 2)
    assert scores["mean"] == pytest.approx(sum(task["score"] or 0.0 for task in tasks.values()) / 5)
    for dataset, column, task in (
        ("words", "topic", "topic"),
        ("words", "tags", "places"),
        ("pairs", "grade", "grade"),
    ):
        rows = rows_in(trained.run["datasets"][dataset]["data"]["files"]["validation"])
        assert tasks[task]["rows"] == sum(row[column] is not None for row in rows)
    assert trained.result.scores is not None
    assert trained.result.scores.to_json() == {"tasks": tasks, "mean": scores["mean"]}
    assert trained.result.scores["topic"]["accuracy"] == tasks["topic"]["accuracy"]


def test_metrics_jsonl(trained: Trained) -> None:
    lines = metrics(trained.output)
    assert [line["step"] for line in lines] == list(range(1, 61))
    for line in lines:
        assert set(line) == {"step", "loss", "losses", "lr", "tokens", "tokens_per_second", "seconds"}
        assert set(line["losses"]) <= {"topic", "mood", "places", "grade", "kinds"}
        assert line["tokens"] > 0


def test_training_learns(tmp_path: Path) -> None:
    """The tags follow from the words, so a trained encoder predicts them."""
    train = {"steps": 80, "batch_size": 16, "lr": 5e-3, "save_every": 80, "precision": "fp32"}
    run = make_run(tmp_path, rows=80, dropout=0.0, train=train, eval={"every": 80})
    words = run["datasets"]["words"]
    words["tasks"] = {"places": words["tasks"]["places"]}
    run["datasets"] = {"words": words}
    result = train_tiny(run).result
    assert result.scores is not None
    assert result.scores.mean > 0.9
    spans = Predictor.from_pretrained(result.model_dir).predict("ada lives in turin", task="places")
    assert [(span["word"], span["entity_group"]) for span in spans] == [("ada", "person"), ("turin", "place")]


@pytest.mark.slow
def test_rows_from_python_train_the_same_weights_as_files(run: dict[str, Any], tmp_path: Path) -> None:
    """Lists of dicts, a datasets.Dataset and a DataFrame, in place of the files of the same rows."""

    makers: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
        "list": list,
        "dataset": datasets.Dataset.from_list,
        "frame": pd.DataFrame,
    }

    expected = digest(train_tiny(run, tmp_path / "files").model_dir)
    for kind, make in makers.items():
        held = {
            name: {
                **dataset,
                "data": {"files": {split: make(rows_in(path)) for split, path in dataset["data"]["files"].items()}},
            }
            for name, dataset in run["datasets"].items()
        }
        result = train_tiny({**run, "datasets": held}, tmp_path / kind)
        assert digest(result.model_dir) == expected, kind
        recorded = read_json(result.output / "run.json")["config"]["datasets"]["words"]["data"]["files"]["train"]
        assert "in memory" in recorded


def test_without_a_validation_split_the_last_model_is_kept(run: dict[str, Any], tmp_path: Path) -> None:
    result = train_tiny(without(run, "validation"), tmp_path / "out")
    assert result.result.scores is None
    assert result.result.step == 4
    assert not (result.output / "scores.json").exists()
    assert not (result.model_dir / "scores.json").exists()
    assert max_weight_difference(checkpoint(result.output, 4), result.model_dir) == 0.0
    assert "Not evaluated" in (result.model_dir / "README.md").read_text(encoding="utf-8")


def test_a_share_of_train_can_be_the_validation_split(run: dict[str, Any], tmp_path: Path) -> None:
    held = without(run, "validation")
    held["datasets"] = {"words": {**held["datasets"]["words"]}}
    held["datasets"]["words"]["data"] = {**held["datasets"]["words"]["data"], "validation": 0.25}
    scores = train_tiny(held, tmp_path / "out").result.scores
    assert scores is not None
    assert 0 < int(scores["topic"]["rows"] or 0) <= 5


def test_selecting_on_a_task_without_validation_rows_is_refused(run: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"eval\.select: task 'grade' has no labelled validation rows"):
        train_tiny({**without(run, "validation"), "eval": {"select": "grade"}}, tmp_path / "out")
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_a_task_in_two_datasets_is_one_head(run: dict[str, Any], tmp_path: Path) -> None:
    task = {"topic": {"kind": "classification", "label": "topic"}}
    datasets = {name: {**run["datasets"][name], "tasks": task} for name in ("words", "texts")}
    datasets["words"]["input"] = {"text": "text"}
    result = train_tiny({**run, "datasets": datasets, "train": {**SHORT, "batch_size": 30}}, tmp_path / "out")
    heads = {name.split(".")[1] for name in weights(result.model_dir) if name.startswith("heads.")}
    assert heads == {"topic_head"}
    labelled = [
        sum(row["topic"] is not None for row in rows_in(dataset["data"]["files"]["validation"]))
        for dataset in datasets.values()
    ]
    assert result.result.scores is not None
    assert result.result.scores["topic"]["rows"] == sum(labelled)


def test_freeze_leaves_the_encoder_untouched(run: dict[str, Any], tmp_path: Path) -> None:
    result = train_tiny(run, tmp_path / "out", encoder={"freeze": True})
    before, after = weights(checkpoint(result.output, 0)), weights(result.model_dir)
    for name in before:
        if name.startswith("sharing."):
            assert torch.equal(before[name], after[name]), name
    assert not torch.equal(before["heads.topic_head.out.weight"], after["heads.topic_head.out.weight"])


@pytest.mark.slow
def test_gradient_checkpointing_gives_the_same_weights(plain: dict[str, Any], tmp_path: Path) -> None:
    plain_result = train_tiny(plain, tmp_path / "without")
    checkpointed = train_tiny(plain, tmp_path / "with", **{"encoder.gradient_checkpointing": True})
    assert max_weight_difference(checkpoint(plain_result.output, 4), checkpoint(checkpointed.output, 4)) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("batches", ["mixed", "single"])
def test_class_weights_and_smoothing_change_the_weights(plain: dict[str, Any], tmp_path: Path, batches: str) -> None:
    words = plain["datasets"]["words"]
    weighted = {"class_weights": {"animals": 5.0}}
    changed = [
        {**words, "tasks": {**words["tasks"], "topic": {**words["tasks"]["topic"], **options}}}
        for options in ({}, weighted, {"label_smoothing": 0.3})
    ]
    outputs = [
        train_tiny(
            {**plain, "datasets": {"words": words}, "sampling": {"kind": "uniform", "batches": batches}},
            tmp_path / str(i),
        )
        for i, words in enumerate(changed)
    ]
    losses = {round(metrics(result.output)[0]["losses"]["topic"], 6) for result in outputs}
    assert len(losses) == 3
    assert len({round(metrics(result.output)[0]["losses"]["mood"], 9) for result in outputs}) == 1


@pytest.mark.parametrize("name", [n for n in ("trackio", "wandb", "mlflow") if importlib.util.find_spec(n) is None])
def test_a_tracker_that_is_not_installed_is_named(run: dict[str, Any], tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"pip install 'nlpmtl\[{name}\]'"):
        train_tiny(run, tmp_path / "out", **{"train.trackers": [name]})
    assert not (tmp_path / "out").exists()


def test_tensorboard_writes_into_the_run_directory_and_gets_the_config(run: dict[str, Any], tmp_path: Path) -> None:
    train_tiny(run, tmp_path / "out", **{"train.trackers": ["tensorboard"]})
    assert list((tmp_path / "out").rglob("events.out.tfevents*"))
    (stored,) = (tmp_path / "out").rglob("hparams.yml")
    config = yaml.safe_load(stored.read_text(encoding="utf-8"))
    assert (config["seed"], config["train.steps"], config["datasets.texts.tasks.kinds.kind"]) == (5, 4, "multilabel")


def test_a_non_finite_loss_ends_the_run_before_a_checkpoint(run: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(
        RunError,
        match=r"step [2-9]: a loss or gradient is not finite[^$]*jsonl:\d+: the loss of task '\w+' is (nan|inf)",
    ):
        train_tiny(run, tmp_path / "out", **{"train.lr": 1e30, "train.steps": 12, "train.save_every": 12})
    assert [path.name for path in (tmp_path / "out" / "checkpoints").iterdir()] == ["step-000000"]
    lines = metrics(tmp_path / "out")
    assert lines, "earlier steps are reported"
    assert all(math.isfinite(line["loss"]) for line in lines)


def test_an_output_is_required(run: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="output"):
        nlpmtl.train({key: value for key, value in run.items() if key != "output"})


def test_a_missing_plugin_is_named(run: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="plugins: 'no_such_module' cannot be imported"):
        load_config({**run, "plugins": ["no_such_module"]})


def test_overrides_are_tables_or_dotted_keys(run: dict[str, Any]) -> None:
    config = load_config(run, overrides={"train.lr": 3e-5, "eval.select": "topic"})
    assert (config.train.lr, config.train.steps, config.eval.select) == (3e-5, 4, "topic")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp64"])
def test_an_explicit_precision_is_kept(precision: str) -> None:
    assert resolve_precision(precision) == precision
    assert resolve_precision("auto") in ("fp32", "bf16")


def test_steps_of_an_epoch(run: dict[str, Any], tmp_path: Path) -> None:
    train = {"batch_size": 6, "epochs": 2}
    events = iter_train(load_config({**run, "train": train}), output=tmp_path)
    first = next(events)
    events.close()  # type: ignore[attr-defined]
    assert isinstance(first, TrainingStarted)
    assert first.total == 2 * 6, "20 + 10 + 6 rows are 6 batches of 6"


def test_evaluate_gives_the_scores_of_training(trained: Trained) -> None:
    scores = nlpmtl.evaluate(trained.model_dir, trained.run)
    assert trained.result.scores is not None
    for task, values in trained.result.scores.tasks.items():
        assert scores[task] == pytest.approx(values, abs=1e-3), task
    rows = rows_in(trained.run["datasets"]["words"]["data"]["files"]["train"])
    labelled = sum(row["topic"] is not None for row in rows)
    assert nlpmtl.evaluate(trained.model_dir, trained.run, split="train")["topic"]["rows"] == labelled


def test_evaluate_reads_a_dataset_file(trained: Trained, tmp_path: Path) -> None:
    files = trained.run["datasets"]["texts"]["data"]["files"]
    path = tmp_path / "texts.toml"
    path.write_text(
        f'[data]\nfiles = {{ test = "{files["validation"]}" }}\n[input]\ntext = "text"\n'
        '[tasks.kinds]\nkind = "multilabel"\nlabel = "kinds"\n'
    )
    scores = nlpmtl.evaluate(trained.model_dir, path, split="test")
    assert set(scores.tasks) == {"kinds"}
    assert trained.result.scores is not None
    assert scores["kinds"]["micro_f1"] == pytest.approx(trained.result.scores["kinds"]["micro_f1"], abs=1e-3)


def test_evaluate_reports_labels_unknown_to_the_model(trained: Trained) -> None:
    words = trained.run["datasets"]["words"]
    rows = rows_in(words["data"]["files"]["validation"])
    rows[0]["topic"] = "zebras"
    topic = {"topic": words["tasks"]["topic"]}
    scores = nlpmtl.evaluate(
        trained.model_dir,
        {**trained.run, "datasets": {"words": {**words, "tasks": topic, "data": {"files": {"test": rows}}}}},
        split="test",
    )
    assert scores.notes == ("words, test: labels unknown to task 'topic', scored as errors: zebras",)


def test_evaluate_refuses_an_unknown_task_and_an_unknown_split(trained: Trained) -> None:
    with pytest.raises(ConfigError, match="no dataset has a split 'test'"):
        nlpmtl.evaluate(trained.model_dir, trained.run, split="test")
    texts = trained.run["datasets"]["texts"]
    renamed = {**trained.run, "datasets": {"texts": {**texts, "tasks": {"sorts": texts["tasks"]["kinds"]}}}}
    with pytest.raises(ConfigError, match=r"task 'sorts' \(multilabel\) is not in this model, which has: .*kinds"):
        nlpmtl.evaluate(trained.model_dir, renamed)
    other = {**texts["tasks"]["kinds"], "kind": "classification", "label": "topic"}
    renamed = {**trained.run, "datasets": {"texts": {**texts, "tasks": {"kinds": other}}}}
    with pytest.raises(ConfigError, match=r"task 'kinds' \(classification\) is not in this model"):
        nlpmtl.evaluate(trained.model_dir, renamed)


def test_a_task_without_labelled_train_rows_is_refused(run: dict[str, Any], tmp_path: Path) -> None:
    texts = run["datasets"]["texts"]
    rows = [{**row, "kinds": None} for row in make_rows(8)]
    empty = {**texts, "data": {"files": {"train": rows}}}
    empty["tasks"] = {"kinds": {**texts["tasks"]["kinds"], "labels": ["x", "y", "z"]}}
    with pytest.raises(ConfigError, match="task 'kinds': no train row has a label for it"):
        train_tiny({**run, "datasets": {"texts": empty}}, tmp_path / "out")


def test_an_input_longer_than_the_encoder_reads_is_refused(run: dict[str, Any], tmp_path: Path) -> None:
    long = {**run, "encoder": {**run["encoder"], "max_length": 129}}
    with pytest.raises(ConfigError, match=r"encoder\.max_length: .* reads at most 128 tokens, found 129"):
        nlpmtl.train(long, output=tmp_path / "out")


def test_a_column_with_two_label_types_is_refused(run: dict[str, Any], tmp_path: Path) -> None:
    texts = run["datasets"]["texts"]
    tasks = {"stars": {"kind": "classification", "label": "grade"}, "grade": {"kind": "regression", "label": "grade"}}
    with pytest.raises(
        ConfigError, match=r"datasets\.texts: the column 'grade' is read in two ways, as class and as number"
    ):
        train_tiny({**run, "datasets": {"texts": {**texts, "tasks": tasks}}}, tmp_path / "out")


def test_data_without_a_train_split_are_refused(run: dict[str, Any], tmp_path: Path) -> None:
    texts = run["datasets"]["texts"]
    files = {"training": texts["data"]["files"]["train"]}
    with pytest.raises(ConfigError, match="no dataset has a split `train`; splits found: training"):
        train_tiny({**run, "datasets": {"texts": {**texts, "data": {"files": files}}}}, tmp_path / "out")


def test_validation_rows_without_a_label_are_no_validation(run: dict[str, Any], tmp_path: Path) -> None:
    texts = run["datasets"]["texts"]
    files = {**texts["data"]["files"], "validation": [{"text": "a cat"}, {"text": "a dog"}]}
    config = {**run, "datasets": {"texts": {**texts, "data": {"files": files}}}, "eval": {"every": 1, "patience": 1}}
    events = list(iter_train(load_config(config), output=tmp_path))
    assert isinstance(events[0], TrainingStarted)
    assert events[0].notes == ("task 'kinds' has no labelled validation rows: it is trained, but not scored",)
    assert isinstance(events[-1], TrainResult)
    assert (events[-1].scores, events[-1].step) == (None, 4), "the last model is saved"


def test_a_split_without_labels_cannot_be_scored(trained: Trained) -> None:
    texts = trained.run["datasets"]["texts"]
    hidden = {**texts, "data": {"files": {"test": [{"text": "a cat", "kinds": None}]}}}
    with pytest.raises(DataError, match="no row of the split 'test' has a label"):
        nlpmtl.evaluate(trained.model_dir, {**trained.run, "datasets": {"texts": hidden}}, split="test")


def test_evaluate_refuses_another_input_type(trained: Trained) -> None:
    words, texts = trained.run["datasets"]["words"], trained.run["datasets"]["texts"]
    places = {"places": {**words["tasks"]["places"]}}
    for other, message in (
        (
            {**words, "input": {"text": "text"}, "tasks": places},
            "task 'places' of this model reads words, the dataset has text",
        ),
        (
            {**texts, "input": {"text": "text", "pair": "other"}},
            "task 'kinds' of this model reads text, the dataset has pair",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            nlpmtl.evaluate(trained.model_dir, {**trained.run, "datasets": {"other": other}})


def test_a_resumed_run_keeps_its_precision(run: dict[str, Any], tmp_path: Path) -> None:
    events = iter_train(load_config(run, overrides={"train.precision": "auto"}), output=tmp_path)
    next(events)
    events.close()  # type: ignore[attr-defined]
    facts = read_json(tmp_path / "run.json")
    (tmp_path / "run.json").write_text(json.dumps({**facts, "precision": "fp64"}))
    events = iter_train(load_config(run, overrides={"train.precision": "auto"}), output=tmp_path, resume=True)
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert read_json(tmp_path / "run.json")["precision"] == "fp64"


def test_a_resumed_run_starts_with_its_earlier_evaluations(run: dict[str, Any], tmp_path: Path) -> None:
    config = load_config(run, overrides={"train.steps": 2, "train.save_every": 1, "eval.every": 1})
    events = iter_train(config, output=tmp_path)
    evaluation = next(event for event in events if isinstance(event, EvaluationDone))
    next(events)  # the checkpoint of this step is saved
    events.close()  # type: ignore[attr-defined]
    events = iter_train(config, output=tmp_path, resume=True)
    started = next(events)
    events.close()  # type: ignore[attr-defined]
    assert isinstance(started, TrainingStarted)
    assert started.evaluations == ({"step": evaluation.step, **evaluation.scores.to_json()},)


@pytest.mark.slow
def test_train_keeps_no_event_but_the_last(
    run: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that are not referenced can be garbage collected."""
    alive: list[weakref.ref[Any]] = []
    peak = 0

    def watched(*args: Any, **options: Any) -> Iterator[Any]:
        nonlocal peak
        for event in iter_train(*args, **options):
            alive.append(weakref.ref(event))
            yield event
            del event
            peak = max(peak, sum(reference() is not None for reference in alive))

    monkeypatch.setattr("nlpmtl.run.iter_train", watched)
    nlpmtl.train(run, output=tmp_path / "out", train={"steps": 40, "batch_size": 2})
    assert len(alive) > 4
    assert peak <= 2


def test_events_and_the_result_of_train(
    run: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events: list[Any] = []
    result = nlpmtl.train(run, output=tmp_path / "out", eval={"every": 2}, on_event=events.append)
    assert events[-1] is result
    stages = [event.stage for event in events if isinstance(event, StageProgress) and event.seconds is not None]
    assert stages[:3] == ["loading the encoder", "tokenizing", "evaluating"]
    assert set(stages) == result.seconds.keys() >= {"training", "calibrating", "scoring", "drawing plots", "writing"}
    assert [event.step for event in events if isinstance(event, EvaluationDone)] == [2, 4]
    lines = capsys.readouterr().err.splitlines()
    kept = [line.partition(":")[0] for line in lines if ": " in line]  # those without are about a stage of ten seconds
    assert [start for start in kept if "/" not in start] == ["training", "step 2", "step 4", "time"]
    assert result.scores is not None
    history = pd.DataFrame(result.history)
    assert history["step"].tolist() == [1, 2, 3, 4]
    assert history["loss"].tolist() == [line["loss"] for line in metrics(tmp_path / "out")]
    scores = history["score/mean"].dropna()
    assert scores.index.tolist() == [1, 3]
    assert scores.max() == pytest.approx(result.scores.mean, abs=0.5)
    assert {f"loss/{task}" for task in result.scores.tasks} <= set(history.columns)
    assert result.plot().format == "PNG"
    assert result.predictor is result.predictor
    assert [line.split()[0] for line in repr(result.predictor).splitlines()[1:]] == [
        f"{name}:" for name in result.predictor.tasks
    ]
    assert repr(result).splitlines()[1:] == repr(result.scores).splitlines()
    nlpmtl.train(run, output=tmp_path / "silent", progress=False)
    assert capsys.readouterr() == ("", "")


def test_the_history_of_a_run_that_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = TrainResult(None, Path("out/model"), step=4)
    for read in (lambda: result.history, result.plot):
        with pytest.raises(
            RunError, match=r"^out/metrics\.jsonl cannot be read: .*; the path is relative to the working dir"
        ):
            read()


def test_a_function_for_events_is_callable(run: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="on_event: a function was expected, found 'x'"):
        nlpmtl.train(run, output=tmp_path / "out", on_event="x")  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_function_that_raises_ends_the_run(run: dict[str, Any], tmp_path: Path) -> None:
    def stop(event: Any) -> None:
        if isinstance(event, StepLogged):
            raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        nlpmtl.train(run, output=tmp_path / "out", on_event=stop)
    events = list(nlpmtl.iter_train(run, output=tmp_path / "out", resume=True))
    assert isinstance(events[-1], TrainResult)
