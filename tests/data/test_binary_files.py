"""Members of zip archives: their paths, and archives that are damaged, encrypted, too large or have too many files."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nlpmtl.data import binary_files
from nlpmtl.data.binary_files import ZipPath, find_zip
from nlpmtl.data.files import describe_file, fingerprint_file, open_file
from nlpmtl.data.shards import match_files
from nlpmtl.errors import ConfigError, DataError


def write_zip(path: Path, members: dict[str, bytes], **options: Any) -> str:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return str(path)


def rows(path: str) -> list[Any]:
    return [row for _, row in open_file(path).rows]


ROWS = b'{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n'
READ = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]


def test_a_path_in_an_archive(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "RTE.ZIP", {"RTE/train.jsonl": ROWS})
    assert find_zip(archive) == ZipPath(archive, "")
    assert find_zip(f"{archive}/RTE/train.jsonl") == ZipPath(archive, "RTE/train.jsonl")
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "folder.zip" / "train.jsonl").write_bytes(ROWS)
    assert find_zip(str(tmp_path / "folder.zip" / "train.jsonl")) is None
    assert rows(str(tmp_path / "folder.zip" / "train.jsonl")) == READ
    assert find_zip(str(tmp_path / "none.zip" / "train.jsonl")) is None


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_are_read_in_place(compression: int, tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(READ), tmp_path / "a.parquet")
    parquet = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress(parquet))
    members = {
        "RTE/train.jsonl": ROWS,
        "RTE/train.jsonl.gz": gzip.compress(ROWS),
        "train.tsv": b"text\tlabel\na\tx\nb\ty\n",
        "train.csv": b"text,label\na,x\nb,y\n",
        "train.json": json.dumps(READ).encode(),
        "train.parquet": parquet,
    }
    archive = write_zip(tmp_path / "RTE.zip", members, compression=compression)
    before = sorted(tmp_path.iterdir())
    for name in members:
        assert rows(f"{archive}/{name}") == READ, name
    assert rows(str(tmp_path / "a.parquet.gz")) == READ
    assert sorted(tmp_path.iterdir()) == before, "nothing is extracted"
    stream = open_file(f"{archive}/RTE/train.jsonl")
    assert [stream.place(number) for number, _ in stream.rows] == [f"{archive}/RTE/train.jsonl:{n}" for n in (1, 2)]


@pytest.mark.parametrize("pattern", ["*.jsonl", "train/*.jsonl", "*/a*", "**/a.jsonl", "train/**/*.jsonl", "**"])
def test_a_pattern_matches_in_an_archive_as_in_a_directory(pattern: str, tmp_path: Path) -> None:
    names = ["a.jsonl", "train/a.jsonl", "train/b.jsonl", "train/old/a.jsonl", "train/old/more/c.jsonl"]
    archive = write_zip(tmp_path / "a.zip", dict.fromkeys(names, ROWS))
    directory = tmp_path / "directory"
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(directory)
    matched = [path.removeprefix(f"{archive}/") for path in match_files(f"{archive}/{pattern}")]
    assert matched == [path.removeprefix(f"{directory}/") for path in match_files(f"{directory}/{pattern}")] != []


def test_an_archive_with_one_data_file_is_that_file(tmp_path: Path) -> None:
    members = {"all.jsonl": ROWS, "README.md": b"", "__MACOSX/._all.jsonl": b"", ".hidden.jsonl": b""}
    archive = write_zip(tmp_path / "export.zip", members)
    assert rows(archive) == READ
    assert open_file(archive).where == f"{archive}/all.jsonl"
    assert describe_file(archive).type == "jsonl"


def test_an_archive_with_several_data_files_lists_them(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "RTE.zip", {"RTE/train.jsonl": ROWS, "RTE/val.jsonl": ROWS})
    with pytest.raises(ConfigError, match=r"2 data files; specify one of them: .*RTE\.zip/RTE/train\.jsonl"):
        open_file(archive)
    with pytest.raises(ConfigError, match="2 data files"):
        open_file(f"{archive}/RTE")
    empty = write_zip(tmp_path / "no.zip", {"README.md": b""})
    with pytest.raises(ConfigError, match=r"no\.zip: no data file in the archive; supported: \.jsonl"):
        open_file(empty)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("train.jsonl", "did you mean 'RTE/train.jsonl'"),
        ("RTE/trian.jsonl", "did you mean 'RTE/train.jsonl'"),
        ("x.csv", "it contains RTE/train.jsonl, other.jsonl"),
        ("../RTE/train.jsonl", "did you mean"),
        ("/etc/x.jsonl", "did you mean"),
    ],
)
def test_a_missing_member_suggests_another(name: str, hint: str, tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "RTE.zip", {"RTE/train.jsonl": ROWS, "other.jsonl": ROWS})
    with pytest.raises(DataError, match=rf"RTE\.zip/.*{name.rpartition('/')[2]}: no such file in the archive; {hint}"):
        open_file(f"{archive}/{name}")


def test_a_member_outside_the_archive_is_read_inside_it(tmp_path: Path) -> None:
    """Nothing is written to the disk, so that the name of a member cannot leave a directory."""
    archive = write_zip(tmp_path / "evil.zip", {"../../evil.jsonl": ROWS})
    with pytest.raises(ConfigError, match="no data file"):
        open_file(archive)
    assert rows(f"{archive}/../../evil.jsonl") == READ
    assert not (tmp_path.parent / "evil.jsonl").exists()


def test_a_large_member_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary_files, "LARGEST_MEMBER", 1000)
    content = b'{"text": "a"}\n' * 100
    archive = write_zip(tmp_path / "a.zip", {"a.jsonl": content}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(DataError, match=r"a\.jsonl: 1,400 bytes when decompressed, and the limit .* is 1,000; extract"):
        open_file(f"{archive}/a.jsonl")
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress(b"\0" * 2000))
    with pytest.raises(DataError, match=r"a\.parquet\.gz: more than 1,000 bytes when decompressed"):
        open_file(str(tmp_path / "a.parquet.gz"))


def test_a_false_size_does_not_help(tmp_path: Path) -> None:
    """A member ends at the size that the archive declares, whatever it decompresses to."""
    archive = tmp_path / "a.zip"
    write_zip(archive, {"a.jsonl": ROWS * 1000}, compression=zipfile.ZIP_DEFLATED)
    size = len(ROWS * 1000).to_bytes(4, "little")
    archive.write_bytes(archive.read_bytes().replace(size, (100).to_bytes(4, "little")))
    with pytest.raises(DataError, match=r"a\.zip"):
        rows(f"{archive}/a.jsonl")


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary_files, "MOST_MEMBERS", 3)
    archive = write_zip(tmp_path / "a.zip", {f"{i}.jsonl": ROWS for i in range(4)})
    with pytest.raises(DataError, match=r"a\.zip: more than 3 files"):
        open_file(f"{archive}/0.jsonl")


def test_damaged_and_encrypted_archives_are_reported(tmp_path: Path) -> None:
    archive = Path(write_zip(tmp_path / "a.zip", {"a.jsonl": ROWS * 100}, compression=zipfile.ZIP_DEFLATED))
    content = archive.read_bytes()
    archive.write_bytes(b"not a zip archive")
    with pytest.raises(DataError, match=r"a\.zip: cannot be read: File is not a zip file"):
        open_file(f"{archive}/a.jsonl")
    archive.write_bytes(content[:40] + b"\xff" * 8 + content[48:])
    with pytest.raises(DataError, match=r"a\.jsonl: cannot be read"):
        rows(f"{archive}/a.jsonl")
    flags = content.replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00")
    assert flags != content
    archive.write_bytes(flags)
    with pytest.raises(DataError, match=r"a\.jsonl: encrypted; extract the archive"):
        open_file(f"{archive}/a.jsonl")


def test_the_fingerprint_of_a_member_changes_with_the_archive(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"a.jsonl": ROWS, "b.jsonl": ROWS})
    first = fingerprint_file(f"{archive}/a.jsonl")
    assert first is not None
    assert first != fingerprint_file(f"{archive}/b.jsonl")
    write_zip(tmp_path / "a.zip", {"a.jsonl": ROWS.replace(b"y", b"z"), "b.jsonl": ROWS})
    assert fingerprint_file(f"{archive}/a.jsonl") != first
    assert fingerprint_file(str(tmp_path / "none.zip" / "a.jsonl")) is None
