"""A server of a model that fills masks and generates texts, and its page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

import nlpmtl
from nlpmtl.inference.predictor import Predictor
from tests.serving.conftest import Client, Running, running
from tests.tasks.language_datasets import language_datasets
from tests.tiny import write_encoder

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

TEXT = "ada lives in"
MASKED = f"{TEXT} [MASK]"
GENERATED = {"generation": "generated_text", "translation": "translation_text", "summarization": "summary_text"}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    directory = tmp_path_factory.mktemp("generating")
    encoder = {"name": str(write_encoder(directory / "encoder")), "max_length": 24}
    run: dict[str, Any] = {"output": str(directory / "out"), "encoder": encoder}
    return Predictor.from_pretrained(
        nlpmtl.train(run | {"datasets": language_datasets(directory)}, train={"steps": 4}).model_dir
    )


@pytest.fixture(scope="module")
def server(predictor: Predictor) -> Iterator[Running]:
    with running(predictor) as server:
        yield server


@pytest.mark.slow
def test_info_says_what_the_tasks_need(client: Client) -> None:
    info = client.get("/info").json
    tasks = info["tasks"]
    assert tasks["masked_lm"]["required_text"] == "[MASK]"
    assert all(tasks[task]["only_by_name"] and "required_text" not in tasks[task] for task in GENERATED)
    assert "[MASK]" in info["examples"][0]["text"]


@pytest.mark.browser
@pytest.mark.slow
def test_the_page_shows_texts_and_the_tokens_of_masks(browser: Chrome, server: Running, predictor: Predictor) -> None:
    from tests.serving.browser import Page, console

    page = Page(browser, server)
    page.predict(TEXT)
    assert page.find("#error").text == "masked_lm: the text needs [MASK]"
    page.find("#all").click()
    page.predict(TEXT)
    shown = [section.get_attribute("data-task") for section in page.all("section")]
    assert shown == list(GENERATED), "the request names the tasks, without the one that cannot read the text"
    page.predict(f"{MASKED} and [MASK]")
    predictions = predictor.predict_all(f"{MASKED} and [MASK]", tasks=["masked_lm", *GENERATED])
    for task, key in GENERATED.items():
        text = predictions[task][key]
        assert page.find(f"section[data-task={task}] > div").text == (text.strip() or "an empty text")
    first, second = predictions["masked_lm"]
    tokens = [name.text for name in page.all("section[data-task=masked_lm] th")]
    assert tokens == [item["token_str"] for item in [*first, *second]]
    assert page.all("#predictions pre") == [], "no prediction is shown as JSON"
    assert console(browser) == []
