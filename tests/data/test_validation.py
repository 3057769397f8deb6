"""Validation of rows: required columns, label types and error messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pytest

from nlpmtl.config.dataset import InputConfig
from nlpmtl.data.examples import Examples
from nlpmtl.data.labels import LabelType
from nlpmtl.data.raw_rows import MalformedRow, RawRow, RawRows
from nlpmtl.data.validation import ValidationIssue, ValidationIssues, validate_rows
from nlpmtl.errors import ConfigError

TEXT = InputConfig(text="sentence")
PAIR = InputConfig(text="a", pair="b")
WORDS = InputConfig(words="tokens")


def check(
    rows: Iterable[RawRow],
    *,
    inputs: InputConfig = TEXT,
    labels: Mapping[str, LabelType] | None = None,
    needed: Sequence[str] = (),
    problems: ValidationIssues | None = None,
    **more: Any,
) -> Examples:
    stream = RawRows("x.jsonl", ":", iter(enumerate(rows, 1)), **more)
    problems = problems if problems is not None else ValidationIssues()
    return validate_rows(stream, inputs=inputs, labels=labels or {}, required=needed, issues=problems)


def test_columns_of_each_label_type() -> None:
    labels: dict[str, LabelType] = {"c": "class", "n": "number", "s": "set", "t": "tags"}
    rows = [{"tokens": ["Ada", ""], "c": 1, "n": 2, "s": ["x"], "t": ["B", "O"], "other": 5}]
    table = check(rows, inputs=WORDS, labels=labels)
    assert table.table.schema == pa.schema(
        {
            "words": pa.list_(pa.string()),
            "label:c": pa.string(),
            "label:n": pa.float64(),
            "label:s": pa.list_(pa.string()),
            "label:t": pa.list_(pa.string()),
        }
    )
    assert table.table.to_pylist() == [
        {"words": ["Ada", ""], "label:c": "1", "label:n": 2.0, "label:s": ["x"], "label:t": ["B", "O"]}
    ]
    assert check([{"sentence": ""}]).table.to_pylist() == [{"text": ""}]
    assert check([{"b": "y", "a": "x"}], inputs=PAIR).table.to_pylist() == [{"text": "x", "pair": "y"}]


def test_null_and_missing_keys_are_unlabelled_and_an_empty_set_is_a_label() -> None:
    table = check(
        [{"tokens": ["a"]}, {"tokens": ["b"], "s": None}, {"tokens": ["c"], "s": []}], inputs=WORDS, labels={"s": "set"}
    )
    assert table.table["label:s"].to_pylist() == [None, None, []]


def test_integers_get_the_class_names_of_the_source() -> None:
    rows = [{"sentence": "a", "c": 1}, {"sentence": "b", "c": -1}, {"sentence": "c", "c": 2}]
    problems = ValidationIssues()
    table = check(rows, labels={"c": "class"}, class_names={"c": ("no", "yes")}, problems=problems)
    assert table.table["label:c"].to_pylist() == ["yes", None]
    assert problems.messages == ["x.jsonl:3: c: class id out of range, expected 0 to 1 (found 2)"]


def test_invalid_rows_are_skipped_and_reported() -> None:
    problems = ValidationIssues()
    rows: list[RawRow] = [
        {"tokens": ["a"], "t": ["O"]},
        {"tokens": ["a", "b"], "t": ["O"]},
        MalformedRow("{", "not valid JSON"),
        {"t": 3},
    ]
    table = check(rows, inputs=WORDS, labels={"t": "tags"}, problems=problems)
    assert table.numbers.tolist() == [1]
    assert table.skipped == 3
    assert problems.messages == [
        "x.jsonl:2: t: one tag per word was expected: 1 tags for 2 words (found ['O'])",
        "x.jsonl:3: not valid JSON (found '{')",
        "x.jsonl:4: tokens: missing or null (found None)",
        "x.jsonl:4: t: a list of tags was expected (found 3)",
    ]
    assert (problems.total, problems.rows) == (4, 3)


def test_five_problems_are_listed_and_all_are_counted() -> None:
    problems = ValidationIssues()
    for number in range(3):
        problems.add(f"x:{number}", [ValidationIssue("a", 1, "bad"), ValidationIssue("", None, "worse")])
    assert str(problems).splitlines() == [
        "  x:0: a: bad (found 1)",
        "  x:0: worse",
        "  x:1: a: bad (found 1)",
        "  x:1: worse",
        "  x:2: a: bad (found 1)",
        "  and 1 more",
    ]


def test_a_long_value_is_shortened() -> None:
    problems = ValidationIssues()
    problems.add("x:1", [ValidationIssue("a", "y" * 1000, "bad")])
    assert problems.messages == [f"x:1: a: bad (found '{'y' * 58}…)"]


def test_many_rows_become_batches() -> None:
    table = check({"sentence": str(i)} for i in range(8001))
    assert table.table["text"].to_pylist() == [str(i) for i in range(8001)]
    assert table.numbers.tolist() == list(range(1, 8002))
    assert table.table.column("text").num_chunks == 3


def test_no_rows_give_an_empty_table() -> None:
    table = check([], labels={"c": "class"}, needed=["sentence"])
    assert table.table.column_names == ["text", "label:c"]
    assert len(table.numbers) == 0


@pytest.mark.parametrize("columns", [(), ("sentence", "labels")])
def test_a_required_column_missing_in_every_row(columns: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        check(
            [{"sentence": "a", "labels": 1}], labels={"label": "class"}, needed=["sentence", "label"], columns=columns
        )
    assert str(caught.value) == (
        "x.jsonl: column 'label' not found; available columns: labels, sentence; did you mean 'labels'?"
    )


@pytest.mark.parametrize(("header", "delimiter"), [("sentence;label", '";"'), ("sentence\tlabel", r'"\\t"')])
def test_another_delimiter_is_suggested_for_a_single_column(header: str, delimiter: str) -> None:
    with pytest.raises(ConfigError, match=rf"if these are several columns, write `data.delimiter = {delimiter}`$"):
        check([{header: "a;1"}], needed=["sentence"])


def test_another_unicode_form_of_a_column_is_named() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'e\u0301tat', which has another Unicode form"):
        check([{"e\u0301tat": "a", "b": "c"}], needed=["\u00e9tat"])


def test_a_column_name_in_quotes_is_named() -> None:
    with pytest.raises(
        ConfigError, match=r"did you mean '\"text\"' \(in quotes; .* write `data\.quoting = \"minimal\"`\)"
    ):
        check([{'"text"': "a", "b": "c"}], needed=["text"])


def test_a_column_with_no_near_name() -> None:
    with pytest.raises(ConfigError, match=r"available columns: a, b$"):
        check([{"a": 1}, {"b": 1}], needed=["sentence"])


def test_a_column_in_a_single_row_is_enough() -> None:
    table = check([{"sentence": "a"}, {"sentence": "b", "c": 1}], labels={"c": "class"}, needed=["sentence", "c"])
    assert table.table["label:c"].to_pylist() == [None, "1"]
