"""brat: directories, archives and single documents, and spans that a line cannot have."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from nlpmtl.config.dataset import DataConfig, InputConfig
from nlpmtl.data.annotation_tools import brat
from nlpmtl.data.annotation_tools.brat import Document, read_document
from nlpmtl.data.files import describe_file, fingerprint_file, open_file
from nlpmtl.data.raw_rows import MalformedRow
from nlpmtl.errors import ConfigError, DataError
from tests.data.uncached import load_rows

TEXT = "Sony formed a venture with Ericsson.\n\nSony announced today.\n"
ANNOTATION = (
    "T1\tOrganization 0 4\tSony\nT2\tOrganization 27 35\tEricsson\nT3\tMerge-org 14 21\tventure\n"
    "E1\tMerge-org:T3 Org1:T1 Org2:T2\nT4\tOrganization 38 42\tSony\n*\tEquiv T1 T4\n#1\tAnnotatorNotes T1\ta note\n"
)
ROWS = [
    (
        1,
        "Sony formed a venture with Ericsson.",
        [[0, 4, "Organization"], [27, 35, "Organization"], [14, 21, "Merge-org"]],
    ),
    (3, "Sony announced today.", [[0, 4, "Organization"]]),
]


def write(directory: Path, **documents: tuple[str, str | None]) -> Path:
    for name, (text, annotation) in documents.items():
        path = directory / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
        if annotation is not None:
            path.with_suffix(".ann").write_text(annotation, encoding="utf-8")
    return directory


def read(path: Path | str) -> list[tuple[str, Any]]:
    stream = open_file(str(path))
    return [(stream.place(number), row) for number, row in stream.rows]


def test_each_line_of_a_document_is_a_row(tmp_path: Path) -> None:
    write(tmp_path / "corpus", b=(TEXT, ANNOTATION), a=("No entities.\n", ""), **{"sub/c": ("Not annotated.", None)})
    (tmp_path / "corpus" / "annotation.conf").write_text("[entities]\nOrganization\n")
    (tmp_path / "corpus" / "README").write_text("…")
    assert describe_file(str(tmp_path / "corpus")) == ("brat", "brat", {})
    assert read(tmp_path / "corpus") == [
        (f"{tmp_path}/corpus/a.txt:1", {"text": "No entities.", "label": []}),
        *((f"{tmp_path}/corpus/b.txt:{line}", {"text": text, "label": label}) for line, text, label in ROWS),
        (f"{tmp_path}/corpus/sub/c.txt:1", {"text": "Not annotated.", "label": None}),
    ]


def test_archives_directories_in_them_and_single_documents(tmp_path: Path) -> None:
    write(tmp_path / "corpus", **{"train/b": (TEXT, ANNOTATION), "test/a": ("No.", "")})
    with zipfile.ZipFile(tmp_path / "corpus.zip", "w") as archive:
        for file in sorted((tmp_path / "corpus").rglob("*.*")):
            archive.write(file, file.relative_to(tmp_path / "corpus"))
    expected = [(line, {"text": text, "label": label}) for line, text, label in ROWS]
    for path in ("corpus/train", "corpus.zip/train", "corpus/train/b.txt", "corpus.zip/train/b.txt"):
        assert describe_file(str(tmp_path / path)).type == "brat"
        prefix = f"{tmp_path}/{path.removesuffix('/b.txt')}/b.txt"
        assert read(tmp_path / path) == [(f"{prefix}:{line}", row) for line, row in expected]
    assert [place for place, _ in read(tmp_path / "corpus.zip")] == [
        f"{tmp_path}/corpus.zip/{place}" for place in ("test/a.txt:1", "train/b.txt:1", "train/b.txt:3")
    ]


def test_several_directories_in_one_split(tmp_path: Path) -> None:
    write(tmp_path / "one", a=(TEXT, ANNOTATION), b=("\nRome\n", "T1\tcity 1 5\tRome\n"))
    write(tmp_path / "two", a=("Bonn\n", "T1\tcity 0 4\tBonn\n"))
    (tmp_path / "c.jsonl").write_text('{"text": "Kiel", "label": [[0, 4, "city"]]}\n')
    data = DataConfig(files={"train": [tmp_path / "one", tmp_path / "two", tmp_path / "c.jsonl"]})
    rows = load_rows(data, input=InputConfig(words="text"), columns={"label": "tags"})["train"]
    assert [rows.place(i) for i in range(len(rows))] == [
        f"{tmp_path}/{place}" for place in ("one/a.txt:1", "one/a.txt:3", "one/b.txt:2", "two/a.txt:1", "c.jsonl:1")
    ]
    assert rows.table["label:label"].to_pylist()[2:] == [["B-city"]] * 3


@pytest.mark.parametrize("pattern", ["*.txt", "corpus.zip/*.txt"])
def test_a_pattern_of_documents(pattern: str, tmp_path: Path) -> None:
    write(tmp_path, a=(TEXT, ANNOTATION), b=("Bonn\n", "T1\tcity 0 4\tBonn\n"))
    with zipfile.ZipFile(tmp_path / "corpus.zip", "w") as archive:
        for file in sorted(tmp_path.glob("?.*")):
            archive.write(file, file.name)
    data = DataConfig(files={"train": str(tmp_path / pattern)}, format="brat")
    rows = load_rows(data, input=InputConfig(words="text"), columns={"label": "tags"})["train"]
    assert len(rows) == 3


@pytest.mark.parametrize(
    ("annotation", "lines", "rule"),
    [
        ("T1\tcity 3 7;12 16\tRome Bonn", {1}, "a.ann:1: city: discontinuous"),
        ("T1\tcity 12 21\tBonn Kiel", {1, 2}, "a.ann:1: city: on more than one line"),
        ("T1\tcity 12 16;17 21\tBonn Kiel", {1, 2}, "a.ann:1: city: discontinuous"),
        ("T1\tcity 3 7\tBonn", {1}, "a.ann:1: city: the span 3 to 7 is 'Rome' in the text, and 'Bonn' in the export"),
        ("T1\tcity 90 94\tBonn", {3}, "is '' in the text"),
        ("#1\tx\tT1\nT1 city 3 7 Rome", {1, 2, 3}, "a.ann:2: not a span such as T1<tab>"),
        ("T1\tcity x 7\tRome", {1, 2, 3}, "a.ann:1: not a span"),
    ],
)
def test_a_span_that_a_line_cannot_have(annotation: str, lines: set[int], rule: str) -> None:
    document = Document("a.txt", "in Rome and Bonn\nKiel x\nend", annotation)
    rows = dict(read_document(document))
    malformed = {number: row for number, row in rows.items() if isinstance(row, MalformedRow)}
    assert set(malformed) == lines
    assert all(rule in row.rule for row in malformed.values())
    assert {number for number, row in rows.items() if number not in malformed} == {1, 2, 3} - lines


def test_bad_spans_are_reported_at_the_line_of_the_text(tmp_path: Path) -> None:
    write(tmp_path / "corpus", a=("ok\n", ""), b=("in Rome\nin Bonn\n", "T1\tcity 3 4;6 7\tR e\nT2\tcity 11 14\tBon\n"))
    data = DataConfig(files={"train": tmp_path / "corpus"})
    with pytest.raises(DataError) as caught:
        load_rows(data, input=InputConfig(words="text"), columns={"label": "tags"})
    assert f"{tmp_path}/corpus/b.txt:1: {tmp_path}/corpus/b.ann:1: city: discontinuous (found 'in Rome')" in str(
        caught.value
    )
    assert f"{tmp_path}/corpus/b.txt:2: label: the span 3 to 6 (city), 'Bon', cuts the word 'Bonn'" in str(caught.value)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks_count_as_characters(end: str, mark: str) -> None:
    text = f"{mark}😀 Rome{end}Bonn"
    spans = [(text.index(name), text.index(name) + 4, name) for name in ("Rome", "Bonn")]
    annotation = "".join(f"T{i}\tcity {a} {b}\t{name}\r\n" for i, (a, b, name) in enumerate(spans))
    assert list(read_document(Document("a.txt", text, annotation))) == [
        (1, {"text": "😀 Rome", "label": [[2, 6, "city"]]}),
        (2, {"text": "Bonn", "label": [[0, 4, "city"]]}),
    ]


def test_missing_and_odd_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"a directory that has no \.ann files"):
        open_file(str(tmp_path / "empty"))
    with pytest.raises(ConfigError, match="none: unsupported file type, and no such directory"):
        load(tmp_path / "none")
    with pytest.raises(DataError, match=r"none\.zip: no such file or directory"):
        load(tmp_path / "none.zip", format="brat")
    (write(tmp_path / "orphan", a=(TEXT, ANNOTATION)) / "b.ann").write_text("")
    with pytest.raises(DataError, match=r"b\.ann: the text file .*b\.txt does not exist"):
        read(tmp_path / "orphan")
    (tmp_path / "orphan" / "b.txt").write_bytes(b"caf\xe9\n")
    rows = dict(read(tmp_path / "orphan"))
    assert "\udce9" in rows[f"{tmp_path}/orphan/b.txt:1"]["text"], "reported as invalid Unicode when it is validated"
    monkeypatch.setattr(brat, "LONGEST_LINE", 10)
    with pytest.raises(DataError, match=r"a\.txt: the document is longer than the limit of 10 bytes"):
        read(tmp_path / "orphan")
    monkeypatch.setattr(brat, "MOST_MEMBERS", 1)
    with pytest.raises(DataError, match="more than 1 files"):
        read(tmp_path / "orphan")


def load(path: Path, **keys: Any) -> None:
    load_rows(DataConfig(files={"train": path}, **keys), input=InputConfig(text="text"), columns={})


@pytest.mark.parametrize("hidden", ["._a", ".ipynb_checkpoints/a-checkpoint", "__MACOSX/a"])
def test_hidden_files_are_no_documents(hidden: str, tmp_path: Path) -> None:
    directory = str(write(tmp_path / "corpus", a=("Ada sings.", "T1\tx 0 3\tAda\n")))
    expected, fingerprint = read(directory), fingerprint_file(directory)
    write(tmp_path / "corpus", **{hidden: ("Bo.", "not an annotation")})
    assert read(directory) == expected
    assert fingerprint_file(directory) == fingerprint


def test_hidden_annotations_do_not_make_a_directory_one_of_brat(tmp_path: Path) -> None:
    write(tmp_path / "corpus", **{"._a": ("Bo.", "")})
    with pytest.raises(ConfigError, match=r"a directory that has no \.ann files of brat"):
        open_file(str(tmp_path / "corpus"))


def test_the_fingerprint_covers_texts_and_annotations(tmp_path: Path) -> None:
    directory = write(tmp_path / "corpus", a=(TEXT, ANNOTATION))
    paths = [str(directory), str(directory / "a.txt")]
    before = [fingerprint_file(path) for path in paths]
    (directory / "a.ann").write_text("")
    assert all(old != fingerprint_file(path) for old, path in zip(before, paths, strict=True))
    (tmp_path / "empty").mkdir()
    assert fingerprint_file(str(tmp_path / "empty")) is None


def test_the_fingerprint_covers_names(tmp_path: Path) -> None:
    """A renamed document is not read, and the order of documents is that of their names."""
    directory = write(tmp_path / "corpus", a=(TEXT, ANNOTATION), b=("Bo.", None))
    before = fingerprint_file(str(directory))
    (directory / "b.txt").rename(directory / "b.txt.off")
    assert fingerprint_file(str(directory)) != before


def test_a_byte_order_mark_before_the_annotation(tmp_path: Path) -> None:
    write(tmp_path, a=("Sony formed a venture.\n", "\ufeffT1\tOrganization 0 4\tSony\n"))
    assert read(tmp_path) == [
        (f"{tmp_path}/a.txt:1", {"text": "Sony formed a venture.", "label": [[0, 4, "Organization"]]})
    ]
