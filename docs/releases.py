"""The site of all versions: one directory per version, a list of them, and a front page that opens the newest release.

`python -m docs.releases BUILT SITE` adds a built version to a site; the directories of other versions are not changed.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from packaging.version import InvalidVersion, Version

import nlpmtl

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>nlpmtl</title>{head}
<style>:root {{ color-scheme: light dark; font: 1rem/1.6 sans-serif; padding: 1rem }}</style></head>
<body>{body}</body></html>
"""


def add_release(built: Path, site: Path, *, version: str) -> None:
    """Copy a built version into a site, in place of an earlier build of it, and update the list of versions."""
    target = site / version
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(built, target)
    versions = sorted(_versions(site), reverse=True)
    newest = next((release for release in versions if not release.is_prerelease), versions[0])
    items = "".join(f'<li><a href="{name}/index.html">{name}</a></li>' for name in versions)
    listed = _PAGE.format(head="", body=f"<h1>Documentation of nlpmtl</h1><ul>{items}</ul>")
    refresh = f'<meta http-equiv="refresh" content="0; url={newest}/index.html">'
    front = _PAGE.format(head=refresh, body=f'<a href="{newest}/index.html">nlpmtl {newest}</a>')
    (site / "versions.html").write_text(listed, encoding="utf-8")
    (site / "index.html").write_text(front, encoding="utf-8")


def _versions(site: Path) -> list[Version]:
    versions = []
    for path in site.iterdir():
        try:
            versions.append(Version(path.name))
        except InvalidVersion:
            continue
    return versions


if __name__ == "__main__":
    add_release(Path(sys.argv[1]), Path(sys.argv[2]), version=nlpmtl.__version__)
