"""Check of the links of a built site: each page, file and anchor exists, and external addresses are well-formed.

`python -m docs.check_links DIRECTORY` prints the broken links and exits with 1 if there are any. No network is used.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LINKS = {"a": "href", "area": "href", "link": "href", "img": "src", "script": "src", "source": "src"}
_REFRESH = re.compile(r"\d+;\s*url=(?P<target>.+)", flags=re.IGNORECASE)


class _Page(HTMLParser):
    """Links and anchors of an HTML page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.anchors |= {value for key in ("id", "name") if (value := values.get(key))}
        refresh = _REFRESH.fullmatch(values.get("content") or "") if values.get("http-equiv") == "refresh" else None
        link = refresh["target"] if refresh else values.get(_LINKS.get(tag, ""))
        if link is not None:
            self.links.append(link)


@cache
def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _pages(site: Path) -> list[Path]:
    """Return the pages of a site, without the templates that the theme copies to its static files."""
    return sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)


def broken_links(site: Path) -> list[str]:
    """Return a line for each broken link of a site: its page, the link, and what is wrong with it."""
    site = site.resolve()
    return [
        f"{page.relative_to(site)}: {link!r}: {problem}"
        for page in _pages(site)
        for link in _read(page).links
        for problem in _problems(link, page=page, site=site)
    ]


def _problems(link: str, *, page: Path, site: Path) -> Iterator[str]:
    address = urlsplit(link)
    if address.scheme in ("http", "https"):
        if not re.fullmatch(r"[\w.-]+(:\d+)?", address.netloc) or re.search(r"\s", link):
            yield "not a valid address"
        return
    if address.scheme in ("mailto", "data"):
        return
    if address.scheme or address.netloc:
        yield f"unexpected kind of link, {address.scheme or 'without a scheme'}"
        return
    target = (page.parent / unquote(address.path)).resolve() if address.path else page
    if not target.is_relative_to(site):
        yield "outside the site"
    elif not target.is_file():
        yield "no such file"
    elif address.fragment and target.suffix == ".html" and unquote(address.fragment) not in _read(target).anchors:
        yield "no such anchor"


def main(directory: str) -> None:
    """Print the broken links of the site in a directory, and exit with 1 if there are any."""
    site = Path(directory)
    if not (site / "index.html").is_file():
        sys.exit(f"{directory} has no index.html: build the site with `make docs`")
    broken = broken_links(site)
    if broken:
        sys.exit("\n".join([*broken, f"{len(broken)} broken links"]))
    print(f"{directory}: all links of {len(_pages(site))} pages resolve")  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
