"""Examples, task list, curl command and highlighting of the web page, in a headless browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By

from nlpmtl import MultiTaskModel
from nlpmtl.inference.predictor import Predictor
from tests.serving.browser import FOREIGN, Page, console, emulate
from tests.serving.conftest import Running, running
from tests.slow import slow_except
from tests.tiny import favour_entities, make_run, train_tiny

if TYPE_CHECKING:
    from tests.serving.conftest import Client

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror='window.hit = 1'><b>&amp;\"</b>"
QUOTES = 'it\'s "quoted" `id` $(id) \\n %s !!\nnext line\ttab — naïve 🐈‍⬛ 日本 \u202etxt\u2028 \x7f \x9b31m'
COLOUR_VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""Simulation of colour vision deficiencies in linear RGB (Machado et al., 2009)."""


def selected(page: Page) -> list[str]:
    return [str(box.get_attribute("value")) for box in page.all("#task-list input") if box.is_selected()]


def shown(page: Page) -> list[str]:
    return [str(section.get_attribute("data-task")) for section in page.all("section")]


def test_an_example_is_predicted_by_a_click(page: Page, client: Client) -> None:
    examples = client.get("/info").json["examples"]
    buttons = page.all("#examples button")
    assert [button.text for button in buttons] == [" — ".join(example.values()) for example in examples]
    buttons[0].click()
    page.settle()
    assert page.find("#text").get_property("value") == examples[0]["text"]
    assert shown(page) == ["topic", "mood", "places", "kinds"]
    buttons[-1].click()
    page.wait(lambda: len(page.all("section")) == 5)
    assert page.find("#pair").get_property("value") == examples[-1]["pair"]


def test_the_task_list_describes_and_selects_tasks(page: Page, predictor: Predictor) -> None:
    items = [" ".join(item.text.split()) for item in page.all("#task-list li")]
    assert items == [
        "topic classification · one text animals places things",
        "mood sentiment · one text negative neutral positive",
        "places labeling · one text person place",
        "grade regression · two texts",
        "kinds multilabel · one text x y z",
    ]
    assert page.find("#selected").text == "5 of 5 selected"
    page.find("#none").click()
    page.fill("#text", "a cat")
    page.find("#go").click()
    page.settle()
    assert (page.find("#error").text, page.find("#selected").text) == ("select a task", "0 of 5 selected")
    for name in ("kinds", "topic"):
        page.find(f"#task-list input[value={name}]").click()
    page.predict("a cat")
    assert shown(page) == selected(page) == ["topic", "kinds"]
    assert page.find("#error").text == ""
    assert '"tasks":["topic","kinds"]' in page.command()
    page.find("#none").click()
    page.find("#task-list input[value=grade]").click()
    page.predict("a cat", "a dog")
    assert shown(page) == ["grade"]
    page.find("#all").click()
    page.predict("a cat", "a dog")
    assert shown(page) == ["topic", "mood", "places", "grade", "kinds"]


@pytest.mark.slow
def test_the_latency_is_shown(page: Page) -> None:
    page.predict("a cat")
    summary = r"4 tasks, (\d+ ms|\d+\.\d s) from request to response"
    assert re.fullmatch(summary, page.find("#summary[role=status]").text)
    page.predict("a cat", "a dog")
    assert page.find("#summary").text.startswith("5 tasks, 2 requests, ")


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.slow
def test_the_copied_command_runs_in_bash(page: Page, predictor: Predictor) -> None:
    grant = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    page.browser.execute_cdp_cmd("Browser.grantPermissions", grant)
    page.predict(QUOTES, "it's\na pair")
    page.find("#copy").click()
    page.wait(lambda: page.find("#copy").text == "Copied")
    copied = page.browser.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert copied == page.command()
    first, second = copied.split("\n")
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202e\u2028]", first), "a terminal must not interpret the text"
    for command, inputs in ((first, QUOTES), (second, (QUOTES, "it's\na pair"))):
        process = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
        response, expected = json.loads(process.stdout), predictor.predict_all(inputs, all_scores=True)
        assert response.keys() == expected.keys()
    assert response["grade"]["value"] == pytest.approx(expected["grade"]["value"], abs=1e-5)
    spans = json.loads(subprocess.run(["bash", "-c", first], capture_output=True, check=True).stdout)["places"]
    assert [QUOTES[span["start"] : span["end"]] for span in spans] == [span["word"] for span in spans]


