"""Dataset files: one source, one kind of input, at least one task; anything else is an error with its location."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import nlpmtl.tasks  # noqa: F401
from nlpmtl.config import DatasetConfig, LabelledOptions, parse_dataset
from nlpmtl.errors import ConfigError
from nlpmtl.registry import TASKS

FILES = {"train": "train.jsonl"}
TASK = {"kind": "classification", "label": "label", "labels": ["no", "yes"]}


def raw(**sections: Any) -> dict[str, Any]:
    return {"data": {"files": FILES}, "input": {"text": "sentence"}, "tasks": {"mood": TASK}} | sections


def parse(**sections: Any) -> DatasetConfig:
    return parse_dataset(raw(**sections), where="mood.toml")


def problem(**sections: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(**sections)
    return str(caught.value)


def test_a_minimal_dataset() -> None:
    parsed = parse()
    assert parsed.data.on_bad_row == "stop"
    assert parsed.input.shape == "text"
    assert parsed.tasks["mood"].labels == ("no", "yes")
    assert parsed.limit == {}


class Quiz:
    """A task type that reads further inputs, as the config needs to know it."""

    extra_inputs = {"choices": "texts", "hint": "text"}  # noqa: RUF012 - a constant
    optional = frozenset({"hint"})


class TestFurtherInputs:
    TASKS = {"quiz": {"kind": "quiz_of_a_plugin", "label": "answer"}, "mood": TASK}  # noqa: RUF012 - a constant

    @pytest.fixture(autouse=True)
    def quiz(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(TASKS._members, "quiz_of_a_plugin", (Quiz, LabelledOptions))

    def test_their_columns_are_in_the_table_input(self) -> None:
        table = {"text": "question", "choices": "options", "hint": "hint"}
        parsed = parse(tasks=self.TASKS, input=table)
        assert parsed.input.columns == ("question", "options", "hint")
        assert parsed.input.extra == {"choices": "options", "hint": "hint"}
        assert parsed.input.shape == "text"
        assert parsed.input.model_dump(exclude_none=True) == table
        assert parse_dataset(parsed.model_dump(mode="json"), where="again") == parsed

    def test_an_optional_one_may_be_left_out(self) -> None:
        assert parse(tasks=self.TASKS, input={"text": "a", "choices": "b"}).input.extra == {"choices": "b"}

    def test_a_needed_one_may_not(self) -> None:
        assert problem(tasks=self.TASKS, input={"text": "a"}) == (
            "mood.toml: task 'quiz' (quiz_of_a_plugin) needs a further input: write the column of `choices` in "
            '[input], such as choices = "choices"'
        )

    @pytest.mark.parametrize("key", ["choicse", "hints"])
    def test_others_are_unknown(self, key: str) -> None:
        message = problem(tasks=self.TASKS, input={"text": "a", "choices": "b", key: "c"})
        assert message.startswith(
            f"mood.toml: input.{key}: unknown key; did you mean '{'choices' if 'c' in key else 'hint'}'?"
        )

    def test_those_of_other_task_types_are_refused(self) -> None:
        message = problem(input={"text": "a", "choices": "b"})
        assert "input.choices: only tasks of the kind multiple_choice or " in message
        assert "read it, and this dataset has none" in message

    def test_a_column_is_a_name(self) -> None:
        assert problem(tasks=self.TASKS, input={"text": "a", "choices": ["b"]}) == (
            "mood.toml: input.choices: the name of a column, a string, was expected (found ['b'])"
        )

    def test_they_are_in_the_json_schema(self) -> None:
        schema = DatasetConfig.model_json_schema()["$defs"]["InputConfig"]
        assert {"choices", "hint"} < schema["properties"].keys()
        assert schema["additionalProperties"] is False


@pytest.mark.parametrize("section", ["data", "input", "tasks"])
def test_a_missing_section(section: str) -> None:
    tables = raw()
    del tables[section]
    with pytest.raises(
        ConfigError, match=rf"mood\.toml: {section}: this table is missing; write \[{section}(\.NAME)?\] \("
    ):
        parse_dataset(tables, where="mood.toml")


def test_a_dataset_without_a_task() -> None:
    assert problem(tasks={}).startswith("mood.toml: tasks: ")


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"dta": {}}, "mood.toml: dta: unknown key; did you mean 'data'?"),
        ({"data": {"file": FILES}}, "mood.toml: data.file: unknown key; did you mean 'files'?"),
        ({"input": {"txt": "a"}}, "mood.toml: input.txt: unknown key; did you mean 'text'?"),
        ({"tasks": {"a": TASK | {"lables": []}}}, "mood.toml: tasks.a.lables: unknown key; did you mean 'labels'?"),
        ({"tasks": {"a": TASK | {"q": 1}}}, "mood.toml: tasks.a.q: unknown key; known: class_weights, kind, label, "),
        ({"tasks": {"a": {"kind": "translation", "label": "b"}}}, "tasks.a.label: unknown key; write target (found"),
        (
            {"tasks": {"a": {"kind": "masked_lm", "label": "b"}}},
            "tasks.a.label: unknown key; write nothing: a task of the kind masked_lm has no label",
        ),
    ],
)
def test_an_unknown_key_suggests_the_nearest(sections: dict[str, Any], message: str) -> None:
    assert message in problem(**sections)


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"data": 3}, "data"),
        ({"data": {"files": "train.jsonl"}}, "data.files"),
        ({"data": {"hub": 3}}, "data.hub"),
        ({"data": {"hub": "a/b", "splits": {"train": 1}}}, "data.splits.train"),
        ({"data": {"files": FILES, "validation": "some"}}, "data.validation"),
        ({"data": {"files": FILES, "on_bad_row": "ignore"}}, "data.on_bad_row"),
        ({"input": {"text": ["sentence"]}}, "input.text"),
        ({"tasks": [TASK]}, "tasks"),
        ({"tasks": {"a": TASK | {"label": 3}}}, "tasks.a.label"),
        ({"tasks": {"a": TASK | {"labels": "yes"}}}, "tasks.a.labels"),
        ({"tasks": {"a": TASK | {"labels": [[0], None]}}}, "tasks.a.labels.0"),
        ({"tasks": {"a": TASK | {"metrics": "accuracy"}}}, "tasks.a.metrics"),
        ({"limit": {"train": "few"}}, "limit.train"),
        ({"limit": {"train": 0}}, "limit.train"),
    ],
)
def test_a_wrong_type_names_the_key_and_the_value(sections: dict[str, Any], key: str) -> None:
    message = problem(**sections)
    assert f"mood.toml: {key}: " in message
    assert "(found " in message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"files": FILES, "hub": "a/b"}, "exactly one source is needed: `files` or `hub`"),
        ({}, "exactly one source is needed: `files` or `hub`"),
        ({"files": {}}, "`files` must name at least one split"),
        ({"hub": ""}, "`files` must name at least one split"),
        ({"files": FILES, "subset": "x"}, "`subset`, `splits` and `revision` apply to `hub` only"),
        ({"files": FILES, "splits": {"train": "train"}}, "`subset`, `splits` and `revision` apply to `hub` only"),
        ({"files": FILES, "revision": "main"}, "`subset`, `splits` and `revision` apply to `hub` only"),
        ({"files": FILES | {"validation": "v.csv"}, "validation": 0.1}, "`validation` holds out a fraction"),
        (
            {"hub": "a/b", "splits": {"validation": "dev"}, "validation": 0.1},
            "`validation` holds out a fraction of train",
        ),
    ],
)
def test_a_dataset_has_exactly_one_source(data: dict[str, Any], message: str) -> None:
    assert f"mood.toml: data: {message}" in problem(data=data)


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_a_validation_share_is_between_0_and_1(share: float) -> None:
    assert "mood.toml: data.validation: " in problem(data={"files": FILES, "validation": share})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "exactly one of `words` and `text` is needed"),
        ({"words": "tokens", "text": "sentence"}, "exactly one of `words` and `text` is needed"),
        ({"pair": "other"}, "exactly one of `words` and `text` is needed"),
        ({"words": "tokens", "pair": "other"}, "`pair` needs `text`"),
    ],
)
def test_text_and_words_are_mutually_exclusive(table: dict[str, str], message: str) -> None:
    assert f"mood.toml: input: {message}" in problem(input=table)


@pytest.mark.parametrize(
    ("table", "shape", "columns"),
    [
        ({"words": "tokens"}, "words", ("tokens",)),
        ({"text": "a"}, "text", ("a",)),
        ({"text": "a", "pair": "b"}, "pair", ("a", "b")),
    ],
)
def test_input_columns(table: dict[str, str], shape: str, columns: tuple[str, ...]) -> None:
    parsed = parse(input=table).input
    assert (parsed.shape, parsed.columns) == (shape, columns)


@pytest.mark.parametrize("name", ["a", "A-b_9", "-", "_0", "x" * 64, "keys"])
def test_valid_task_names(name: str) -> None:
    assert list(parse(tasks={name: TASK}).tasks) == [name]


@pytest.mark.parametrize("name", ["a.b", "1a", "x" * 65, "a/b", "", "a b", "é", "a\n", "../a", "a\\b"])
def test_invalid_task_names(name: str) -> None:
    assert problem(tasks={name: TASK}).startswith(f"mood.toml: tasks.{name}: ")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            {"kind": "clasification", "label": "l"},
            "unknown task type 'clasification'; did you mean 'classification'?",
        ),
        ({"kind": 3, "label": "l"}, "unknown task type 3; known: "),
        ({"label": "l"}, "`kind` is missing; known: classification"),
        (3, "a table with a `kind` was expected (found 3)"),
    ],
)
def test_an_unknown_kind(task: object, message: str) -> None:
    assert f"mood.toml: tasks.mood: {message}" in problem(tasks={"mood": task})


def test_a_task_without_a_label() -> None:
    assert (
        problem(tasks={"mood": {"kind": "classification"}})
        == 'mood.toml: tasks.mood.label: this key is missing; write label = "…" (column of the label), or soft = "…"'
    )


@pytest.mark.parametrize("key", ["labels", "metrics"])
@pytest.mark.parametrize("names", [[], ["a", "a"]])
def test_duplicate_names_are_refused(key: str, names: list[str]) -> None:
    message = problem(tasks={"mood": TASK | {key: names}})
    assert f"mood.toml: tasks.mood: `{key}` must list at least one name, each once; found {names}" in message


def test_sentiment_requires_labels() -> None:
    task = {"kind": "sentiment", "label": "label"}
    assert (
        problem(tasks={"mood": task}) == 'mood.toml: tasks.mood.labels: this key is missing; write labels = ["…"] '
        "(label names, lowest first)"
    )


def test_files_in_memory_are_named_by_type_when_dumped() -> None:
    files = {"train": [{"sentence": "fine"}], "validation": Path("v.csv")}
    parsed = parse(data={"files": files})
    assert parsed.data.files == files
    assert parsed.model_dump(mode="json")["data"]["files"] == {"train": "<list in memory>", "validation": "v.csv"}


def test_lists_of_files_are_dumped_as_lists() -> None:
    files = {"train": ["a.jsonl", Path("b.jsonl")], "validation": "v-*.csv"}
    dumped = parse(data={"files": files}).model_dump(mode="json")["data"]["files"]
    assert dumped == {"train": ["a.jsonl", "b.jsonl"], "validation": "v-*.csv"}


def test_a_dumped_dataset_parses_to_the_same() -> None:
    parsed = parse(limit={"train": 3})
    assert parse_dataset(parsed.model_dump(mode="json"), where="again") == parsed


def test_a_dataset_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse().data.hub = "other"  # type: ignore[misc]
