"""The documentation of the API at /docs: complete, escaped, and without requests to other hosts."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from selenium.webdriver import Chrome

from nlpmtl.serving.api_docs import render_api_docs
from tests.serving.browser import Page, console, requested
from tests.serving.conftest import Client, Running

HOSTILE = "<script>window.hit = 1</script>'\"&"


def text(page: str) -> str:
    """Return the text of a page, without tags and with single spaces."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", re.sub("</?code>", "", page))).split())


def test_it_lists_all_routes_bodies_and_responses(client: Client) -> None:
    reply = client.get("/docs")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    page, api = text(reply.body.decode()), client.get("/openapi.json").json
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            assert f"{method.upper()} {path}" in page
            assert operation["description"].replace("`", "") in page
            assert all(f"{status} " in page for status in operation["responses"])
    for name in ("PredictRequest", "TaskRequest", "LabelScore", "ErrorResponse"):
        for key, schema in api["components"]["schemas"][name]["properties"].items():
            assert key in page
            assert schema.get("description", "").replace("`", "") in page
    assert 'task required "grade" | "kinds" | "mood" | "places" | "topic" Name of a task.' in page
    assert "tasks string[] | null Names of the tasks; default: all that take the input." in page
    assert "all_scores boolean default: false" in page
    assert "200 LabelScore[] | LabelScore[][] | any" in page
    assert '{"inputs": "My lamp has not arrived."}' in page


def test_every_key_of_a_request_is_described(client: Client) -> None:
    schemas = client.get("/openapi.json").json["components"]["schemas"]
    for name in ("PredictRequest", "TaskRequest"):
        for key, schema in schemas[name]["properties"].items():
            assert schema["description"].endswith("."), key


def test_names_are_escaped(client: Client) -> None:
    api: dict[str, Any] = client.get("/openapi.json").json
    api["info"]["description"] = HOSTILE
    operation = api["paths"]["/predict/{task}"]["post"]
    operation["parameters"][0]["schema"]["enum"] = [HOSTILE]
    operation["description"] = f"`{HOSTILE}`"
    api["components"]["schemas"]["TaskRequest"]["properties"]["inputs"]["examples"] = [HOSTILE]
    page = render_api_docs(api)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 4


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        (True, "any"),
        ({}, "any"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}, "(string | integer)[]"),
        ({"type": "object", "properties": {"a": {"type": "number"}, "b": {"const": 1}}}, "{a: number, b: 1}"),
    ],
)
def test_types_of_further_inputs(schema: Any, shown: str, client: Client) -> None:
    api: dict[str, Any] = client.get("/openapi.json").json
    api["components"]["schemas"]["PredictRequest"]["properties"]["choices"] = schema
    assert f"choices {shown}" in text(render_api_docs(api))


@pytest.mark.parametrize("path", ["/", "/docs", "/static/page.js", "/static/style.css"])
def test_pages_forbid_inline_scripts_and_other_hosts(path: str, client: Client) -> None:
    reply = client.get(path)
    policy = dict(part.strip().split(" ", 1) for part in reply.headers["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "connect-src": "'self'",
        "img-src": "data:",
        "script-src": "'self'",
        "style-src": "'self'",
    }
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert not re.search(rb"<script>|<style>| on[a-z]+=|https?://", reply.body)


@pytest.mark.parametrize("name", ["docs.html", "page.html", "..%2fpages.py", "x"])
def test_only_the_files_of_the_pages_are_served(name: str, client: Client) -> None:
    reply = client.get(f"/static/{name}")
    assert reply.status == 404
    assert reply.json["error"].startswith("there is no /static/")


@pytest.mark.browser
def test_no_page_requests_another_host(browser: Chrome, server: Running) -> None:
    requested(browser)
    page = Page(browser, server)
    page.predict("a cat", "a dog")
    page.browser.get(f"http://127.0.0.1:{server.port}/docs")
    addresses = requested(browser)
    origin = f"http://127.0.0.1:{server.port}"
    assert {f"{origin}/", f"{origin}/predict", f"{origin}/docs", f"{origin}/static/style.css"} <= set(addresses)
    assert [address for address in addresses if not address.startswith((f"{origin}/", "data:,"))] == []
    assert console(browser) == []


@pytest.mark.browser
def test_an_inline_script_is_not_executed(browser: Chrome, server: Running) -> None:
    page = Page(browser, server)
    page.script(f"document.body.innerHTML = {json.dumps('<img src=x onerror=window.hit=1>')}")
    page.script(
        "const part = document.createElement('script'); part.text = 'window.hit = 2'; document.body.append(part)"
    )
    assert page.script("return window.hit") is None
    assert any("Content Security Policy" in message for message in console(browser))
