from __future__ import annotations

from tests.card.facts import facts, source


def test_a_split_is_whole_unless_it_was_limited_or_made() -> None:
    assert source().whole("validation")
    assert not source(limited=frozenset({"validation"})).whole("validation")
    held = source(data={"hub": "a/b", "validation": 0.1})
    assert not held.whole("validation")
    assert held.whole("test")


def test_a_dataset_is_scored_on_where_it_has_labelled_rows() -> None:
    one, two = source("one"), source("two", labelled={"validation": {"topic": 0}, "train": {"mood": 3}})
    found = facts(sources=[one, two])
    assert [source.name for source in found.scored_on("topic")] == ["one"]
    assert [source.name for source in found.scored_on("mood")] == ["one"]
