"""Splits of several files: lists of files and glob patterns."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import nlpmtl.tasks  # noqa: F401
from nlpmtl.config import load, parse_run, plain_config
from nlpmtl.config.dataset import DataConfig, InputConfig
from nlpmtl.data import DatasetLoader, shards
from nlpmtl.data.delimited import TextFormat
from nlpmtl.data.files import fingerprint_file
from nlpmtl.data.raw_rows import FilePart, location
from nlpmtl.data.shards import Shards
from nlpmtl.data.source import find_splits
from nlpmtl.errors import ConfigError, DataError
from nlpmtl.fs import sha256_file
from tests.data.uncached import load_rows
from tests.tiny import write_encoder

TEXT = InputConfig(text="text")


def write(path: Path, *rows: Any) -> str:
    """Write rows in the format of the extension; a string is written as a raw line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".parquet"):
        pd.DataFrame(rows).to_parquet(path)
    elif ".jsonl" in path.name:
        content = "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows).encode()
        path.write_bytes(gzip.compress(content) if path.name.endswith("gz") else content)
    else:
        pd.DataFrame(rows).to_csv(path, sep="\t" if ".tsv" in path.name else ",", index=False)
    return str(path)


def row(text: str) -> dict[str, str]:
    return {"text": text, "label": f"l{text}"}


def texts(value: Any, **keys: Any) -> list[str]:
    rows = load_rows(DataConfig(files={"train": value}, **keys), input=TEXT, columns={"label": "class"})["train"]
    return list(rows.table["text"].to_pylist())


def places(value: Any, **keys: Any) -> list[str]:
    rows = load_rows(DataConfig(files={"train": value}, **keys), input=TEXT, columns={"label": "class"})["train"]
    return [rows.place(i) for i in range(len(rows))]


def test_files_of_all_kinds_are_read_in_the_order_of_the_list(tmp_path: Path) -> None:
    names = ["b.jsonl", "a.jsonl.gz", "c.csv", "d.tsv", "e.csv.gz", "f.parquet"]
    paths = [write(tmp_path / name, row(name[0]), row(name[0] * 2)) for name in names]
    assert texts(paths) == [text for name in names for text in (name[0], name[0] * 2)]
    assert places(tuple(map(Path, paths))) == [
        *(f"{path}:{line}" for path in paths[:2] for line in (1, 2)),
        *(f"{path}:{line}" for path in paths[2:5] for line in (2, 3)),
        *(f"{paths[5]}: row {number}" for number in (1, 2)),
    ]


@pytest.mark.parametrize("pattern", ["train-*.jsonl", "train-??.jsonl", "train-[012]*.jsonl", "**/train-*.jsonl"])
def test_the_files_of_a_pattern_are_sorted(pattern: str, tmp_path: Path) -> None:
    for number in (10, 2, 1):
        write(tmp_path / f"train-{number:02}.jsonl", row(str(number)))
    write(tmp_path / "validation.jsonl", row("no"))
    (tmp_path / "train-99.jsonl").mkdir()
    assert texts(str(tmp_path / pattern)) == ["1", "2", "10"]
    assert texts([str(tmp_path / "validation.jsonl"), str(tmp_path / pattern)]) == ["no", "1", "2", "10"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    path = write(tmp_path / "train[1].jsonl", row("a"))
    write(tmp_path / "train1.jsonl", row("b"))
    assert texts(path) == ["a"]


def test_a_directory_whose_name_looks_like_a_pattern_is_that_directory(tmp_path: Path) -> None:
    directory = tmp_path / "data [v1]" / "*"
    paths = [write(directory / "sub" / f"t-{name}.jsonl", row(name)) for name in "ab"]
    write(tmp_path / "data v" / "*" / "sub" / "t-c.jsonl", row("c"))
    assert texts(str(directory / "sub" / "t-*.jsonl")) == texts(str(directory / "**" / "t-?.jsonl")) == ["a", "b"]
    with zipfile.ZipFile(directory / "a.zip", "w") as archive:
        for path in paths:
            archive.write(path, f"data [v1]/{Path(path).name}")
    assert texts(str(directory / "a.zip" / "data [v1]" / "t-*.jsonl")) == ["a", "b"]
    with pytest.raises(DataError, match=r"c\.jsonl: no such file"):
        texts(str(directory / "sub" / "c.jsonl"))


def test_bad_rows_are_reported_with_their_file_and_line(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "a.jsonl", row("a"), "{", row("b")),
        write(tmp_path / "b.jsonl"),
        write(tmp_path / "c.jsonl", row("c"), "", "", row("d"), {"text": 3, "label": "x"}),
    ]
    with pytest.raises(DataError) as caught:
        texts(paths)
    for expected in (f"{paths[0]}:2: not valid JSON", f"{paths[2]}:2: an empty line", f"{paths[2]}:5: text: a string"):
        assert expected in str(caught.value)
    assert places(paths, on_bad_row="skip") == [f"{paths[0]}:1", f"{paths[0]}:3", f"{paths[2]}:1", f"{paths[2]}:4"]


