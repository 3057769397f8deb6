"""The web page in a headless browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from nlpmtl.inference.predictor import Predictor
from tests.serving.conftest import Running

pytestmark = pytest.mark.browser

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
TEXT = "🐈‍⬛ Ada lives in Turin 😀 and not in Rome . 👩‍🚀 ada"
ALERT = "<script>window.hit = 1</script> <img src=x onerror='window.hit = 2'> <b>Turin</b> & Rome"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    if not (CHROMIUM and DRIVER) and os.environ.get("NLPMTL_BROWSER") != "1":
        pytest.skip("needs chromium and chromedriver")
    options = ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=900,1100"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """The page as a user operates it."""

    def __init__(self, browser: Chrome, server: Running) -> None:
        self.browser = browser
        browser.get(f"http://127.0.0.1:{server.port}/")
        self._wait(lambda: self.find("#model").text == "a-model" and self.find("#go").is_enabled())

    def _wait(self, true: object) -> None:
        WebDriverWait(self.browser, 20).until(lambda _: true())  # type: ignore[operator]

    def find(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def fill(self, selector: str, text: str) -> None:
        """Set the text; the driver cannot type characters outside the basic plane."""
        self.browser.execute_script("arguments[0].value = arguments[1]", self.find(selector), text)

    def predict(self, text: str, pair: str = "") -> None:
        self.fill("#text", text)
        self.fill("#pair", pair)
        self.find("#go").click()
        self.settle()

    def settle(self) -> None:
        self._wait(lambda: self.find("#go").is_enabled() and (self.all("section") or self.find("#error").text))

    def read(self) -> str:
        return str(self.find("[data-task=places] .read").get_property("innerText"))


@pytest.fixture
def page(browser: Chrome, server: Running) -> Page:
    return Page(browser, server)


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
    assert [mark.text for mark in page.all("mark")] == [span["word"] + span["entity_group"] for span in spans]
    assert page.read() == with_labels(TEXT, predictor)


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
    assert page.all("main script, main img, main b") == []


def test_a_second_text_is_used_by_pair_tasks(page: Page, predictor: Predictor) -> None:
    page.predict("a cat")
    assert page.all("[data-task=grade]") == []
    page.predict("a cat", "a dog")
    value = predictor.predict(("a cat", "a dog"), task="grade")["value"]
    assert float(page.find("[data-task=grade] .value").text) == pytest.approx(value, rel=1e-3)
    assert len(page.all("section")) == 5


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
    page.browser.get_log("browser")  # type: ignore[no-untyped-call]
    page.browser.refresh()
    page.predict(TEXT, "a dog")
    assert page.browser.get_log("browser") == []  # type: ignore[no-untyped-call]
