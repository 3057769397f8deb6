"""Task types that define their sequences and targets: tokenized once per row, stored, cached and read again."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlpmtl.config import parse_dataset
from nlpmtl.data import Collator, ComputedLabels, TokenizedSplit
from nlpmtl.errors import ConfigError, DataError
from nlpmtl.evaluation import gold_labels
from nlpmtl.registry import COLUMN_TYPES, TASKS
from nlpmtl.task_datasets import TaskDatasets, load_split, load_task_datasets
from tests.data.plain_values import plain
from tests.tiny import interrupt, max_weight_difference, train_tiny, write_encoder, write_rows
from tests.tiny_tokenizers import token

SOURCE = Path(__file__).with_name("row_types.py")
QUIZ: list[dict[str, Any]] = [
    {"q": "ada sings", "options": ["a cat", "a dog", "rome"], "answer": 2, "topic": "x"},
    {"q": "a film", "options": ["a cat", "a cat"], "answer": 0, "topic": "y"},
    {"q": "turin", "options": None, "answer": 0, "topic": "x"},
    {"q": "paris", "options": ["a", "b"], "answer": None, "topic": "y"},
]
QUIZ_TABLES: dict[str, Any] = {
    "input": {"text": "q", "choices": "options"},
    "tasks": {"quiz": {"kind": "row_quiz", "label": "answer"}, "topic": {"kind": "classification", "label": "topic"}},
}
LONG = "ada sings in turin and a cat sings in rome"
WINDOWS: list[dict[str, Any]] = [
    {"text": LONG, "n": 2, "r": "ab"},
    {"text": "a cat", "n": 3, "r": None},
    {"text": "a dog", "n": 1, "r": "c"},
    {"text": "rome", "n": None, "r": "c"},
]
WINDOW_TABLES: dict[str, Any] = {
    "input": {"text": "text"},
    "tasks": {"w": {"kind": "row_windows", "size": "n", "relation": "r", "stride": 2}},
}
UNLABELLED: dict[str, Any] = {"input": {"text": "text"}, "tasks": {"t": {"kind": "row_texts_only"}}}
Load = Callable[..., TaskDatasets]


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    for registered in (TASKS, COLUMN_TYPES):
        monkeypatch.setattr(registered, "_members", dict(registered._members))


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Import a copy of the task types, with other source."""

    def load(source: str) -> None:
        path = tmp_path / "row_types_plugin.py"
        path.write_text(source, encoding="utf-8")
        spec = importlib.util.spec_from_file_location("row_types_plugin", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "row_types_plugin", module)
        for registered in (TASKS, COLUMN_TYPES):
            for name in [name for name in registered.names() if name.startswith("row_")]:
                del registered._members[name]
        spec.loader.exec_module(module)

    load(SOURCE.read_text(encoding="utf-8"))
    return load


