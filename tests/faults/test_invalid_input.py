"""Invalid rows and configs, with few repetitions; `make faults` uses thousands."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.faults import invalid_input


@pytest.mark.slow
def test_handwritten_rows_are_accepted_or_refused_with_their_location(tmp_path: Path) -> None:
    count = invalid_input.handwritten_rows(tmp_path)
    assert count.failures == []
    assert count.attempts == 2 * len(invalid_input.bad_files()) >= 80


def test_names_of_bad_rows_are_unique() -> None:
    names = [bad.name for bad in invalid_input.bad_files()]
    assert len(set(names)) == len(names)
    assert {bad.extension for bad in invalid_input.bad_files()} == {
        ".jsonl",
        ".jsonl.gz",
        ".csv",
        ".tsv",
        ".parquet",
        "",
    }


@pytest.mark.slow
def test_random_rows_are_accepted_or_refused_with_their_location(tmp_path: Path) -> None:
    count = invalid_input.random_rows(tmp_path, repetitions=40)
    assert count.failures == []
    assert count.attempts >= 36


@pytest.mark.slow
def test_mutated_configs_are_accepted_or_refused_with_a_plain_message(tmp_path: Path) -> None:
    count = invalid_input.configs(tmp_path, repetitions=80)
    assert count.failures == []
    assert count.attempts >= 70


def test_toml_round_trip() -> None:
    value = {"a b": [1, "x\n\x00é", True], "t": {"n": {"f": 0.5}, "e": {}}, "": []}
    assert tomllib.loads(invalid_input.to_toml(value)) == value
