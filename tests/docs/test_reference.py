"""The reference pages are up to date, links resolve, and the index links to every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import nlpmtl
from docs.generate import DOCS, pages
from nlpmtl.config import DataConfig, EncoderConfig, EvalConfig, InputConfig, RunConfig, TrainConfig
from nlpmtl.registry import LOSSES, METRICS, OPTIMIZERS, SAMPLERS, SCHEDULES, SHARINGS, TASKS, WEIGHTINGS

ALL = sorted(DOCS.rglob("*.md"))
LINKED = [*ALL, *sorted(DOCS.parent.glob("*.md")), DOCS.parent / "examples" / "README.md"]
LINK = re.compile(r"\]\((?!https?://)([^)#]*)(?:#([^)]*))?\)")
HEADING = re.compile(r"^#+ (.+)$", flags=re.MULTILINE)


GENERATED = [DOCS / "architecture.md"]
GENERATED += [DOCS / "reference" / f"{name}.md" for name in ("dataset-file", "kinds", "metrics", "run-file")]


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    generated = pages()
    assert generated.keys() == set(GENERATED)
    return {path.name: text for path, text in generated.items()}


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_generated_page_is_up_to_date(path: Path, written: dict[str, str]) -> None:
    assert path.read_text(encoding="utf-8") == written[path.name], "run `make reference`"


def test_every_key_has_a_description(written: dict[str, str]) -> None:
    for model, page in (
        *((model, "run-file.md") for model in (RunConfig, EncoderConfig, TrainConfig, EvalConfig)),
        *((model, "dataset-file.md") for model in (DataConfig, InputConfig)),
    ):
        for key, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{key} has no docstring"
            assert f"| `{key}` |" in written[page]


def test_ranges_and_defaults_are_shown(written: dict[str, str]) -> None:
    assert "| `warmup` | number ≥ 0, < 1 | `0.1` |" in written["run-file.md"]
    assert "| `freeze` | true or false | `false` |" in written["run-file.md"]
    assert "| `layer_decay` | number > 0, ≤ 1 | `1.0` |" in written["run-file.md"]
    schedule = "name or table, see [learning-rate schedules](kinds.md#learning-rate-schedules)"
    assert f'| `schedule` | {schedule} | `"linear"` |' in written["run-file.md"]
    assert "| `name` | string | *required* |" in written["run-file.md"]


def test_every_registered_name_has_a_heading(written: dict[str, str]) -> None:
    for registry in (TASKS, SAMPLERS, WEIGHTINGS, SHARINGS, LOSSES, OPTIMIZERS, SCHEDULES):
        for name in registry.names():
            assert f"\n### {name}\n" in written["kinds.md"]
    for name in METRICS.names():
        assert f"\n## {name}\n" in written["metrics.md"]


def test_every_public_name_is_documented() -> None:
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    names = re.findall(r"^\.\. auto(?:function|class|exception):: (\w+)", page, flags=re.MULTILINE)
    assert sorted(names) == nlpmtl.__all__


def test_architecture_page_lists_every_file(written: dict[str, str]) -> None:
    package = Path(nlpmtl.__file__).parent
    for path in package.rglob("*.py"):
        assert f"[`{path.relative_to(package)}`]" in written["architecture.md"], f"{path} has no docstring"


def test_index_links_to_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    linked = {target for target, _ in LINK.findall(index)}
    pages = [*ALL, *DOCS.rglob("*.ipynb")]
    assert linked >= {str(path.relative_to(DOCS)) for path in pages} - {"README.md"}


@pytest.mark.parametrize("path", LINKED, ids=lambda path: str(path.relative_to(DOCS.parent)))
def test_links_resolve(path: Path) -> None:
    for target, anchor in LINK.findall(path.read_text(encoding="utf-8")):
        linked = (path.parent / target).resolve() if target else path
        assert linked.exists(), f"{target} does not exist"
        if anchor:
            assert anchor in map(_anchor, HEADING.findall(linked.read_text(encoding="utf-8"))), f"{target}#{anchor}"


def _anchor(heading: str) -> str:
    """Return the anchor that GitHub generates for a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
