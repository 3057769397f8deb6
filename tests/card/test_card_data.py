"""Data of the model card: complete and partial splits."""

from __future__ import annotations

from tests.card.example import card_data, dataset


def test_a_split_is_complete_unless_subsampled_or_held_out() -> None:
    assert dataset().is_complete("validation")
    assert not dataset(subsampled=frozenset({"validation"})).is_complete("validation")
    skipped = dataset(skipped={"validation": 1, "test": 0})
    assert not skipped.is_complete("validation")
    assert skipped.is_complete("test")
    held_out = dataset(data={"hub": "a/b", "validation": 0.1})
    assert not held_out.is_complete("validation")
    assert held_out.is_complete("test")


def test_tasks_are_scored_on_datasets_with_labels() -> None:
    first, second = dataset("one"), dataset("two", label_counts={"validation": {"topic": 0}, "train": {"mood": 3}})
    card = card_data(datasets=[first, second])
    assert [scored.name for scored in card.scored_on("topic")] == ["one"]
    assert [scored.name for scored in card.scored_on("mood")] == ["one"]