@pytest.fixture
def load(tmp_path: Path, plugin: object, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.setenv("NLPMTL_CACHE", str(tmp_path / "cache"))

    def load(
        rows: list[dict[str, Any]],
        tables: Mapping[str, Any],
        *,
        max_length: int = 16,
        files: bool = True,
        **changes: Any,
    ) -> TaskDatasets:
        train = str(write_rows(tmp_path / "train.jsonl", rows)) if files else rows
        raw = {"data": {"files": {"train": train}}, **tables, **changes}
        return load_task_datasets(
            {"d": parse_dataset(raw, where="d.toml")}, tokenizer=token(), max_length=max_length, splits=("train",)
        )

    return load


def entries(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()}


def texts(split: TokenizedSplit, task: str, row: int) -> list[str]:
    sequences = (sequence.ids.tolist() for sequence in split.tokens.sequences(split.sequences_of(task)[row]))
    return [" ".join(token().convert_ids_to_tokens(ids)) for ids in sequences]


class TestMultipleChoice:
    def test_each_choice_is_a_sequence(self, load: Load) -> None:
        split = load(QUIZ, QUIZ_TABLES).splits["train"]["d"]
        assert len(split) == 4
        assert texts(split, "quiz", 0) == [f"[CLS] ada sings [SEP] {end} [SEP]" for end in ("a cat", "a dog", "rome")]
        assert texts(split, "quiz", 2) == texts(split, "quiz", 3) == []
        assert texts(split, "topic", 2) == ["[CLS] turin [SEP]"]
        sequence = split.tokens.sequences([split.sequences_of("quiz")[0].tolist()[0]])[0]
        assert sequence.type_ids is not None
        assert sequence.type_ids.tolist() == [0] * 4 + [1] * 3
        assert split.row_lengths.tolist() == [4 + 7 + 7 + 6, 4 + 7, 3, 3]

    def test_a_task_knows_the_columns_of_its_own_inputs(self, load: Load) -> None:
        tasks = load(QUIZ, QUIZ_TABLES).tasks
        assert tasks["quiz"].input_columns == ({"text": "q", "choices": "options"},)
        assert tasks["topic"].input_columns == ({"text": "q"},)

    def test_equal_sequences_of_a_row_are_stored_once(self, load: Load) -> None:
        split = load(QUIZ, QUIZ_TABLES).splits["train"]["d"]
        first, second = split.sequences_of("quiz")[1].tolist()
        assert first == second
        assert len(split.tokens.lengths) == 4 + 3 + 1

    def test_a_row_without_a_needed_column_or_input_is_unlabelled(self, load: Load) -> None:
        split = load(QUIZ, QUIZ_TABLES).splits["train"]["d"]
        labels = split.labels["quiz"]
        assert labels.labelled.tolist() == [True, True, False, False]
        assert labels.counts.tolist() == [1, 1, 0, 0]
        assert labels.values([0, 1, 2, 3]) == [2, 0, None, None]
        assert split.example(0, "quiz").labels == {"label": 2}
        assert split.example(2, "quiz").labels == {}
        assert split.example(0, "quiz").extra == {"choices": ["a cat", "a dog", "rome"]}
        assert split.example(2, "quiz").extra == {}

    def test_an_optional_input_may_be_null(self, load: Load) -> None:
        rows = [{**row, "h": None if i else ["a hint"]} for i, row in enumerate(QUIZ)]
        tables = {**QUIZ_TABLES, "input": {"text": "q", "choices": "options", "hint": "h"}}
        split = load(rows, tables).splits["train"]["d"]
        assert split.labels["quiz"].labelled.tolist() == [True, True, False, False]
        assert [split.example(row, "quiz").extra.get("hint") for row in range(2)] == [["a hint"], None]

    def test_batches(self, load: Load) -> None:
        split = load(QUIZ, QUIZ_TABLES).splits["train"]["d"]
        batch = Collator([split], pad=0, types=True)([(0, 0), (0, 1), (0, 2)])
        quiz = batch.tasks["quiz"]
        assert quiz.targets["label"].tolist() == [2, 0]
        assert quiz.example.tolist() == [0, 0, 0, 1, 1]
        assert len(batch.tasks["topic"].sequences) == 3

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"answer": 5}, "train.jsonl:2: answer: expected the index of one of the 2 choices (found 5)"),
            ({"options": "a"}, "train.jsonl:2: options: a list of texts was expected (found 'a')"),
        ],
    )
    def test_invalid_values_are_named_with_their_line(self, load: Load, change: dict[str, Any], message: str) -> None:
        with pytest.raises(DataError) as caught:
            load([QUIZ[0], {**QUIZ[1], **change}, *QUIZ[2:]], QUIZ_TABLES)
        assert message in str(caught.value)

    def test_the_column_of_a_needed_input_must_exist(self, load: Load) -> None:
        with pytest.raises(ConfigError, match="column 'options' not found"):
            load([{"q": "a", "answer": None, "topic": "x"}], QUIZ_TABLES)

    def test_other_inputs_are_other_rows(self, load: Load) -> None:
        before = load(QUIZ, QUIZ_TABLES).fingerprint()
        other = [{**QUIZ[0], "options": ["a cat", "a dog", "paris"]}, *QUIZ[1:]]
        after = load(other, QUIZ_TABLES).fingerprint()
        assert before["splits"]["d"]["train"]["inputs"] != after["splits"]["d"]["train"]["inputs"]
        assert before["splits"]["d"]["train"]["labels"] == after["splits"]["d"]["train"]["labels"]