def test_locations_of_held_out_and_limited_rows(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.jsonl", *(row(f"{name}{i}") for i in range(1, 31))) for name in "ab"]
    data = DataConfig(files={"train": paths}, validation=0.4)
    loaded = load_rows(data, input=TEXT, columns={"label": "class"}, limit={"train": 20})
    for rows in loaded.values():
        for i, text in enumerate(rows.table["text"].to_pylist()):
            assert rows.place(i) == f"{tmp_path / text[0]}.jsonl:{text[1:]}"


def test_location_of_a_row_number() -> None:
    parts = [FilePart(0, "empty:"), FilePart(0, "a:"), FilePart(3, "empty:"), FilePart(3, "b: row ")]
    locations = [location(number, where="", separator="", files=parts) for number in range(1, 6)]
    assert locations == ["a:1", "a:2", "a:3", "b: row 1", "b: row 2"]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"text": "a", "label": "x"}, {"sentence": "a", "label": "x"}, "b.{}: no column 'text', which .*a.{} has"),
        ({"sentence": "a", "label": "x"}, {"text": "a", "label": "x"}, "a.{}: no column 'text', which .*b.{} has"),
        ({"text": "a", "label": "x"}, {"text": "a", "lable": "x"}, "b.{}: no column 'label', which .*a.{} has"),
        ({"text": "a", "label": "x"}, {"other": "a"}, "b.{}: no column 'label', 'text', which .*a.{} has"),
    ],
)
@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("on_bad_row", ["stop", "skip"])
def test_files_with_other_columns_are_refused(
    first: Any, second: Any, message: str, ending: str, on_bad_row: str, tmp_path: Path
) -> None:
    paths = [write(tmp_path / f"a.{ending}", first), write(tmp_path / f"b.{ending}", second)]
    with pytest.raises(ConfigError, match=message.format(ending, ending)):
        texts(paths, on_bad_row=on_bad_row)


