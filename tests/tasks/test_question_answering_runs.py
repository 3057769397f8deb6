"""Question answering in runs: scores, card, calibration, predictions, export, command line and server."""

from __future__ import annotations

import io
import random
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import nlpmtl
from nlpmtl import ConfigError, Predictor
from nlpmtl.cli import app
from tests.architectures import ARCHITECTURES, write_architecture
from tests.export.test_transformers_model import assemble
from tests.serving.conftest import running
from tests.tasks.test_question_answering import SPEC, run_of
from tests.tiny import Trained, read_json, train_tiny, write_rows


def learnable(count: int, *, seed: int) -> list[dict[str, Any]]:
    """Return questions for the place or the colour in a text; every fourth text has none of them."""
    source, kinds = random.Random(seed), {"in": ["turin", "rome", "paris"], "is": ["red", "blue", "green"]}
    rows = []
    for i in range(count):
        question, other = source.sample(list(kinds), 2)
        words = [source.choice(["cat", "dog", "bird", "film", "story", "book", "lamp", "old"]) for _ in range(18)]
        words.insert(source.randrange(18), source.choice(kinds[other]))
        place, answer = source.randrange(19), source.choice(kinds[question])
        answers = []
        if i % 4:
            words.insert(place, answer)
            start = len(" ".join([*words[:place], ""]))
            answers = [{"start": start, "end": start + len(answer)}]
        rows.append({"question": question, "context": " ".join(words), "answers": answers})
    return rows


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    run = run_of(tmp_path_factory.mktemp("qa"), learnable(64, seed=0), max_length=20)
    run["datasets"]["answers"]["data"]["files"]["validation"] = learnable(60, seed=1)
    run |= {"train": {"steps": 12, "batch_size": 16, "lr": 1e-3, "precision": "fp32"}, "eval": {"every": 12}}
    return train_tiny(run)


def test_a_run_is_scored_calibrated_and_described(trained: Trained) -> None:
    scores = read_json(trained.model_dir / "scores.json")["tasks"]["qa"]
    assert {"squad_f1", "exact_match", "score", "rows"} == scores.keys()
    assert scores["rows"] == 60
    card = (trained.model_dir / "README.md").read_text(encoding="utf-8")
    assert "| `qa` | `question_answering` | a pair of texts | a part of the second text, or no answer |" in card
    assert "`qa` reads longer texts in overlapping windows" in card
    assert "question-answering" in card
    assert (trained.model_dir / "images" / "answers-qa.png").is_file()
    assert "threshold" in read_json(trained.model_dir / "config.json")["tasks"]["qa"]
    again = nlpmtl.evaluate(trained.model_dir, trained.run)
    assert again["qa"] == pytest.approx(scores, abs=1e-6)


def test_predictions(trained: Trained) -> None:
    predictor = Predictor.from_pretrained(trained.model_dir)
    long = " . ".join(["the cat is red"] * 40)
    inputs = [
        ("cat", "the cat is red . the dog is blue"),
        ("cat", ""),
        ("", "the cat"),
        ("dog", long),
        ("dog", "É 𝄞 a"),
    ]
    for (_, context), prediction in zip(inputs, predictor.predict(inputs, task="qa"), strict=True):
        assert prediction.keys() == {"answer", "score", "start", "end"}, "no `truncated`"
        assert context[prediction["start"] : prediction["end"]] == prediction["answer"]
    assert predictor.predict(("cat", ""), task="qa") == {"answer": "", "score": 1.0, "start": 0, "end": 0}
    assert predictor.predict_all(("cat", "the cat")).keys() == {"qa"}
    with pytest.raises(ConfigError, match="expects a text pair"):
        predictor.predict("cat", task="qa")


def test_the_code_in_the_readme_of_an_export_answers_alike(trained: Trained, tmp_path: Path) -> None:
    predictor = Predictor.from_pretrained(trained.model_dir)
    assert predictor.export(tmp_path / "stock", task="qa") < 1e-5
    readme = (tmp_path / "stock" / "README.md").read_text(encoding="utf-8")
    code = readme.partition("```python\n")[2].partition("```")[0]
    assert "nlpmtl" not in code
    assert "pipeline(" not in code, "transformers has no pipeline for question answering"
    for pair in [("cat", "the cat is red . the dog is blue"), ("dog", "the cat"), ("is", "a lamp is a lamp")]:
        adapted = code.replace('"this-directory-or-repository"', repr(str(tmp_path / "stock")))
        adapted = adapted.replace('"Who lives in Turin?", "Ada lives in Turin."', repr(pair)[1:-1])
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(adapted, {})
        assert printed.getvalue().strip() == (predictor.predict(pair, task="qa")["answer"] or "no answer")


def test_the_command_line_and_the_server(trained: Trained, tmp_path: Path) -> None:
    predictor = Predictor.from_pretrained(trained.model_dir)
    pair = ("cat", "the cat is red . the dog is blue")
    expected = predictor.predict(pair, task="qa")
    files = {"train": [{"question": pair[0], "context": pair[1]}, {"question": "dog", "context": ""}]}
    source, output = write_rows(tmp_path / "rows.jsonl", files["train"]), tmp_path / "out.parquet"
    command = ["predict", str(trained.model_dir), "--input", str(source), "--output", str(output)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    written = pq.read_table(output).to_pylist()
    columns = {"answer": "qa", "score": "qa_score", "start": "qa_start", "end": "qa_end"}
    assert {key: written[0][column] for key, column in columns.items()} == pytest.approx(expected, abs=1e-5)
    assert [written[1][column] for column in columns.values()] == ["", 1.0, 0, 0]
    with running(predictor) as server, server.client() as client:
        assert client.get("/info").json["tasks"]["qa"]["input"] == "pair"
        assert client.post("/predict", {"inputs": list(pair)}).json["qa"] == pytest.approx(expected, abs=1e-5)
        reply = client.post("/predict/qa", {"inputs": [list(pair), {"text": "dog", "pair": ""}]})
        assert [value["answer"] for value in reply.json] == [expected["answer"], ""]


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_stock_model_of_each_architecture(name: str, tmp_path: Path) -> None:
    predictor = assemble(write_architecture(name, tmp_path / "encoder"), {"qa": {**SPEC, "temperature": 1.7}})
    assert predictor.export(tmp_path / "stock", task="qa") < 1e-5


@pytest.mark.slow
def test_a_run_learns(tmp_path: Path) -> None:
    run = run_of(tmp_path, learnable(240, seed=0), max_length=16)
    run["datasets"]["answers"]["data"]["files"]["validation"] = learnable(100, seed=1)
    run |= {"train": {"epochs": 60, "batch_size": 16, "lr": 2e-3, "precision": "fp32"}, "eval": {"every": 900}}
    scores = train_tiny(run).result.scores
    assert scores is not None
    assert float(scores["qa"]["squad_f1"] or 0) > 0.9, "no answer gives 0.25"
