"""A run resumes only with the data that it was started with."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import nlpmtl
from nlpmtl import RunError
from nlpmtl.config import plain_config
from nlpmtl.run import TrainingStarted, iter_train, load_config
from tests.slow import slow_except
from tests.tiny import checkpoint, make_run, read_json, write_rows

Rows = list[dict[str, Any]]
PLUGIN = """
from nlpmtl.metrics import Metric
from nlpmtl.registry import METRICS

@METRICS.register("always_{name}")
class Always(Metric):
    name = "always_{name}"
    reads = frozenset({{"label"}})

    def score(self, predictions, references):
        return {value}
"""


def rows_of(count: int) -> Rows:
    moods = ["negative", "neutral", "positive"]
    texts = [f"{a} {b}" for a in ("cat", "dog", "lamp", "kettle") for b in ("sings", "runs", "sleeps", "today")]
    return [{"text": texts[i % len(texts)], "mood": moods[i % 3], "grade": i / 2} for i in range(count)]


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory on the import path."""
    directory = tmp_path_factory.mktemp("plugins")
    sys.path.append(str(directory))
    yield directory
    sys.path.remove(str(directory))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, plugins: Path) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("same")
    (plugins / "module_of_metrics.py").write_text(PLUGIN.format(name="half", value=0.5))
    run = make_run(directory, rows=4, train={"steps": 2, "batch_size": 4, "save_every": 1, "precision": "fp32"})
    files = {
        split: str(write_rows(directory / f"{split}.jsonl", rows_of(count)))
        for split, count in (("train", 12), ("validation", 6))
    }
    tasks: dict[str, Any] = {
        "mood": {"kind": "classification", "label": "mood", "metrics": ["accuracy", "always_half"]},
        "grade": {"kind": "regression", "label": "grade"},
    }
    run["datasets"] = {"notes": {"data": {"files": files}, "input": {"text": "text"}, "tasks": tasks}}
    run["plugins"] = ["module_of_metrics"]
    return run