def test_columns_that_are_not_needed_may_differ(tmp_path: Path) -> None:
    paths = [write(tmp_path / "a.csv", {"id": 1, **row("a")}), write(tmp_path / "b.csv", {**row("b"), "note": "x"})]
    assert texts(paths) == ["a", "b"]


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ("train-*.jsonl", DataError, r"train-\*\.jsonl: no file matches this pattern"),
        (["a.jsonl", "b-?.csv"], DataError, r"b-\?\.csv: no file matches this pattern"),
        (["a.jsonl", "none.jsonl"], DataError, r"none\.jsonl: no such file"),
        (["a.jsonl", "a.jsonl"], ConfigError, r"a\.jsonl: listed more than once"),
        (["a.jsonl", "?.jsonl"], ConfigError, r"a\.jsonl: listed more than once"),
        (["a.jsonl", "sub/../a.jsonl"], ConfigError, r"sub/\.\./a\.jsonl: listed more than once .*also as .*a\.jsonl"),
        (["a.jsonl", "b.md"], ConfigError, r"b\.md: unsupported file type"),
        ("*", ConfigError, r"note\.txt: not CoNLL columns.* no column 'label'"),
        ([], DataError, "no row"),
        (["a.jsonl", {"text": "a", "label": "x"}], DataError, "a dict was expected"),
    ],
)
def test_unreadable_lists_of_files(
    names: Any, error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.jsonl", row("a"))
    (tmp_path / "note.txt").touch()
    (tmp_path / "sub").mkdir()
    with pytest.raises(error, match=message):
        texts(names)


def test_the_fingerprint_changes_with_the_files(tmp_path: Path) -> None:
    pattern = str(tmp_path / "*.jsonl")
    source = find_splits(DataConfig(files={"train": pattern}), inputs=TEXT, columns={}, name="d")["train"]
    assert source.fingerprint() is None
    fingerprints = []
    for name, text in (("b", "b"), ("a", "a"), ("a", "other")):
        write(tmp_path / f"{name}.jsonl", row(text))
        fingerprints.append(source.fingerprint())
    assert len({*fingerprints, None}) == 4


def test_an_archive_with_several_shards_is_read_once_for_the_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in "abc":
            archive.writestr(f"{name}.jsonl", json.dumps(row(name)))
    hashed: list[str] = []

    def digest(path: str) -> str:
        hashed.append(path)
        return sha256_file(path)

    monkeypatch.setattr(shards, "sha256_file", digest)
    files = Shards([f"{tmp_path}/a.zip/*.jsonl"], inputs=TEXT, labels={}, format=TextFormat())
    paths = [f"{tmp_path}/a.zip/{name}.jsonl" for name in "abc"]
    assert files.fingerprint() == "\n".join(str(fingerprint_file(path)) for path in paths)
    assert hashed == [f"{tmp_path}/a.zip"]


def test_shards_are_tokenised_and_cached(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    paths = [write(tmp_path / f"{name}.jsonl", row(name), row("x")) for name in "ab"]
    prepare = DatasetLoader(AutoTokenizer.from_pretrained(write_encoder(tmp_path / "encoder")), max_length=8)

    def load_places() -> list[str]:
        data = DataConfig(files={"train": paths})
        rows = prepare(data, input=TEXT, columns={"label": "class"}, limit={}, name="d")["train"]
        return [rows.place(i) for i in range(len(rows))]

    expected = [f"{path}:{line}" for path in paths for line in (1, 2)]
    assert load_places() == expected
    assert load_places() == expected, "from the cache"


def test_another_format_is_another_cache_entry(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    (tmp_path / "a.tsv").write_text('text\tlabel\n"a"\tx\n')
    prepare = DatasetLoader(AutoTokenizer.from_pretrained(write_encoder(tmp_path / "encoder")), max_length=8)

    def pieces(**keys: Any) -> Sequence[int]:
        data = DataConfig(files={"train": tmp_path / "a.tsv"}, **keys)
        split = prepare(data, input=TEXT, columns={"label": "class"}, limit={}, name="d")["train"]
        return list(split.tokens.sequences([0])[0].ids)

    assert len(pieces()) == len(pieces(quoting="minimal")) + 2


class TestConfig:
    @pytest.mark.parametrize("folder", ["data", "data [old]", "d*ta"])
    def test_paths_are_relative_to_the_file_that_names_them(
        self, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / folder / "train-1.jsonl", row("a"))
        write(tmp_path / folder / "b.jsonl", row("b"))
        (tmp_path / folder / "d.toml").write_text(
            '[data.files]\ntrain = ["b.jsonl", "train-*.jsonl"]\nvalidation = "train-*.jsonl"\n'
            '[input]\ntext = "text"\n[tasks.t]\nkind = "classification"\nlabel = "label"\n'
        )
        (tmp_path / "run.toml").write_text(
            f'output = "out"\n[encoder]\nname = "e"\n[datasets.d]\nextends = "{folder}/d.toml"\n[train]\nsteps = 1\n'
        )
        monkeypatch.chdir(tmp_path)
        config = parse_run(load.read_run("run.toml"), where="run.toml")
        (tmp_path / "elsewhere").mkdir()
        files = plain_config(config, output=Path("out"))["datasets"]["d"]["data"]["files"]
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert texts(files["train"]) == ["b", "a"]
        assert texts(files["validation"]) == ["a"]
