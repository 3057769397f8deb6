"""Runs with spans and relations: training, long texts, bad rows, the command line, continuing, and ONNX."""

from __future__ import annotations

import csv
import itertools
import json
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import nlpmtl
from nlpmtl import ConfigError, DataError, Predictor
from nlpmtl.cli import app
from nlpmtl.cli.predict import _to_lines
from nlpmtl.preflight import check
from nlpmtl.serving import Limits
from tests.serving.conftest import running
from tests.tiny import Trained, train_tiny, write_encoder, write_rows

ADJECTIVES, PEOPLE, PLACES = ("old", "new", "good"), ("ada", "cat", "dog"), ("turin", "rome", "paris")
TRAIN = {"steps": 150, "batch_size": 16, "lr": 2e-3, "head_lr": 5e-3, "precision": "fp32"}


def sentence(source: random.Random, *, words: bool) -> dict[str, Any]:
    """Return a row such as "old ada lives in turin": a phrase, a person in it, a place, and who lives where."""
    tokens: list[str] = []
    spans: list[tuple[int, int, str]] = []
    relations = []
    for _ in range(source.randrange(3)):
        first = len(tokens)
        tokens += [*source.sample(ADJECTIVES, source.randrange(2)), source.choice(PEOPLE)]
        spans += [(first, len(tokens), "phrase")] * (len(tokens) - first > 1) + [
            (len(tokens) - 1, len(tokens), "person")
        ]
        verb = source.choice(["lives", "sings"])
        tokens += [verb, "in", source.choice(PLACES), "and"]
        spans.append((len(tokens) - 2, len(tokens) - 1, "place"))
        if verb == "lives":
            relations.append({"head": len(spans) - 2, "tail": len(spans) - 1, "label": "lives_in"})
    tokens += ["the", source.choice(["lamp", "book"])]
    starts = [sum(len(token) + 1 for token in tokens[:i]) for i in range(len(tokens) + 1)]
    if not words:
        spans = [(starts[first], starts[last] - 1, label) for first, last, label in spans]
    entities = [{"start": first, "end": last, "label": label} for first, last, label in spans]
    return {"tokens": tokens, "text": " ".join(tokens), "entities": entities, "relations": relations}


