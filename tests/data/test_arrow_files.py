"""Directories that `datasets` saved."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from nlpmtl.config.dataset import DataConfig, InputConfig
from nlpmtl.data.files import describe_file, fingerprint_file, open_file
from nlpmtl.errors import ConfigError, DataError
from tests.data.uncached import load_rows

FEATURES = Features(
    text=Value("string"),
    label=ClassLabel(names=["no", "yes"]),
    tags=List(ClassLabel(names=["O", "B-x"])),
    n=Value("int64"),
)
TABLE = {"text": ["a", "b", "c"], "label": [1, 0, -1], "tags": [[0, 1], [], [0]], "n": [5, 6, 7]}


def test_a_saved_dataset_is_read_in_its_order_with_its_class_names(tmp_path: Path) -> None:
    Dataset.from_dict(TABLE, features=FEATURES).select([2, 0, 1]).save_to_disk(tmp_path / "saved", num_shards=2)
    path = str(tmp_path / "saved")
    assert describe_file(path) == ("datasets", None, {})
    stream = open_file(path)
    assert stream.class_names == {"label": ("no", "yes"), "tags": ("O", "B-x")}
    assert list(stream.columns) == ["text", "label", "tags", "n"]
    assert next(row for _, row in stream.rows) == {"text": "c", "label": -1, "tags": [0], "n": 7}
    assert stream.place(2) == f"{path}: row 2"
    narrow = [row for _, row in open_file(path, inputs=["text"], labels={"label": "class"}).rows]
    assert narrow == [{"text": "c", "label": -1}, {"text": "a", "label": 1}, {"text": "b", "label": 0}]
    rows = load_rows(DataConfig(files={"train": path}), input=InputConfig(text="text"), columns={"label": "class"})
    assert rows["train"].table["label:label"].to_pylist() == [None, "yes", "no"]


def test_a_saved_dataset_of_several_splits_names_their_directories(tmp_path: Path) -> None:
    splits = {split: Dataset.from_dict(TABLE, features=FEATURES) for split in ("train", "validation")}
    DatasetDict(splits).save_to_disk(tmp_path / "saved")
    with pytest.raises(ConfigError, match=r'several splits; write files = \{ train = ".*saved/train", validation = '):
        open_file(str(tmp_path / "saved"))
    assert len(list(open_file(str(tmp_path / "saved" / "train")).rows)) == 3


def test_empty_and_damaged_directories(tmp_path: Path) -> None:
    Dataset.from_dict({"text": []}).save_to_disk(tmp_path / "empty")
    assert list(open_file(str(tmp_path / "empty")).rows) == []
    Dataset.from_dict(TABLE).save_to_disk(tmp_path / "saved")
    before = fingerprint_file(str(tmp_path / "saved"))
    (file,) = (tmp_path / "saved").glob("*.arrow")
    file.write_bytes(file.read_bytes()[:200])
    assert fingerprint_file(str(tmp_path / "saved")) != before
    with pytest.raises(DataError, match=r"saved.* cannot be read"):
        list(open_file(str(tmp_path / "saved")).rows)
    for content in ("{", "{}", '{"_data_files": [{}]}', "[]"):
        (tmp_path / "saved" / "state.json").write_text(content)
        with pytest.raises(DataError, match=r"state\.json is not that of a saved dataset"):
            open_file(str(tmp_path / "saved"))
    for content in ("{", "{}", '{"splits": 3}', "[]", "3", '"\xe9"'):
        (tmp_path / "saved" / "dataset_dict.json").write_text(content, encoding="latin-1")
        with pytest.raises(DataError, match=r"saved: dataset_dict\.json is not that of a saved dataset: .*; save it"):
            open_file(str(tmp_path / "saved"))
