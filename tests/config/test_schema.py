"""The JSON Schemas have every key and every registered kind, valid references, and accept the shipped files."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nlpmtl.model
import nlpmtl.sampling
import nlpmtl.tasks
import nlpmtl.weighting  # noqa: F401
from nlpmtl.config import DatasetConfig, RunConfig, schemas
from nlpmtl.registry import SAMPLERS, SHARINGS, TASKS, WEIGHTINGS, Registry

ROOT = Path(__file__).parents[2] / "task_configs"


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
    for child in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from nodes(child)


def resolve(node: dict[str, Any], *, root: dict[str, Any]) -> dict[str, Any]:
    return root["$defs"][node["$ref"].removeprefix("#/$defs/")] if "$ref" in node else node


def kinds(members: dict[str, Any]) -> list[str]:
    """Return the kinds that a table allows, in order; empty for tables without a kind."""
    properties = [
        member.get("properties", {}).get("kind", {}) for member in members.get("oneOf", members.get("anyOf", ()))
    ]
    return [kind["const"] for kind in properties if "const" in kind]


def may_be(value: dict[str, Any], member: dict[str, Any]) -> bool:
    """Return whether a table has the required keys of a member, and its kind if given."""
    known = member.get("properties", {}).get("kind", {}).get("const")
    return set(member.get("required", ())) <= set(value) and value.get("kind", known) == known


def unknown_keys(value: Any, node: dict[str, Any], *, root: dict[str, Any]) -> list[str]:
    """Return the keys of a table and its nested tables that a schema does not allow."""
    node = resolve(node, root=root)
    if not isinstance(value, dict):
        return []
    choices = [resolve(choice, root=root) for choice in node.get("oneOf", node.get("anyOf", ()))]
    if choices:
        fitting = [choice for choice in choices if choice.get("type") == "object" and may_be(value, choice)]
        return min((unknown_keys(value, choice, root=root) for choice in fitting), key=len)
    unknown = []
    for key, item in value.items():
        named = [inner for pattern, inner in node.get("patternProperties", {}).items() if re.search(pattern, key)]
        inner = next(iter(named), node.get("properties", {}).get(key, node.get("additionalProperties", True)))
        if inner is False:
            unknown.append(key)
        if isinstance(inner, dict):
            unknown += [f"{key}.{deep}" for deep in unknown_keys(item, inner, root=root)]
    return unknown


@pytest.mark.parametrize("name", ["run", "dataset"])
def test_a_schema_is_valid_draft_2020_12(name: str) -> None:
    schema = schemas()[name]
    assert json.loads(json.dumps(schema)) == schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("name", ["run", "dataset"])
def test_every_reference_has_a_definition(name: str) -> None:
    schema = schemas()[name]
    for node in nodes(schema):
        if isinstance(node.get("$ref"), str):
            assert node["$ref"].removeprefix("#/$defs/") in schema["$defs"]


@pytest.mark.parametrize("name", ["run", "dataset"])
def test_every_key_has_a_description(name: str) -> None:
    schema = schemas()[name]
    tables = [node for node in nodes(schema) if node.get("additionalProperties") is False]
    assert tables
    for table in tables:
        for key, field in table.get("properties", {}).items():
            assert "const" in field or "oneOf" in field or field.get("description"), (table.get("title"), key)


def test_schema_keys_are_the_fields_of_the_models() -> None:
    both = schemas()
    assert both["run"]["properties"].keys() == RunConfig.model_fields.keys()
    assert both["dataset"]["properties"].keys() == DatasetConfig.model_fields.keys()


@pytest.mark.parametrize(
    ("section", "registry"), [("sampling", SAMPLERS), ("weighting", WEIGHTINGS), ("sharing", SHARINGS)]
)
def test_every_registered_kind_is_in_the_schema_of_a_run(section: str, registry: Registry) -> None:
    assert kinds(schemas()["run"]["properties"][section]) == registry.names()


def test_every_task_type_is_in_both_schemas() -> None:
    both = schemas()
    for dataset in (both["run"]["$defs"]["DatasetConfig"], both["dataset"]):
        tasks = dataset["properties"]["tasks"]
        assert [kinds(members) for members in tasks["patternProperties"].values()] == [TASKS.names()]
        assert tasks["additionalProperties"] is False


def test_a_dataset_with_use_may_override_single_task_keys() -> None:
    both = schemas()
    for schema, choice in ((both["run"]["$defs"]["DatasetConfig"], "anyOf"), (both["dataset"], "oneOf")):
        assert [list(members) for members in schema["properties"]["tasks"]["patternProperties"].values()] == [[choice]]
    table = {"data": {"hub": ""}, "input": {"text": ""}, "tasks": {"a": {"label": "gold"}}}
    assert unknown_keys({"datasets": {"a": table}}, both["run"], root=both["run"]) == []
    with pytest.raises(ValueError, match="empty"):
        unknown_keys(table, both["dataset"], root=both["dataset"])


def test_use_is_only_allowed_in_datasets_of_a_run() -> None:
    both = schemas()
    inside = both["run"]["$defs"]["DatasetConfig"]
    assert "extends" in inside["properties"]
    assert inside["required"] == []
    assert "extends" not in both["dataset"]["properties"]
    assert both["dataset"]["required"] == ["data", "input", "tasks"]


SCHEMAS = schemas()


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.toml")), ids=lambda path: path.stem)
def test_every_key_of_a_shipped_file_is_allowed(path: Path) -> None:
    schema = SCHEMAS["run" if path.parent.name == "runs" else "dataset"]
    assert unknown_keys(tomllib.loads(path.read_text(encoding="utf-8")), schema, root=schema) == []


def test_an_unknown_key_is_not_allowed() -> None:
    schema = schemas()["dataset"]
    raw = {
        "dta": {},
        "data": {"hbu": ""},
        "tasks": {"a": {"kind": "regression", "label": "", "q": 1}, "1": {"kind": "a"}},
    }
    assert unknown_keys(raw, schema, root=schema) == ["dta", "data.hbu", "tasks.a.q", "tasks.1"]


def test_an_unknown_key_deep_in_a_run_is_not_allowed() -> None:
    schema = schemas()["run"]
    raw = {"train": {"epoch": 1}, "datasets": {"a": {"extends": "", "limt": {}, "input": {"txt": ""}}}}
    assert unknown_keys(raw, schema, root=schema) == ["train.epoch", "datasets.a.limt", "datasets.a.input.txt"]
