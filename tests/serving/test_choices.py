"""Requests and the web page for tasks that read choices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from nlpmtl import MultiTaskModel
from nlpmtl.inference.predictor import Predictor
from nlpmtl.model import load_encoder
from nlpmtl.serving import Limits
from nlpmtl.serving.examples import example_inputs
from nlpmtl.tasks import task_from_config
from tests.serving.conftest import Client, Running, running
from tests.tiny import write_encoder

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

SPECS: dict[str, dict[str, Any]] = {
    "quiz": {"kind": "multiple_choice", "labels": [], "input": "text"},
    "relevance": {"kind": "ranking", "labels": [], "input": "text"},
    "topic": {"kind": "classification", "labels": ["animals", "places"], "input": "text"},
}
CHOICES = ["turin", "a book", "rome"]
ROW = {"text": "ada lives in", "choices": CHOICES}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    encoder = load_encoder(str(write_encoder(tmp_path_factory.mktemp("encoder"))))
    tasks = [task_from_config(name, {"metrics": None, **spec}) for name, spec in SPECS.items()]
    model = MultiTaskModel.from_encoder(encoder, tasks=tasks, sharing={"kind": "hard"}, input_length=40, seed=0)
    model.train(False)
    return Predictor(model, encoder.tokenizer)


@pytest.fixture(scope="module")
def server(predictor: Predictor) -> Iterator[Running]:
    with running(predictor) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[Client]:
    with server.client() as client:
        yield client


def test_a_request_has_a_text_and_choices(client: Client, predictor: Predictor) -> None:
    assert client.post("/predict", {"inputs": ROW}).json == predictor.predict_all(ROW)
    ranking = client.post("/predict/relevance", {"inputs": ROW}).json
    assert ranking == predictor.predict(ROW, task="relevance")
    assert [sorted(part) for part in ranking] == [["index", "score"]] * 3
    assert client.post("/predict", {"inputs": "ada lives in"}).json.keys() == {"topic"}
    answers = client.post("/predict/quiz", {"inputs": [ROW, {**ROW, "choices": CHOICES[:2]}]}).json
    assert answers == predictor.predict([ROW, {**ROW, "choices": CHOICES[:2]}], task="quiz")


@pytest.mark.parametrize(
    ("inputs", "error"),
    [
        ("ada", "task 'quiz' needs `choices`"),
        ({**ROW, "choices": ["turin"]}, "choices: at least 2 choices were expected"),
        ({**ROW, "choices": "turin"}, "choices: a list of choices was expected"),
    ],
)
def test_a_request_without_choices_is_refused(client: Client, inputs: Any, error: str) -> None:
    response = client.post("/predict/quiz", {"inputs": inputs})
    assert response.status == 422
    assert error in response.json["error"]


def test_each_choice_counts_as_an_input(predictor: Predictor) -> None:
    with running(predictor, Limits(inputs=5)) as server, server.client() as client:
        assert client.post("/predict", {"inputs": {**ROW, "choices": CHOICES[:2] * 2}}).status == 200
        assert client.post("/predict", {"inputs": [ROW, ["ada"], ["a cat"]]}).status == 200
        for inputs in (
            {**ROW, "choices": CHOICES * 2},
            [ROW, ROW],
            {**ROW, "choices": '["a", "b", "c", "d", "e", "f"]'},
        ):
            response = client.post("/predict/quiz", {"inputs": inputs})
            assert response.status == 413
            assert response.json["error"] == "6 inputs (each choice counts as one): at most 5 in one request"


def test_info_and_the_schema_describe_the_choices(client: Client) -> None:
    info = client.get("/info").json
    assert info["tasks"]["quiz"]["required_inputs"] == info["tasks"]["quiz"]["text_lists"] == ["choices"]
    assert "text_lists" not in info["tasks"]["topic"]
    assert [example for example in info["examples"] if "choices" in example]
    inputs = client.get("/openapi.json").json["components"]["schemas"]["TaskRequest"]["properties"]["inputs"]
    (row,) = [schema for schema in inputs["anyOf"] if "properties" in schema]
    assert row["properties"]["choices"] == {"type": "array", "items": {"type": "string"}, "minItems": 2}


def test_examples_of_a_model_that_reads_choices_only(predictor: Predictor) -> None:
    (example,) = example_inputs([predictor.tasks["quiz"]], None)
    assert example.keys() == {"text", "choices"}


@pytest.mark.browser
@pytest.mark.slow
def test_choices_are_typed_one_per_line(server: Running, predictor: Predictor) -> None:
    from tests.serving.browser import Page, started_browser

    browser: Chrome
    with started_browser() as browser:
        page = Page(browser, server)
        page.fill("#text", str(ROW["text"]))
        page.find("#go").click()
        page.settle()
        shown = [str(section.get_attribute("data-task")) for section in page.all("section")]
        assert shown == ["topic"]
        page.fill("#list-choices", "turin\n\n a book \nrome")
        page.find("#go").click()
        page.wait(lambda: len(page.all("section")) == 3)
        best = predictor.predict(ROW, task="quiz")["label"]
        assert page.find("section[data-task=quiz] tr.chosen th").text == best
        first = CHOICES[predictor.predict(ROW, task="relevance")[0]["index"]]
        assert page.find("section[data-task=relevance] tr th").text == first
        assert page.find("#error").text == ""
        with page.held_requests():
            page.find("#go").click()
            page.fill("#list-choices", "other\nchoices")
        page.settle()
        assert page.find("section[data-task=relevance] tr th").text == first
        page.all("#examples button")[-1].click()
        page.wait(lambda: "\n" in str(page.find("#list-choices").get_property("value")))