@pytest.fixture(scope="module")
def output(run: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two steps."""
    output = tmp_path_factory.mktemp("output") / "out"
    events: Any = iter_train(load_config(run), output=output)
    for _event in events:
        if checkpoint(output, 2).exists():
            break
    events.close()
    return output


def resumed(run: dict[str, Any], output: Path) -> tuple[str, ...]:
    """Return the notes of a resumed run without further steps."""
    events: Any = iter_train(load_config(run), output=output, resume=True)
    first = next(events)
    events.close()
    assert isinstance(first, TrainingStarted)
    assert first.step == 2
    return first.notes


def with_rows(run: dict[str, Any], **splits: Any) -> dict[str, Any]:
    notes = run["datasets"]["notes"]
    files = {**notes["data"]["files"], **splits}
    return {
        **run,
        "datasets": {"notes": {**notes, "data": {"files": {k: v for k, v in files.items() if v is not None}}}},
    }


def replaced(rows: Rows, row: int, **values: Any) -> Rows:
    return [{**row_values, **values} if i == row else row_values for i, row_values in enumerate(rows)]


def renamed(rows: Rows) -> Rows:
    names = {"negative": "z", "neutral": "m", "positive": "a"}
    return [{**row, "mood": names[row["mood"]]} for row in rows]


CHANGES: dict[str, tuple[Callable[[Rows], Rows], str]] = {
    "a changed text": (lambda rows: replaced(rows, 4, text="cat runs today"), "the texts changed"),
    "a changed label": (lambda rows: replaced(rows, 4, mood="positive"), "the labels of task 'mood' changed"),
    "a changed number": (lambda rows: replaced(rows, 4, grade=9.25), "the labels of task 'grade' changed"),
    "a label taken away": (lambda rows: replaced(rows, 4, grade=None), "the labels of task 'grade' changed"),
    "added rows": (lambda rows: [*rows, rows[0]], "rows {0} → {1}"),
    "removed rows": (lambda rows: rows[:-1], "rows {0} → {1}"),
    "reordered rows": (lambda rows: [*rows[1:], rows[0]], "the same rows are in another order"),
    "both columns": (
        lambda rows: replaced(rows, 4, text="a", mood="positive"),
        "the texts and the labels of task 'mood' changed",
    ),
}


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("what", slow_except(CHANGES, "a changed text", "a changed label", "reordered rows"))
def test_changed_rows_are_refused(run: dict[str, Any], output: Path, split: str, what: str) -> None:
    change, message = CHANGES[what]
    before = rows_of(12 if split == "train" else 6)
    now = change(before)
    with pytest.raises(RunError) as error:
        resumed(with_rows(run, **{split: now}), output)
    assert f"dataset 'notes', split '{split}': {message.format(len(before), len(now))}\n" in str(error.value)
    assert "step-000002 was trained on different data" in str(error.value)
    assert str(error.value).count("dataset ") == 1


def test_renamed_labels_are_refused(run: dict[str, Any], output: Path) -> None:
    with pytest.raises(RunError) as error:
        resumed(with_rows(run, train=renamed(rows_of(12)), validation=renamed(rows_of(6))), output)
    lines = str(error.value).splitlines()
    assert lines[1:4] == [
        "dataset 'notes', task 'mood': label list ['negative', 'neutral', 'positive'] → ['a', 'm', 'z']",
        "dataset 'notes', split 'train': the labels of task 'mood' changed",
        "dataset 'notes', split 'validation': the labels of task 'mood' changed",
    ]


def test_a_file_rewritten_with_other_labels_is_refused(run: dict[str, Any], output: Path) -> None:
    """The path and the config are unchanged."""
    paths = {split: Path(path) for split, path in run["datasets"]["notes"]["data"]["files"].items()}
    before = {path: path.read_bytes() for path in paths.values()}
    try:
        write_rows(paths["train"], replaced(rows_of(12), 4, text="cat runs today"))
        with pytest.raises(RunError, match=r"split 'train': the texts changed"):
            resumed(run, output)
        for split, count in (("train", 12), ("validation", 6)):
            write_rows(paths[split], renamed(rows_of(count)))
        with pytest.raises(RunError, match=r"split 'train': the labels of task 'mood' changed"):
            resumed(run, output)
    finally:
        for path, content in before.items():
            path.write_bytes(content)


def test_a_label_list_that_only_the_source_orders_is_compared(run: dict[str, Any], output: Path) -> None:
    import datasets

    names = ["positive", "neutral", "negative"]
    features = {
        "text": datasets.Value("string"),
        "mood": datasets.ClassLabel(names=names),
        "grade": datasets.Value("float64"),
    }
    held = {
        split: datasets.Dataset.from_list(rows_of(count), features=datasets.Features(features))
        for split, count in (("train", 12), ("validation", 6))
    }
    with pytest.raises(
        RunError, match=r"task 'mood': label list \['negative', .*\] → \['positive', 'neutral', 'negative'\]"
    ):
        resumed(with_rows(run, **held), output)


@pytest.mark.parametrize(("validation", "message"), [(None, "the split is missing; it had 6 rows")])
def test_a_missing_split_is_refused(run: dict[str, Any], output: Path, validation: None, message: str) -> None:
    with pytest.raises(RunError, match=f"dataset 'notes', split 'validation': {message}"):
        resumed(with_rows(run, validation=validation), output)


def test_the_same_rows_from_another_source_are_accepted(run: dict[str, Any], output: Path, tmp_path: Path) -> None:
    with (tmp_path / "moved.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ["grade", "mood", "text"])
        table.writeheader()
        table.writerows(rows_of(12))
    moved = write_rows(tmp_path / "validation.jsonl", [{**row, "id": i} for i, row in enumerate(rows_of(6))])
    for train, validation in ((tmp_path / "moved.csv", moved), (rows_of(12), pd.DataFrame(rows_of(6)))):
        notes = resumed(with_rows(run, train=train, validation=validation), output)
        assert notes == (f"resuming from {checkpoint(output, 2)}",)


def test_changed_rows_in_memory_are_refused(run: dict[str, Any], tmp_path: Path) -> None:
    rows = rows_of(12)
    held = with_rows(run, train=rows)
    nlpmtl.train(held, output=tmp_path / "out")
    rows[3]["text"] = "one two"
    with pytest.raises(RunError, match="split 'train': the texts changed"):
        nlpmtl.train(held, output=tmp_path / "out", resume=True)


def test_a_changed_tokenizer_is_refused(run: dict[str, Any], output: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(run["encoder"]["name"], tmp_path / "encoder")
    path = copied / "tokenizer.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace('"lowercase": true', '"lowercase": false').replace('"cat"', '"tac"')
    )
    resumed_output = tmp_path / "out"
    shutil.copytree(output, resumed_output)
    for file in resumed_output.glob("checkpoints/*/state.json"):
        state = read_json(file)
        state["config"]["encoder"]["name"] = str(copied)
        _rewrite(file, state)
    with pytest.raises(RunError, match="the encoder's tokenizer splits the same texts into other tokens"):
        resumed({**run, "encoder": {**run["encoder"], "name": str(copied)}}, resumed_output)


def _rewrite(file: Path, state: dict[str, Any]) -> None:
    """Replace the state of a checkpoint, which stays intact."""
    import hashlib

    file.write_text(json.dumps(state), encoding="utf-8")
    manifest = file.with_name("manifest.json")
    listed = read_json(manifest)
    if "state.json" in listed["sha256"]:
        listed["sha256"]["state.json"] = hashlib.sha256(file.read_bytes()).hexdigest()
        manifest.write_text(json.dumps(listed), encoding="utf-8")


def test_a_checkpoint_without_fingerprints_resumes_with_a_note(
    run: dict[str, Any], output: Path, tmp_path: Path
) -> None:
    """It has no fingerprints, and keys that were added later have their defaults."""
    resumed_output = tmp_path / "out"
    shutil.copytree(output, resumed_output)
    file = checkpoint(resumed_output, 2) / "state.json"
    state = read_json(file)
    for key in ("data", "encoder_config", "plugins"):
        del state[key]
    del state["config"]["train"]["max_grad_norm"], state["config"]["eval"]["patience"], state["config"]["weighting"]
    _rewrite(file, state)
    notes = resumed(run, resumed_output)
    assert any("does not contain fingerprints of its data" in note for note in notes)
    with pytest.raises(RunError, match=r"train\.max_grad_norm \(was None, is 0\.5\)"):
        resumed({**run, "train": {**run["train"], "max_grad_norm": 0.5}}, resumed_output)
    with pytest.raises(RunError, match=r"datasets\.notes\.data\.files\.train"):
        resumed(with_rows(run, train=rows_of(12)), resumed_output)


def test_changed_plugin_code_is_reported(run: dict[str, Any], output: Path, plugins: Path) -> None:
    file = plugins / "module_of_metrics.py"
    before = file.read_text()
    try:
        file.write_text(PLUGIN.format(name="half", value=0.75))
        notes = resumed(run, output)
    finally:
        file.write_text(before)
    message = [note for note in notes if note.startswith("plugins: the code of 'module_of_metrics' has changed")]
    assert len(message) == 1
    assert len(resumed(run, output)) == 1, "but not if it is the same"


def test_the_digest_of_a_plugin_package_covers_all_files(plugins: Path) -> None:
    from nlpmtl.plugins import digest_plugins

    package = plugins / "package_of_metrics"
    package.mkdir()
    (package / "__init__.py").write_text("import package_of_metrics.inner\n")
    (package / "inner.py").write_text("x = 1\n")
    __import__("package_of_metrics")
    before = digest_plugins(["package_of_metrics", "no_such_module"])
    assert list(before) == ["package_of_metrics"]
    (package / "inner.py").write_text("x = 2\n")
    assert digest_plugins(["package_of_metrics"]) != before


def test_the_digest_of_a_plugin_module_covers_what_it_imports_from_its_directory(plugins: Path) -> None:
    from nlpmtl.plugins import digest_plugins

    for name, imports in (
        ("outer", "import json, middle_one"),
        ("middle_one", "from inner_one import x"),
        ("other", ""),
    ):
        (plugins / f"{name}.py").write_text(imports + "\n")
    (plugins / "inner_one.py").write_text("x = 1\n")
    __import__("outer")
    before = digest_plugins(["outer"])
    (plugins / "other.py").write_text("x = 3\n")
    assert digest_plugins(["outer"]) == before
    (plugins / "inner_one.py").write_text("x = 2\n")
    assert digest_plugins(["outer"]) != before


def test_the_digest_of_a_module_in_a_package_covers_the_package(plugins: Path) -> None:
    from nlpmtl.plugins import digest_module, digest_plugins

    package = plugins / "package_of_types" / "inner"
    package.mkdir(parents=True)
    (package / "types.py").write_text("from package_of_types import text\n")
    (package.parent / "text.py").write_text("x = 1\n")
    __import__("package_of_types.inner.types")
    name = "package_of_types.inner.types"
    before = digest_plugins([name])
    (package.parent / "text.py").write_text("x = 2\n")
    assert digest_plugins([name]) != before
    assert digest_plugins([name])[name] == digest_module("package_of_types")


def test_a_key_unknown_to_an_older_run_has_its_default(run: dict[str, Any]) -> None:
    from nlpmtl.training import config_diff

    now = plain_config(load_config(run), output=Path("out"))
    for path in (
        "train.on_bad_step",
        "sampling.batches",
        "encoder.freeze",
        "datasets.notes.data.license",
        "datasets.notes.tasks.mood.labels",
    ):
        before = json.loads(json.dumps(now))
        table = before
        *tables, last = path.split(".")
        for name in tables:
            table = table[name]
        del table[last]
        assert config_diff(before, now, free=()) == [], path


def test_a_dataset_that_is_new_in_the_config_is_not_a_default(run: dict[str, Any]) -> None:
    from nlpmtl.training import config_diff

    now = plain_config(load_config(run), output=Path("out"))
    before = json.loads(json.dumps(now))
    now["datasets"]["more"] = now["datasets"]["notes"]
    assert any(
        line.startswith("datasets.more.input.text ") for line in config_diff(before, now, free=(), data_known=True)
    )


def test_another_config_of_the_encoder_is_refused(run: dict[str, Any], output: Path, tmp_path: Path) -> None:
    """Its weights come from the checkpoint, so its config must be the one that they were trained with."""
    file = Path(run["encoder"]["name"]) / "config.json"
    before = file.read_text()
    file.write_text(json.dumps({**json.loads(before), "hidden_act": "relu", "_comment": "text", "architectures": []}))
    try:
        with pytest.raises(RunError, match=r"changed keys: hidden_act \(was 'gelu', is 'relu'\)\nRestore the encoder"):
            resumed(run, output)
    finally:
        file.write_text(before)
    file.write_text(json.dumps({**json.loads(before), "architectures": ["BertForMaskedLM"], "_comment": "text"}))
    try:
        resumed(run, output)
    finally:
        file.write_text(before)


def test_missing_fingerprints_are_not_an_error() -> None:
    from nlpmtl.training import check_same_data

    empty: dict[str, Any] = {"data": {"labels": {}, "splits": {}}, "encoder_config": {}, "plugins": {}}
    assert check_same_data(empty, empty, run=Path("out")) == []


def test_datasets_and_tasks_keep_their_order(run: dict[str, Any], output: Path, tmp_path: Path) -> None:
    """Checkpoints and samplers use the indices of datasets and tasks."""
    notes = run["datasets"]["notes"]
    turned = {**notes, "tasks": dict(reversed(notes["tasks"].items()))}
    with pytest.raises(RunError, match=r"the order of datasets\.notes\.tasks \(was mood, grade, is grade, mood\)"):
        resumed({**run, "datasets": {"notes": turned}}, output)
    others = {"others": {**notes, "tasks": {"mood": notes["tasks"]["mood"]}}, "notes": notes}
    nlpmtl.train({**run, "datasets": others}, output=tmp_path / "out")
    with pytest.raises(RunError, match=r"changed keys: the order of datasets \(was others, notes, is notes, others\)"):
        nlpmtl.train({**run, "datasets": dict(reversed(others.items()))}, output=tmp_path / "out", resume=True)
