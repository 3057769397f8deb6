"""Navigation, link check and versions of the documentation site."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from docs.check_links import broken_links
from docs.check_links import main as check
from docs.docstrings import example, restructured_text
from docs.navigation import navigation
from docs.releases import add_release

INDEX = """# Documentation

## Start

- [Why](why.md): reasons, see [the code](../nlpmtl/run.py).

Text with a [link](text.md) that is not an item.

## Tutorials

- [First](tutorials/1-first.ipynb): a notebook.
- [Examples](../examples/README.md): scripts.

## Nothing to list
"""


def write(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<html><body>{body}</body></html>", encoding="utf-8")
    return path


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A built site with a page in a directory, an image and a template of the theme."""
    built = tmp_path / "built"
    write(built / "index.html", '<meta http-equiv="refresh" content="0; url=docs/page.html">')
    link = '<a href="../index.html">start</a> <a href="#top">top</a> <a href="https://example.org/a">out</a>'
    write(built / "docs" / "page.html", f'<h1 id="top">Page</h1>{link}<img src="../_images/flow.svg?v=1">')
    write(built / "_static" / "macros.html", '<script src="{{ pathto(1) }}"></script>')
    (built / "_images").mkdir()
    (built / "_images" / "flow.svg").write_text("<svg/>", encoding="utf-8")
    return built


def test_navigation_lists_the_pages_of_each_section_in_order(tmp_path: Path) -> None:
    index = tmp_path / "docs" / "README.md"
    index.parent.mkdir()
    index.write_text(INDEX, encoding="utf-8")
    start, tutorials = navigation(index).split("```{toctree}")[1:]
    assert start.splitlines()[:6] == ["", ":hidden:", ":caption: Start", "", "/docs/README", "/docs/why"]
    assert tutorials.splitlines()[2:7] == [
        ":caption: Tutorials",
        "",
        "/docs/tutorials/1-first",
        "/examples/README",
        "```",
    ]


def test_example_of_a_docstring_becomes_a_block_of_code() -> None:
    docstring = 'Load.\n\nArgs:\n    name: a name.\n\nExample:\n    a = 1\n\n    b = "``"\n\nRaises:\n    E: never.'
    assert example(docstring) == 'a = 1\n\nb = "``"'
    assert example("Load.") == ""
    block = 'Example:\n    .. code-block:: python\n\n        a = 1\n\n        b = "``"\n\nRaises:'
    assert block in restructured_text(docstring)


def test_a_site_without_broken_links(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert broken_links(built) == []
    check(str(built))
    assert capsys.readouterr().out == f"{built}: all links of 2 pages resolve\n"


@pytest.mark.parametrize(
    ("tag", "problem"),
    [
        ('<a href="other.html">', "'other.html': no such file"),
        ('<a href="page.html#middle">', "'page.html#middle': no such anchor"),
        ('<a href="#middle">', "'#middle': no such anchor"),
        ('<img src="../flow.svg">', "'../flow.svg': no such file"),
        ('<a href="../../else.html">', "'../../else.html': outside the site"),
        ('<a href="https://exam ple.org">', "'https://exam ple.org': not a valid address"),
        ('<a href="https:///path">', "'https:///path': not a valid address"),
        ('<a href="javascript:x()">', "'javascript:x()': unexpected kind of link, javascript"),
        ('<a href="//example.org">', "'//example.org': unexpected kind of link, without a scheme"),
        ('<meta http-equiv="refresh" content="0; url=gone.html">', "'gone.html': no such file"),
    ],
)
def test_broken_links_are_reported(built: Path, tag: str, problem: str) -> None:
    write(built / "docs" / "new.html", tag)
    assert broken_links(built) == [f"docs/new.html: {problem}"]
    with pytest.raises(SystemExit, match="1 broken links"):
        check(str(built))


def test_a_directory_without_a_site_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"has no index\.html: build the site with `make docs`"):
        check(str(tmp_path))


def test_releases_are_kept_and_the_newest_is_opened(built: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    for version in ("0.2.0", "0.10.0", "0.11.0.dev0"):
        add_release(built, site, version=version)
    assert broken_links(site) == []
    assert "url=0.10.0/index.html" in (site / "index.html").read_text(encoding="utf-8")
    listed = (site / "versions.html").read_text(encoding="utf-8")
    assert listed.index(">0.11.0.dev0<") < listed.index(">0.10.0<") < listed.index(">0.2.0<")

    shutil.rmtree(built / "_images")
    write(built / "docs" / "page.html", "new")
    add_release(built, site, version="0.10.0")
    assert (site / "0.2.0" / "_images" / "flow.svg").exists()
    assert not (site / "0.10.0" / "_images").exists()
