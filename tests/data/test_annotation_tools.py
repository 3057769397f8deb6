"""Exports of doccano, Label Studio, Prodigy and spaCy, in the forms that the tools write, and the JSON of SQuAD."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpmtl.config.dataset import DataConfig, InputConfig
from nlpmtl.data.annotation_tools import CONVERTERS, detect_tool
from nlpmtl.data.delimited import TextFormat
from nlpmtl.data.files import describe_file, open_file
from nlpmtl.data.raw_rows import MalformedRow
from nlpmtl.errors import ConfigError, DataError
from tests.data.uncached import load_rows

TEXT = "Ada lives in New York."
SPANS: list[list[Any]] = [[0, 3, "person"], [13, 21, "city"]]
WORDS = ["Ada", "lives", "in", "New", "York", "."]
TAGS = ["B-person", "O", "O", "B-city", "I-city", "O"]


def result(start: int, end: int, label: str, *, text: str | None = None, **value: Any) -> dict[str, Any]:
    covered = TEXT[start:end] if text is None else text
    labels = {"start": start, "end": end, "text": covered, "labels": [label], **value}
    return {"value": labels, "id": "a1", "from_name": "ner", "to_name": "text", "type": "labels", "origin": "manual"}


def task(*results: dict[str, Any], data: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    annotation = {"id": 1, "completed_by": 1, "result": list(results), "was_cancelled": False, "ground_truth": False}
    return {
        "id": 7,
        "annotations": [annotation],
        "data": data or {"text": TEXT},
        "predictions": [],
        "project": 1,
        **more,
    }


def choice(*names: str, control: str = "sentiment") -> dict[str, Any]:
    return {"value": {"choices": list(names)}, "from_name": control, "to_name": "text", "type": "choices"}


def tokens(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"tokens": [{"id": i, "orth": word, "ner": tag} for i, (word, tag) in enumerate(pairs)]}]


BILUO = (("Ada", "U-person"), ("lives", "O"), ("in", "O"), ("New", "B-city"), ("York", "L-city"), (".", "O"))
EXPORTS: dict[str, tuple[str, Any]] = {
    "doccano": ("doccano", {"id": 1, "text": TEXT, "label": SPANS, "Comments": []}),
    "doccano of 2021": ("doccano", {"id": 1, "data": TEXT, "label": SPANS}),
    "doccano with relations": (
        "doccano",
        {
            "id": 1,
            "text": TEXT,
            "entities": [
                {"id": i, "label": name, "start_offset": a, "end_offset": b} for i, (a, b, name) in enumerate(SPANS)
            ],
            "relations": [{"id": 0, "from_id": 0, "to_id": 1, "type": "lives in"}],
        },
    ),
    "doccano with relations in label": (
        "doccano",
        {
            "text": TEXT,
            "label": [
                {"id": i + 7, "label": name, "start_offset": a, "end_offset": b} for i, (a, b, name) in enumerate(SPANS)
            ],
            "relations": [{"id": 0, "from_id": 7, "to_id": 8, "type": "lives in"}],
        },
    ),
    "doccano intents and slots": ("doccano", {"text": TEXT, "entities": SPANS, "cats": ["places"]}),
    "doccano of 2019": (
        "doccano",
        {
            "id": 1,
            "text": TEXT,
            "annotations": [
                {"id": 1, "label": 2, "label_name": name, "start_offset": a, "end_offset": b, "user": 1}
                for a, b, name in SPANS
            ],
            "meta": {},
        },
    ),
    "Label Studio": ("label_studio", task(result(0, 3, "person"), result(13, 21, "city"))),
    "Label Studio, other name": ("label_studio", task(*(result(*span) for span in SPANS), data={"body": TEXT, "n": 3})),
    "Label Studio, older": (
        "label_studio",
        {"id": 7, "completions": [{"result": [result(*span) for span in SPANS]}], "data": {"text": TEXT}},
    ),
    "Label Studio, JSON-MIN": (
        "label_studio",
        {
            "id": 7,
            "text": TEXT,
            "ner": [{"start": a, "end": b, "text": TEXT[a:b], "labels": [name]} for a, b, name in SPANS],
            "annotator": 1,
            "annotation_id": 1,
            "created_at": "2024-01-01T00:00:00Z",
            "updated_at": "2024-01-01T00:00:00Z",
            "lead_time": 8.4,
        },
    ),
    "Prodigy": (
        "prodigy",
        {
            "text": TEXT,
            "_input_hash": 1,
            "_task_hash": 2,
            "tokens": [{"text": "Ada", "start": 0, "end": 3, "id": 0, "ws": True}],
            "spans": [{"start": a, "end": b, "label": name, "token_start": 0, "token_end": 0} for a, b, name in SPANS],
            "_view_id": "ner_manual",
            "_is_binary": False,
            "answer": "accept",
        },
    ),
    "spaCy example": ("spacy", [TEXT, {"entities": SPANS}]),
    "spaCy spans": ("spacy", [TEXT, {"spans": {"sc": SPANS}}]),
    "spaCy Doc.to_json": (
        "spacy",
        {
            "text": TEXT,
            "ents": [{"start": a, "end": b, "label": name} for a, b, name in SPANS],
            "sents": [{"start": 0, "end": len(TEXT)}],
            "tokens": [{"id": 0, "start": 0, "end": 3, "tag": "NNP", "head": 1}],
        },
    ),
    "spaCy document": ("spacy", {"id": 0, "paragraphs": [{"raw": TEXT, "sentences": tokens(*BILUO)}]}),
    "spaCy with entities": (
        "spacy",
        {"id": 0, "paragraphs": [{"raw": TEXT, "sentences": [{"tokens": [{"orth": "Ada"}]}], "entities": SPANS}]},
    ),
    "spaCy file of an annotator": ("spacy", {"classes": ["CITY"], "annotations": [[TEXT, {"entities": SPANS}], None]}),
}


def write(path: Path, *values: Any) -> Path:
    """Write JSON Lines, or a JSON array to a .json file."""
    lines = "\n".join(map(json.dumps, values))
    path.write_text(json.dumps(values, indent=1) if path.suffix == ".json" else lines)
    return path


@pytest.mark.parametrize("name", ["doccano with relations", "doccano with relations in label"])
def test_relations_of_doccano_refer_to_the_spans_by_index(name: str) -> None:
    (row,) = CONVERTERS["doccano"](EXPORTS[name][1])
    assert isinstance(row, dict)
    assert row["label"] == [list(span) for span in SPANS]
    assert row["relations"] == [{"head": 0, "tail": 1, "label": "lives in"}]
    assert list(CONVERTERS["doccano"](row)) == [row]


@pytest.mark.parametrize("id_", [[7], {"a": 7}])
def test_a_span_or_relation_of_doccano_whose_id_is_no_number_is_reported(id_: Any, tmp_path: Path) -> None:
    spans = [{"id": id_, "label": name, "start_offset": a, "end_offset": b} for a, b, name in SPANS]
    relations = [{"from_id": id_, "to_id": 8, "type": "lives in"}]
    path = write(tmp_path / "a.jsonl", {"text": TEXT, "entities": spans, "relations": relations})
    with pytest.raises(DataError, match=r"relation 1: `head` must be the index of a span, from 0, found None"):
        labels(path, "relations", column="relations")


def test_a_text_in_data_keeps_its_column(tmp_path: Path) -> None:
    """An ordinary row may look like one of doccano."""
    path = write(tmp_path / "a.jsonl", {"data": "a", "label": ["x"]})
    for text in ("data", "text"):
        rows = load_rows(DataConfig(files={"train": path}), input=InputConfig(text=text), columns={"label": "set"})
        assert rows["train"].table["text"].to_pylist() == ["a"]


@pytest.mark.parametrize("items", [[{"text": "Ada", "answer_start": 0}], [{"start": 0, "end": 3, "label": "x"}], ["x"]])
def test_a_list_in_label_that_is_not_of_doccano_is_unchanged(items: list[Any]) -> None:
    row = {"text": TEXT, "label": items}
    assert list(CONVERTERS["doccano"](row)) == [row]


@pytest.mark.parametrize("ending", [".jsonl", ".json"])
@pytest.mark.parametrize("name", EXPORTS)
def test_spans_are_read_as_tags(name: str, ending: str, tmp_path: Path) -> None:
    tool, value = EXPORTS[name]
    path = write(tmp_path / f"a{ending}", value)
    assert describe_file(str(path)).tool == tool
    for key in ("auto", tool):
        data = DataConfig(files={"train": path}, format=key)
        rows = load_rows(data, input=InputConfig(words="text"), columns={"label": "tags"})["train"]
        assert rows.table.to_pylist() == [{"words": WORDS, "label:label": TAGS}]


@pytest.mark.parametrize("name", EXPORTS)
def test_raw_rows_have_the_text_and_its_spans(name: str, tmp_path: Path) -> None:
    rows = [row for _, row in open_file(str(write(tmp_path / "a.jsonl", EXPORTS[name][1]))).rows]
    (row,) = rows
    assert not isinstance(row, MalformedRow)
    assert row["text"] == TEXT
    assert [list(span) for span in row["label"]] == SPANS


@pytest.mark.parametrize(
    "value",
    [
        {"text": "a", "label": "x"},
        {"text": "a", "label": 1, "answer": "accept"},
        {"text": "a", "labels": ["x", "y"]},
        {"text": "a", "entities": ["x"]},
        {"tokens": ["a"], "tags": ["O"]},
        {"data": "a", "annotations": []},
        {"paragraphs": ["a", "b"]},
        {"context": "a", "answer": "accept"},
        {"question": "a", "annotations": ["x"]},
        ["a", "b"],
        ["a", {"label": 1}],
        "a",
        None,
    ],
)
def test_other_rows_belong_to_no_tool(value: Any) -> None:
    assert detect_tool(value) is None


@pytest.mark.parametrize("tool", CONVERTERS)
@pytest.mark.parametrize("value", [3, None, "a", [], [1], {}, {"text": 3}, {"data": {}}, {"paragraphs": [3, {}]}])
def test_any_json_value_gives_rows_or_malformed_rows(tool: str, value: Any) -> None:
    for row in CONVERTERS[tool](value):
        assert isinstance(row, dict | MalformedRow)


KEYS = (
    "text label data annotations result value start end labels choices spans answer accept options paragraphs raw "
    "sentences tokens orth ner space cats entities start_offset annotation_id lead_time from_name type"
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 5) | st.sampled_from(["", "a b", "accept", "labels", "B-x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=5),
    max_leaves=25,
)


@given(value=JSON)
@settings(max_examples=60, deadline=None)
def test_random_values_give_rows_or_malformed_rows(value: Any) -> None:
    detect_tool(value)
    for convert in CONVERTERS.values():
        for row in convert(value):
            assert isinstance(row, dict | MalformedRow)


CONTEXT = "Ada lives in Turin."
ARTICLE: dict[str, Any] = {
    "title": "Ada",
    "paragraphs": [
        {
            "context": CONTEXT,
            "qas": [
                {"id": "1", "question": "Where?", "answers": [{"text": "Turin", "answer_start": 13}]},
                {
                    "id": "2",
                    "question": "When?",
                    "is_impossible": True,
                    "answers": [],
                    "plausible_answers": [{"text": "Ada", "answer_start": 0}],
                },
            ],
        },
        {"context": "Bo.", "qas": [{"id": "3", "question": "Who?"}]},
    ],
}


class TestSquad:
    def test_each_question_is_a_row(self, tmp_path: Path) -> None:
        path = tmp_path / "train-v2.0.json"
        path.write_text(json.dumps({"version": "v2.0", "data": [ARTICLE]}))
        assert describe_file(str(path)).tool == "squad"
        where = {"title": "Ada", "context": CONTEXT}
        answers: dict[str, list[Any]] = {"text": ["Turin"], "answer_start": [13]}
        none: dict[str, list[Any]] = {"text": [], "answer_start": []}
        assert dict(open_file(str(path)).rows) == {
            1: {**where, "id": "1", "question": "Where?", "answers": answers},
            2: {**where, "id": "2", "question": "When?", "is_impossible": True, "answers": none},
            3: {"title": "Ada", "context": "Bo.", "id": "3", "question": "Who?", "answers": None},
        }

    def test_articles_may_be_lines(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.jsonl", ARTICLE, ARTICLE)
        assert [number for number, _ in open_file(str(path)).rows] == [1, 1, 1, 2, 2, 2]

    def test_a_wrong_answer_is_named_by_its_row(self, tmp_path: Path) -> None:
        wrong = {"id": "4", "question": "Why?", "answers": [{"text": "Rome", "answer_start": 13}]}
        path = tmp_path / "train.json"
        path.write_text(json.dumps({"data": [ARTICLE, {"paragraphs": [{"context": CONTEXT, "qas": [wrong]}]}]}))
        data, inputs = DataConfig(files={"train": path}), InputConfig(text="question", pair="context")
        with pytest.raises(DataError, match=r"train\.json: row 4: .*Rome"):
            load_rows(data, input=inputs, columns={"answers": "answers"})

    @pytest.mark.parametrize(
        "paragraphs", [None, [3], [{"context": "a"}], [{"qas": [{}]}], [{"context": "a", "qas": 1}]]
    )
    def test_a_malformed_article_is_a_bad_row(self, paragraphs: Any) -> None:
        (row,) = CONVERTERS["squad"]({"data": [{"paragraphs": paragraphs}]})
        assert isinstance(row, MalformedRow)

    def test_a_malformed_question_is_one_bad_row(self) -> None:
        good = {"id": "4", "question": "Who?"}
        bad = {"question": "Why?", "answers": [3]}
        paragraphs = [{"context": CONTEXT, "qas": [good, bad, good]}, 3, *ARTICLE["paragraphs"]]
        rows = list(CONVERTERS["squad"]({"data": [{"paragraphs": paragraphs}]}))
        assert [isinstance(row, MalformedRow) for row in rows] == [False, True, False, True, *[False] * 3]


class TestSuperGlue:
    def test_each_answer_of_multirc_is_a_row(self, tmp_path: Path) -> None:
        answers = [{"text": "Turin", "label": 1, "idx": 0}, {"text": "Rome", "label": 0, "idx": 1}]
        questions = [
            {"question": "Where?", "answers": answers, "idx": 0},
            {"question": "Who?", "answers": [], "idx": 1},
        ]
        value = {"idx": 0, "version": 1.1, "passage": {"text": "Ada is in Turin.", "questions": questions}}
        rows = [row for _, row in open_file(str(write(tmp_path / "train.jsonl", value))).rows]
        columns = {"paragraph": "Ada is in Turin.", "question": "Where?"}
        assert rows == [
            {**columns, "answer": "Turin", "question_answer": "Where? Turin", "label": 1},
            {**columns, "answer": "Rome", "question_answer": "Where? Rome", "label": 0},
        ]

    def test_answers_of_record_have_positions(self, tmp_path: Path) -> None:
        """The ends of the file are the index of the last character."""
        passage = {"text": "Ada is in Turin.", "entities": [{"start": 0, "end": 2}, {"start": 10, "end": 14}]}
        queries = [
            {"idx": 0, "query": "@placeholder is warm.", "answers": [{"start": 10, "end": 14, "text": "Turin"}]},
            {"idx": 1, "query": "@placeholder sings."},
            {"idx": 2},
        ]
        path = write(tmp_path / "val.jsonl", {"source": "x", "passage": passage, "qas": queries, "idx": 0})
        for tool in ("auto", "superglue"):
            first, second, third = (row for _, row in open_file(str(path), format=TextFormat(tool=tool)).rows)
            assert first == {
                "passage": passage["text"],
                "query": "@placeholder is warm.",
                "entities": ["Ada", "Turin"],
                "answers": [{"start": 10, "end": 15}],
            }
            assert second["answers"] is None  # type: ignore[call-overload]
            assert isinstance(third, MalformedRow)


def labels(path: Path, type_: str, *, column: str = "label", **keys: Any) -> list[Any]:
    data = DataConfig(files={"train": path}, **keys)
    rows = load_rows(data, input=InputConfig(text="text"), columns={column: type_})["train"]
    return list(rows.table[f"label:{column}"].to_pylist())


@pytest.mark.parametrize(
    ("row", "labels"),
    [
        ({"text": TEXT, "labels": SPANS}, SPANS),
        ({"text": TEXT, "entities": [], "relations": []}, []),
        ({"text": TEXT, "annotations": [{"label": 1, "start_offset": 0, "end_offset": 3}]}, [[0, 3, "1"]]),
        (
            {"text": TEXT, "answer": "accept", "tokens": [], "spans": [{"start": 0, "end": 3, "label": "x"}]},
            [[0, 3, "x"]],
        ),
        ({"text": TEXT, "answer": "accept", "accept": ["x"], "options": [{"id": "x"}]}, ["x"]),
    ],
)
def test_label_replaces_the_keys_of_the_tool(row: dict[str, Any], labels: list[Any]) -> None:
    tool = "prodigy" if "answer" in row else "doccano"
    (converted,) = CONVERTERS[tool](row)
    assert converted == {"text": TEXT, "label": labels} | ({"relations": []} if "relations" in row else {})


def test_an_export_may_begin_with_texts_without_labels(tmp_path: Path) -> None:
    empty = {"text": "a", "entities": [], "relations": []}
    entity = {"id": 1, "label": "person", "start_offset": 0, "end_offset": 3}
    path = write(tmp_path / "a.jsonl", *[empty] * 30, {"text": TEXT, "entities": [entity], "relations": []})
    assert describe_file(str(path)).tool == "doccano"
    assert [row["label"] for _, row in open_file(str(path)).rows if isinstance(row, dict)][29:] == [
        [],
        [[0, 3, "person"]],
    ]
    path = write(tmp_path / "b.jsonl", *[{"text": "a", "entities": []}] * 101, {"text": TEXT, "label": SPANS})
    assert describe_file(str(path)).tool is None


class TestLabelsOfTexts:
    def test_doccano(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.jsonl", *({"text": "a", "label": names} for names in (["x"], [], ["y"])))
        assert labels(path, "class") == ["x", None, "y"]
        assert labels(path, "set") == [["x"], [], ["y"]]

    def test_several_labels_are_not_one(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.jsonl", {"text": "a", "label": ["x", "y"]}, {"text": "b", "label": ["x"]})
        with pytest.raises(DataError, match=r"a\.jsonl:1: label: one label was expected; a task of kind multilabel"):
            labels(path, "class")
        assert labels(path, "class", on_bad_row="skip") == ["x"]

    def test_intents_beside_slots(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.jsonl", EXPORTS["doccano intents and slots"][1])
        assert labels(path, "class", column="cats") == ["places"]

    def test_choices_of_label_studio(self, tmp_path: Path) -> None:
        rated = {"value": {"rating": 4}, "from_name": "stars", "type": "rating"}
        tasks = [task(choice("Positive"), rated), task(choice("Positive", "Neutral")), task()]
        path = write(tmp_path / "a.json", *tasks)
        assert labels(path, "set", column="sentiment") == [["Positive"], ["Positive", "Neutral"], None]
        assert labels(path, "number", column="stars") == [4.0, None, None]
        assert labels(path, "class", column="sentiment", on_bad_row="skip") == ["Positive", None]

    def test_choices_and_spans_of_label_studio(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.json", task(*(result(*span) for span in SPANS), choice("Positive")))
        assert labels(path, "class", column="sentiment") == ["Positive"]
        path = write(tmp_path / "b.json", task(result(0, 3, "person"), choice("good", control="label")))
        row: Any = next(row for _, row in open_file(str(path)).rows)
        assert (row["label"], row["spans"]) == (["good"], [[0, 3, "person"]])

    def test_choices_and_notes_about_a_span_of_label_studio(self, tmp_path: Path) -> None:
        place = {"start": 0, "end": 3, "text": "Ada"}
        about = [
            {"value": {**place, "choices": ["sure"]}, "from_name": "certainty", "type": "choices"},
            {"value": {**place, "text": ["a note"]}, "from_name": "note", "type": "textarea"},
        ]
        path = write(tmp_path / "a.json", task(result(0, 3, "person"), *about))
        row: Any = next(row for _, row in open_file(str(path)).rows)
        assert row["label"] == [[0, 3, "person"]]

    def test_choices_of_json_min(self, tmp_path: Path) -> None:
        keys = {"id": 1, "annotator": 1, "annotation_id": 3, "lead_time": 1.5, "text": "a"}
        values = [{**keys, "sentiment": "Positive"}, {**keys, "sentiment": {"choices": ["Positive", "Neutral"]}}]
        path = write(tmp_path / "a.json", *values)
        assert labels(path, "set", column="sentiment") == [["Positive"], ["Positive", "Neutral"]]
        assert labels(path, "class", column="sentiment", on_bad_row="skip") == ["Positive"]

    def test_choices_of_prodigy(self, tmp_path: Path) -> None:
        options = [{"id": "x", "text": "X"}, {"id": "y", "text": "Y"}]
        values = [{"text": "a", "options": options, "accept": ids, "answer": "accept"} for ids in (["x"], ["x", "y"])]
        path = write(tmp_path / "a.jsonl", *values)
        assert describe_file(str(path)).tool == "prodigy"
        assert labels(path, "set") == [["x"], ["x", "y"]]

    def test_accepted_labels_of_prodigy(self, tmp_path: Path) -> None:
        values = [{"text": "a", "label": "x", "answer": answer} for answer in ("accept", "reject", "ignore")]
        path = write(tmp_path / "a.jsonl", *values)
        assert labels(path, "class", format="prodigy") == ["x", None, None]
        assert labels(path, "class") == ["x", "x", "x"], "only a file with spans or options is recognised"

    def test_categories_of_spacy(self, tmp_path: Path) -> None:
        document = {
            "id": 0,
            "paragraphs": [
                {"raw": "b", "sentences": [], "cats": [{"label": "x", "value": 0.0}, {"label": "y", "value": 1.0}]}
            ],
        }
        path = write(tmp_path / "a.json", ["a", {"cats": {"x": 1.0, "y": False}}], document)
        assert labels(path, "class", column="cats") == ["x", "y"]


class TestLabelStudio:
    def rows(self, tmp_path: Path, *tasks: dict[str, Any]) -> list[Any]:
        return [row for _, row in open_file(str(write(tmp_path / "a.json", *tasks))).rows]

    def test_a_text_without_an_annotation_is_unlabelled_and_one_without_spans_is_not(self, tmp_path: Path) -> None:
        skipped, empty = task(result(0, 3, "x")), task()
        skipped["annotations"][0]["was_cancelled"] = True
        rows = self.rows(tmp_path, {"id": 1, "data": {"text": TEXT}, "annotations": []}, skipped, empty)
        assert [row["label"] for row in rows] == [None, None, []]

    def test_the_ground_truth_or_the_last_annotation_is_read(self, tmp_path: Path) -> None:
        first, second = task(result(0, 3, "old")), task(result(0, 3, "new"))
        first["annotations"][0]["created_at"] = "2024-01-02T00:00:00Z"
        second["annotations"][0]["created_at"] = "2024-01-03T00:00:00Z"
        both = {**first, "annotations": second["annotations"] + first["annotations"]}
        assert self.rows(tmp_path, both)[0]["label"] == [[0, 3, "new"]]
        first["annotations"][0]["ground_truth"] = True
        assert self.rows(tmp_path, both)[0]["label"] == [[0, 3, "old"]]

    def test_the_last_of_annotations_without_a_date_is_read(self, tmp_path: Path) -> None:
        first, second = task(result(0, 3, "old")), task(result(0, 3, "new"))
        both = {**first, "annotations": first["annotations"] + second["annotations"]}
        assert self.rows(tmp_path, both)[0]["label"] == [[0, 3, "new"]]

    def test_offsets_are_checked(self, tmp_path: Path) -> None:
        emoji = task(result(3, 6, "person", text="Ada"), data={"text": "😀 Ada"})
        other = task(result(0, 3, "person", text="Bob"))
        rows = self.rows(tmp_path, emoji, other, task(result(0, 3, "person")))
        assert rows[0]["label"] == [[2, 5, "person"]]
        assert isinstance(rows[1], MalformedRow)
        assert "'Ada' in the text, and 'Bob' in the export" in rows[1].rule
        assert rows[2]["label"] == [[0, 3, "person"]]

    def test_the_text_of_a_span_must_be_a_string(self, tmp_path: Path) -> None:
        lists, number = task(result(0, 3, "x", text=["Ada"])), task(result(0, 3, "x", text=5))  # type: ignore[arg-type]
        rows = self.rows(tmp_path, lists, number)
        assert [row.rule for row in rows] == [
            f"label: the `text` of the span 0 to 3 is a string, found {value}" for value in ("['Ada']", 5)
        ]

    def test_spans_in_html_and_spans_without_a_label_are_malformed(self, tmp_path: Path) -> None:
        html = task(result(0, 3, "x"))
        html["annotations"][0]["result"][0]["value"] |= dict.fromkeys(("start", "end"), "/div[1]/text()[1]")
        rows = self.rows(tmp_path, html, task(result(0, 3, "x", labels=[])), task(result(0, 3, "x", labels=None)))
        assert "in HTML" in rows[0].rule
        assert ["has no label" in row.rule for row in rows[1:]] == [True, True]

    def test_relations_and_other_results_are_left_out(self, tmp_path: Path) -> None:
        relation = {"from_id": "a", "to_id": "b", "type": "relation", "direction": "right"}
        (row,) = self.rows(tmp_path, task(relation, result(0, 3, "person")))
        assert row == {"text": TEXT, "label": [[0, 3, "person"]]}


class TestProdigy:
    def rows(self, tmp_path: Path, **keys: Any) -> Any:
        value = {**EXPORTS["Prodigy"][1], **keys}
        return next(row for _, row in open_file(str(write(tmp_path / "a.jsonl", value))).rows)

    @pytest.mark.parametrize("answer", ["reject", "ignore"])
    def test_only_accepted_spans_are_labels(self, answer: str, tmp_path: Path) -> None:
        assert self.rows(tmp_path, answer=answer)["label"] is None

    def test_a_text_without_spans_has_no_entities(self, tmp_path: Path) -> None:
        assert self.rows(tmp_path, spans=[])["label"] == []

    @pytest.mark.parametrize("accept", [[], ["x"]])
    def test_spans_and_choices_of_a_text(self, accept: list[str], tmp_path: Path) -> None:
        value = {**EXPORTS["Prodigy"][1], "options": [{"id": "x"}], "accept": accept}
        path = write(tmp_path / "a.jsonl", value, {**value, "answer": "reject"})
        for column in ("label", "accept"):
            assert labels(path, "set", column=column) == [accept, None]
        data = DataConfig(files={"train": path})
        rows = load_rows(data, input=InputConfig(words="text"), columns={"spans": "tags"})["train"]
        assert rows.table["label:spans"].to_pylist() == [TAGS, None]

    def test_a_span_accepted_by_itself_is_not_a_labelled_text(self, tmp_path: Path) -> None:
        assert "labels one span, not the whole text" in self.rows(tmp_path, _is_binary=True).rule

    def test_a_span_without_a_label_is_malformed(self, tmp_path: Path) -> None:
        assert "spans: the span 0 to 3 has no label" in self.rows(tmp_path, spans=[{"start": 0, "end": 3}]).rule


class TestSpacy:
    def convert(self, value: Any) -> list[Any]:
        return list(CONVERTERS["spacy"](value))

    def test_each_paragraph_is_a_row(self) -> None:
        paragraph = {"raw": TEXT, "sentences": tokens(*BILUO)}
        assert [row["label"] for row in self.convert({"paragraphs": [paragraph] * 2})] == [SPANS, SPANS]

    def test_a_paragraph_without_raw_text_is_joined(self) -> None:
        words = [{"orth": "Ada", "space": ""}, {"orth": "'s", "space": " "}, {"orth": "firm"}]
        (row,) = self.convert({"paragraphs": [{"raw": None, "sentences": [{"tokens": words}]}]})
        assert row == {"text": "Ada's firm", "label": None}

    def test_a_tag_that_continues_nothing_begins_a_span(self) -> None:
        pairs = (("a", "I-x"), ("b", "O"), ("c", "L-x"), ("d", "B-x"), ("e", "B-x"), ("f", "I-y"), ("g", "-"))
        (row,) = self.convert({"paragraphs": [{"sentences": tokens(*pairs)}]})
        assert row["label"] == [[0, 1, "x"], [4, 5, "x"], [6, 7, "x"], [8, 9, "x"], [10, 11, "y"]]

    def test_tokens_of_another_text_are_malformed(self) -> None:
        (row,) = self.convert({"paragraphs": [{"raw": "abc", "sentences": tokens(("x", "U-y"))}]})
        assert row == MalformedRow("x", "a token is not in the text of its paragraph")

    @pytest.mark.parametrize(("entities", "label"), [([], []), ([[0, 3, "x"]], [[0, 3, "x"]]), (None, [[4, 9, "y"]])])
    def test_spans_of_a_categorizer_are_no_entities(self, entities: Any, label: Any) -> None:
        """A text without entities has none, whatever groups of spans it has."""
        groups = {"spans": {"sc": [{"start": 4, "end": 9, "label": "y"}], "other": []}}
        token = {"id": 0, "start": 0, "end": 3}
        document = {"text": TEXT, "tokens": [token], **groups} | ({} if entities is None else {"ents": entities})
        example = [TEXT, {**groups, "entities": entities}]
        for value in (document, example):
            (row,) = self.convert(value)
            assert (row["label"], row["spans"]) == (label, [[4, 9, "y"]])

    def test_a_label_that_was_added_to_a_document_is_kept(self, tmp_path: Path) -> None:
        document = {
            "text": TEXT,
            "ents": [{"start": 0, "end": 3, "label": "person"}],
            "tokens": [{"id": 0, "start": 0, "end": 3}],
            "label": "pos",
        }
        path = write(tmp_path / "a.jsonl", document, {"text": TEXT, "entities": SPANS, "label": "neg"})
        assert labels(path, "class") == ["pos", "neg"]
        data = DataConfig(files={"train": path})
        rows = load_rows(data, input=InputConfig(words="text"), columns={"ents": "tags", "entities": "tags"})["train"]
        assert rows.table["label:ents"].to_pylist() == [["B-person", *["O"] * 5], None]
        assert rows.table["label:entities"].to_pylist() == [None, TAGS]

    @pytest.mark.parametrize("name", [["x"], {"a": 1}])
    def test_a_category_whose_name_is_no_string_is_reported(self, name: Any, tmp_path: Path) -> None:
        path = write(tmp_path / "a.jsonl", ["a", {"cats": [{"label": name, "value": 1.0}]}])
        with pytest.raises(DataError, match=r"a\.jsonl:1: cats: a label name was expected"):
            labels(path, "set", column="cats")


class TestConfig:
    def test_bad_spans_are_reported_with_their_line_and_share(self, tmp_path: Path) -> None:
        good = {"text": TEXT, "label": SPANS}
        bad = {"text": TEXT, "label": [[13, 18, "city"]]}
        path = write(tmp_path / "a.jsonl", *[good] * 300, bad)
        table: dict[str, Any] = {"input": InputConfig(words="text"), "columns": {"label": "tags"}}
        message = r"(?s)a\.jsonl:301: label: the span 13 to 18 \(city\), 'New Y', cuts the word 'York'.*1 of 301, 0\.3%"
        with pytest.raises(DataError, match=message):
            load_rows(DataConfig(files={"train": path}), **table)
        rows = load_rows(DataConfig(files={"train": path}, on_bad_row="skip"), **table)["train"]
        assert (len(rows), rows.skipped) == (300, 1)

    def test_spans_of_a_text_that_is_not_split(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.jsonl", EXPORTS["doccano"][1])
        with pytest.raises(
            DataError, match=r"a\.jsonl:1: label: spans are tags of words: write `words` instead of `text`"
        ):
            labels(path, "tags")

    @pytest.mark.parametrize("name", ["a.csv", "a.conll", "a.parquet", "a.tsv.gz"])
    @pytest.mark.parametrize("tool", ["doccano", "spacy", "brat"])
    def test_a_tool_does_not_write_other_files(self, name: str, tool: str) -> None:
        with pytest.raises(ConfigError, match=rf'{name}: data\.format = "{tool}" is for '):
            load_rows(DataConfig(files={"train": name}, format=tool), input=InputConfig(text="text"), columns={})

    def test_an_unknown_tool(self) -> None:
        with pytest.raises(ValueError, match="format"):
            DataConfig(files={"train": "a.jsonl"}, format="docano")

    def test_rows_of_another_tool_are_reported(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.jsonl", EXPORTS["doccano"][1])
        rows = [row for _, row in open_file(str(path), format=TextFormat(tool="spacy")).rows]
        assert isinstance(rows[0], MalformedRow)

    def test_spans_of_rows_in_memory(self) -> None:
        data = DataConfig(files={"train": [{"text": TEXT, "label": [{"start": 0, "end": 3, "label": "x"}]}]})
        rows = load_rows(data, input=InputConfig(words="text"), columns={"label": "tags"})["train"]
        assert rows.table["label:label"].to_pylist() == [["B-x", "O", "O", "O", "O", "O"]]
