"""A run is resumed with the data that it was started with, or not at all."""

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


def rows_of(many: int) -> Rows:
    moods = ["negative", "neutral", "positive"]
    texts = [f"{a} {b}" for a in ("cat", "dog", "lamp", "kettle") for b in ("sings", "runs", "sleeps", "today")]
    return [{"text": texts[i % len(texts)], "mood": moods[i % 3], "grade": i / 2} for i in range(many)]


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory that modules are imported from."""
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
        split: str(write_rows(directory / f"{split}.jsonl", rows_of(many)))
        for split, many in (("train", 12), ("validation", 6))
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
    """A run that took both of its steps."""
    output = tmp_path_factory.mktemp("output") / "out"
    events = iter_train(load_config(run), output=output)
    for _event in events:
        if checkpoint(output, 2).exists():
            break
    events.close()  # type: ignore[attr-defined]
    return output


def resumed(run: dict[str, Any], output: Path) -> tuple[str, ...]:
    """The notes of a run that is resumed, and takes no step."""
    events = iter_train(load_config(run), output=output, resume=True)
    first = next(events)
    events.close()  # type: ignore[attr-defined]
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
    return [{**one, **values} if i == row else one for i, one in enumerate(rows)]


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
@pytest.mark.parametrize("what", CHANGES)
def test_other_rows_are_refused(run: dict[str, Any], output: Path, split: str, what: str) -> None:
    change, told = CHANGES[what]
    before = rows_of(12 if split == "train" else 6)
    now = change(before)
    with pytest.raises(RunError) as error:
        resumed(with_rows(run, **{split: now}), output)
    assert f"dataset 'notes', split '{split}': {told.format(len(before), len(now))}\n" in str(error.value)
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


def test_a_file_that_is_rewritten_with_other_labels_is_noticed(run: dict[str, Any], output: Path) -> None:
    """The path stays, and so does the config."""
    paths = {split: Path(path) for split, path in run["datasets"]["notes"]["data"]["files"].items()}
    before = {path: path.read_bytes() for path in paths.values()}
    try:
        write_rows(paths["train"], replaced(rows_of(12), 4, text="cat runs today"))
        with pytest.raises(RunError, match=r"split 'train': the texts changed"):
            resumed(run, output)
        for split, many in (("train", 12), ("validation", 6)):
            write_rows(paths[split], renamed(rows_of(many)))
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
        split: datasets.Dataset.from_list(rows_of(many), features=datasets.Features(features))
        for split, many in (("train", 12), ("validation", 6))
    }
    with pytest.raises(
        RunError, match=r"task 'mood': label list \['negative', .*\] → \['positive', 'neutral', 'negative'\]"
    ):
        resumed(with_rows(run, **held), output)


@pytest.mark.parametrize(("validation", "told"), [(None, "the split is missing; it had 6 rows")])
def test_a_split_that_is_gone_is_refused(run: dict[str, Any], output: Path, validation: None, told: str) -> None:
    with pytest.raises(RunError, match=f"dataset 'notes', split 'validation': {told}"):
        resumed(with_rows(run, validation=validation), output)


def test_the_same_rows_from_elsewhere_go_on(run: dict[str, Any], output: Path, tmp_path: Path) -> None:
    with (tmp_path / "moved.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ["grade", "mood", "text"])
        table.writeheader()
        table.writerows(rows_of(12))
    moved = write_rows(tmp_path / "validation.jsonl", [{**row, "id": i} for i, row in enumerate(rows_of(6))])
    for train, validation in ((tmp_path / "moved.csv", moved), (rows_of(12), pd.DataFrame(rows_of(6)))):
        notes = resumed(with_rows(run, train=train, validation=validation), output)
        assert notes == (f"resuming from {checkpoint(output, 2)}",)


def test_rows_in_memory_that_change_are_noticed(run: dict[str, Any], tmp_path: Path) -> None:
    rows = rows_of(12)
    held = with_rows(run, train=rows)
    nlpmtl.train(held, output=tmp_path / "out")
    rows[3]["text"] = "one two"
    with pytest.raises(RunError, match="split 'train': the texts changed"):
        nlpmtl.train(held, output=tmp_path / "out", resume=True)


def test_a_tokenizer_that_splits_otherwise_is_noticed(run: dict[str, Any], output: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(run["encoder"]["name"], tmp_path / "encoder")
    path = copied / "tokenizer.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace('"lowercase": true', '"lowercase": false').replace('"cat"', '"tac"')
    )
    found = tmp_path / "out"
    shutil.copytree(output, found)
    for file in found.glob("checkpoints/*/state.json"):
        state = read_json(file)
        state["config"]["encoder"]["name"] = str(copied)
        _rewrite(file, state)
    with pytest.raises(RunError, match="the encoder's tokenizer splits the same texts into other tokens"):
        resumed({**run, "encoder": {**run["encoder"], "name": str(copied)}}, found)


def _rewrite(file: Path, state: dict[str, Any]) -> None:
    """Another state in a checkpoint that is intact."""
    import hashlib

    file.write_text(json.dumps(state), encoding="utf-8")
    manifest = file.with_name("manifest.json")
    listed = read_json(manifest)
    if "state.json" in listed["sha256"]:
        listed["sha256"]["state.json"] = hashlib.sha256(file.read_bytes()).hexdigest()
        manifest.write_text(json.dumps(listed), encoding="utf-8")


def test_a_checkpoint_of_an_earlier_version_goes_on_and_says_so(
    run: dict[str, Any], output: Path, tmp_path: Path
) -> None:
    """Without fingerprints, and without keys that are new since: they mean their defaults."""
    found = tmp_path / "out"
    shutil.copytree(output, found)
    file = checkpoint(found, 2) / "state.json"
    state = read_json(file)
    for key in ("data", "plugins"):
        del state[key]
    del state["config"]["train"]["max_grad_norm"], state["config"]["eval"]["patience"], state["config"]["weighting"]
    _rewrite(file, state)
    notes = resumed(run, found)
    assert any("does not contain fingerprints of its data" in note for note in notes)
    with pytest.raises(RunError, match=r"train\.max_grad_norm \(was None, is 0\.5\)"):
        resumed({**run, "train": {**run["train"], "max_grad_norm": 0.5}}, found)
    with pytest.raises(RunError, match=r"datasets\.notes\.data\.files\.train"):
        resumed(with_rows(run, train=rows_of(12)), found)


def test_the_code_of_a_plugin_that_changes_is_told(run: dict[str, Any], output: Path, plugins: Path) -> None:
    file = plugins / "module_of_metrics.py"
    before = file.read_text()
    try:
        file.write_text(PLUGIN.format(name="half", value=0.75))
        notes = resumed(run, output)
    finally:
        file.write_text(before)
    told = [note for note in notes if note.startswith("plugins: the code of 'module_of_metrics' has changed")]
    assert len(told) == 1
    assert len(resumed(run, output)) == 1, "and not where it is the same"


def test_a_package_of_plugins_is_known_by_all_of_its_files(plugins: Path) -> None:
    from nlpmtl.training import digest_plugins

    package = plugins / "package_of_metrics"
    package.mkdir()
    (package / "__init__.py").write_text("import package_of_metrics.inner\n")
    (package / "inner.py").write_text("x = 1\n")
    __import__("package_of_metrics")
    before = digest_plugins(["package_of_metrics", "no_such_module"])
    assert list(before) == ["package_of_metrics"]
    (package / "inner.py").write_text("x = 2\n")
    assert digest_plugins(["package_of_metrics"]) != before


def test_a_key_that_the_older_run_did_not_know_means_its_default(run: dict[str, Any]) -> None:
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


def test_no_data_at_all_is_not_an_error() -> None:
    from nlpmtl.training import check_same_data

    empty: dict[str, Any] = {"data": {"labels": {}, "splits": {}}, "plugins": {}}
    assert check_same_data(empty, empty, run=Path("out")) == []


def test_datasets_and_tasks_keep_their_order(run: dict[str, Any], output: Path, tmp_path: Path) -> None:
    """A checkpoint counts the rows of each dataset by its place, and a sampler's shares are in that order."""
    notes = run["datasets"]["notes"]
    turned = {**notes, "tasks": dict(reversed(notes["tasks"].items()))}
    with pytest.raises(RunError, match=r"the order of datasets\.notes\.tasks \(was mood, grade, is grade, mood\)"):
        resumed({**run, "datasets": {"notes": turned}}, output)
    others = {"others": {**notes, "tasks": {"mood": notes["tasks"]["mood"]}}, "notes": notes}
    nlpmtl.train({**run, "datasets": others}, output=tmp_path / "out")
    with pytest.raises(RunError, match=r"changed keys: the order of datasets \(was others, notes, is notes, others\)"):
        nlpmtl.train({**run, "datasets": dict(reversed(others.items()))}, output=tmp_path / "out", resume=True)