@pytest.mark.slow
def test_the_command_is_copied_without_the_clipboard_api(browser: Chrome, server: Running) -> None:
    page = Page(browser, server, host=FOREIGN)
    assert page.script("return navigator.clipboard") is None, "this test needs a page without HTTPS"
    page.predict("it's a cat")
    page.find("#copy").click()
    page.wait(lambda: page.find("#copy").text in ("Copied", "Press Ctrl+C"))
    assert page.script("return getSelection().toString()") == page.command()
    assert page.command().startswith(f"curl 'http://{FOREIGN}:{server.port}/predict' --json '")


@pytest.mark.slow
def test_controls_have_names_and_work_with_the_keyboard(page: Page) -> None:
    page.predict("a cat")
    for element in page.all("button, input, textarea, summary, a"):
        assert element.accessible_name, element.get_attribute("outerHTML")
    assert page.find("#text").accessible_name == "Text"
    assert page.find("#task-list input").accessible_name == "topic classification · one text"
    assert page.find("#examples").aria_role == "list"
    page.find("#go").send_keys(Keys.TAB)
    reached = []
    while (active := page.browser.switch_to.active_element) != page.find("footer a"):
        reached.append(active.get_attribute("id") or active.get_attribute("value") or active.tag_name)
        assert page.script("return getComputedStyle(arguments[0]).outlineStyle", active) != "none"
        if reached[-1] == "topic":
            active.send_keys(Keys.SPACE)
        active.send_keys(Keys.TAB)
        assert len(reached) < 40
    assert [name for name in reached if name != "button"] == [
        *("summary", "all", "none", "topic", "mood", "places", "grade", "kinds"),
        *("copy", "summary", "summary"),
    ]
    assert "topic" not in selected(page)


SPANS = {
    "nested": ([(0, 8, "a"), (0, 3, "b"), (4, 8, "c")], "[[one:b] [four:c]:a] end"),
    "adjacent": ([(0, 3, "a"), (3, 8, "b")], "[one:a][ four:b] end"),
    "equal": ([(0, 3, "a"), (0, 3, "b")], "[[one:b]:a] four end"),
    "crossing": ([(0, 6, "a"), (4, 12, "b")], "[one [fo:b…]:a][ur end:…b]"),
    "none": ([], "one four end"),
}


@pytest.mark.parametrize(("spans", "expected"), SPANS.values(), ids=SPANS)
def test_nested_and_adjacent_spans(page: Page, spans: list[tuple[int, int, str]], expected: str) -> None:
    given = [{"start": start, "end": end, "entity_group": label, "score": 0.5} for start, end, label in spans]
    code = """
        const parts = spansView("places", arguments[0], arguments[1]);
        byId("predictions").replaceChildren(...parts);
        const inside = (mark) => [...mark.childNodes].slice(0, -1).map(read).join("");
        const read = (node) =>
          node.nodeName === "MARK" ? `[${inside(node)}:${node.lastChild.textContent}]` : node.textContent;
        return [...parts[0].childNodes].map(read).join("");
    """
    assert page.script(code, "one four end", given) == expected
    boxes = page.script(
        "return [...document.querySelectorAll('.read mark')].map((mark) => {"
        "const box = mark.getBoundingClientRect(); return [box.top, box.bottom, mark.querySelectorAll('mark').length]})"
    )
    for outer, inner in combinations(boxes, 2):
        if outer[2] > inner[2]:
            assert outer[0] < inner[0], "the outer span must be visible around the inner one"
            assert outer[1] > inner[1] + 2


def test_relations_between_spans(page: Page) -> None:
    spans = [{"start": 0, "end": 3, "label": "a", "score": 0.9}, {"start": 4, "end": 8, "label": "b", "score": 0.8}]
    code = """
        const prediction = { entities: arguments[0], relations: arguments[1] };
        byId("predictions").replaceChildren(card("facts", prediction, "o\u00e9e four"));
        return [...document.querySelectorAll("#predictions > section > table tr, #predictions > section > .quiet")]
          .map((row) => [...row.childNodes].map((cell) => cell.textContent));
    """
    relation = {"head": 1, "tail": 0, "label": "<b>near", "score": 0.25}
    assert page.script(code, spans, [relation]) == [["four", "<b>near", "o\u00e9e", "25.0%"]]
    assert page.script(code, spans, []) == [["no relations"]]


