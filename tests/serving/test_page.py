"""The web page in a headless browser."""

from __future__ import annotations

import pytest
from selenium.webdriver import Keys
from selenium.webdriver.common.by import By

from nlpmtl.inference.predictor import Predictor
from tests.serving.browser import Page, console

pytestmark = pytest.mark.browser

TEXT = "🐈‍⬛ Ada lives in Turin 😀 and not in Rome . 👩‍🚀 ada"
ALERT = "<script>window.hit = 1</script> <img src=x onerror='window.hit = 2'> <b>Turin</b> & Rome"


def with_labels(text: str, predictor: Predictor) -> str:
    """Return a text with the label of each span after it."""
    marked, position = "", 0
    for span in predictor.predict(text, task="places"):
        marked += text[position : span["end"]] + span["entity_group"]
        position = span["end"]
    return marked + text[position:]


def test_spans_are_highlighted_at_their_offsets(page: Page, predictor: Predictor) -> None:
    spans = predictor.predict(TEXT, task="places")
    assert len(spans) > 3, "a model without predicted spans would pass as well"
    page.predict(TEXT)
    assert [section.get_attribute("data-task") for section in page.all("section")] == [
        "topic",
        "mood",
        "places",
        "kinds",
    ]
    assert [mark.text for mark in page.all("#predictions mark")] == [
        span["word"] + span["entity_group"] for span in spans
    ]
    assert page.read() == with_labels(TEXT, predictor)


@pytest.mark.slow
def test_scores_are_percentages_with_bars(page: Page, predictor: Predictor) -> None:
    prediction = predictor.predict("a small cat", task="topic", all_scores=True)
    page.predict("a small cat")
    rows = page.all("[data-task=topic] tr")
    expected = [
        f"{label} {100 * prediction['scores'][label]:.1f}%"
        for label in sorted(prediction["scores"], key=prediction["scores"].get, reverse=True)
    ]
    assert [" ".join(row.text.split()) for row in rows] == expected
    assert [row.find_element(By.TAG_NAME, "th").text for row in page.all("[data-task=topic] .chosen")] == [
        prediction["label"]
    ]
    widths = [bar.size["width"] for bar in page.all("[data-task=topic] .bar")]
    scores = sorted(prediction["scores"].values(), reverse=True)
    assert [width / widths[0] for width in widths] == pytest.approx([score / scores[0] for score in scores], abs=0.02)
    assert "polarity" in page.find("[data-task=mood]").text


def test_input_is_never_executed(page: Page, predictor: Predictor) -> None:
    page.predict(ALERT, ALERT)
    assert page.read() == with_labels(ALERT, predictor)
    assert page.browser.execute_script("return window.hit ?? null") is None
    assert page.all("#predictions script, #predictions img, #predictions b") == []


@pytest.mark.slow
def test_a_second_text_is_used_by_pair_tasks(page: Page, predictor: Predictor) -> None:
    page.predict("a cat")
    assert page.all("[data-task=grade]") == []
    page.predict("a cat", "a dog")
    value = predictor.predict(("a cat", "a dog"), task="grade")["value"]
    assert float(page.find("[data-task=grade] .value").text) == pytest.approx(value, rel=1e-3)
    assert len(page.all("section")) == 5


@pytest.mark.slow
def test_inputs_that_are_edited_while_a_request_is_running(page: Page) -> None:
    """Predictions are shown on the texts that were predicted."""
    page.script("window.card = (task, prediction, text) => make('section', text)")
    page.fill("#text", TEXT)
    page.fill("#pair", "a dog")
    with page.held_requests():
        page.find("#go").click()
        page.fill("#text", "another text")
        page.fill("#pair", "another pair")
    page.settle()
    assert {section.get_property("textContent") for section in page.all("section")} == {TEXT, "a dog"}


@pytest.mark.slow
def test_the_page_works_with_the_keyboard(page: Page) -> None:
    assert page.browser.switch_to.active_element == page.find("#text")
    page.find("#text").send_keys("Ada in Turin", Keys.CONTROL, Keys.ENTER)
    page.settle()
    assert len(page.all("section")) == 4
    page.find("#text").send_keys(Keys.TAB, Keys.TAB)
    assert page.browser.switch_to.active_element == page.find("#go")


def test_an_error_is_shown(page: Page) -> None:
    page.predict("a cat")
    page.predict("a" * 21_000)
    assert "more than 20000 bytes" in page.find("#error").text
    assert "(413)" in page.find("#error").text
    assert page.all("section") == []
    page.predict("a cat")
    assert page.find("#error").text == ""


def test_the_console_is_silent(page: Page) -> None:
    console(page.browser)
    page.browser.refresh()
    page.predict(TEXT, "a dog")
    assert console(page.browser) == []
