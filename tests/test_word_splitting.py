"""Taggers predict raw text as they predict words that are split like their training data."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from nlpmtl import ModelError, MultiTaskModel, Predictor
from nlpmtl.data import split_words
from nlpmtl.run import load_config
from nlpmtl.task_datasets import load_task_datasets
from tests.tiny import Trained, favour_entities, make_run, read_json, train_tiny, write_rows

TEXTS = ["ada lives in turin.", "the cat's big-red lamp wasn't in rome!", "a", "", "我在Rome 见了ada。", " x  y\n"]
LONG = "ada's old-red cat sings in rome . " * 8


def train(directory: Path, rows: list[list[str]]) -> Predictor:
    """A tagger and a text task trained on these words, with a bias so that spans are predicted everywhere."""
    labelled = [
        {"tokens": words, "tags": ["B-x" if i % 3 == 0 else "O" for i in range(len(words))], "topic": "ab"[n % 2]}
        for n, words in enumerate(rows)
    ]
    path = write_rows(directory / "rows.jsonl", labelled)
    tasks = {
        "tags": {"kind": "labeling", "label": "tags", "labels": ["O", "B-x", "I-x", "B-y", "I-y"]},
        "topic": {"kind": "classification", "label": "topic"},
    }
    dataset = {"data": {"files": {"train": str(path)}}, "input": {"words": "tokens"}, "tasks": tasks}
    tables: dict[str, Any] = {
        "datasets": {"words": dataset},
        "train": {"steps": 2, "batch_size": 8, "precision": "fp32"},
    }
    result: Trained = train_tiny(make_run(directory, **tables))
    predictor = Predictor.from_pretrained(result.model_dir)
    model = copy.deepcopy(predictor.model)
    assert isinstance(model, MultiTaskModel)
    favour_entities(model, task="tags")
    eager = Predictor(model, predictor.tokenizer)
    eager._directory = result.model_dir
    return eager


@pytest.fixture(scope="module")
def by_character(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return train(tmp_path_factory.mktemp("characters"), [list("ada在turin"), list("我愛 rome"), list("见了")] * 8)


@pytest.fixture(scope="module")
def by_mark(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    rows = [row.split() for row in ("ada 's well - known lamp .", "it was n't a big - red cat")]
    return train(tmp_path_factory.mktemp("marks"), rows * 8)


def spec(predictor: Predictor, task: str) -> dict[str, Any]:
    assert predictor._directory is not None
    config: dict[str, Any] = read_json(predictor._directory / "config.json")["tasks"][task]
    return config


def shifted(spans: list[dict[str, Any]], text: str, words: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """Return the spans of space-separated words as spans of the raw text."""
    starts, ends, position = {}, {}, 0
    for start, end in words:
        starts[position], ends[position + end - start] = start, end
        position += end - start + 1
    moved = [{**span, "start": starts[span["start"]], "end": ends[span["end"]]} for span in spans]
    return [{**span, "word": text[span["start"] : span["end"]]} for span in moved]


def test_a_character_tagger_splits_raw_text_into_characters(by_character: Predictor) -> None:
    assert spec(by_character, "tags")["word_splitting"] == spec(by_character, "topic")["word_splitting"] == "characters"
    texts = [text for text in [*TEXTS, LONG] if text]
    raw = by_character.predict_all(texts, all_scores=True)
    given = by_character.predict_all([{"words": list(text)} for text in texts], all_scores=True)
    assert sum(len(prediction["tags"]) for prediction in raw) > 30
    for text, prediction, other in zip(texts, raw, given, strict=True):
        assert prediction["tags"] == shifted(other["tags"], text, [(i, i + 1) for i in range(len(text))])
        assert prediction["topic"] == other["topic"]
    assert raw[0]["tags"] != [], "single characters are predicted"
    assert by_character.predict("", task="tags") == []


def test_clitics_and_hyphens_are_split_as_in_training(by_mark: Predictor) -> None:
    assert spec(by_mark, "tags")["word_splitting"] == "punctuation"
    assert spec(by_mark, "tags")["split_marks"] == ["'s", "-", "n't"]
    splitting = by_mark.tasks["tags"].splitting
    for text in [*TEXTS, LONG]:
        words = splitting.split(text)
        if words:
            given = by_mark.predict_all({"words": [text[a:b] for a, b in words]}, all_scores=True)
            raw = by_mark.predict_all(text, all_scores=True)
            assert raw["tags"] == shifted(given["tags"], text, words)
            assert raw["topic"] == given["topic"]
    spans = by_mark.predict(TEXTS[1], task="tags", aggregation_strategy="none")
    assert [span["word"] for span in spans][:8] == ["the", "cat", "'s", "big", "-", "red", "lamp", "was"]


def test_a_span_is_not_broken_by_white_space_that_training_did_not_have(tmp_path: Path) -> None:
    predictor = train(tmp_path, [list("ada在turin"), list("我愛rome")] * 8)
    assert spec(predictor, "tags")["word_splitting"] == "nonspace_characters"
    for text in [*TEXTS, LONG]:
        words = predictor.tasks["tags"].splitting.split(text)
        assert [text[a:b] for a, b in words] == [character for character in text if not character.isspace()]
        if words:
            given = predictor.predict({"words": [text[a:b] for a, b in words]}, task="tags", all_scores=True)
            assert predictor.predict(text, task="tags", all_scores=True) == shifted(given, text, words)


def test_abbreviations_of_the_training_words_are_whole_in_raw_text(tmp_path: Path) -> None:
    rows = [["ada", "lives", "in", "the", "U.S.", ",", "the", "big", "cat", ",", "red", "."], ["the", "cat", "."]] * 8
    predictor = train(tmp_path, rows)
    assert spec(predictor, "tags")["whole_words"] == ["U.S."]
    text = "the U.S., red cat. ada lives in the U.S."
    words = predictor.tasks["tags"].splitting.split(text)
    assert [text[a:b] for a, b in words if "U" in text[a:b]] == ["U.S.", "U.S."]
    given = predictor.predict({"words": [text[a:b] for a, b in words]}, task="tags")
    raw = predictor.predict(text, task="tags")
    assert [span["word"].replace(" ", "") for span in raw] == [span["word"].replace(" ", "") for span in given]


def test_given_words_are_not_split(by_character: Predictor) -> None:
    spans = by_character.predict({"words": ["ada", "lives"]}, task="tags", aggregation_strategy="none")
    assert [span["word"] for span in spans] == ["ada", "lives"]


def test_words_that_raw_text_cannot_be_split_into_are_noted(tmp_path: Path) -> None:
    rows = [{"tokens": ["私", "は", "東京", "に", "住んで", "います"], "tags": list("abcabc")}] * 4
    files = {"train": str(write_rows(tmp_path / "rows.jsonl", rows))}
    task = {"kind": "labeling", "label": "tags", "scheme": "plain"}
    dataset = {"data": {"files": files}, "input": {"words": "tokens"}, "tasks": {"pos": task}}
    datasets = load_config(make_run(tmp_path, datasets={"ja": dataset})).datasets
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "encoder")
    work = load_task_datasets(datasets, tokenizer=tokenizer, max_length=32)
    assert "task 'pos' learns words of several characters in a script without spaces" in "\n".join(work.notes)
    assert work.tasks["pos"].to_config()["word_splitting"] == "whitespace"


def test_a_model_without_recorded_rules_splits_at_white_space(by_character: Predictor, tmp_path: Path) -> None:
    assert by_character._directory is not None
    older = shutil.copytree(by_character._directory, tmp_path / "older")
    config = read_json(older / "config.json")
    for task in config["tasks"].values():
        del task["word_splitting"]
    (older / "config.json").write_text(json.dumps(config))
    old = Predictor.from_pretrained(older)
    assert isinstance(old.model, MultiTaskModel)
    favour_entities(old.model, task="tags")
    words = {text[a:b] for text in TEXTS for a, b in split_words(text)}
    predictions = old.predict(TEXTS, task="tags", aggregation_strategy="none")
    assert {span["word"] for spans in predictions for span in spans} == words
    for wrong in (
        {"word_splitting": "letters"},
        {"word_splitting": 3},
        {"split_marks": "'s"},
        {"split_marks": [3]},
        {"whole_words": 3},
    ):
        config["tasks"]["tags"] = {**spec(by_character, "tags"), **wrong}
        (older / "config.json").write_text(json.dumps(config))
        with pytest.raises(
            ModelError, match=r"task 'tags' .* cannot be made: `(word_splitting|whole_words|split_marks(\.0)?)`"
        ):
            Predictor.from_pretrained(older)


@pytest.mark.slow
def test_onnx_models_split_words_in_the_same_way(by_character: Predictor, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    by_character.export(tmp_path / "onnx", to="onnx", task="tags")
    predictions = Predictor.from_pretrained(tmp_path / "onnx").predict(TEXTS, task="tags", aggregation_strategy="none")
    right = by_character.predict(TEXTS, task="tags", aggregation_strategy="none")
    assert [[(s["start"], s["end"], s["entity"]) for s in spans] for spans in predictions] == [
        [(s["start"], s["end"], s["entity"]) for s in spans] for spans in right
    ]