def colours(page: Page) -> list[dict[str, Any]]:
    """Return the colours of a mark of each of 30 labels, from 0 to 1, and the style of their lines."""
    code = """
        const labels = Array.from({ length: 30 }, (_, index) => `label ${index}`);
        tasks.many = { kind: "labeling", view: "spans", labels };
        const spans = labels.map((label, index) => ({ start: index, end: index + 1, entity: label, score: 1 }));
        byId("predictions").replaceChildren(card("many", spans, "x".repeat(30)));
        const styles = [...document.querySelectorAll("#predictions mark")].map((mark) => getComputedStyle(mark));
        return styles.map((style) => ({
          text: style.color,
          back: style.backgroundColor,
          line: style.borderBottomColor,
          style: style.borderBottomStyle,
        }));
    """
    return [{key: value if key == "style" else rgb(value) for key, value in mark.items()} for mark in page.script(code)]


def rgb(colour: str) -> Any:
    numbers = np.array([float(number) for number in re.findall(r"[\d.]+", colour)][:3])
    return numbers if colour.startswith("color(srgb ") else numbers / 255


def linear(colour: Any) -> Any:
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def lab(values: Any) -> Any:
    """Return the CIELAB coordinates of a linear RGB colour."""
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(matrix @ np.clip(values, 0.001, 1) / np.array([0.95047, 1, 1.08883]))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("scheme", slow_except(["light", "dark"], "light"))
def test_labels_have_distinguishable_colours(page: Page, scheme: str) -> None:
    emulate(page.browser, width=1280, scheme=scheme)
    marks = colours(page)
    assert len({(tuple(mark["line"]), mark["style"]) for mark in marks}) == 28
    for vision, matrix in COLOUR_VISION.items():
        lines = [lab(matrix @ linear(mark["line"])) for mark in marks[:7]]
        nearest = min(np.linalg.norm(first - second) for first, second in combinations(lines, 2))
        assert nearest > 12, f"{vision}: a difference of 2 is just noticeable"
    for mark in marks:
        text, back = (linear(mark[key]) @ [0.2126, 0.7152, 0.0722] for key in ("text", "back"))
        assert (max(text, back) + 0.05) / (min(text, back) + 0.05) > 7, "contrast of WCAG 2, level AAA"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of a model with many labels, some of which are HTML or long."""
    run = make_run(tmp_path_factory.mktemp("hostile"), rows=20, train={"steps": 1, "batch_size": 4, "lr": 1e-4})
    tasks = run["datasets"]["words"]["tasks"]
    tasks["topic"]["labels"] = ["animals", "things", "places", HOSTILE, "y" * 300, *(f"label {i}" for i in range(30))]
    tasks["places"]["labels"] = ["O", "B-person", "B-place", "I-place", f"B-{HOSTILE}", f"B-{'y' * 300}"]
    predictor = Predictor.from_pretrained(train_tiny(run).model_dir)
    assert isinstance(predictor.model, MultiTaskModel)
    favour_entities(predictor.model)
    bias = predictor.model.head("places").get_submodule("out").get_parameter("bias")
    bias.data[1:] -= 10
    bias.data[4] += 20
    with running(predictor, name=HOSTILE) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_hostile_names_do_nothing_and_the_pages_fit(browser: Chrome, hostile: Running, width: int, scheme: str) -> None:
    emulate(browser, width=width, scheme=scheme)
    page = Page(browser, hostile, model=HOSTILE)
    console(browser)
    page.script("for (const part of document.querySelectorAll('details')) part.open = true")
    page.predict(f"{HOSTILE} ada in turin {'x' * 300}", HOSTILE)
    page.script("for (const part of document.querySelectorAll('details')) part.open = true")
    assert any(HOSTILE in mark.text for mark in page.all("#predictions mark"))
    assert any(HOSTILE in label.text for label in page.all("#task-list .labels > *"))
    assert page.script("return document.documentElement.scrollWidth") <= width
    assert page.all("img, b b") == []
    browser.get(f"http://127.0.0.1:{hostile.port}/docs")
    assert HOSTILE in browser.find_element(By.TAG_NAME, "header").text
    assert page.all("img, b") == []
    assert page.script("return document.documentElement.scrollWidth") <= width
    assert page.script("return window.hit") is None
    assert console(browser) == []
