"""Rows of every kind of source: locations, skipped rows, held-out fractions and limits."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlpmtl.config.dataset import DataConfig, InputConfig
from nlpmtl.data.examples import Examples
from nlpmtl.data.labels import LabelType
from nlpmtl.errors import ConfigError, DataError
from tests.data.uncached import load_rows

GOOD = [{"text": f"t{i}", "label": i % 2} for i in range(10)]
TEXT = InputConfig(text="text")


def load(
    files: Mapping[str, Any],
    *,
    limit: Mapping[str, int] | None = None,
    splits: Sequence[str] | None = None,
    columns: Mapping[str, LabelType] | None = None,
    inputs: InputConfig = TEXT,
    **more: Any,
) -> dict[str, Examples]:
    columns = {"label": "class"} if columns is None else columns
    data = DataConfig(files=dict(files), **more)
    return load_rows(data, input=inputs, columns=columns, limit=limit, splits=splits)


def texts(rows: Examples) -> list[Any]:
    column: list[Any] = rows.table["text"].to_pylist()
    return column


def test_every_kind_of_source_gives_the_same_rows(tmp_path: Path) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in GOOD)
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    for name, delimiter in (("a.csv", ","), ("a.tsv", "\t")):
        with (tmp_path / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, ["text", "label"], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(GOOD)
    pq.write_table(pa.Table.from_pylist(GOOD), tmp_path / "a.parquet")
    sources = [*tmp_path.iterdir(), GOOD, pd.DataFrame(GOOD), Dataset.from_list(GOOD)]
    expected = [{"text": row["text"], "label:label": str(row["label"])} for row in GOOD]
    assert len(sources) == 8
    for source in sources:
        assert load({"train": source})["train"].table.to_pylist() == expected


def test_the_location_of_a_row_in_each_kind_of_source(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n[]\n{"text": "b", "label": 1}\n')
    (tmp_path / "a.csv").write_text('text,label\n"two\nlines",1\nnext,1\n')
    pq.write_table(pa.Table.from_pylist(GOOD), tmp_path / "a.parquet")
    files = {name: tmp_path / f"a.{name}" for name in ("jsonl", "csv", "parquet")} | {"memory": GOOD}
    rows = load(files, on_bad_row="skip")
    assert {name: split.place(1) for name, split in rows.items()} == {
        "jsonl": f"{tmp_path}/a.jsonl:3",
        "csv": f"{tmp_path}/a.csv:4",
        "parquet": f"{tmp_path}/a.parquet: row 2",
        "memory": "d: memory, row 2",
    }


def test_bad_rows_of_all_splits_are_reported_with_their_locations(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": null, "label": "x"}\n')
    test = [{"text": "a", "label": ["x"]}, {"text": 3, "label": {}}, *[{}] * 4]
    with pytest.raises(DataError) as caught:
        load({"train": str(tmp_path / "train.jsonl"), "test": test})
    assert str(caught.value).splitlines() == [
        "d: 8 problem(s) in 7 row(s):",
        f"  {tmp_path}/train.jsonl:2: text: missing or null (found None)",
        "  d: test, row 1: label: a label name was expected: a string, a number, true or false (found ['x'])",
        "  d: test, row 2: text: a string was expected (found 3)",
        "  d: test, row 2: label: a label name was expected: a string, a number, true or false (found {})",
        "  d: test, row 3: text: missing or null (found None)",
        "  and 3 more",
        'to drop these rows (7 of 8, 87.5%), set data.on_bad_row = "skip"',
    ]


def test_skipped_rows_are_counted() -> None:
    rows = load({"train": [*GOOD, {"text": None}, 3], "test": GOOD}, on_bad_row="skip")
    assert (len(rows["train"]), rows["train"].skipped) == (10, 2)
    assert (len(rows["test"]), rows["test"].skipped) == (10, 0)


def test_no_rows() -> None:
    with pytest.raises(DataError, match=r"d: test: no rows$"):
        load({"train": GOOD, "test": []})
    with pytest.raises(DataError, match=r"d: train: no valid rows: all 2 are invalid"):
        load({"train": [{"text": None, "label": 1}, {"text": 1}]}, on_bad_row="skip")


def test_train_requires_every_column_and_other_splits_only_the_input() -> None:
    bare = [{"text": "a"}]
    assert load({"train": GOOD, "test": bare})["test"].table["label:label"].to_pylist() == [None]
    with pytest.raises(ConfigError, match="d: train: column 'label' not found; available columns: text"):
        load({"train": bare, "test": GOOD})
    with pytest.raises(ConfigError, match="d: test: column 'text' not found; available columns: words"):
        load({"train": GOOD, "test": [{"words": ["a"]}]})


def test_only_requested_splits_are_read(tmp_path: Path) -> None:
    files = {"train": GOOD, "test": str(tmp_path / "none.jsonl")}
    assert list(load(files, splits=["train", "validation"])) == ["train"]
    with pytest.raises(DataError, match=r"none\.jsonl: no such file"):
        load(files)
    assert load(files, splits=["dev"]) == {}


def test_a_share_of_train_becomes_validation() -> None:
    rows = load({"train": GOOD, "test": GOOD}, validation=0.25)
    assert {split: len(split_rows) for split, split_rows in rows.items()} == {"train": 7, "test": 10, "validation": 3}
    assert sorted(texts(rows["train"]) + texts(rows["validation"])) == [row["text"] for row in GOOD]
    assert texts(rows["train"]) == sorted(texts(rows["train"]))
    first = rows["validation"]
    assert [first.place(i) for i in range(3)] == [f"d: train, row {int(t[1:]) + 1}" for t in texts(first)]


@pytest.mark.parametrize("splits", [["train"], ["validation"], ["train", "validation"]])
def test_a_held_out_share_does_not_depend_on_the_requested_splits(splits: list[str]) -> None:
    full = load({"train": GOOD, "test": GOOD}, validation=0.25)
    loaded = load({"train": GOOD, "test": GOOD}, validation=0.25, splits=splits)
    assert {split: texts(rows) for split, rows in loaded.items()} == {split: texts(full[split]) for split in splits}


def test_a_share_counts_skipped_rows_once() -> None:
    rows = load({"train": [*GOOD, 3]}, validation=0.25, on_bad_row="skip")
    assert [rows[split].skipped for split in ("train", "validation")] == [1, 0]


def test_a_share_that_leaves_a_split_empty_is_refused() -> None:
    with pytest.raises(DataError, match=r"d: train: holding out 0\.5 of 1 rows for validation leaves no rows"):
        load({"train": GOOD[:1]}, validation=0.5)
    with pytest.raises(ConfigError, match="fraction of the train split, which is missing"):
        load({"test": GOOD}, validation=0.5)


def test_a_limit_is_applied_after_the_share() -> None:
    full = load({"train": GOOD}, validation=0.25)
    rows = load({"train": GOOD}, validation=0.25, limit={"train": 4, "validation": 99})
    assert len(rows["train"]) == 4
    assert set(texts(rows["train"])) < set(texts(full["train"]))
    assert texts(rows["validation"]) == texts(full["validation"])


def test_a_limit_for_an_unknown_split() -> None:
    with pytest.raises(ConfigError, match="d: unknown split 'trian' in `limit`; did you mean 'train'"):
        load({"train": GOOD}, limit={"trian": 3})


def test_select_keeps_the_locations_of_rows() -> None:
    rows = load({"train": GOOD})["train"].select(np.array([2, 7]))
    assert len(rows) == 2
    assert texts(rows) == ["t2", "t7"]
    assert rows.place(1) == "d: train, row 8"
    assert len(rows.select([])) == 0


def test_class_names_are_read_with_the_rows() -> None:
    dataset = Dataset.from_list(GOOD).cast_column("label", ClassLabel(names=["no", "yes"]))
    rows = load({"train": dataset})["train"]
    assert rows.class_names == {"label": ("no", "yes")}
    assert rows.table["label:label"].to_pylist()[:2] == ["no", "yes"]


_LABELS = st.text().filter(lambda label: bool(label.strip()))
"""A blank label is a missing one, see tests/test_label_spelling.py."""


@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"words": st.lists(st.text(), min_size=1, max_size=4)},
            optional={
                "c": st.none() | _LABELS | st.integers(),
                "n": st.none() | st.floats(allow_nan=False, allow_infinity=False),
                "s": st.none() | st.lists(_LABELS, unique=True, max_size=3),
            },
        ),
        min_size=1,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
def test_jsonl_round_trip(tmp_path: Path, rows: Any) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns: dict[str, LabelType] = {"c": "class", "n": "number", "s": "set"}
    loaded = load({"test": tmp_path / "a.jsonl"}, inputs=InputConfig(words="words"), columns=columns)["test"]
    expected = [{**dict.fromkeys(["c", "n", "s"]), **row} for row in rows]
    assert loaded.table["words"].to_pylist() == [row["words"] for row in expected]
    assert loaded.table["label:c"].to_pylist() == [None if row["c"] is None else str(row["c"]) for row in expected]
    assert loaded.table["label:n"].to_pylist() == [row["n"] for row in expected]
    assert loaded.table["label:s"].to_pylist() == [row["s"] for row in expected]


_PIECE = st.sampled_from(
    [b'{"text":', b'"a"', b',"label":', b"1", b"}", b"\n", b"{", b"[", b"\\ud800", b"\x1f\x8b\x08"]
)


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.jsonl.gz", "a.json", "a.csv", "a.tsv", "a.parquet", "a.conll", "a.conllu", "a.txt", "a.zip"]
)
@given(content=st.binary(max_size=60) | st.lists(_PIECE | st.binary(max_size=3), max_size=20).map(b"".join))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
def test_random_bytes_are_read_or_refused_with_a_plain_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    try:
        rows = load({"train": tmp_path / name}, on_bad_row="skip")["train"]
    except (DataError, ConfigError):
        return
    assert None not in texts(rows)
