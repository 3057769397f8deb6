"""docs/reference/formats.md documents exactly the keys that runs, comparisons and predictions write.

A table with the columns key, type and meaning describes the file named by the heading above it. `<task>`
matches any name, and `a[]` for each object in a list. A key whose meaning starts with "Only" is optional.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import nlpmtl
from docs.generate import DOCS
from nlpmtl.cli import app
from nlpmtl.tasks import SpanExtraction
from nlpmtl.training.lock import HOLDER, hold_lock
from tests.further_kinds import KINDS, make_datasets
from tests.tiny import make_rows, make_run, train_tiny, write_rows

PAGE = DOCS / "reference" / "formats.md"
CONFIG_PAGES = [DOCS / "reference" / name for name in ("run-file.md", "dataset-file.md", "kinds.md")]
SECTION = re.compile(r"^#{2,3} (?P<heading>.+)\n(?P<text>(?:(?!#{2,3} ).*\n?)*)", flags=re.MULTILINE)
TABLE = re.compile(r"^\| key \| type \| meaning \|\n\|---\|---\|---\|\n(?P<rows>(?:\|.*\n)+)", flags=re.MULTILINE)
ROW = re.compile(r"\| (?P<keys>`.+?`) \| (?P<type>[\w ]+) \| (?P<meaning>.+) \|")
TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "list": list,
    "null": type(None),
    "any": object,
}
LABELS = "classification, sentiment, regression, multilabel"
"""Heading of the table for these task types; every other one has a heading of its own."""
Parts = tuple[str, ...]


@dataclass(frozen=True)
class Key:
    """A documented key, such as `tasks.<task>.rows`."""

    name: str
    type: str
    optional: bool

    @property
    def parts(self) -> Parts:
        return tuple(self.name.split("."))

    def begins_with(self, path: Parts) -> bool:
        """Whether a path is a prefix of this key, or this key."""
        return len(path) <= len(self.parts) and all(map(_matches, self.parts, path))

    def accepts(self, value: object) -> bool:
        """Whether a value is of the documented type."""
        return any(_is_of_type(value, name) for name in self.type.split(" or "))


def _matches(documented: str, name: str) -> bool:
    return documented == name or (documented.startswith("<") and not name.endswith("[]"))


def _is_of_type(value: object, name: str) -> bool:
    if name.startswith("list of "):
        inner = name.removeprefix("list of ").removesuffix("s")
        return isinstance(value, list) and all(_is_of_type(item, inner) for item in value)
    return isinstance(value, TYPES[name]) and (name in ("boolean", "any") or not isinstance(value, bool))


def documented() -> dict[str, list[Key]]:
    """Return the keys of each table, by the heading above it."""
    tables = {}
    for section in SECTION.finditer(PAGE.read_text(encoding="utf-8")):
        table = TABLE.search(section["text"])
        if table is not None:
            tables[section["heading"]] = [key for line in table["rows"].splitlines() for key in _keys(line)]
    return tables


def _keys(line: str) -> Iterator[Key]:
    row = ROW.fullmatch(line)
    assert row is not None, f"not a row with a key, a type and a meaning: {line}"
    for name in re.findall(r"`([^`]+)`", row["keys"]):
        yield Key(name, row["type"], row["meaning"].startswith("Only"))


def differences(value: dict[str, Any], keys: list[Key], *, used: set[Key], path: Parts = ()) -> Iterator[str]:
    """Yield what an object has that its table does not document, and add the documented keys it has to `used`."""
    for name, inner in value.items():
        key_path = (*path, name)
        items = [item for item in inner if isinstance(item, dict)] if isinstance(inner, list) else []
        deeper, in_list = _deeper(keys, key_path), _deeper(keys, (*path, f"{name}[]"))
        if isinstance(inner, dict) and deeper:
            yield from differences(inner, deeper, used=used, path=key_path)
        elif items and in_list:
            for item in items:
                yield from differences(item, in_list, used=used, path=(*path, f"{name}[]"))
        elif inner != [] or not in_list:
            yield from _leaf(inner, [key for key in keys if len(key.parts) == len(key_path)], used=used, path=key_path)


def _deeper(keys: list[Key], path: Parts) -> list[Key]:
    return [key for key in keys if len(key.parts) > len(path) and key.begins_with(path)]


def _leaf(value: object, keys: list[Key], *, used: set[Key], path: Parts) -> Iterator[str]:
    fitting = [key for key in keys if key.begins_with(path)]
    if not fitting:
        yield f"{'.'.join(path)} is not documented (found {str(value)[:40]})"
        return
    key = min(
        fitting, key=lambda candidate: candidate.name.count("<")
    )  # `tasks.<task>.rows` rather than `tasks.<task>.<metric>`
    used.add(key)
    if not key.accepts(value):
        yield f"{'.'.join(path)}: {key.type} is documented, found {str(value)[:40]}"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Files of a tiny run, a comparison and predictions, by the heading of their table."""
    root = tmp_path_factory.mktemp("formats")
    lengths: dict[str, Any] = {"train": {"steps": 4, "batch_size": 8, "save_every": 2}, "eval": {"every": 2}}
    adaptive: dict[str, Any] = {"sampling": {"kind": "exp3"}, "weighting": {"kind": "dwa"}}
    overrides: dict[str, Any] = {"train.lr": 2e-4}
    config = make_run(root / "run", **lengths, **adaptive)
    config["datasets"]["words"]["tasks"]["topic"]["pos_label"] = "places"
    config["datasets"] |= make_datasets(root / "further")
    write_rows(Path(config["datasets"]["texts"]["data"]["files"]["validation"]), make_rows(60))  # enough to calibrate
    run = train_tiny(config, **overrides)
    small = make_run(root / "small", **lengths)
    small["datasets"] = {"words": {**small["datasets"]["words"]}}
    del small["datasets"]["words"]["tasks"]["mood"]
    small["datasets"]["words"]["tasks"]["topic"]["metrics"] = ["accuracy", "loss"]
    nlpmtl.compare(small, seeds=1, output=root / "compared", train={"steps": 2})
    nlpmtl.relate(small, steps=10, output=root / "related")
    with hold_lock(root / "locked"):
        holder = _read(root / "locked" / HOLDER)
    checkpoints = [*run.output.glob("checkpoints/step-*"), *run.output.glob("best/step-*")]
    return {
        "run.json": [_read(run.output / "run.json")],
        "metrics.jsonl": _read_lines(run.output / "metrics.jsonl"),
        "evaluations.jsonl": _read_lines(run.output / "evaluations.jsonl"),
        "scores.json": [_read(run.output / "scores.json"), _read(run.model_dir / "scores.json")],
        "manifest.json": [_read(path / "manifest.json") for path in checkpoints],
        "checkpoints/…/state.json": [_read(path / "state.json") for path in checkpoints if path.parent.name != "best"],
        "best/…/state.json": [_read(path / "state.json") for path in checkpoints if path.parent.name == "best"],
        ".nlpmtl.lock.json": [holder],
        "config.json": [_read(run.model_dir / "config.json")],
        "compare.json": [_read(root / "compared" / "compare.json")],
        "answers.json": [_read(path) for path in (root / "compared").glob("seed-*/*/answers.json")],
        "relate.json": [_read(root / "related" / "relate.json")],
        **_predictions(run.model_dir, root),
    }


