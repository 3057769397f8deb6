"""report.html in a headless browser: sorting, hostile texts, narrow and dark pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from nlpmtl.report import render_data_page, render_run_page
from tests.report.test_pages import HOSTILE, data_report, run_page, wrong_row
from tests.serving.browser import console, emulate, started_browser
from tests.slow import slow_except

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with started_browser() as browser:
        yield browser


def open_page(browser: Chrome, path: Path, page: bytes, *, width: int = 1280, scheme: str = "light") -> None:
    path.write_bytes(page)
    emulate(browser, width=width, scheme=scheme)
    browser.get(path.as_uri())


def column(browser: Chrome, number: int) -> list[str]:
    return [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, f"table.rows td:nth-child({number})")]


def test_a_click_on_a_heading_sorts_and_a_second_reverses(browser: Chrome, tmp_path: Path) -> None:
    rows = [
        wrong_row(text, confidence=confidence, severity=confidence or 0.0)
        for text, confidence in (("b", 0.9), ("c", 0.1), ("a", None), ("d", 0.05))
    ]
    open_page(browser, tmp_path / "report.html", render_run_page(run_page("t", rows=rows)))
    text, number = (browser.find_elements(By.CSS_SELECTOR, "table.rows th button")[i] for i in (0, 3))
    assert column(browser, 1) == ["b", "c", "a", "d"]
    text.click()
    assert column(browser, 1) == ["a", "b", "c", "d"]
    text.click()
    assert column(browser, 1) == ["d", "c", "b", "a"]
    number.click()
    assert column(browser, 4)[:2] == ["0.900", "0.100"], "numbers start with the highest"
    headings = browser.find_elements(By.CSS_SELECTOR, "table.rows th")
    assert [heading.get_attribute("aria-sort") for heading in headings] == [None, None, None, "descending", None]
    number.click()
    assert column(browser, 4)[-2:] == ["0.100", "0.900"]


@pytest.mark.parametrize("scheme", slow_except(["light", "dark"], "light"))
@pytest.mark.parametrize("width", slow_except([390, 1280], 390))
@pytest.mark.parametrize("name", ["run", "data"])
def test_hostile_texts_do_nothing_and_the_page_fits(
    browser: Chrome, tmp_path: Path, name: str, width: int, scheme: str
) -> None:
    long = f"{HOSTILE} {'x' * 400} "
    pages = {
        "run": lambda: render_run_page(run_page(long)),
        "data": lambda: render_data_page(long, data_report(long), max_length=8, notes=[long]),
    }
    open_page(browser, tmp_path / "page.html", pages[name](), width=width, scheme=scheme)
    assert browser.execute_script("return window.hit") is None
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script("return matchMedia('(prefers-color-scheme: dark)').matches") is (scheme == "dark")
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(22, 24, 28)") is (scheme == "dark")
    assert [message for message in console(browser) if "data:image/png" not in message] == []
