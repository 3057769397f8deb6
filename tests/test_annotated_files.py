"""Exports of annotation tools and CoNLL files, from the dataset file to a prediction."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import nlpmtl
from nlpmtl.errors import DataError
from nlpmtl.preflight import check
from tests.tiny import write_encoder

CITIES = {"Turin": "city", "Rome": "city", "Ada": "person"}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("annotated") / "encoder")


def spans(text: str) -> list[list[Any]]:
    return [[text.index(name), text.index(name) + len(name), label] for name, label in CITIES.items() if name in text]


TEXTS = ["Ada lives in Turin.", "the kettle is awful", "a cat in Rome!", "Ada, a dog and a cat"] * 5
ROWS = [{"text": text, "label": spans(text), "cats": ["places" if spans(text) else "things"]} for text in TEXTS]


def run(encoder: Path, train: Any, *, output: Path, words: str = "text", **data: Any) -> dict[str, Any]:
    tasks = {"entities": {"kind": "labeling", "label": "label"}}
    dataset = {"data": {"files": {"train": train}, **data}, "input": {"words": words}, "tasks": tasks}
    return {"output": str(output), "encoder": {"name": str(encoder)}, "datasets": {"d": dataset}, "train": {"steps": 2}}


@pytest.mark.slow
def test_spans_and_intents_are_trained_and_predicted_for_raw_text(encoder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("admin.jsonl", "\n".join(json.dumps(row) for row in ROWS))
    config = run(encoder, str(tmp_path / "export.zip"), output=tmp_path / "out", validation=0.2)
    config["datasets"]["d"]["tasks"]["topic"] = {"kind": "classification", "label": "cats"}
    trained = nlpmtl.train(config)
    assert trained.scores is not None
    assert set(trained.scores.tasks) == {"entities", "topic"}
    model = nlpmtl.Predictor.from_pretrained(trained.model_dir)
    assert model.tasks["entities"].splitting.method == "every_mark"
    expected = model.predict_all("Ada lives in Turin.")
    assert model.predict_all({"text": "Ada lives in Turin."}) == expected, "a row of the export"
    topic = model.predict({"words": ["Ada", "lives", "in", "Turin", "."]}, task="topic")
    assert topic["label"] == expected["topic"]["label"]
    scores = nlpmtl.evaluate(trained.model_dir, data=config["datasets"]["d"], split="train")
    assert set(scores.tasks) == {"entities", "topic"}


@pytest.mark.parametrize("on_bad_row", ["stop", "skip"])
def test_check_counts_the_rows_and_reports_cut_words(encoder: Path, on_bad_row: str, tmp_path: Path) -> None:
    rows = [*ROWS, {"text": "Ada lives", "label": [[0, 5, "person"]]}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    config = run(encoder, str(tmp_path / "a.json"), output=tmp_path / "out", on_bad_row=on_bad_row)
    if on_bad_row == "stop":
        with pytest.raises(
            DataError, match=r"a\.json: row 21: label: the span 0 to 5 \(person\), 'Ada l', cuts the word"
        ):
            check(config)
    else:
        report = check(config)
        assert (report.splits[0].rows, report.splits[0].labelled) == (20, {"entities": 20})
        assert "d, train: 1 bad rows were skipped" in report.notes


def test_conll_columns_are_tasks(encoder: Path, tmp_path: Path) -> None:
    sentence = "-DOCSTART- -X- O\n\nAda NNP B-person\nlives VBZ O\n\na DT O\ncat NN O\n\n"
    (tmp_path / "eng.train").write_text(sentence * 5)
    config = run(encoder, str(tmp_path / "eng.train"), output=tmp_path / "out", words="words")
    config["datasets"]["d"]["data"]["columns"] = {"words": 0, "pos": 1, "label": -1}
    config["datasets"]["d"]["tasks"]["pos"] = {"kind": "labeling", "label": "pos", "scheme": "plain"}
    report = check(config)
    assert report.splits[0].labelled == {"entities": 10, "pos": 10}
    assert {task.name: task.labels for task in report.tasks} == {
        "entities": ("B-person", "O"),
        "pos": ("DT", "NN", "NNP", "VBZ"),
    }


def test_files_are_described_and_read_without_torch(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(ROWS))
    (tmp_path / "b.conll").write_text("Ada B-person\nlives O\n")
    code = (
        "import sys\n"
        "from nlpmtl.data.files import describe_file, open_file\n"
        "for path in sys.argv[1:]:\n"
        "    print(describe_file(path), len(list(open_file(path).rows)))\n"
        "assert not {'torch', 'transformers', 'datasets', 'pandas'} & set(sys.modules), 'slow imports'\n"
    )
    paths = [str(tmp_path / "a.json"), str(tmp_path / "b.conll")]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "FileDescription(type='json', tool='doccano', columns={}) 20",
        "FileDescription(type='conll', tool=None, columns={'words': 0, 'tags': 1}) 1",
    ]
