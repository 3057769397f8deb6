"""The reference says what the code says today, and every page is found from the index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import nlpmtl
from docs.generate import DOCS, pages
from nlpmtl.config import DataConfig, EncoderConfig, EvalConfig, InputConfig, RunConfig, TrainConfig
from nlpmtl.registry import METRICS, SAMPLERS, SHARINGS, TASKS, WEIGHTINGS

ALL = sorted(DOCS.rglob("*.md"))
LINKED = [*ALL, *sorted(DOCS.parent.glob("*.md")), DOCS.parent / "examples" / "README.md"]
LINK = re.compile(r"\]\((?!https?://)([^)#]*)(?:#([^)]*))?\)")
HEADING = re.compile(r"^#+ (.+)$", flags=re.MULTILINE)


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return {path.name: text for path, text in pages().items()}


@pytest.mark.parametrize("path", sorted(pages()), ids=lambda path: path.name)
def test_is_what_the_code_says(path: Path, written: dict[str, str]) -> None:
    assert path.read_text(encoding="utf-8") == written[path.name], "run `make docs`"


def test_every_key_is_described(written: dict[str, str]) -> None:
    for model, page in (
        *((one, "run-file.md") for one in (RunConfig, EncoderConfig, TrainConfig, EvalConfig)),
        *((one, "dataset-file.md") for one in (DataConfig, InputConfig)),
    ):
        for key, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{key} has no sentence under it"
            assert f"| `{key}` |" in written[page]


def test_ranges_and_defaults(written: dict[str, str]) -> None:
    assert "| `warmup` | number ≥ 0, < 1 | `0.1` |" in written["run-file.md"]
    assert "| `freeze` | true or false | `false` |" in written["run-file.md"]
    assert '| `schedule` | `"linear"`, `"cosine"`, `"constant"` | `"linear"` |' in written["run-file.md"]
    assert "| `name` | string | *required* |" in written["run-file.md"]


def test_every_registered_name_has_its_heading(written: dict[str, str]) -> None:
    for registry in (TASKS, SAMPLERS, WEIGHTINGS, SHARINGS):
        for name in registry.names():
            assert f"\n### {name}\n" in written["kinds.md"]
    for name in METRICS.names():
        assert f"\n## {name}\n" in written["metrics.md"]


def test_every_public_name_is_there(written: dict[str, str]) -> None:
    assert re.findall(r"^## (\w+)$", written["python.md"], flags=re.MULTILINE) == nlpmtl.__all__


def test_architecture_page_lists_every_file(written: dict[str, str]) -> None:
    package = Path(nlpmtl.__file__).parent
    for path in package.rglob("*.py"):
        assert f"[`{path.relative_to(package)}`]" in written["architecture.md"], f"{path} opens with no docstring"


def test_the_index_has_a_line_for_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    linked = {target for target, _ in LINK.findall(index)}
    assert linked >= {str(path.relative_to(DOCS)) for path in ALL} - {"README.md", "results.md"}


@pytest.mark.parametrize("path", LINKED, ids=lambda path: str(path.relative_to(DOCS.parent)))
def test_links_lead_somewhere(path: Path) -> None:
    for target, anchor in LINK.findall(path.read_text(encoding="utf-8")):
        to = (path.parent / target).resolve() if target else path
        assert to.exists(), f"{target} is not there"
        if anchor:
            assert anchor in map(_anchor, HEADING.findall(to.read_text(encoding="utf-8"))), f"{target}#{anchor}"


def _anchor(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