class TestWindows:
    def test_windows_targets_of_any_shape_and_unlabelled_rows(self, load: Load) -> None:
        split = load(WINDOWS, WINDOW_TABLES, max_length=8).splits["train"]["d"]
        labels = split.labels["w"]
        assert isinstance(labels, ComputedLabels)
        read = [len(split.sequences_of("w")[row].tolist()) for row in range(4)]
        assert read == [3, 2, 2, 0]
        lengths = split.tokens.lengths[split.sequences_of("w")[0]].tolist()
        assert lengths == [8, 8, 8]
        targets = labels.example_targets(0)
        assert targets.count == sum(lengths) == labels.counts[0]
        assert targets.example["size"] == 2.0
        assert targets.example["pairs"].tolist() == [[n, n + 1] for n in lengths]
        assert [value.item() for value in targets.sequence["long"]] == [True] * 3
        for index, ids in zip(split.sequences_of("w")[0].tolist(), targets.sequence["ids"], strict=True):
            assert ids.tolist() == split.tokens.sequences([index])[0].ids.tolist()
        assert labels.counts.tolist() == [sum(lengths), 0, 8, 0]
        assert labels.labelled.tolist() == [True, True, True, False]

    def test_a_truncated_text_is_its_first_window(self, load: Load) -> None:
        split = load(WINDOWS, WINDOW_TABLES, max_length=8).splits["train"]["d"]
        indices = split.sequences_of("w")[0].tolist()
        assert indices[-1] == indices[0] == 0
        assert len(set(indices)) == 2
        assert split.tokens.sequences([0])[0].offsets is not None
        assert split.tokens.sequences([3])[0].offsets is None
        assert split.sequences_of("w")[1].tolist() == [1, 1]

    def test_targets_are_padded(self, load: Load) -> None:
        split = load(WINDOWS, WINDOW_TABLES, max_length=8).splits["train"]["d"]
        targets = split.labels["w"].targets([0, 2], first_tokens=None, sequence_length=8)
        assert targets["size"].tolist() == [2.0, 1.0]
        assert targets["pairs"].shape == (2, 3, 2)
        assert targets["pairs"][1, 2:].unique().tolist() == [-100]
        assert targets["long"].tolist() == [True] * 3 + [False] * 2
        assert targets["ids"].shape == (5, 8)

    def test_a_column_type_sees_the_columns_before_it(self, load: Load) -> None:
        with pytest.raises(DataError, match=r"train\.jsonl:3: r: expected 7\.0 characters, as `size` says, in 'a dog'"):
            load([*WINDOWS[:2], {**WINDOWS[2], "n": 7}], WINDOW_TABLES)

    def test_an_optional_column_need_not_exist(self, load: Load) -> None:
        tables = {
            "input": {"text": "text"},
            "tasks": {"w": {"kind": "row_windows", "size": "n"}, **QUIZ_TABLES["tasks"]},
        }
        tables["tasks"].pop("quiz")
        rows = [{"text": LONG, "n": 2, "topic": "x"}, {"text": "a", "n": 1, "topic": "y"}]
        with pytest.raises(ConfigError, match=r"task 'w': no labelled train row in .* is trained on: targets"):
            load(rows, tables)

    @pytest.mark.parametrize(("column", "noted"), [("r", False), ("n", True)])
    def test_only_a_needed_column_is_missed_in_an_evaluation(
        self, load: Load, tmp_path: Path, column: str, noted: bool
    ) -> None:
        tasks = load(WINDOWS, WINDOW_TABLES).tasks
        rows = [{key: value for key, value in row.items() if key != column} for row in WINDOWS]
        path = str(write_rows(tmp_path / "test.jsonl", rows))
        dataset = parse_dataset({"data": {"files": {"test": path}}, **WINDOW_TABLES}, where="d.toml")
        work = load_split({"d": dataset}, tasks=tasks, tokenizer=token(), max_length=16, split="test")
        assert any("is not scored" in note for note in work.notes) == noted


