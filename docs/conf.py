"""Configuration of the documentation site, which `make docs` builds with Sphinx.

The source directory is the root of the repository, so that links between pages, and from pages to other files, are the
same on the site as on GitHub.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import nlpmtl
from docs.docstrings import restructured_text
from docs.navigation import navigation

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]

project = "nlpmtl"
author = "The nlpmtl authors"
project_copyright = f"2026, {author}, Apache-2.0"
version = release = nlpmtl.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_reredirects",
]

root_doc = "README"
include_patterns = ["*.md", "docs/**.md", "docs/**.ipynb", "examples/README.md", "benchmarks/results/*.md"]
exclude_patterns = [
    path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in ("docs", "examples", "benchmarks")
]
templates_path = ["_templates"]

myst_heading_anchors = 4
nb_execution_mode = "off"  # notebooks are shown with their stored outputs
# IPython's lexer reads a cell that begins with `%%time` as Python, and `!` in it is an error.
suppress_warnings = ["misc.highlighting_failure"]
default_role = "code"  # `name` in docstrings
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"
napoleon_numpy_docstring = False
copybutton_exclude = ".linenos, .gp, .go"  # prompts and outputs are not copied

html_theme = "pydata_sphinx_theme"
html_title = "nlpmtl"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_sidebars = {"**": ["navigation"]}
html_context = {"all_versions": "release" in globals().get("tags", ())}
html_theme_options = {
    "navbar_center": [],
    "navbar_end": ["version", "theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}

redirects = {
    "index": "README.html",
    "docs/tour": "architecture.html",
    "docs/decisions/equal-passes": "single-task-baselines.html",
    "docs/decisions/gradients-added-once": "gradient-all-reduce.html",
    "docs/decisions/keep-freed-memory": "malloc-settings.html",
    "docs/decisions/nothing-to-save": "stateless-schedules.html",
    "docs/decisions/options-beside-kinds": "kind-options.html",
    "docs/decisions/own-dense-layer": "dense-layer-per-head.html",
    "docs/decisions/own-readers": "file-readers.html",
    "docs/decisions/ragged-arrays": "dataset-store.html",
    "docs/decisions/recorded-passes": "cuda-graphs.html",
    "docs/decisions/slices-of-our-own": "fsdp2-without-accelerate.html",
    "docs/decisions/words-by-characters": "word-alignment.html",
}


def prepare_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Add the navigation to the front page; mark the pages of measurements, which are only linked from other pages."""
    index = ROOT / "docs" / "README.md"
    if docname == root_doc:
        app.env.note_dependency(str(index))
        source[0] += navigation(index)
    elif docname.startswith("benchmarks/"):
        source[0] = f"---\norphan: true\n---\n{source[0]}"


def convert_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Replace a docstring by its reStructuredText, before napoleon reads its sections."""
    lines[:] = restructured_text("\n".join(lines)).splitlines()


def setup(app: Sphinx) -> None:
    """Connect the functions above to the events of Sphinx."""
    app.connect("source-read", prepare_page)
    app.connect("autodoc-process-docstring", convert_docstring, priority=400)
