"""A headless browser, and the web page as a user operates it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.serving.conftest import Running

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FOREIGN = "demo.test"
"""A host name of this machine to which browsers give no rights that need HTTPS."""


@contextmanager
def started_browser() -> Iterator[Chrome]:
    """A headless Chromium; the test is skipped if it is not installed."""
    if not (CHROMIUM and DRIVER) and os.environ.get("NLPMTL_BROWSER") != "1":
        pytest.skip("needs chromium and chromedriver")
    options = ChromeOptions()
    options.binary_location = CHROMIUM or ""
    rules = f"--host-resolver-rules=MAP {FOREIGN} 127.0.0.1"
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1000", rules):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def emulate(browser: Chrome, *, width: int, scheme: str) -> None:
    """Set the width of the window, and a light or dark page."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def console(browser: Chrome) -> list[str]:
    """Return the messages of the console since the last call, such as violations of the security policy."""
    return [entry["message"] for entry in browser.get_log("browser")]  # type: ignore[no-untyped-call]


def requested(browser: Chrome) -> list[str]:
    """Return the addresses that the browser has requested since the last call."""
    entries = browser.get_log("performance")  # type: ignore[no-untyped-call]
    messages = [json.loads(entry["message"])["message"] for entry in entries]
    return [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]


class Page:
    """The page as a user operates it."""

    def __init__(self, browser: Chrome, server: Running, *, host: str = "127.0.0.1", model: str = "a-model") -> None:
        self.browser = browser
        browser.get(f"http://{host}:{server.port}/")
        self.wait(lambda: self.find("#model").text == model and self.find("#go").is_enabled())

    def wait(self, true: object) -> None:
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
        self.wait(lambda: self.find("#go").is_enabled() and (self.all("section") or self.find("#error").text))

    @contextmanager
    def held_requests(self) -> Iterator[None]:
        """Send the requests of the page at the end of the block."""
        self.script("""
            const send = fetch, released = new Promise((resolve) => { window.release = resolve; });
            window.fetch = (...request) => released.then(() => { window.fetch = send; return send(...request); });
        """)
        yield
        self.script("window.release()")

    def read(self) -> str:
        return str(self.find("[data-task=places] .read").get_property("innerText"))

    def command(self) -> str:
        """Return the curl command of the last prediction."""
        return str(self.find("#command").get_property("textContent"))

    def script(self, code: str, *arguments: Any) -> Any:
        """Run a script; the functions of the page are global."""
        return self.browser.execute_script(code, *arguments)