class TestCache:
    def test_the_targets_are_read_again(self, load: Load, tmp_path: Path) -> None:
        for rows, tables in ((QUIZ, QUIZ_TABLES), (WINDOWS, WINDOW_TABLES)):
            first = load(rows, tables, max_length=8)
            written = entries(tmp_path)
            assert len(written) == 2
            second = load(rows, tables, max_length=8)
            assert entries(tmp_path) == written
            memory = load(rows, tables, max_length=8, files=False)
            assert entries(tmp_path) == written
            splits = [work.splits["train"]["d"] for work in (first, second, memory)]
            for name in ("tokens", "sequence_indices", "row_lengths", "truncated"):
                assert (
                    plain(getattr(splits[0], name))
                    == plain(getattr(splits[1], name))
                    == plain(getattr(splits[2], name))
                )
            for task in splits[0].sequence_indices:
                labels = [split.labels[task] for split in splits]
                assert all(isinstance(computed, ComputedLabels) for computed in labels)
                assert [plain(computed.counts) for computed in labels] == [plain(labels[0].counts)] * 3
                for row in np.flatnonzero(labels[0].counts).tolist():
                    made = [computed.targets([row], first_tokens=None, sequence_length=8) for computed in labels]
                    assert [{k: v.tolist() for k, v in targets.items()} for targets in made] == [
                        {k: v.tolist() for k, v in made[0].items()}
                    ] * 3
            assert first.fingerprint() == second.fingerprint()
            for path in (tmp_path / "cache").iterdir():
                (path.rename(tmp_path / path.name)) if path.is_dir() else path.unlink()

    def test_a_changed_option_makes_them_new_and_the_tokens_not(self, load: Load, tmp_path: Path) -> None:
        load(WINDOWS, WINDOW_TABLES, max_length=8)
        before = entries(tmp_path)
        tasks = {"w": {**WINDOW_TABLES["tasks"]["w"], "stride": 4}}
        split = load(WINDOWS, WINDOW_TABLES, max_length=8, tasks=tasks).splits["train"]["d"]
        assert len(entries(tmp_path) - before) == 1
        assert len(split.sequences_of("w")[0].tolist()) == 4

    def test_a_changed_module_makes_them_new(self, load: Load, tmp_path: Path, plugin: Callable[[str], None]) -> None:
        load(UNLABELLED_ROWS, UNLABELLED)
        before = entries(tmp_path)
        plugin(SOURCE.read_text().replace('"length": len(sequences[0].ids)', '"length": 100 + len(sequences[0].ids)'))
        split = load(UNLABELLED_ROWS, UNLABELLED).splits["train"]["d"]
        assert split.labels["t"].targets([0, 1], first_tokens=None, sequence_length=8)["length"].tolist() == [104, 103]
        assert len(entries(tmp_path) - before) == 1

    @pytest.mark.parametrize(
        ("module", "helper", "imported"),
        [
            ("row_types_package/heads.py", "row_types_package/text.py", "row_types_package.text"),
            ("row_types_heads.py", "row_types_text.py", "row_types_text"),
            ("row_types_heads.py", "row_types_helpers/text.py", "row_types_helpers.text"),
        ],
    )
    def test_a_changed_helper_module_makes_them_new(
        self, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, helper: str, imported: str
    ) -> None:
        source = SOURCE.read_text().replace("len(sequences[0].ids)}", "size_of(sequences[0].ids)}")
        for path in (module, helper):
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).parent.joinpath("__init__.py").touch()
        (tmp_path / module).write_text(source.replace("import numpy", f"from {imported} import size_of\nimport numpy"))
        monkeypatch.syspath_prepend(tmp_path)

        def compute(body: str) -> list[int]:
            (tmp_path / helper).write_text(f"def size_of(ids):\n    return {body}\n")
            for registered in (TASKS, COLUMN_TYPES):
                for name in [name for name in registered.names() if name.startswith("row_")]:
                    del registered._members[name]
            for name in [name for name in sys.modules if name.startswith("row_types_")]:
                monkeypatch.delitem(sys.modules, name)
            importlib.invalidate_caches()
            importlib.import_module(module.removesuffix(".py").replace("/", "."))
            targets = load(UNLABELLED_ROWS, UNLABELLED).splits["train"]["d"].labels["t"]
            lengths: list[int] = targets.targets([0, 1], first_tokens=None, sequence_length=8)["length"].tolist()
            return lengths

        assert compute("len(ids)") == [4, 3]
        assert compute("len(ids) + 100") == [104, 103]

    def test_a_changed_column_type_makes_the_rows_new(
        self, load: Load, tmp_path: Path, plugin: Callable[[str], None]
    ) -> None:
        load(QUIZ, QUIZ_TABLES)
        plugin(
            SOURCE.read_text().replace(
                '        return value\n\n\n@COLUMN_TYPES.register("row_relation")',
                '        return 1 - value if value < 2 else 0\n\n\n@COLUMN_TYPES.register("row_relation")',
            )
        )
        split = load(QUIZ, QUIZ_TABLES).splits["train"]["d"]
        assert split.labels["quiz"].values([0, 1]) == [0, 1]

    def test_a_damaged_entry_is_computed_again(self, load: Load, tmp_path: Path) -> None:
        load(WINDOWS, WINDOW_TABLES, max_length=8)
        (damaged,) = (tmp_path / "cache").glob("*/task0.arrow")
        damaged.write_bytes(b"")
        split = load(WINDOWS, WINDOW_TABLES, max_length=8).splits["train"]["d"]
        assert split.labels["w"].counts.tolist() == [24, 0, 8, 0]


UNLABELLED_ROWS = [{"text": "a cat"}, {"text": "dog"}]


