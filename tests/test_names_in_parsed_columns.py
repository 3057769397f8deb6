"""Names of spans, relations, dependencies and classes of embeddings: one name for each label, as in other columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nlpmtl.errors import DataError
from tests.label_loader import CLASSES, TAGS, Loader

NFC, NFD = "caf\u00e9", "cafe\u0301"
SPANS: dict[str, Any] = {"kind": "spans", "label": "y"}
RELATIONS: dict[str, Any] = {**SPANS, "relations": "r"}
PARSING: dict[str, Any] = {"kind": "parsing", "heads": "h", "deprels": "d"}
EMBEDDING: dict[str, Any] = {"kind": "embedding", "label": "y"}


def spans(*names: Any) -> list[dict[str, Any]]:
    """Return rows with one span each."""
    return [{"text": "a cat", "y": [{"start": 0, "end": 1, "label": name}]} for name in names]


def related(*names: Any) -> list[dict[str, Any]]:
    """Return rows with one relation each."""
    pair = [[0, 1, "x"], [2, 5, "x"]]
    return [{"text": "a cat", "y": pair, "r": [{"head": 0, "tail": 1, "label": name}]} for name in names]


def trees(*names: str) -> list[dict[str, Any]]:
    """Return rows of two words, each with a relation to the root of the sentence."""
    return [{"w": ["a", "cat"], "h": [2, 0], "d": [name, "root"]} for name in names]


def classes(*names: Any) -> list[dict[str, Any]]:
    return [{"text": "a cat", "y": name} for name in names]


def gold(work: Any, split: str = "train") -> list[Any]:
    """Return the gold label of each row."""
    rows = work.splits[split]["one"]
    return [work.tasks["t"].gold(rows.example(row, "t")) for row in range(len(rows))]


def span_names(work: Any, split: str = "train") -> list[str]:
    return [label for value in gold(work, split) for _, _, label in value["entities"]]


class TestSpans:
    def test_unicode_forms_and_white_space_are_one_label(self, load: Loader) -> None:
        work = load(SPANS, train=spans(NFC, NFD, "person", "person "), validation=spans(NFD, " person"))
        assert work.tasks["t"].labels == (NFC, "person")
        assert span_names(work) == [NFC, NFC, "person", "person"]
        assert span_names(work, "validation") == [NFC, "person"]
        assert any(f"{NFC!r} in different Unicode forms" in note for note in work.notes)
        assert any("'person' with and without white space" in note for note in work.notes)
        assert not any("scored as errors" in note for note in work.notes)
        stored = work.splits["train"]["one"].labels["t"]
        assert [
            stored.example_targets(row, first_tokens=None, sequence_length=0).example["spans"][0, 2] for row in range(4)
        ] == [
            0,
            0,
            1,
            1,
        ]

    def test_declared_labels_are_compared_in_one_form(self, load: Loader) -> None:
        work = load({**SPANS, "labels": ["person", NFC]}, train=spans(NFD, "person "), validation=spans(NFD))
        assert work.tasks["t"].labels == ("person", NFC)
        assert span_names(work) == [NFC, "person"]
        assert span_names(work, "validation") == [NFC]

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            (["1.0", 1, 2.0], ["1", "1", "2"]),
            (["1.0", "x"], ["1.0", "x"]),
            (["True", True, "FALSE"], ["true", "true", "false"]),
            (["1.1", "1.10"], ["1.1", "1.10"]),
        ],
    )
    def test_numbers_and_booleans(self, load: Loader, names: list[Any], expected: list[str]) -> None:
        work = load(SPANS, train=spans(*names))
        assert span_names(work) == expected
        evaluated = load.evaluated(SPANS, model=work.tasks, test=spans(names[0]))
        assert span_names(evaluated, "test") == expected[:1]

    @pytest.mark.parametrize("name", [" ", "", None, "\u3000"])
    def test_a_blank_name_is_refused(self, load: Loader, name: Any) -> None:
        with pytest.raises(DataError, match="row 2: y: span 1: the span 0 to 1 has no label"):
            load(SPANS, train=spans("a", name))

    def test_a_model_with_another_form(self, load: Loader) -> None:
        model = load(SPANS, train=spans(NFC, "b")).tasks
        evaluated = load.evaluated(SPANS, model=model, test=spans(NFD, "b "))
        assert span_names(evaluated, "test") == [NFC, "b"]
        assert not any("scored as errors" in note for note in evaluated.notes)


class TestRelations:
    def test_unicode_forms_and_white_space_are_one_label(self, load: Loader) -> None:
        work = load(RELATIONS, train=related(NFC, NFD, "in", "in "), validation=related(NFD))
        assert work.tasks["t"].relation_labels == (NFC, "in")  # type: ignore[attr-defined]
        names = [label for value in gold(work) for _, _, label in value["relations"]]
        assert names == [NFC, NFC, "in", "in"]
        assert [value["relations"][0][2] for value in gold(work, "validation")] == [NFC]
        assert any("'in' with and without white space" in note for note in work.notes)

    def test_their_names_are_not_those_of_spans(self, load: Loader) -> None:
        work = load(RELATIONS, train=related("1.0", 1, "2"))
        assert work.tasks["t"].labels == ("x",)
        assert work.tasks["t"].relation_labels == ("1", "2")  # type: ignore[attr-defined]

    def test_a_relation_between_two_forms_of_a_span_is_refused(self, load: Loader) -> None:
        row = {"text": "a cat", "y": [[0, 1, "x"], [0, 1, "x "]], "r": [{"head": 0, "tail": 1, "label": "in"}]}
        with pytest.raises(DataError, match="are the same span: 0 to 1"):
            load(RELATIONS, train=[row])


class TestDependencies:
    def test_unicode_forms_and_white_space_are_one_label(self, load: Loader) -> None:
        work = load(PARSING, train=trees("nsubj", "nsubj ", NFD), validation=trees(" nsubj", NFC))
        assert work.tasks["t"].labels == (NFC, "nsubj", "root")
        assert [words[0]["deprel"] for words in gold(work)] == ["nsubj", "nsubj", NFC]
        assert [words[0]["deprel"] for words in gold(work, "validation")] == ["nsubj", NFC]
        assert any("'nsubj' with and without white space" in note for note in work.notes)
        assert not any("scored as errors" in note for note in work.notes)
        evaluated = load.evaluated(PARSING, model=work.tasks, test=trees("nsubj ", NFD))
        assert [words[0]["deprel"] for words in gold(evaluated, "test")] == ["nsubj", NFC]


class TestClassesOfEmbeddings:
    def test_a_class_of_a_table_is_that_of_json(self, load: Loader, tmp_path: Path) -> None:
        path = tmp_path / "x.csv"
        path.write_text("text,y\na cat,1.0\na dog,2.0\na cat,2\n", encoding="utf-8")
        assert (
            gold(load(EMBEDDING, train=str(path))) == gold(load(EMBEDDING, train=classes(1, 2, 2))) == ["1", "2", "2"]
        )

    def test_unicode_forms_and_white_space_are_one_class(self, load: Loader) -> None:
        work = load(EMBEDDING, train=classes("a", "a ", NFC, NFD, " "))
        assert gold(work) == ["a", "a", NFC, NFC, None]
        assert work.tasks["t"].labels == ()
        assert any("'a' with and without white space" in note for note in work.notes)


class TestSoftLabels:
    def test_forms_of_a_label_in_the_two_columns_are_reported(self, load: Loader) -> None:
        rows = [{"text": "a cat", "y": name, "soft": {"a ": 0.5, "b": 0.5}} for name in ("a", "b")]
        work = load({**CLASSES, "soft": "soft"}, train=rows)
        assert work.tasks["t"].labels == ("a", "b")
        assert any("'a' with and without white space" in note for note in work.notes)


class TestTagsFromCharacterSpans:
    def test_white_space_around_a_name_is_removed(self, load: Loader) -> None:
        names = ["person", " person", "person "]
        rows = [{"w": "a cat sat", "y": [[0, 5, "person"], [0, 5, name]]} for name in names]
        work = load(TAGS, train=rows)
        assert work.tasks["t"].labels == ("B-person", "I-person", "O")
        assert any("'B-person' with and without white space" in note for note in work.notes)

    def test_a_blank_name_is_refused(self, load: Loader) -> None:
        with pytest.raises(DataError, match="has no label"):
            load(TAGS, train=[{"w": "a cat", "y": [[0, 5, " "]]}])
