"""The pages as HTML: complete, escaped and the same in each run. tests/report/test_browser.py looks at them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from nlpmtl.data_report import Baseline, DataReport, Finding, LabelFrequencies, SplitReport
from nlpmtl.prediction_analysis import WrongRow
from nlpmtl.report import Plot, RunPage, Score, TaskSection, WrongRows, render_data_page, render_run_page

HOSTILE = (
    "</td><script>window.hit = 1</script><img src=x onerror='window.hit = 2'>\" onload=\"x {{ 7 * 7 }} {% raw %} & é\0"
)


class Elements(HTMLParser):
    """Collects the tags, their attributes and the text of a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def wrong_row(text: str = "a cat", **values: object) -> WrongRow:
    row: dict[str, object] = {
        "task": "t",
        "dataset": "d",
        "place": "/data/d.jsonl:3",
        "text": text,
        "pair": None,
        "gold": "x",
    }
    row |= {"gold": "x", "predicted": "y", "confidence": 0.5, "severity": 0.5, **values}
    return WrongRow(**row)  # type: ignore[arg-type]


def run_page(text: str, *, rows: list[WrongRow] | None = None) -> RunPage:
    rows = rows or [wrong_row(text, pair=text, gold=text, predicted=text, place=f"{text}:1", label_error=True)]
    section = TaskSection(
        name="t",
        kind=text,
        rows="3",
        scores=[Score.from_values(text, 0.5, (0.4, 0.6)), Score.from_values("f1", None, None)],
        plots=[Plot(text, b"png")],
        calibration=text,
        wrong=WrongRows.from_rows(rows, evaluated=300),
    )
    return RunPage(name=text, summary=text, mean="0.5", tasks=[section], training=[Plot(text, b"png")], notes=[text])


def data_report(text: str) -> DataReport:
    split = SplitReport(text, text, 3, {text: 2}, 2.5, 4, 5, 1, {}, histogram=(1, 2, 0))
    return DataReport(
        (split,),
        (
            LabelFrequencies(
                text, text, "rows", {text: {text: 3, "b": 0}, "validation": {"c": 1}}, {text: 3, "validation": 1}
            ),
        ),
        (Baseline(text, text, {text: 0.5, "none": None}, text, 3),),
        (Finding(text, text, text, (text, text)), Finding("d", "nothing", "go on")),
    )


PAGES = {
    "run": lambda text: render_run_page(run_page(text)),
    "data": lambda text: render_data_page(text, data_report(text), max_length=8, notes=[text]),
}


@pytest.mark.parametrize("name", PAGES)
def test_texts_are_escaped_everywhere(name: str) -> None:
    page = PAGES[name](HOSTILE)
    harmless, hostile = Elements(PAGES[name]("a")), Elements(page)
    assert hostile.tags == harmless.tags, "no text becomes an element"
    assert [key for key, _ in hostile.attributes] == [key for key, _ in harmless.attributes]
    assert "{{ 7 * 7 }} {% raw %} & é" in hostile.text, "texts are not templates"
    assert b"49" not in page


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_self_contained(name: str) -> None:
    elements = Elements(PAGES[name]("a"))
    links = [value or "" for key, value in elements.attributes if key in ("src", "href", "srcset", "action", "data")]
    assert all(link.startswith(("data:", "#")) for link in links)
    policy = next(
        value or "" for key, value in elements.attributes if key == "content" and "default-src" in (value or "")
    )
    assert "default-src 'none'" in policy
    assert not re.search(r"https?:|@import|url\(", PAGES[name]("a").decode().replace('lang="en"', ""))


@pytest.mark.parametrize("name", PAGES)
def test_equal_contents_give_equal_bytes(name: str) -> None:
    assert PAGES[name]("a") == PAGES[name]("a")


def test_at_most_200_rows_are_shown_and_long_texts_are_shortened() -> None:
    rows = [wrong_row("x" * 5000, severity=float(-i)) for i in range(250)]
    page = Elements(render_run_page(run_page("t", rows=rows)))
    assert page.tags.count("button") == 5
    assert page.text.count("x" * 1000 + "…") == 200
    assert "x" * 1001 not in page.text
    assert (
        "250 of 300 rows differ from their gold label. 200 are shown, those with the highest confidence." in page.text
    )


@pytest.mark.parametrize(
    ("rows", "measure", "summary"),
    [
        ([], "", "0 of 9 rows differ from their gold label."),
        ([wrong_row()], "confidence", "1 of 9 rows differ from their gold label."),
        ([wrong_row(confidence=None, severity=2.0)], "difference", "1 of 9 rows differ from their gold label."),
        ([wrong_row(confidence=None, severity=0.0)], "", "1 of 9 rows differ from their gold label."),
    ],
)
def test_the_number_by_which_rows_are_sorted(rows: list[WrongRow], measure: str, summary: str) -> None:
    wrong = WrongRows.from_rows(rows, evaluated=9)
    assert (wrong.measure, wrong.summary) == (measure, summary)


def test_a_row_without_a_confidence_has_no_number() -> None:
    rows = [wrong_row(confidence=0.5, severity=0.5), wrong_row(confidence=None, severity=0.0)]
    wrong = WrongRows.from_rows(rows, evaluated=9)
    assert [(row.number, row.sort_key) for row in wrong.rows] == [("0.500", "0.5"), ("", "")]


def test_likely_label_errors_are_counted_and_marked() -> None:
    rows = [wrong_row(label_error=True), wrong_row(label_error=False)]
    page = Elements(render_run_page(run_page("t", rows=rows)))
    assert page.text.count("check this label") == 1
    assert "1 of them may have a wrong gold label" in page.text


def test_a_place_is_the_file_and_the_dataset() -> None:
    page = Elements(render_run_page(run_page("t", rows=[wrong_row(), wrong_row(place="d: train, row 17")])))
    assert "d: d.jsonl:3" in page.text
    assert "d: train, row 17" in page.text
    assert "/data/" not in page.text


def test_a_run_without_validation_has_only_its_training() -> None:
    page = Elements(render_run_page(RunPage("r", "s", None, [], [Plot("curve", b"png")], [])))
    assert "Not evaluated" in page.text
    assert page.tags.count("section") == 2


def test_a_lone_surrogate_in_a_file_name_is_replaced() -> None:
    assert "bad?.jsonl" in render_run_page(run_page("t", rows=[wrong_row(place="/x/bad\udcff.jsonl:1")])).decode()


def test_templates_have_no_variable_that_is_not_escaped() -> None:
    for template in Path(render_run_page.__code__.co_filename).parent.glob("*.html"):
        assert not re.search(r"\|\s*safe|autoescape", template.read_text(encoding="utf-8"))
