from __future__ import annotations

from tests.card.example import card_data, dataset


def test_a_split_is_whole_unless_it_was_limited_or_made() -> None:
    assert dataset().is_complete("validation")
    assert not dataset(subsampled=frozenset({"validation"})).is_complete("validation")
    held = dataset(data={"hub": "a/b", "validation": 0.1})
    assert not held.is_complete("validation")
    assert held.is_complete("test")


def test_a_dataset_is_scored_on_where_it_has_labelled_rows() -> None:
    one, two = dataset("one"), dataset("two", label_counts={"validation": {"topic": 0}, "train": {"mood": 3}})
    found = card_data(datasets=[one, two])
    assert [source.name for source in found.scored_on("topic")] == ["one"]
    assert [source.name for source in found.scored_on("mood")] == ["one"]