def make_run(directory: Path, *, words: bool = False, **task: Any) -> dict[str, Any]:
    source = random.Random(0)
    files = {
        split: str(write_rows(directory / f"{split}.jsonl", [sentence(source, words=words) for _ in range(rows)]))
        for split, rows in (("train", 96), ("validation", 32))
    }
    keys = {"kind": "spans", "label": "entities", **task}
    dataset = {"data": {"files": files}, "input": {"words": "tokens"} if words else {"text": "text"}}
    return {
        "seed": 1,
        "output": str(directory / "out"),
        "encoder": {"name": str(write_encoder(directory / "encoder", dropout=0.0)), "max_length": 24},
        "datasets": {"sentences": {**dataset, "tasks": {"spans": keys}}},
        "train": TRAIN,
        "eval": {"every": TRAIN["steps"]},
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_tiny(make_run(tmp_path_factory.mktemp("relations"), relations="relations"))


@pytest.mark.slow
def test_spans_and_relations_are_learned(trained: Trained) -> None:
    scores = trained.result.scores
    assert scores is not None
    assert (scores["spans"]["span_f1"] or 0) > 0.9
    assert (scores["spans"]["relation_f1"] or 0) > 0.6
    predictor = Predictor.from_pretrained(trained.model_dir)
    prediction = predictor.predict("old ada lives in turin and the lamp", task="spans")
    found = [(entity["word"], entity["entity_group"]) for entity in prediction["entities"]]
    assert found == [("old ada", "phrase"), ("ada", "person"), ("turin", "place")]
    assert [(item["head"], item["tail"], item["label"]) for item in prediction["relations"]] == [(1, 2, "lives_in")]
    card = (trained.model_dir / "README.md").read_text(encoding="utf-8")
    assert "`person`, `phrase`, `place`; relations lives" in card


@pytest.mark.slow
def test_a_long_text_is_read_in_windows(trained: Trained) -> None:
    predictor = Predictor.from_pretrained(trained.model_dir)
    part = "old ada lives in turin and the lamp "
    prediction = predictor.predict((part * 12).strip(), task="spans")
    assert "truncated" not in prediction
    places = {entity["start"] for entity in prediction["entities"] if entity["word"] == "turin"}
    assert places <= {len(part) * i + part.index("turin") for i in range(12)}
    assert len(places) >= 6
    assert max(places) > len(part) * 9
    linked = [prediction["entities"][relation["tail"]]["start"] for relation in prediction["relations"]]
    assert max(linked) > len(part) * 6


@pytest.mark.slow
def test_the_command_line_shows_spans_and_relations(trained: Trained) -> None:
    text = "old ada lives in turin and the lamp"
    done = CliRunner().invoke(app, ["predict", str(trained.model_dir), text])
    assert done.exit_code == 0, done.output
    predictions = json.loads(done.stdout)["predictions"]
    expected = "old ada/phrase  ada/person  turin/place; ada lives_in turin"
    assert _to_lines(text, predictions).splitlines() == [text, f"  spans  {expected}"]


@pytest.mark.slow
def test_the_server_predicts_spans_and_relations(trained: Trained) -> None:
    predictor = Predictor.from_pretrained(trained.model_dir)
    text = "old ada lives in turin and the lamp"
    with running(predictor, Limits()) as server, server.client() as client:
        described = client.get("/info").json["tasks"]["spans"]
        assert described == {
            "kind": "spans",
            "input": "text",
            "labels": ["person", "phrase", "place"],
            "view": "spans",
        }
        assert client.post("/predict/spans", {"inputs": text}).json == predictor.predict(text, task="spans")


@pytest.mark.slow
def test_predictions_of_a_file(trained: Trained, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", [{"text": "old ada lives in turin and the lamp"}, {"text": "the book"}])
    nlpmtl.predict_files(trained.model_dir, rows, tmp_path / "predictions.parquet")
    first, second = pq.read_table(tmp_path / "predictions.parquet").to_pylist()
    assert [entity["word"] for entity in first["spans"]] == ["old ada", "ada", "turin"]
    assert {relation["label"] for relation in first["spans_relations"]} == {"lives_in"}
    assert (second["spans"], second["spans_relations"]) == ([], [])


@pytest.mark.slow
def test_onnx_predicts_the_same_and_transformers_is_refused(trained: Trained, tmp_path: Path) -> None:
    predictor = Predictor.from_pretrained(trained.model_dir)
    predictor.export(tmp_path / "onnx", to="onnx")
    texts = ["old ada lives in turin and the lamp", "the book", "", "cat sings in rome and dog lives in paris " * 6]
    exported = Predictor.from_pretrained(tmp_path / "onnx").predict(texts, task="spans")
    for one, other in zip(exported, predictor.predict(texts, task="spans"), strict=True):
        assert [list(item.items())[:1] + list(item.items())[2:] for item in one["entities"]] == [
            list(item.items())[:1] + list(item.items())[2:] for item in other["entities"]
        ]
        assert [item["score"] for item in one["entities"]] == pytest.approx(
            [item["score"] for item in other["entities"]], abs=1e-4
        )
        assert len(one["relations"]) == len(other["relations"])
    with pytest.raises(nlpmtl.ModelError, match="'spans', has no equivalent in transformers"):
        predictor.export(tmp_path / "stock", task="spans")


@pytest.mark.slow
def test_spans_of_words_without_relations(tmp_path: Path) -> None:
    trained = train_tiny(make_run(tmp_path, words=True, flat=True))
    scores = trained.result.scores
    assert scores is not None
    assert scores["spans"].keys() == {"span_f1", "score", "rows"}
    predictor = Predictor.from_pretrained(trained.model_dir)
    text = "new dog sings in paris, and the lamp"
    words, raw = predictor.predict([{"words": text.replace(",", " ,").split()}, text], task="spans")
    assert [entity["word"] for entity in raw] == [entity["word"] for entity in words]
    assert all(text[entity["start"] : entity["end"]] == entity["word"] for entity in raw)
    assert all(a["end"] <= b["start"] for a, b in itertools.pairwise(raw))
    assert any(entity["entity_group"] == "place" for entity in raw)


def test_bad_rows_are_named_with_file_and_line(tmp_path: Path) -> None:
    run = make_run(tmp_path, relations="relations")
    path = Path(run["datasets"]["sentences"]["data"]["files"]["train"])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[3]["entities"] = [{"start": 0, "end": 400, "label": "person"}]
    rows[3]["relations"] = []
    rows[5]["relations"] = [{"head": 0, "tail": 40, "label": "lives_in"}]
    write_rows(path, rows)
    with pytest.raises(DataError) as caught:
        nlpmtl.train(run)
    message = str(caught.value)
    assert f"{path}:4: entities: span 1: 0 to 400 is outside the text" in message
    assert f"{path}:6: relations: relation 1: `tail` is 40" in message
    run["datasets"]["sentences"]["data"]["on_bad_row"] = "skip"
    assert any("2 bad rows were skipped" in note for note in check(run).notes)


def test_spans_in_the_cells_of_a_table(tmp_path: Path) -> None:
    for words in (False, True):
        run = make_run(tmp_path, words=words, relations="relations")
        files = run["datasets"]["sentences"]["data"]["files"]
        notes = check(run).notes
        for split, path in files.items():
            rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
            files[split] = str(tmp_path / f"{split}.csv")
            with Path(files[split]).open("w", newline="") as file:
                table = csv.DictWriter(file, rows[0])
                table.writeheader()
                cells = [{k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()} for row in rows]
                table.writerows(cells)
        assert check(run).notes == notes


def test_labels_that_only_validation_has_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, relations="relations")
    path = Path(run["datasets"]["sentences"]["data"]["files"]["validation"])
    spans = [{"start": 0, "end": 3, "label": "planet"}, {"start": 4, "end": 9, "label": "person"}]
    relation = {"head": 0, "tail": 1, "label": "orbits"}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_rows(path, [*rows, {"text": "ada lives", "entities": spans, "relations": [relation]}])
    note = "sentences, validation: labels unknown to task 'spans', scored as errors: orbits, planet"
    assert note in check(run).notes


@pytest.mark.parametrize("column", ["label", "entities"])
def test_an_export_of_doccano_with_relations(tmp_path: Path, column: str) -> None:
    run = make_run(tmp_path, label=column, relations="relations")
    spans = [
        {"id": 71, "label": "person", "start_offset": 0, "end_offset": 3},
        {"id": 5, "label": "place", "start_offset": 13, "end_offset": 18},
    ]
    relation = {"id": 2, "from_id": 71, "to_id": 5, "type": "lives_in"}
    row = {"id": 1, "text": "ada lives in turin", "entities": spans, "relations": [relation]}
    files = run["datasets"]["sentences"]["data"]["files"]
    for path in files.values():
        write_rows(Path(path), [row] * 4)
    assert check(run).notes == ()
    for path in files.values():
        write_rows(Path(path), [{**row, "relations": [{**relation, "to_id": 6}]}] * 4)
    with pytest.raises(DataError, match="relation 1: `tail` must be the index of a span, from 0, found None"):
        check(run)


def test_a_row_with_an_invalid_text_has_one_problem(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    path = Path(run["datasets"]["sentences"]["data"]["files"]["train"])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_rows(path, [{**rows[0], "text": None}, *rows[1:]])
    with pytest.raises(DataError, match=r"1 problem\(s\) in 1 row\(s\)"):
        check(run)


def test_rows_without_annotations_and_spans_inside_tokens(tmp_path: Path) -> None:
    run = make_run(tmp_path, relations="relations")
    path = Path(run["datasets"]["sentences"]["data"]["files"]["train"])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0] |= {"entities": None, "relations": None}
    rows[1]["relations"] = None
    rows[2] = {"text": "ada lives", "entities": [{"start": 0, "end": 2, "label": "person"}], "relations": []}
    rows[3] = {"text": "ada " * 60, "entities": [{"start": 236, "end": 239, "label": "person"}], "relations": []}
    write_rows(path, rows)
    notes = " ".join(check(run).notes)
    assert "spans begin or end inside a token or at a space: they are trained as all of a token" in notes
    assert "1 of " in notes
    assert "spans have no token, or are beyond max_length: they are not trained on" in notes
    trained = train_tiny({**run, "train": {**TRAIN, "steps": 2}, "eval": {"every": 2}})
    assert trained.result.scores is not None


@pytest.mark.parametrize(
    "row", [{"entities": None}, {"text": "\u200b", "entities": []}], ids=["unlabelled", "no token"]
)
def test_a_dataset_without_a_row_to_train_on(tmp_path: Path, row: dict[str, Any]) -> None:
    run = make_run(tmp_path)
    dataset = run["datasets"]["sentences"]
    path = write_rows(tmp_path / "other.jsonl", [{"text": "ada", **row}] * 4)
    others = {**dataset, "data": {"files": {"train": str(path)}}}
    notes = check({**run, "datasets": {"sentences": dataset, "others": others}}).notes
    assert any("4 rows have no token, and are not trained on" in note for note in notes) == (row["entities"] == [])
    with pytest.raises(ConfigError):
        check({**run, "datasets": {"others": others}})


def test_an_unknown_label_of_a_declared_list(tmp_path: Path) -> None:
    run = make_run(tmp_path, labels=["person", "place"])
    with pytest.raises(DataError, match=r"train\.jsonl:\d+: column 'entities': task 'spans' does not know the label"):
        nlpmtl.train(run)


@pytest.mark.slow
def test_a_model_is_continued_with_its_relations(trained: Trained, tmp_path: Path) -> None:
    run = make_run(tmp_path, relations="relations")
    run["encoder"]["name"] = str(trained.model_dir)
    continued = train_tiny({**run, "train": {**TRAIN, "steps": 1, "lr": 1e-6, "head_lr": 1e-6}, "eval": {"every": 1}})
    assert continued.result.scores is not None
    assert (continued.result.scores["spans"]["span_f1"] or 0) > 0.9
    path = Path(run["datasets"]["sentences"]["data"]["files"]["train"])
    spans = [{"start": 0, "end": 3, "label": "person"}, {"start": 4, "end": 8, "label": "place"}]
    row = {"text": "ada rome", "entities": spans}
    write_rows(path, [{**row, "relations": [{"head": 0, "tail": 1, "label": "works_in"}]}] * 4)
    with pytest.raises(ConfigError, match="does not know the relation 'works_in'"):
        nlpmtl.train(run, output=tmp_path / "other")


@pytest.mark.slow
def test_evaluation_of_a_model_without_its_relations(trained: Trained) -> None:
    data = json.loads(json.dumps(trained.run["datasets"]["sentences"]))
    del data["tasks"]["spans"]["relations"]
    scores = nlpmtl.evaluate(trained.model_dir, data)
    assert (scores["spans"]["span_f1"] or 0) > 0.9
    assert scores["spans"]["relation_f1"] is None
