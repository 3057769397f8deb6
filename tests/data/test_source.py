"""Choice of the reader: files, rows in memory and Hub ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES

from nlpmtl.config.dataset import DataConfig, InputConfig
from nlpmtl.data.labels import LabelType
from nlpmtl.data.raw_rows import MalformedRow, RawRows
from nlpmtl.data.source import find_splits
from nlpmtl.errors import ConfigError, DataError

TEXT = InputConfig(text="text")


def find(
    value: Any, *, inputs: InputConfig = TEXT, columns: Mapping[str, LabelType] | None = None
) -> Callable[[], RawRows]:
    return find_splits(DataConfig(files={"train": value}), inputs=inputs, columns=columns or {}, name="d")["train"].open


def test_a_file_is_opened_when_its_split_is_read(tmp_path: Path) -> None:
    opener = find(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match="no such file"):
        opener()
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    assert list(opener().rows) == [(1, {"text": "a"})]
    assert opener().where == str(tmp_path / "a.jsonl")


def test_an_unknown_extension_is_reported_before_files_are_opened() -> None:
    with pytest.raises(ConfigError, match=r"a\.md: .*\.jsonl"):
        find("a.md")


@pytest.mark.parametrize(
    "value", [[{"text": "a"}], ({"text": "a"},), pd.DataFrame({"text": ["a"]}), Dataset.from_dict({"text": ["a"]})]
)
def test_rows_in_memory(value: Any) -> None:
    stream = find(value)()
    assert list(stream.rows) == [(1, {"text": "a"})]
    assert f"{stream.where}{stream.separator}1" == "d: train, row 1"


@pytest.mark.parametrize(
    "value", [3, {"text": ["a"]}, Dataset.from_dict({"text": ["a"]}).to_iterable_dataset(), datasets.DatasetDict()]
)
def test_a_source_of_an_unknown_type(value: Any) -> None:
    with pytest.raises(
        ConfigError, match=rf"d: train: .*a list of dicts was expected, found a value of type {type(value).__name__}"
    ):
        find(value)


def test_a_dataset_keeps_its_class_names() -> None:
    dataset = Dataset.from_dict(
        {"text": ["a", "b"], "c": [1, -1], "t": [[0, 1], []], "s": [[1], None], "n": [0.5, None]},
        features=Features(
            text=Value("string"),
            c=ClassLabel(names=["no", "yes"]),
            t=List(ClassLabel(names=["O", "B"])),
            s=List(Value("int64")),
            n=Value("float32"),
        ),
    )
    stream = find(dataset, columns={"c": "class", "t": "tags", "s": "set", "n": "number"})()
    assert stream.class_names == {"c": ("no", "yes"), "t": ("O", "B")}
    assert list(stream.rows) == [
        (1, {"text": "a", "c": 1, "t": [0, 1], "s": [1], "n": 0.5}),
        (2, {"text": "b", "c": -1, "t": [], "s": None, "n": None}),
    ]


def test_a_dataset_is_read_in_its_own_order_whatever_its_format() -> None:
    dataset = Dataset.from_dict({"text": [str(i) for i in range(2500)], "other": range(2500)}).select(
        range(2499, -1, -1)
    )
    stream = find(dataset.with_format("numpy"))()
    assert list(stream.columns) == ["text", "other"]
    assert list(stream.rows) == [(i + 1, {"text": str(2499 - i)}) for i in range(2500)]


def test_invalid_utf8_in_a_dataset() -> None:
    text = pa.array([b"a", b"\xff"], pa.binary()).view(pa.string())
    rows = list(find(Dataset(pa.table({"text": text})))().rows)
    assert rows == [(1, {"text": "a"}), (2, MalformedRow(b"\xff", "not valid UTF-8"))]


class TestHubIds:
    @pytest.mark.parametrize("name", sorted(_PACKAGED_DATASETS_MODULES))
    def test_the_readers_of_datasets_are_not_datasets(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "train.jsonl").write_text('{"text": "a"}\n')
        for hub in (name, name.upper()):
            with pytest.raises(ConfigError, match=f"d: hub: '{hub}' is a reader of `datasets`.* write files = "):
                find_splits(DataConfig(hub=hub), inputs=TEXT, columns={}, name="d")

    @pytest.mark.parametrize(
        "name", ["mine", "org/mine", "./mine", "../here/mine", "mine/train.jsonl", ".", "{tmp}/mine"]
    )
    def test_local_paths_are_not_datasets(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        here = tmp_path / "here"
        for folder in (here / "mine", here / "org" / "mine", tmp_path / "mine"):
            folder.mkdir(parents=True)
            (folder / "train.jsonl").write_text('{"text": "a"}\n')
        monkeypatch.chdir(here)
        with pytest.raises(ConfigError, match=r"d: hub: .* is a local path.* write files = "):
            find_splits(DataConfig(hub=name.format(tmp=tmp_path)), inputs=TEXT, columns={}, name="d")

    @pytest.mark.parametrize(
        "name",
        [
            *("./no", "/no/where", "~/data", "/a", "a/", "a/b/c", "buckets/a/b", "a\\b", " ", "a b", "a\n"),
            *("https://huggingface.co/datasets/a/b", "hf://datasets/a/b", "s3://a/b", "x" * 5000 + "/y/z"),
        ],
    )
    def test_paths_and_addresses_are_not_ids(self, name: str) -> None:
        with pytest.raises(ConfigError, match=r"d: hub: .* is not the id of a dataset on the Hub.* write files = "):
            find_splits(DataConfig(hub=name), inputs=TEXT, columns={}, name="d")
