"""Hostile rows and configs, a few of them; the long run takes thousands."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests.faults import hostile


def test_handwritten_rows_are_accepted_or_refused_with_their_location(tmp_path: Path) -> None:
    count = hostile.rows_by_hand(tmp_path)
    assert count.wrong == []
    assert count.tried == 2 * len(hostile.bad_rows()) >= 80


def test_names_of_bad_rows_are_unique() -> None:
    names = [bad.name for bad in hostile.bad_rows()]
    assert len(set(names)) == len(names)
    assert {bad.ending for bad in hostile.bad_rows()} == {".jsonl", ".jsonl.gz", ".csv", ".tsv", ".parquet", ""}


def test_random_rows_are_accepted_or_refused_with_their_location(tmp_path: Path) -> None:
    count = hostile.rows_by_chance(tmp_path, many=40)
    assert count.wrong == []
    assert count.tried >= 36


def test_mutated_configs_are_accepted_or_refused_with_a_plain_message(tmp_path: Path) -> None:
    count = hostile.configs(tmp_path, many=80)
    assert count.wrong == []
    assert count.tried >= 70


def test_toml_round_trip() -> None:
    value = {"a b": [1, "x\n\x00é", True], "t": {"n": {"f": 0.5}, "e": {}}, "": []}
    assert tomllib.loads(hostile.to_toml(value)) == value
