"""Runs with `crf`: missing tags in JSON and CoNLL files, gains over words scored one by one, and refusals."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nlpmtl
from nlpmtl import ConfigError, DataError, Predictor
from nlpmtl.preflight import check
from nlpmtl.tasks import Labeling
from tests.tiny import read_json, train_tiny, write_encoder, write_rows

LABELS = ["O", "B-name", "I-name"]
TRAIN = {"steps": 60, "batch_size": 16, "lr": 2e-3, "head_lr": 1e-2, "precision": "fp32"}
NAMES = ("ada", "turin", "rome", "paris")


def tagged(source: random.Random, *, known: float = 1.0) -> dict[str, Any]:
    """Return words and their tags, of which a fraction is known: names of one or two words."""
    words: list[str] = []
    tags: list[str | None] = []
    for _ in range(source.randint(1, 3)):
        words += [*source.sample(NAMES, count := source.randint(1, 2)), source.choice(["and", "is", "the"])]
        tags += [*["B-name", "I-name"][:count], "O"]
    known_tags = [tag if source.random() < known else None for tag in tags]
    return {"tokens": words, "tags": None if known < 1 and source.randrange(8) == 0 else known_tags}


def make_run(directory: Path, *, known: float = 1.0, validation: float = 1.0, **task: Any) -> dict[str, Any]:
    source = random.Random(1)
    files = {
        split: str(write_rows(directory / f"{split}.jsonl", [tagged(source, known=share) for _ in range(rows)]))
        for split, rows, share in (("train", 96, known), ("validation", 32, validation))
    }
    keys = {"kind": "labeling", "label": "tags", "labels": LABELS, **task}
    return {
        "seed": 1,
        "output": str(directory / "out"),
        "encoder": {"name": str(write_encoder(directory / "encoder", dropout=0.0)), "max_length": 32},
        "datasets": {"names": {"data": {"files": files}, "input": {"words": "tokens"}, "tasks": {"names": keys}}},
        "train": TRAIN,
        "eval": {"every": TRAIN["steps"]},
    }


@pytest.mark.slow
def test_a_fifth_of_the_tags_is_enough_if_missing_ones_are_not_o(tmp_path: Path) -> None:
    trained = train_tiny(make_run(tmp_path, known=0.2, validation=0.8, crf="partial"))
    assert trained.result.scores is not None
    assert (trained.result.scores["names"]["span_f1"] or 0) > 0.8
    predictor = Predictor.from_pretrained(trained.model_dir)
    text = "ada paris is turin and the"
    prediction = predictor.predict(text, task="names", all_scores=True)
    assert [entity["word"] for entity in prediction] == ["ada paris", "turin"]
    assert all(sum(entity["scores"].values()) == pytest.approx(1.0) for entity in prediction)
    saved = read_json(trained.model_dir / "config.json")["tasks"]["names"]
    assert saved["crf"] == "partial"
    with pytest.raises(
        nlpmtl.ModelError, match="cannot be exported to transformers: no model of transformers has a CRF"
    ):
        predictor.export(tmp_path / "stock", task="names")
    predictor.export(tmp_path / "onnx", to="onnx")
    exported = Predictor.from_pretrained(tmp_path / "onnx").predict(text, task="names")
    assert [entity["word"] for entity in exported] == ["ada paris", "turin"]
    errors = tmp_path / "errors.csv"
    scores = nlpmtl.evaluate(trained.model_dir, trained.run, errors=errors)
    assert scores["names"]["span_f1"] == pytest.approx(trained.result.scores["names"]["span_f1"])


def test_missing_tags_in_conll_files(tmp_path: Path) -> None:
    run = make_run(tmp_path, crf="partial", scheme="plain", labels=["O", "NAME"])
    lines = "ada NAME\nis _\nturin NAME\n\nthe O\nand O\n\nis _\nrome _\n\n"
    for split in ("train", "validation"):
        (tmp_path / f"{split}.conll").write_text(lines * 4, encoding="utf-8")
        run["datasets"]["names"]["data"]["files"][split] = str(tmp_path / f"{split}.conll")
    run["datasets"]["names"]["input"] = {"words": "words"}
    trained = train_tiny({**run, "train": {**TRAIN, "steps": 12}, "eval": {"every": 12}})
    assert trained.result.scores is not None
    assert trained.result.scores["names"] == {"token_accuracy": 1.0, "score": 1.0, "rows": 12}
    assert check({**run, "output": str(tmp_path / "other")}).steps == TRAIN["steps"]


def test_missing_tags_are_refused_without_the_option(tmp_path: Path) -> None:
    run = make_run(tmp_path, known=0.5, crf=True)
    with pytest.raises(DataError, match=r"train\.jsonl:3: tags: tag 1 is missing: .*crf = \"partial\" reads"):
        nlpmtl.train(run)


def test_a_missing_tag_is_not_rewritten_as_itself(tmp_path: Path) -> None:
    run = make_run(tmp_path, crf=True)
    path = Path(run["datasets"]["names"]["data"]["files"]["train"])
    write_rows(path, [{"tokens": ["ada", "is"], "tags": ["B-name", "_"]}] * 4)
    with pytest.raises(ConfigError, match="spans contradict scheme") as caught:
        check(run)
    assert "write 'B-name' instead of 'B-name'" not in str(caught.value)


@pytest.mark.parametrize(("tags", "is_valid"), [(["O", "I-name"], False), ([None, "I-name"], True)])
def test_known_tags_that_contradict_the_scheme(tmp_path: Path, tags: list[str | None], is_valid: bool) -> None:
    run = make_run(tmp_path, crf="partial")
    path = Path(run["datasets"]["names"]["data"]["files"]["train"])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_rows(path, [*rows, *[{"tokens": ["the", "ada"], "tags": tags}] * 20])
    if is_valid:
        assert check(run).notes == ()
    else:
        with pytest.raises(ConfigError, match=r"spans contradict scheme = \"bio\".*train.jsonl:97, word 2: 'I-name'"):
            check(run)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"crf": True, "label_smoothing": 0.1}, "`crf` has its own loss: remove `loss`, `label_smoothing`"),
        ({"crf": True, "class_weights": "balanced"}, "`crf` has its own loss"),
        ({"crf": True, "loss": {"kind": "focal"}}, "`crf` has its own loss"),
        ({"crf": "partial", "scheme": "bioes"}, 'needs tags of the scheme "bio" or "plain", found "bioes"'),
        ({"crf": "no"}, "crf"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        nlpmtl.train(make_run(tmp_path, **keys))


def test_configs_without_the_option_are_saved_as_before() -> None:
    task = Labeling(name="t", labels=LABELS, input="words")
    assert "crf" not in task.to_config()
    assert Labeling(name="t", labels=LABELS, input="words", crf=True).to_config()["crf"] is True
    with pytest.raises(ConfigError, match="crf is True"):
        Labeling(name="t", labels=LABELS, input="words").continue_from(
            Labeling(name="t", labels=LABELS, input="words", crf=True)
        )


def test_words_without_a_gold_tag_are_not_scored() -> None:
    task = Labeling(name="t", labels=LABELS, input="words", crf="partial")
    values, gold = [["B-name", "I-name", "O", "O"]], [["B-name", None, None, "O"]]
    assert task.score(values, gold) == {"span_f1": 1.0, "score": 1.0}
    analysis = json.dumps(str(task.error_analysis(values, gold)))
    assert "None" not in analysis
    assert task.baselines(gold, gold, np.random.default_rng(0))["majority"][0][0] in ("O", "B-name")
