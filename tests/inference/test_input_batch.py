"""Inputs of tasks that split a text into words in different ways: the encoder computes each text once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nlpmtl import MultiTaskModel, Predictor
from nlpmtl.model import load_encoder
from nlpmtl.tasks import task_from_config
from tests.tiny import numbers, without_numbers, write_encoder

SPACES = {"word_splitting": "whitespace_only"}
TAGS = {"kind": "labeling", "labels": ["O", "B-x", "I-x"], "scheme": "bio", "metrics": None, "input": "words"}
MARKS = {"word_splitting": "punctuation"}
TREE = {"kind": "parsing", "labels": ["det", "root"], "metrics": None, "input": "words"}
TASKS: dict[str, dict[str, Any]] = {
    "topic": {"kind": "classification", "labels": ["a", "b"], "metrics": None, "input": "text"},
    "by_space": {**TAGS, **SPACES},
    "by_mark": {**TAGS, **MARKS},
    "tree": {**TREE, **MARKS},
    "vector": {"kind": "embedding", "labels": [], "metrics": ["recall_10"], "input": "text"},
}
TEXT = "ada lives in turin, a big city."


def make_predictor(directory: Path, **tasks: dict[str, Any]) -> Predictor:
    encoder = load_encoder(str(write_encoder(directory / "encoder", dropout=0.0)))
    made = [task_from_config(name, config) for name, config in tasks.items()]
    model = MultiTaskModel.from_encoder(encoder, tasks=made, sharing={"kind": "hard"}, input_length=24, seed=0)
    return Predictor(model.train(False), encoder.tokenizer)


def count_sequences(predictor: Predictor, inputs: Any) -> tuple[list[int], Any]:
    """Return the number of sequences in each forward pass of the encoder, and the predictions."""
    sequences: list[int] = []
    model = predictor.model
    assert isinstance(model, MultiTaskModel)
    handle = model.sharing.encoder.register_forward_pre_hook(
        lambda module, args, kwargs: sequences.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    predictions = predictor.predict_all(inputs)
    handle.remove()
    return sequences, predictions


def assert_alike(first: Any, second: Any) -> None:
    assert without_numbers(first) == without_numbers(second)
    assert numbers(first) == pytest.approx(numbers(second), abs=1e-5)


@pytest.mark.parametrize("text", [TEXT, "turin", "", "it's a lamp. " * 9])
def test_tasks_with_other_words_share_a_pass(text: str, tmp_path: Path) -> None:
    predictor = make_predictor(tmp_path, **TASKS)
    sequences, predictions = count_sequences(predictor, text)
    windows = len(
        predictor.tokenizer(text, max_length=24, truncation=True, stride=11, return_overflowing_tokens=True)[
            "input_ids"
        ]
    )
    assert sequences == [windows]
    for task in TASKS:
        assert_alike(predictions[task], predictor.predict(text, task=task))


@pytest.mark.parametrize("first", ["tree", "other_tree"])
def test_a_head_that_reads_words_has_its_own_sequence_if_its_words_differ(first: str, tmp_path: Path) -> None:
    trees = {"tree": {**TREE, **MARKS}, "other_tree": {**TREE, **SPACES}}
    tasks = {**TASKS, **trees}
    tasks = {first: tasks[first], "vector": TASKS["vector"], **tasks}
    predictor = make_predictor(tmp_path, **tasks)
    sequences, predictions = count_sequences(predictor, TEXT)
    assert sequences == [2]
    for task in trees:
        assert_alike(predictions[task], predictor.predict(TEXT, task=task))
    assert [word["word"] for word in predictions["tree"]][-2:] == ["city", "."]
    assert [word["word"] for word in predictions["other_tree"]][-1] == "city."


def test_inputs_of_different_tasks_are_computed_together(tmp_path: Path) -> None:
    pair = {"kind": "classification", "labels": ["a", "b"], "metrics": None, "input": "pair"}
    predictor = make_predictor(tmp_path, **TASKS, pair=pair)
    sequences, predictions = count_sequences(predictor, [TEXT, ("a cat", "a dog"), {"words": ["a", "cat"]}])
    assert sequences == [3]
    assert [set(prediction) for prediction in predictions] == [set(TASKS), {"pair"}, set(TASKS)]
