"""Input files, and the output of each."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from nlpmtl import ConfigError, DataError
from nlpmtl.file_prediction.targets import find_targets, work_directory


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("in/b.csv", "in/a.csv.gz", "in/notes.md", "more/b.jsonl", "x[1].csv", "file"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with zipfile.ZipFile(tmp_path / "RTE.zip", "w") as archive:
        archive.writestr("RTE/test.jsonl", "{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("directory")
def test_each_input_has_an_output() -> None:
    assert find_targets("in/b.csv", Path("out/b.parquet")) == [("in/b.csv", Path("out/b.parquet"))]
    assert find_targets("in/b.csv", Path("out/p-*.jsonl")) == [("in/b.csv", Path("out/p-b.jsonl"))]
    assert find_targets("in/*.csv*", Path("*.parquet")) == [
        ("in/a.csv.gz", Path("a.parquet")),
        ("in/b.csv", Path("b.parquet")),
    ]
    assert find_targets("x[1].csv", Path("o.csv"))[0].input == "x[1].csv"  # a file, not a pattern
    Path("in [v1]").mkdir()
    Path("in [v1]/a.csv").write_text("text\na\n")
    assert find_targets("in [v1]/*.csv", Path("o.csv"))[0].input == "in [v1]/a.csv"


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize(
    ("input", "output", "error", "message"),
    [
        ("none.csv", "o.csv", DataError, "none.csv: no such file"),
        ("in", "o.csv", ConfigError, r"--input in: the name must end in \.txt, "),
        (
            "RTE.zip/RTE/test.jsonl",
            "o.csv",
            DataError,
            r"not read zip archives: extract RTE\.zip, and name the ext",
        ),
        ("RTE.zip/RTE/*.jsonl", "o.csv", DataError, "prediction does not read zip archives"),
        ("RTE.zip", "o.csv", DataError, "prediction does not read zip archives"),
        ("none.zip/test.jsonl", "o.csv", DataError, "no such file"),
        ("in/*.tsv", "o.csv", DataError, r"--input in/\*\.tsv: no file matches this pattern"),
        ("in/*", "*.csv", ConfigError, r"--input in/notes\.md: the name must end in"),
        ("in/b.csv", "o.xlsx", ConfigError, r"--output o\.xlsx: the name must end in \.csv, "),
        ("in/*.csv*", "p/o.csv", ConfigError, r"matches 2 files, .* such as --output 'p/\*\.csv'"),
        ("in/b.csv", "*-*.csv", ConfigError, r"at most one \*"),
        ("in/b.csv", "*/o.csv", ConfigError, r"at most one \*"),
        ("*/b.*", "*.csv", ConfigError, r"in/b\.csv and more/b\.jsonl have the same output b\.csv: rename a file"),
        ("in/*.csv", "in/*.csv", ConfigError, r"--output in/b\.csv: this is the input file in/b\.csv"),
        ("in/b.csv", "file/o.csv", ConfigError, "cannot be written: Not a directory: file"),
    ],
)
def test_invalid_files(input: str, output: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        find_targets(input, Path(output))


def test_the_work_directory_is_hidden() -> None:
    assert work_directory(Path("out/a.csv")) == Path("out/.a.csv.part")
    assert work_directory(Path("out/*.csv")) == Path("out/.all.csv.part")
