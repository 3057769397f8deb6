"""Tokenised splits: sequences, inputs and labels in memory and in files."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from nlpmtl.config import DataConfig, InputConfig
from nlpmtl.data.arrow_tables import read_table
from nlpmtl.data.examples import Examples
from nlpmtl.data.labels import LabelType
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.split_tokenization import tokenize_split
from nlpmtl.data.targets import ClassLabels, LabelMapping
from nlpmtl.data.token_store import Tokens
from nlpmtl.data.tokenization import TokenizedTexts, tokenize
from nlpmtl.data.tokenized_split import ROWS, TOKENS, WORD_TOKENS, TokenizedSplit, attach_labels, read_tokenized_split
from nlpmtl.data.word_alignment import NO_TOKEN
from tests.data.plain_values import all_tokens, plain
from tests.data.uncached import load_rows
from tests.tiny import make_rows
from tests.tiny_tokenizers import TOKENIZERS, byte_level, token

COLUMNS: dict[str, LabelType] = {"topic": "class", "grade": "number", "kinds": "set", "tags": "tags"}
INPUTS = {"words": {"words": "tokens"}, "pairs": {"text": "text", "pair": "other"}, "texts": {"text": "text"}}
EVERY_INPUT = pytest.mark.parametrize("shape", list(INPUTS))


def load(rows: list[Any], *, shape: str = "words", columns: Mapping[str, LabelType] = COLUMNS) -> Examples:
    data = DataConfig(files={"test": rows}, on_bad_row="skip")
    return load_rows(data, input=InputConfig(**INPUTS[shape]), columns=columns)["test"]


def prepared(
    rows: Examples, *, directory: Path | None = None, columns: Mapping[str, LabelType] = COLUMNS
) -> TokenizedSplit:
    return tokenize_split(rows, columns=columns, tokenizer=token(), max_length=9, directory=directory)


class TestRowLengths:
    TOKENS = Tokens(Ragged.pack([[7] * length for length in (1, 2, 4, 8, 16)]))

    def test_a_row_has_one_sequence_by_default(self) -> None:
        assert TokenizedSplit(self.TOKENS).row_lengths.tolist() == [1, 2, 4, 8, 16]

    def test_a_sequence_of_several_tasks_counts_once(self) -> None:
        sequence_indices = {"a": Ragged.pack([[0, 2], [1], []]), "b": Ragged.pack([[2, 3], [], [4]])}
        split = TokenizedSplit(self.TOKENS, sequence_indices=sequence_indices)
        assert len(split) == 3
        assert split.row_lengths.tolist() == [1 + 4 + 8, 2, 16]

    def test_a_task_without_sequence_indices_has_one_sequence_per_row(self) -> None:
        ones = np.ones(3, dtype=np.int8)
        labels = {task: ClassLabels(("x",), 1, ones > 0, ones, 0 * ones) for task in "ab"}
        split = TokenizedSplit(self.TOKENS, labels=labels, sequence_indices={"a": Ragged.pack([[3], [], [4]])})
        assert split.row_lengths.tolist() == [1 + 8, 2, 4 + 16]


@EVERY_INPUT
def test_rows_are_the_same_in_memory_and_in_files(tmp_path: Path, shape: str) -> None:
    rows = load([*make_rows(30), 3, {"text": None}], shape=shape)
    in_memory, mapped = prepared(rows), prepared(rows, directory=tmp_path)
    read = read_tokenized_split(tmp_path)
    assert plain(in_memory) == plain(mapped) == plain(read)
    assert (len(read), read.skipped, read.truncated > 0) == (30, 2, True)
    tokens, names = all_tokens(read), read.rows.table.column_names if read.rows is not None else []
    assert (tokens.first_tokens is not None, WORD_TOKENS in names, tokens.types is not None) == {
        "words": (True, True, False),
        "pairs": (False, False, True),
        "texts": (False, False, False),
    }[shape]
    assert list(read.columns) == list(COLUMNS)


def test_rows_are_tokenised_in_batches_of_any_size() -> None:
    all_rows = make_rows(1003)
    rows, columns = load(all_rows), ("topic", "grade")
    full = prepared(rows)
    parts = [prepared(rows.select(range(start, min(start + 170, 1003)))) for start in range(0, 1003, 170)]
    ids = [number for part in parts for number in all_tokens(part).ids.values.tolist()]
    assert ids == all_tokens(full).ids.values.tolist()
    assert [row for part in parts for row in part.tokens.lengths.tolist()] == full.tokens.lengths.tolist()
    assert sum(part.truncated for part in parts) == full.truncated
    assert full.columns["topic"].labelled.tolist() == [row["topic"] is not None for row in all_rows]
    for column in columns:
        assert len(full.columns[column].labelled) == 1003


class TestExamples:
    @EVERY_INPUT
    def test_inputs_are_the_same_in_memory_and_in_files(self, tmp_path: Path, shape: str) -> None:
        raw = make_rows(2003)
        rows = load(raw, shape=shape)
        mapped = prepared(rows, directory=tmp_path)
        for split in (prepared(rows), mapped, read_tokenized_split(tmp_path)):
            for row in (0, 1000, 2002, 17):
                example = split.example(row, "topic")
                assert example.input is not None
                assert example.text == (" ".join(raw[row]["tokens"]) if shape == "words" else raw[row]["text"])
                assert example.pair == (raw[row]["other"] if shape == "pairs" else None)
                if shape == "words":
                    assert [example.text[start:end] for start, end in example.words] == raw[row]["tokens"]

    def test_labels_are_those_of_the_task(self) -> None:
        raw = make_rows(30)
        mapping = LabelMapping("topic", "class", ("animals", "places", "things"))
        split = attach_labels(prepared(load(raw)), mappings={"topic": mapping}, train=True)
        labels = [split.example(row, "topic").labels for row in range(30)]
        assert labels == [{} if row["topic"] is None else {"label": row["topic"]} for row in raw]
        assert {} in labels
        assert split.example(0, "other").labels == {}

    def test_rows_without_a_source_have_no_input(self) -> None:
        assert TokenizedSplit(Tokens(Ragged.pack([[1, 2]]))).example(0, "topic").input is None

    def test_labels_can_be_replaced(self) -> None:
        example = replace(prepared(load(make_rows(3))).example(1, "topic"), labels={"label": "x"})
        assert (example.labels, example.text) == ({"label": "x"}, " ".join(make_rows(3)[1]["tokens"]))

    def test_inputs_are_read_lazily_also_after_the_file_was_moved(self, tmp_path: Path) -> None:
        rows = load([{"tokens": ["word"] * 200} for _ in range(2000)], columns={})
        (tmp_path / "new").mkdir()
        before = pa.total_allocated_bytes()
        split = prepared(rows, columns={}, directory=tmp_path / "new")
        assert pa.total_allocated_bytes() - before < 50_000
        (tmp_path / "new").rename(tmp_path / "entry")
        assert split.example(1999, "tags").text == " ".join(["word"] * 200)
        assert (tmp_path / "entry" / ROWS).stat().st_size > 1_000_000


def test_locations_are_those_of_the_source(tmp_path: Path) -> None:
    rows = load([3, *make_rows(2), 3, *make_rows(1)])
    split = prepared(rows, directory=tmp_path)
    for loaded in (split, read_tokenized_split(tmp_path)):
        assert [loaded.place(i) for i in range(3)] == [f"d: test, row {i}" for i in (2, 3, 5)]
        assert [loaded.place(i) for i in range(3)] == [rows.place(i) for i in range(3)]


def test_columns_and_labels_may_have_any_name(tmp_path: Path) -> None:
    names = ["../up", "label0", "é\u2028", "ids", "", "a/b"]
    rows = [{"text": "a", **dict.fromkeys(names, "/../é\0")}]
    columns: dict[str, LabelType] = dict.fromkeys(names, "class")
    prepared(load(rows, shape="texts", columns=columns), directory=tmp_path, columns=columns)
    assert {name: column.names for name, column in read_tokenized_split(tmp_path).columns.items()} == dict.fromkeys(
        names, ("/../é\0",)
    )
    assert {path.parent for path in tmp_path.rglob("*")} == {tmp_path}


def test_encoders_without_token_type_ids_get_none(tmp_path: Path) -> None:
    tokenizer = byte_level(prefix=False, trim=True)
    rows = load(make_rows(3), shape="pairs")
    split = tokenize_split(rows, columns=COLUMNS, tokenizer=tokenizer, max_length=9, directory=tmp_path)
    assert all_tokens(split).types is None
    assert "token_type_ids" not in read_table(tmp_path / TOKENS).column_names


@pytest.mark.parametrize("name", sorted(TOKENIZERS))
@settings(deadline=None, max_examples=15)
@given(
    words=st.lists(
        st.lists(
            st.text(st.characters(codec="utf-8"), max_size=3) | st.sampled_from(["", " ", "\u200b"]),
            min_size=1,
            max_size=6,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_first_tokens_are_the_tokens_that_begin_a_word(name: str, words: list[list[str]]) -> None:
    rows = load([{"tokens": row} for row in words], columns={})
    split = tokenize_split(rows, columns={}, tokenizer=TOKENIZERS[name](), max_length=9)
    first_tokens, counts = all_tokens(split).first_tokens, split.column(WORD_TOKENS).to_pylist()
    assert first_tokens is not None
    assert first_tokens.lengths.tolist() == list(map(len, words))
    assert counts == [len(set(first_tokens[i]) - {NO_TOKEN}) for i in range(len(words))]


def test_a_missing_directory_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="none"):
        prepared(load(make_rows(3)), directory=tmp_path / "none")


def test_a_full_disk_is_an_oserror(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    rows = load(make_rows(300))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            prepared(rows, directory=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


class TestDamage:
    def test_a_missing_file_is_an_oserror(self, tmp_path: Path) -> None:
        prepared(load(make_rows(3)), directory=tmp_path)
        for path in sorted(tmp_path.iterdir()):
            content = path.read_bytes()
            path.unlink()
            with pytest.raises(OSError, match=path.name):
                read_tokenized_split(tmp_path)
            path.write_bytes(content)
        read_tokenized_split(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"{}"])
    def test_invalid_metadata(self, tmp_path: Path, content: bytes) -> None:
        prepared(load(make_rows(3)), directory=tmp_path)
        (tmp_path / "metadata.json").write_bytes(content)
        with pytest.raises((ValueError, KeyError)):
            read_tokenized_split(tmp_path)

    def test_metadata_without_a_column_or_of_another_version_is_refused(self, tmp_path: Path) -> None:
        prepared(load(make_rows(3)), directory=tmp_path)
        facts = json.loads((tmp_path / "metadata.json").read_text())
        for changes in ({"columns": {"other": "class"}}, {"new": 1}, {"files": None}):
            (tmp_path / "metadata.json").write_text(json.dumps({**facts, **changes}))
            with pytest.raises((KeyError, TypeError)):
                read_tokenized_split(tmp_path)

    def test_metadata_behind_a_link_is_refused(self, tmp_path: Path) -> None:
        prepared(load(make_rows(3)), directory=tmp_path)
        (tmp_path / "metadata.json").rename(tmp_path / "other.json")
        (tmp_path / "metadata.json").symlink_to(tmp_path / "other.json")
        with pytest.raises(OSError, match="not a regular file"):
            read_tokenized_split(tmp_path)


def test_long_rows_are_tokenised_fewer_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many characters are encoded at once is bounded, whatever the number of rows."""
    sizes: list[int] = []
    original = tokenize

    def watch(tokenizer: PreTrainedTokenizerBase, texts: list[str], **options: Any) -> TokenizedTexts:
        sizes.append(sum(map(len, texts)))
        return original(tokenizer, texts, **options)

    rows = load([{"tokens": ["a"] * 300, "tags": ["O"] * 300} for _ in range(20)], columns={"tags": "tags"})
    expected = plain(prepared(rows, columns={"tags": "tags"}))
    monkeypatch.setattr("nlpmtl.data.split_tokenization.tokenize", watch)
    monkeypatch.setattr("nlpmtl.data.split_tokenization._CHARACTERS_PER_BATCH", 1500)
    assert plain(prepared(rows, columns={"tags": "tags"})) == expected
    assert max(sizes) <= 1500
    assert len(sizes) == 10


@pytest.mark.parametrize("cores", [1, 2, 7])
def test_the_number_of_cores_does_not_change_the_result(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of two rows are tokenized by as many threads as there are cores, and stay in order."""
    threads: set[int] = set()
    original = tokenize

    def watch(*arguments: Any, **options: Any) -> TokenizedTexts:
        threads.add(threading.get_ident())
        return original(*arguments, **options)

    examples = load([{"tokens": ["a"] * (i % 5 + 1), "tags": ["O"] * (i % 5 + 1)} for i in range(60)])
    expected = plain(prepared(examples))
    monkeypatch.setattr("nlpmtl.data.split_tokenization.tokenize", watch)
    monkeypatch.setattr("nlpmtl.data.split_tokenization._ROWS_PER_BATCH", 2)
    monkeypatch.setattr("nlpmtl.data.split_tokenization._available_cores", lambda: cores)
    assert plain(prepared(examples)) == expected
    assert 1 <= len(threads) <= cores
    assert threading.get_ident() not in threads