class TestUnlabelled:
    def test_every_row_has_targets(self, load: Load) -> None:
        split = load(UNLABELLED_ROWS, UNLABELLED).splits["train"]["d"]
        assert split.labels["t"].counts.tolist() == [1, 1]
        assert split.sequence_indices == {}
        assert split.labels["t"].targets([0, 1], first_tokens=None, sequence_length=8)["length"].tolist() == [4, 3]

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("fail", "KeyError: 'a bug'"),
            ("empty", "the text is empty"),
            ("float", "'length' has numbers of type int64 in earlier rows, here float64"),
            ("nothing", "earlier rows have the targets 'length' (per example), this row has no targets"),
            (
                "sequence",
                "earlier rows have the targets 'length' (per example), "
                "this row has the targets 'length' (per sequence)",
            ),
        ],
    )
    def test_a_failure_names_the_line_and_the_task(self, load: Load, text: str, reason: str) -> None:
        with pytest.raises(DataError) as caught:
            load([*UNLABELLED_ROWS, {"text": text}], UNLABELLED)
        assert str(caught.value).endswith(f"train.jsonl:3: task 't': targets() failed: {reason}")

    def test_a_first_row_without_targets_names_the_line_of_the_second(self, load: Load) -> None:
        with pytest.raises(
            DataError, match=r"train.jsonl:2: task 't': targets\(\) failed: earlier rows have no targets"
        ):
            load([{"text": "nothing"}, *UNLABELLED_ROWS], UNLABELLED)

    def test_rows_without_a_gold_label_are_not_scored(self, load: Load) -> None:
        work = load(UNLABELLED_ROWS, UNLABELLED)
        assert gold_labels(work.tasks["t"], work.splits["train"]["d"]) == {}
        quiz = load(QUIZ, QUIZ_TABLES)
        assert gold_labels(quiz.tasks["quiz"], quiz.splits["train"]["d"]) == {0: 2, 1: 0}

    def test_evaluation_computes_them_too(self, load: Load, tmp_path: Path) -> None:
        tasks = load(UNLABELLED_ROWS, UNLABELLED).tasks
        path = str(write_rows(tmp_path / "test.jsonl", [{"text": "a cat in rome"}]))
        dataset = parse_dataset({"data": {"files": {"test": path}}, **UNLABELLED}, where="d.toml")
        work = load_split({"d": dataset}, tasks=tasks, tokenizer=token(), max_length=16, split="test")
        targets = work.splits["test"]["d"].labels["t"].targets([0], first_tokens=None, sequence_length=8)
        assert targets["length"].tolist() == [6]


class TestRun:
    """One run with rows of one to four sequences, windows, and tasks of built-in types on the same rows."""

    @staticmethod
    def run(directory: Path, *, dropout: float, **train: Any) -> dict[str, Any]:
        quiz = [{**row, "answer": i % 2} for i, row in enumerate(QUIZ * 6)]
        splits = {
            name: {
                split: str(write_rows(directory / name / f"{split}.jsonl", rows)) for split in ("train", "validation")
            }
            for name, rows in (("quiz", quiz), ("windows", WINDOWS * 6))
        }
        return {
            "encoder": {"name": str(write_encoder(directory / "encoder", dropout=dropout)), "max_length": 8},
            "datasets": {
                "quiz": {"data": {"files": splits["quiz"]}, **QUIZ_TABLES},
                "windows": {"data": {"files": splits["windows"]}, **WINDOW_TABLES},
            },
            "train": {"steps": 4, "batch_size": 8, "lr": 1e-3, "save_every": 2, **train},
            "eval": {"every": 2},
        }

    @pytest.mark.slow
    def test_it_resumes_bit_for_bit(self, tmp_path: Path, plugin: object) -> None:
        run = self.run(tmp_path, dropout=0.1)
        whole = train_tiny(run, tmp_path / "whole")
        interrupt(run, tmp_path / "resumed", step=2)
        resumed = train_tiny(run, tmp_path / "resumed", resume=True)
        assert max_weight_difference(whole.model_dir, resumed.model_dir) == 0.0
        assert whole.result.scores is not None
        assert {name: task["rows"] for name, task in whole.result.scores.tasks.items()} == {"quiz": 18, "topic": 24}

    @pytest.mark.slow
    def test_micro_batches_do_not_change_it(self, tmp_path: Path, plugin: object) -> None:
        directories = [
            train_tiny(self.run(tmp_path, dropout=0.0, precision="fp64", micro_tokens=tokens), tmp_path / str(tokens))
            for tokens in (1, 4096)
        ]
        assert max_weight_difference(*(trained.model_dir for trained in directories)) < 1e-10
