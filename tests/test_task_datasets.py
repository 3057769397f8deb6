"""Datasets of a run with their labels, scales and notes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from nlpmtl.errors import ConfigError, DataError
from nlpmtl.model import load_encoder
from nlpmtl.run import load_config
from nlpmtl.task_datasets import TaskDatasets, load_split, load_task_datasets
from tests.tasks.kinds import ids_of
from tests.tiny import make_run, write_encoder

ROWS: list[dict[str, Any]] = [
    {"text": "ada sings", "pair": "a cat", "label": "b", "grade": 1.0},
    {"text": "a dog runs", "pair": "a dog", "label": "a", "grade": 3.0},
    {"text": "old lamp", "pair": "the lamp", "label": None, "grade": None},
]
CLASSES = {"kind": "classification", "label": "label"}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def tokenizer(encoder: Path) -> PreTrainedTokenizerBase:
    return load_encoder(str(encoder)).tokenizer


def dataset(tasks: dict[str, Any], *, pair: bool = False, data: dict[str, Any] | None = None, **files: Any) -> Any:
    inputs = {"text": "text", "pair": "pair"} if pair else {"text": "text"}
    return {"data": {"files": files or {"train": ROWS}, **(data or {})}, "input": inputs, "tasks": tasks}


def load(encoder: Path, tokenizer: PreTrainedTokenizerBase, **datasets: Any) -> TaskDatasets:
    config = load_config({"encoder": {"name": str(encoder)}, "datasets": datasets})
    return load_task_datasets(config.datasets, tokenizer=tokenizer, max_length=16)


def test_labels_are_the_sorted_labels_of_train(encoder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    work = load(encoder, tokenizer, one=dataset({"t": CLASSES}))
    assert work.tasks["t"].labels == ("a", "b")
    assert work.splits["train"]["one"].labels["t"].counts.tolist() == [1, 1, 0]
    assert set(work.splits) == {"train"}


def test_labels_of_one_task_come_from_all_its_datasets(encoder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    more = [{"text": "x", "label": "c"}, {"text": "y", "label": "a"}]
    work = load(encoder, tokenizer, one=dataset({"t": CLASSES}), two=dataset({"t": CLASSES}, train=more))
    assert list(work.tasks) == ["t"]
    assert work.tasks["t"].labels == ("a", "b", "c")
    assert work.splits["train"]["two"].labels["t"].values([0, 1]) == ["c", "a"]


def test_declared_labels_keep_their_order(encoder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    work = load(encoder, tokenizer, one=dataset({"t": {**CLASSES, "labels": ["b", "a", "z"]}}))
    assert work.tasks["t"].labels == ("b", "a", "z")
    assert work.splits["train"]["one"].labels["t"].tensor([0, 1], first_tokens=None, sequence_length=0).tolist() == [
        0,
        1,
    ]


def test_a_train_label_that_is_not_in_the_list_stops_the_run(encoder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(DataError, match="'b' is not in the list of labels"):
        load(encoder, tokenizer, one=dataset({"t": {**CLASSES, "labels": ["a", "z"]}}))


def test_a_regression_has_the_scale_of_train(encoder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    work = load(encoder, tokenizer, one=dataset({"g": {"kind": "regression", "label": "grade"}}, pair=True))
    assert work.tasks["g"].to_config()["target"] == {"mean": 2.0, "std": 1.0}
    assert work.tasks["g"].input == "pair"


def graded(*grades: float) -> list[dict[str, Any]]:
    return [{"text": "a dog", "grade": grade} for grade in grades]


GRADES = {"kind": "regression", "label": "grade"}


@pytest.mark.parametrize(
    ("grades", "row", "value"),
    [
        ((1.0, 1e200, 2.0), 2, "1e[+]200"),
        ((1.0, -1e300, 1e200), 2, "-1e[+]300"),
        ((1.7e308, 1.7e308, 1.7e308), 1, "1.7e[+]308"),
        ((-1.7e308, 1.7e308), 1, "-1.7e[+]308"),
        ((1e155, 2e155, 3e155), 3, "3e[+]155"),
    ],
)
def test_targets_whose_scale_overflows_are_refused(
    encoder: Path, tokenizer: PreTrainedTokenizerBase, grades: tuple[float, ...], row: int, value: str
) -> None:
    match = rf"one: train, row {row}: column 'grade': task 't' .* found {value}"
    with pytest.raises(DataError, match=match):
        load(encoder, tokenizer, one=dataset({"t": GRADES}, train=graded(*grades)))


@pytest.mark.parametrize("grades", [(1e150, 2e150), (3.0, 3.0, 3.0), (0.0, 0.0), (1e-300, 2e-300), (1e20, 1.0, 2.0)])
def test_targets_of_other_scales_are_accepted(
    encoder: Path, tokenizer: PreTrainedTokenizerBase, grades: tuple[float, ...]
) -> None:
    work = load(encoder, tokenizer, one=dataset({"t": GRADES}, train=graded(*grades)))
    for logit in (-5.0, 0.0, 5.0):
        assert math.isfinite(ids_of(work.tasks["t"], np.array([logit])))


@pytest.mark.parametrize("scale", [1.0, 1e-100, 1e-170, -1e-300, 1e-310])
def test_the_scale_of_small_targets_is_kept(encoder: Path, tokenizer: PreTrainedTokenizerBase, scale: float) -> None:
    work = load(encoder, tokenizer, one=dataset({"t": GRADES}, train=graded(1 * scale, 2 * scale, 3 * scale)))
    assert ids_of(work.tasks["t"], np.array([1.0])) == pytest.approx((2 + math.copysign(1.5**-0.5, scale)) * scale)


def test_targets_far_from_the_scale_of_a_continued_model_are_refused(
    encoder: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    earlier = load(encoder, tokenizer, one=dataset({"t": GRADES}, train=graded(1.0, 2.0, 3.0))).tasks
    config = load_config(
        {"encoder": {"name": str(encoder)}, "datasets": {"one": dataset({"t": GRADES}, train=graded(1.0, 1e30))}}
    )
    with pytest.raises(DataError, match=r"row 2: column 'grade': .* found 1e\+30 \(mean 2, standard deviation 0.816"):
        load_task_datasets(config.datasets, tokenizer=tokenizer, max_length=16, earlier=earlier)


def test_a_task_without_labelled_train_rows_is_refused(encoder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    unlabelled = [{"text": "x", "label": None}]
    options = {**CLASSES, "labels": ["a", "b"]}
    with pytest.raises(ConfigError, match="task 't': no train row has a label for it"):
        load(encoder, tokenizer, one=dataset({"t": options}, train=unlabelled, validation=ROWS))
    with pytest.raises(ConfigError, match="task 't': no train row has a label for it"):
        load(encoder, tokenizer, one=dataset({"t": options}, validation=ROWS), two=dataset({"u": CLASSES}))


def test_a_task_has_one_input_type(encoder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ConfigError, match="task 't' reads text in one dataset, pair in 'two'"):
        load(encoder, tokenizer, one=dataset({"t": CLASSES}), two=dataset({"t": CLASSES}, pair=True))


def test_notes_report_skipped_truncated_and_unknown_rows(encoder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    bad = [*ROWS, {"text": None, "label": "a"}, {"text": "a " * 40, "label": "a"}]
    unknown = [{"text": "x", "label": "a"}, {"text": "y", "label": "zebra"}]
    made = dataset({"t": CLASSES}, data={"on_bad_row": "skip"}, train=bad, validation=unknown)
    notes = load(encoder, tokenizer, one=made).notes
    assert len(notes) == 3
    assert any("one, train" in note and "1 bad row" in note for note in notes)
    assert any("one, train" in note and "1 of 4 rows" in note and "max_length" in note for note in notes)
    assert any("one, validation" in note and "'t'" in note and "zebra" in note for note in notes)


def test_datasets_without_a_common_label_are_noted(encoder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    def notes(labels: list[Any], task: dict[str, Any] = CLASSES) -> str:
        others = [{"text": "a", "label": label} for label in labels]
        names = [{"text": "a", "label": label} for label in ("neg", "pos")]
        datasets = {"one": dataset({"t": task}, train=names), "two": dataset({"t": task}, train=others)}
        return "\n".join(load(encoder, tokenizer, **datasets).notes)

    assert "task 't': one (neg, pos) and two (0, 1) have no label in common" in notes([0, 1])
    assert "in common" not in notes(["pos", "neutral"])
    assert "in common" not in notes(["a", "b"], {**CLASSES, "labels": ["neg", "pos", "a", "b"]})


def test_no_note_without_a_reason(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=20)
    config = load_config(run)
    loaded = load_encoder(config.encoder.name).tokenizer
    work = load_task_datasets(config.datasets, tokenizer=loaded, max_length=48)
    assert work.notes == ()
    assert list(work.tasks) == ["topic", "mood", "places", "grade", "kinds"]
    assert {split: list(datasets) for split, datasets in work.splits.items()} == {
        "train": ["words", "pairs", "texts"],
        "validation": ["words", "pairs", "texts"],
    }


def test_one_split_for_an_existing_model(encoder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    work = load(encoder, tokenizer, one=dataset({"t": CLASSES}))
    odd = [{"text": "x", "label": "b"}, {"text": "y", "label": "zebra"}]
    config = load_config(
        {"encoder": {"name": str(encoder)}, "datasets": {"one": dataset({"t": CLASSES}, train=ROWS, test=odd)}}
    )
    options: dict[str, Any] = {"tokenizer": tokenizer, "max_length": 16}
    loaded = load_split(config.datasets, tasks=work.tasks, split="test", **options)
    assert loaded.splits["test"]["one"].labels["t"].tensor([0, 1], first_tokens=None, sequence_length=0).tolist() == [
        1,
        2,
    ], "ids of the model, and a new one"
    assert loaded.notes == ("one, test: labels unknown to task 't', scored as errors: zebra",)
    with pytest.raises(ConfigError, match="no dataset has a split 'validation'"):
        load_split(config.datasets, tasks=work.tasks, split="validation", **options)
    with pytest.raises(ConfigError, match=r"task 't' \(classification\) is not in this model"):
        load_split(config.datasets, tasks={}, split="test", **options)