def _predictions(model: Path, root: Path) -> dict[str, list[dict[str, Any]]]:
    predictor = nlpmtl.Predictor.from_pretrained(model)
    for task in predictor.tasks.values():
        if isinstance(task, SpanExtraction):
            task.threshold = task.relation_threshold = 0.0  # so that there are spans and relations
    texts = ["Ada lives in Turin.", "Ada " * 100]
    predictions = [*predictor.predict_all(texts, all_scores=True), predictor.predict_all(("a cat", "a dog"))]
    choices = {"text": "a cat", "choices": ["a lamp", "the kettle sings"]}
    by_name = [predictor.predict_all(choices, tasks=["multiple_choice", "ranking"], all_scores=True)]
    spans = [span for row in predictions for span in row.get("places", [])]
    spans += predictor.predict(texts[0], task="places", aggregation_strategy="none")
    rows = write_rows(root / "rows.jsonl", [{"text": texts[0]}, {"text": "a cat", "pair": "a dog"}, {"text": None}])
    output = root / "predictions.jsonl"
    command = ["predict", str(model), "--input", str(rows), "--output", str(output), "--on-bad-row", "skip"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return {
        **{
            heading: _of_kinds(heading.split(", "), [*predictions, *by_name], predictor)
            for heading in (LABELS, *(KINDS.keys() - {"embedding"}))
        },
        "labeling": spans,
        "nlpmtl predict": _read_lines(output),
    }


def _of_kinds(kinds: list[str], predictions: list[dict[str, Any]], predictor: nlpmtl.Predictor) -> list[Any]:
    """Return the predictions of these types; of a list, its objects."""
    values = [value for row in predictions for task, value in row.items() if predictor.tasks[task].kind in kinds]
    return [item for value in values for item in (value if isinstance(value, list) else [value])]


def _read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


def _read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("heading", documented())
def test_page_documents_written_keys(heading: str, written: dict[str, list[dict[str, Any]]]) -> None:
    keys, used = documented()[heading], set[Key]()
    assert written[heading]
    assert not list(dict.fromkeys(line for value in written[heading] for line in differences(value, keys, used=used)))
    assert [key.name for key in keys if key not in used and not key.optional] == [], "documented, but not written"


def test_every_file_has_a_table(written: dict[str, list[dict[str, Any]]]) -> None:
    assert documented().keys() == written.keys()


def test_every_config_key_is_documented(written: dict[str, list[dict[str, Any]]]) -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in CONFIG_PAGES)
    config = written["run.json"][0]["config"]
    tables = [config, *(config[name] for name in ("encoder", "train", "eval", "sampling", "weighting", "sharing"))]
    for dataset in config["datasets"].values():
        tables += [dataset, dataset["data"], dataset["input"], *dataset["tasks"].values()]
    assert sorted({key for table in tables for key in table if f"| `{key}` |" not in pages} - {"kind"}) == []


def test_differences_are_reported() -> None:
    types = {"step": "integer", "tasks.<task>.rows": "integer", "notes[].line": "string"}
    keys = [Key(name, expected, optional=False) for name, expected in types.items()]
    value = {"step": 1.5, "tasks": {"topic": {"rows": 3, "mean": 0.5}}, "notes": [{"line": "a", "place": 1}], "new": 0}
    used = set[Key]()
    assert list(differences(value, keys, used=used)) == [
        "step: integer is documented, found 1.5",
        "tasks.topic.mean is not documented (found 0.5)",
        "notes[].place is not documented (found 1)",
        "new is not documented (found 0)",
    ]
    assert used == set(keys)
