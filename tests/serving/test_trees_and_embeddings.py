"""A server of a model with a parser and embeddings: the route `/embed`, and the view of trees on the page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

import nlpmtl
from nlpmtl.inference.predictor import Predictor
from tests.further_kinds import make_datasets
from tests.serving.conftest import Client, Running, running
from tests.tiny import write_encoder

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

TEXT = "Ada lives in Turin"
WIDTH = 32


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    directory = tmp_path_factory.mktemp("served")
    datasets = {kind: dataset for kind, dataset in make_datasets(directory).items() if kind in ("embedding", "parsing")}
    encoder = {"name": str(write_encoder(directory / "encoder")), "max_length": 24}
    run: dict[str, Any] = {"output": str(directory / "out"), "encoder": encoder, "datasets": datasets}
    return Predictor.from_pretrained(nlpmtl.train(run, train={"steps": 2}).model_dir)


@pytest.fixture(scope="module")
def server(predictor: Predictor) -> Iterator[Running]:
    with running(predictor) as server:
        yield server


def test_predictions_of_both(client: Client, predictor: Predictor) -> None:
    predictions = client.post("/predict", {"inputs": TEXT}).json
    assert [word["word"] for word in predictions["parsing"]] == TEXT.split()
    assert predictions["embedding"] == pytest.approx(predictor.predict(TEXT, task="embedding"), abs=1e-6)
    tasks = client.get("/info").json["tasks"]
    assert tasks["parsing"]["view"] == "tree"
    assert tasks["embedding"] == {
        "kind": "embedding",
        "input": "text",
        "labels": [],
        "extra_inputs": ["negatives"],
        "text_lists": ["negatives"],
    }


def test_a_batch_is_embedded(client: Client, predictor: Predictor) -> None:
    reply = client.post("/embed", {"inputs": [TEXT, "a cat", TEXT]})
    assert reply.status == 200
    expected = predictor.predict([TEXT, "a cat", TEXT], task="embedding")
    assert [pytest.approx(vector, abs=1e-6) for vector in expected] == reply.json
    assert client.post("/embed", {"inputs": TEXT}).json == [pytest.approx(expected[0], abs=1e-6)]


def test_dimensions_cut_and_normalise(client: Client, predictor: Predictor) -> None:
    (vector,) = client.post("/embed", {"inputs": TEXT, "dimensions": 4, "normalize": True}).json
    first = predictor.predict(TEXT, task="embedding")[:4]
    assert vector == pytest.approx([number / math.hypot(*first) for number in first], abs=1e-6)
    reply = client.post("/embed", {"inputs": TEXT, "dimensions": 64})
    assert (reply.status, reply.json["error"]) == (
        422,
        f"dimensions: the embeddings of this model have {WIDTH} numbers, found 64",
    )


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"inputs": "a " * 100, "truncate": False}, 413, "input 1 exceeds the maximum length"),
        ({"inputs": ["a"] * 9}, 413, "9 inputs: at most 8"),
        (
            {"inputs": []},
            422,
            'inputs: a text or a list of texts was expected: write "a text", or ["a text", "another"]',
        ),
        ({"inputs": [TEXT, 1]}, 422, "inputs: a text or a list of texts was expected"),
        ({"inputs": {"text": TEXT}}, 422, "inputs: a text or a list of texts was expected"),
        ({"inputs": TEXT, "dimensions": True}, 422, "dimensions"),
        ({"inputs": TEXT, "normalize": False}, 422, "normalize"),
        ({"inputs": TEXT, "unknown": 1}, 422, "unknown"),
        ({"inputs": ["a", "\ud800"]}, 422, "input 2: not valid Unicode"),
        ({"inputs": TEXT, "dimensions": 0}, 422, "dimensions"),
    ],
)
def test_requests_that_are_refused(client: Client, body: Any, status: int, message: str) -> None:
    reply = client.post("/embed", body)
    assert reply.status == status
    assert message in reply.json["error"]


@pytest.mark.parametrize("path", ["/embed", "/predict", "/predict/parsing", "/predict/embedding"])
def test_long_inputs_are_truncated_by_default(client: Client, path: str) -> None:
    """Trees and embeddings are lists, which have no mark that the input was truncated."""
    long = "a " * 100
    assert client.post(path, {"inputs": long}).status == 200
    batch = [TEXT, long] if path == "/embed" else [[TEXT], [long]]
    refused = client.post(path, {"inputs": batch, "truncate": False})
    assert (refused.status, refused.json["error"]) == (
        413,
        "input 2 exceeds the maximum length, and `truncate` is false",
    )
    assert client.post(path, {"inputs": TEXT, "truncate": False}).status == 200


def test_the_documentation_has_the_route(client: Client) -> None:
    assert "/embed" in client.get("/openapi.json").json["paths"]
    assert b"/embed" in client.get("/docs").body


@pytest.mark.browser
def test_a_tree_is_shown_as_nested_lists(browser: Chrome, server: Running, predictor: Predictor) -> None:
    from tests.serving.browser import Page, console, emulate

    emulate(browser, width=1280, scheme="light")
    page = Page(browser, server)
    page.predict("ada lives in <b>turin</b>")
    words = predictor.predict("ada lives in <b>turin</b>", task="parsing")
    tree = page.find("[data-task=parsing] .tree")
    items = tree.find_elements("tag name", "li")
    assert sorted(item.text.split("\n")[0] for item in items) == sorted(
        f"{word['word']} {word['deprel']}" for word in words
    )
    for item in tree.find_elements("css selector", "li > ul > li"):
        word = next(word for word in words if f"{word['word']} {word['deprel']}" == item.text.split("\n")[0])
        above = item.find_element("xpath", "../..")
        assert above.text.split("\n")[0].startswith(words[word["head"] - 1]["word"])
    assert page.find("[data-task=embedding] summary").text == f"{WIDTH} numbers"
    assert console(browser) == []
