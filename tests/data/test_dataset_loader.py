"""Tokenised datasets from the cache, and cases that are not cached."""

from __future__ import annotations

import copy
import gzip
import importlib
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from nlpmtl.config import DataConfig, InputConfig
from nlpmtl.data.dataset_cache import Cache
from nlpmtl.data.dataset_loader import DatasetLoader
from nlpmtl.data.labels import LabelType
from nlpmtl.data.split_tokenization import tokenize_split
from nlpmtl.data.targets import LabelMapping
from nlpmtl.data.tokenized_split import NUMBER, TokenizedSplit, attach_labels
from nlpmtl.errors import ConfigError, DataError
from nlpmtl.registry import COLUMN_TYPES
from tests.data.plain_values import plain
from tests.data.uncached import encode, load_rows
from tests.tiny import make_rows, write_rows
from tests.tiny_tokenizers import byte_level, metaspace, token

COLUMNS: dict[str, LabelType] = {"topic": "class", "grade": "number", "kinds": "set", "tags": "tags"}
WORDS = InputConfig(words="tokens")
TARGETS = {
    "topic": LabelMapping("topic", "class", ("animals", "places", "things")),
    "kinds": LabelMapping("kinds", "set", ("x", "y", "z")),
    "tags": LabelMapping("tags", "tags", ("O", "B-place", "B-person")),
    "grade": LabelMapping("grade", "number", ()),
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("NLPMTL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def files(tmp_path: Path, root: Path) -> dict[str, str]:
    sizes = {"train": 30, "validation": 7, "test": 8}
    return {split: str(write_rows(tmp_path / f"{split}.jsonl", make_rows(n, seed=n))) for split, n in sizes.items()}


class _Watch:
    """Audit hook that records opened files while active; it cannot be removed."""

    def __init__(self) -> None:
        self.opened: list[str] | None = None
        self.before: Callable[[str], None] = lambda path: None
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.opened is not None and event == "open" and isinstance(arguments[0], str):
            self.opened.append(arguments[0])
            self.before(arguments[0])


@cache
def watch() -> _Watch:
    return _Watch()


@pytest.fixture
def opened() -> Iterator[_Watch]:
    watch().opened = []
    yield watch()
    watch().opened, watch().before = None, lambda path: None


def preparer(tokenizer: PreTrainedTokenizerBase | None = None, *, max_length: int = 9) -> DatasetLoader:
    return DatasetLoader(tokenizer or token(), max_length=max_length)


def ask(
    files: Mapping[str, Any],
    prepare: DatasetLoader | None = None,
    *,
    input: InputConfig = WORDS,
    columns: Mapping[str, LabelType] = COLUMNS,
    limit: Mapping[str, int] | None = None,
    splits: Sequence[str] | None = None,
    **data: Any,
) -> dict[str, TokenizedSplit]:
    prepare = prepare or preparer()
    config = DataConfig(files=dict(files), **data)
    return prepare(config, input=input, columns=columns, limit=limit or {}, name="d", splits=splits)


def entries(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if re.fullmatch("[0-9a-f]{64}", path.name)} if root.exists() else set()


def shapes(splits: Mapping[str, TokenizedSplit]) -> dict[str, int]:
    return {split: len(rows) for split, rows in splits.items()}


class TestFromTheCache:
    def test_a_cached_dataset_equals_the_first(self, files: dict[str, str], root: Path) -> None:
        first = ask(files)
        assert shapes(first) == {"train": 30, "validation": 7, "test": 8}
        assert len(entries(root)) == 3
        second = ask(files)
        assert len(entries(root)) == 3
        assert {s: plain(rows) for s, rows in first.items()} == {s: plain(rows) for s, rows in second.items()}
        data = DataConfig(files=files)
        for split, rows in load_rows(data, input=WORDS, columns=COLUMNS).items():
            direct = tokenize_split(rows, columns=COLUMNS, tokenizer=token(), max_length=9)
            assert plain(direct) == plain(second[split])

    def test_a_cached_dataset_reads_no_rows(self, files: dict[str, str], opened: _Watch) -> None:
        ask(files)
        assert opened.opened is not None
        first = {split: opened.opened.count(path) for split, path in files.items()}
        opened.opened.clear()
        ask(files)
        assert {split: opened.opened.count(path) for split, path in files.items()} == dict.fromkeys(files, 1)
        assert all(times > 1 for times in first.values())  # one open is for the fingerprint

    def test_only_missing_splits_are_read(self, files: dict[str, str], root: Path, opened: _Watch) -> None:
        assert list(ask(files, splits=["train"])) == ["train"]
        assert len(entries(root)) == 1
        assert opened.opened is not None
        assert files["test"] not in opened.opened
        opened.opened.clear()
        assert list(ask(files, splits=["test", "train"])) == ["train", "test"]
        assert opened.opened.count(files["train"]) == 1, "for the fingerprint"
        assert len(entries(root)) == 2

    def test_rows_outlive_the_cache(self, files: dict[str, str], root: Path) -> None:
        first, second = ask(files), ask(files)
        shutil.rmtree(root)
        assert {s: plain(rows) for s, rows in first.items()} == {s: plain(rows) for s, rows in second.items()}

    def test_the_cache_holds_only_entries_and_locks(self, files: dict[str, str], root: Path) -> None:
        ask(files)
        other_files = {path.name for path in root.iterdir()} - entries(root)
        assert all(re.fullmatch(r"[0-9a-f]{64}\.lock", name) for name in other_files)

    def test_a_damaged_entry_is_rebuilt(self, files: dict[str, str], root: Path) -> None:
        first = plain(ask(files)["train"])
        for entry in entries(root):
            path = root / entry / "rows.arrow"
            path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
        assert plain(ask(files)["train"]) == first
        assert len(entries(root)) == 3
        assert not any((root / entry / "rows.arrow").read_bytes().endswith(b"\x7f") for entry in entries(root))

    def test_an_entry_removed_by_another_process_is_rebuilt(self, files: dict[str, str], root: Path) -> None:
        class Hasty(Cache):
            """A cache whose entry another process removes after it was found."""

            def find(self, key: str) -> Path | None:
                entry = super().find(key)
                if entry is not None:
                    shutil.rmtree(entry)
                return entry

        first = ask(files)
        prepare = preparer()
        prepare._cache = Hasty(root)
        second = ask(files, prepare)
        assert {s: plain(rows) for s, rows in first.items()} == {s: plain(rows) for s, rows in second.items()}
        assert prepare.notes == []
        assert len(entries(root)) == 3

    def test_concurrent_loaders_build_an_entry_once(self, files: dict[str, str], root: Path, opened: _Watch) -> None:
        """Threads start faster than processes; the lock excludes both (see the tests of the cache)."""
        preparers = [preparer() for _ in range(3)]
        together = Barrier(3)

        def start(prepare: DatasetLoader) -> dict[str, TokenizedSplit]:
            together.wait()
            return ask(files, prepare)

        with ThreadPoolExecutor(3) as pool:
            results = list(pool.map(start, preparers))
        assert [shapes(splits) for splits in results] == [{"train": 30, "validation": 7, "test": 8}] * 3
        # Three fingerprints; one loader reads the rows, and the fingerprint again afterwards.
        assert opened.opened is not None
        assert opened.opened.count(files["train"]) == 3 + 1 + 1
        assert len(entries(root)) == 3


class TestCacheKeys:
    """Everything that the rows depend on is part of the key."""

    def test_every_change_of_content_path_or_setting_is_another_key(
        self, files: dict[str, str], root: Path, tmp_path: Path
    ) -> None:
        train = {"train": files["train"]}
        other = str(shutil.copy(files["train"], tmp_path / "other.jsonl"))
        requests: dict[str, Callable[[], object]] = {
            "as it is": lambda: ask(train),
            "another path": lambda: ask({"train": other}),
            "another split": lambda: ask({"test": files["train"]}),
            "another tokenizer": lambda: ask(train, preparer(byte_level(prefix=False, trim=True))),
            "a tokenizer that differs a little": lambda: ask(train, preparer(byte_level(prefix=False, trim=False))),
            "a third": lambda: ask(train, preparer(metaspace(split=True))),
            "a longer limit": lambda: ask(train, preparer(max_length=10)),
            "fewer rows": lambda: ask(train, limit={"train": 12}),
            "fewer still": lambda: ask(train, limit={"train": 11}),
            "another input": lambda: ask(train, input=InputConfig(text="text")),
            "a pair": lambda: ask(train, input=InputConfig(text="text", pair="other")),
            "fewer columns": lambda: ask(train, columns={"topic": "class"}),
            "another column": lambda: ask(train, columns={"mood": "class"}),
            "another shape": lambda: ask(train, columns={"kinds": "set"}),
            "and another": lambda: ask(train, columns={"kinds": "tags"}, input=InputConfig(text="text")),
            "bad rows excluded": lambda: ask(train, on_bad_row="skip"),
            "a share": lambda: ask(train, validation=0.2, splits=["train"]),
            "another share": lambda: ask(train, validation=0.3, splits=["train"]),
        }
        for entry_count, (name, request) in enumerate(requests.items(), 1):
            request()
            assert len(entries(root)) == entry_count, name
        for name, request in requests.items():
            request()
            assert len(entries(root)) == len(requests), name

    def test_another_content(self, files: dict[str, str], root: Path) -> None:
        path = Path(files["train"])
        before = ask(files)["train"]
        path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        again = ask(files)["train"]  # an empty line at the end
        assert (plain(again), len(entries(root))) == (plain(before), 4)
        write_rows(path, make_rows(5))
        assert len(ask(files)["train"]) == 5
        assert len(entries(root)) == 5

    def test_truncation_and_padding_settings_do_not_change_the_key(self, files: dict[str, str], root: Path) -> None:
        tokenizer = token()
        ask(files, preparer(tokenizer))
        tokenizer(["a", "a film"], truncation=True, max_length=3, padding=True)
        ask(files, preparer(tokenizer))
        assert len(entries(root)) == 3

    @pytest.mark.parametrize("name", ["unk", "pad", "eos", "sep"])
    def test_another_special_token(self, name: str, files: dict[str, str], root: Path) -> None:
        """Task types add special tokens to sequences, and an empty text may be the unknown or the padding token."""
        ask(files, preparer(token()), splits=["train"])
        other = copy.deepcopy(token())
        setattr(other, f"{name}_token", "[MASK]")
        ask(files, preparer(other), splits=["train"])
        assert len(entries(root)) == 2

    def test_another_source_of_a_column_type(self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The type of a plugin that is built on label names, like the built-in ones."""
        monkeypatch.setattr(COLUMN_TYPES, "_members", dict(COLUMN_TYPES._members))
        monkeypatch.setattr(sys, "dont_write_bytecode", True)  # both sources have the same size and time
        monkeypatch.syspath_prepend(tmp_path)
        rows = {"train": str(write_rows(tmp_path / "a.jsonl", [{"text": "a", "label": "X"}]))}
        source = (
            "from nlpmtl.data.labels import ClassLabel\nfrom nlpmtl.registry import COLUMN_TYPES\n\n\n"
            '@COLUMN_TYPES.register("lower_of_test")\nclass Lower(ClassLabel):\n    @classmethod\n'
            "    def to_stored(cls, value, *, names=None, words=None):\n        return value\n"
        )

        def read(method: str) -> Any:
            (tmp_path / "lower_of_test.py").write_text(source.replace("return value", f"return value.{method}()"))
            monkeypatch.delitem(sys.modules, "lower_of_test", raising=False)
            importlib.invalidate_caches()
            COLUMN_TYPES._members.pop("lower_of_test", None)
            importlib.import_module("lower_of_test")
            columns = {"label": "lower_of_test"}
            return ask(rows, input=InputConfig(text="text"), columns=columns)["train"].columns["label"].names

        assert read("strip") == ("X",)
        assert read("lower") == ("x",)

    def test_the_licence_and_other_splits_do_not_change_the_key(self, files: dict[str, str], root: Path) -> None:
        ask(files)
        ask({"train": files["train"]}, license="mit", limit={})
        ask(files, limit={"test": 3})
        assert len(entries(root)) == 4

    def test_a_compressed_file_is_identified_by_its_bytes(self, tmp_path: Path, root: Path) -> None:
        path = tmp_path / "a.jsonl.gz"
        for rows in (3, 4):
            lines = "".join(json.dumps(row) + "\n" for row in make_rows(rows + 1))
            path.write_bytes(gzip.compress(lines.encode()))
            assert len(ask({"train": str(path)}, columns={}, input=WORDS)["train"]) == rows + 1
        assert len(entries(root)) == 2


class TestInMemory:
    def test_rows_in_memory_are_not_cached(self, root: Path) -> None:
        rows = make_rows(5)
        first = ask({"train": rows})["train"]
        rows.append(rows[0])
        assert (len(first), len(ask({"train": rows})["train"])) == (5, 6)
        assert entries(root) == set()

    def test_rows_in_memory_next_to_a_file_are_not_cached(self, files: dict[str, str], root: Path) -> None:
        rows = make_rows(4)
        mixed = {"train": files["train"], "test": rows}
        first = ask(mixed)
        assert len(entries(root)) == 1
        rows.pop()
        second = ask(mixed)
        assert (shapes(first)["test"], shapes(second)["test"]) == (4, 3)
        assert plain(first["train"]) == plain(second["train"])
        assert len(entries(root)) == 1

    def test_rows_in_memory_leave_no_files(self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "tmp").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
        split = ask({"train": make_rows(5)})["train"]
        assert len(split) == 5
        assert list((tmp_path / "tmp").iterdir()) == []


class TestHeldOutShare:
    def test_a_held_out_share_does_not_depend_on_the_order_of_splits(self, files: dict[str, str], root: Path) -> None:
        train = {"train": files["train"]}
        direct = load_rows(DataConfig(files=train, validation=0.2), input=WORDS, columns=COLUMNS, limit={"train": 9})
        for order in (["train", "validation"], ["validation", "train"], ["train"], ["validation"]):
            shutil.rmtree(root, ignore_errors=True)
            for split in order:
                ask(train, validation=0.2, limit={"train": 9}, splits=[split])
            for splits in (["validation"], None):
                loaded = ask(train, validation=0.2, limit={"train": 9}, splits=splits)
                for split, rows in loaded.items():
                    assert rows.column(NUMBER).to_pylist() == direct[split].numbers.tolist()
                    assert rows.place(0) == direct[split].place(0)
            assert shapes(loaded) == {"train": 9, "validation": 6}

    def test_a_limit_on_train_does_not_limit_the_held_out_share(self, files: dict[str, str], root: Path) -> None:
        train = {"train": files["train"]}
        ask(train, validation=0.2)
        ask(train, validation=0.2, limit={"train": 9})
        assert len(entries(root)) == 3

    def test_skipped_and_truncated_rows_are_counted_in_the_cache(self, tmp_path: Path, root: Path) -> None:
        path = write_rows(tmp_path / "a.jsonl", [*make_rows(10), {"tokens": []}, {"tokens": 3}])
        for _ in range(2):
            loaded = ask({"train": str(path)}, validation=0.2, on_bad_row="skip")
            assert {split: rows.skipped for split, rows in loaded.items()} == {"train": 2, "validation": 0}
            assert sum(rows.truncated for rows in loaded.values()) == sum(
                len(row["tokens"]) > 7 for row in make_rows(10)
            )


class TestErrors:
    def test_bad_rows_are_reported_each_time(self, files: dict[str, str], tmp_path: Path, root: Path) -> None:
        bad = str(write_rows(tmp_path / "bad.jsonl", [*make_rows(2), {"tokens": []}, {"tokens": "a"}]))
        messages = []
        for sources in ({**files, "test": bad}, files, {**files, "test": bad}):
            try:
                ask(sources)
            except DataError as error:
                messages.append(str(error))
        assert len(messages) == 2
        assert messages[0] == messages[1]
        assert messages[0].splitlines()[:2] == [
            "d: 2 problem(s) in 2 row(s):",
            f"  {bad}:3: tokens: at least one word was expected (found [])",
        ]
        assert len(entries(root)) == 3

    def test_a_file_that_becomes_invalid_is_not_read_from_the_cache(self, files: dict[str, str]) -> None:
        ask(files)
        with Path(files["train"]).open("a", encoding="utf-8") as file:
            file.write("{\n")
        for _ in range(2):
            with pytest.raises(DataError, match=r"train\.jsonl:31: not valid JSON"):
                ask(files)
        Path(files["train"]).unlink()
        with pytest.raises(DataError, match=r"train\.jsonl: no such file"):
            ask(files)

    def test_a_column_missing_in_every_row(self, files: dict[str, str], root: Path) -> None:
        ask(files)
        for _ in range(2):
            with pytest.raises(ConfigError, match=r"column 'topics' not found.*did you mean 'topic'"):
                ask(files, columns={"topics": "class"})
        with pytest.raises(ConfigError, match="unknown split 'dev'"):
            ask(files, limit={"dev": 3})
        assert len(entries(root)) == 3

    def test_a_file_that_changes_while_it_is_read_is_not_cached(
        self, files: dict[str, str], root: Path, opened: _Watch
    ) -> None:
        def before(path: str) -> None:
            # The file is opened first for the fingerprint, then to read the rows.
            if path == files["train"] and opened.opened is not None and opened.opened.count(path) == 2:
                with Path(path).open("ab") as file:
                    file.write(b"\n")

        opened.before = before
        with pytest.raises(DataError, match=r"train\.jsonl: changed while it was read; start again"):
            ask({"train": files["train"]})
        assert entries(root) == set()
        opened.before = lambda name: None
        assert shapes(ask({"train": files["train"]})) == {"train": 30}

    @pytest.mark.parametrize(
        ("task", "wrong", "message"),
        [
            ("topic", "animal", "topic: 'animal' is not in the list of labels; did you mean 'animals'?"),
            ("kinds", ["x", "w"], "kinds: 'w' is not in the list of labels; known: x, y, z"),
            ("tags", ["O", "B-plaec"], "tags: 'B-plaec' is not in the list of labels; did you mean 'B-place'?"),
        ],
    )
    def test_an_unknown_label_in_train_is_an_error_with_its_line(
        self, tmp_path: Path, root: Path, task: str, wrong: Any, message: str
    ) -> None:
        right: dict[str, Any] = {"tokens": ["a", "dog"], "topic": "animals", "kinds": ["x"], "tags": ["O", "O"]}
        path = write_rows(tmp_path / "a.jsonl", [right, {"tokens": []}, {**right, task: None}, {**right, task: wrong}])
        columns = {task: TARGETS[task].type}
        for _ in range(2):
            split = ask({"train": str(path)}, columns=columns, on_bad_row="skip")["train"]
            with pytest.raises(DataError) as caught:
                attach_labels(split, mappings={task: TARGETS[task]}, train=True)
            assert str(caught.value) == f"{path}:4: {message}"
        assert len(entries(root)) == 1

    def test_cached_labels_equal_those_of_the_rows(self, files: dict[str, str]) -> None:
        targets = {**TARGETS, "topic": LabelMapping("topic", "class", ("places", "animals"))}
        ask(files)
        loaded = attach_labels(ask(files)["test"], mappings=targets, train=False)
        rows = load_rows(DataConfig(files=files), input=WORDS, columns=COLUMNS)["test"]
        direct = encode(rows, tokenizer=token(), max_length=9, mappings=targets, train=False)
        assert loaded.labels["topic"].names == ("places", "animals", "things")
        for task, labels in direct.labels.items():
            labelled = [i for i, has_label in enumerate(labels.labelled) if has_label]
            assert loaded.labels[task].values(labelled) == labels.values(labelled)
            assert loaded.labels[task].counts.tolist() == labels.counts.tolist()
            assert (loaded.labels[task].names, loaded.labels[task].known) == (labels.names, labels.known)
            tensors = []
            for split in (loaded, direct):
                words = split.tokens.take(labelled).first_tokens
                tensors.append(split.labels[task].tensor(labelled, first_tokens=words, sequence_length=9))
            assert tensors[0].equal(tensors[1])


class TestWithoutACache:
    """Permissions do not apply to root, so a file is in place of the directory."""

    def test_without_a_cache_a_note_says_so(
        self, files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = {split: plain(rows) for split, rows in ask(files).items()}
        (tmp_path / "file").touch()
        monkeypatch.setenv("NLPMTL_CACHE", str(tmp_path / "file"))
        prepare = preparer()
        for count in (1, 2):
            loaded = ask(files, prepare)
            assert {split: plain(rows) for split, rows in loaded.items()} == expected
            assert len(prepare.notes) == count
        assert prepare.notes[0].startswith("d: tokenized data is not cached: ")
        assert str(tmp_path / "file") in prepare.notes[0]

    def test_without_temporary_files_rows_are_kept_in_memory(
        self, files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = {split: plain(rows) for split, rows in ask(files).items()}
        (tmp_path / "file").touch()
        monkeypatch.setenv("NLPMTL_CACHE", str(tmp_path / "file"))
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
        prepare = preparer()
        loaded = ask(files, prepare)
        assert {split: plain(rows) for split, rows in loaded.items()} == expected
        cache_note, memory_note = prepare.notes
        assert cache_note.startswith("d: tokenized data is not cached: ")
        assert memory_note.startswith("d: tokenized data is kept in memory: ")

    def test_a_disk_that_fills_up_while_writing(self, files: dict[str, str], root: Path) -> None:
        resource = pytest.importorskip("resource")
        expected = {split: plain(rows) for split, rows in ask(files).items()}
        shutil.rmtree(root)
        prepare = preparer()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            loaded = ask(files, prepare)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert {split: plain(rows) for split, rows in loaded.items()} == expected
        assert ["File too large" in note for note in prepare.notes] == [True, True]
        assert entries(root) == set()

    def test_bad_rows_are_reported_without_a_cache(
        self, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bad = str(write_rows(tmp_path / "bad.jsonl", [{"tokens": []}]))
        (tmp_path / "file").touch()
        monkeypatch.setenv("NLPMTL_CACHE", str(tmp_path / "file"))
        with pytest.raises(DataError, match="at least one word was expected"):
            ask({"train": bad}, columns={})
