"""The JSON Schemas of both sorts of file, with every registered kind, for the editors that people write them in."""

from __future__ import annotations

from typing import Any

from nlpmtl.config.dataset import DatasetConfig
from nlpmtl.config.run import RunConfig
from nlpmtl.registry import SAMPLERS, SHARINGS, TASKS, WEIGHTINGS, Registry

Schema = dict[str, Any]


def schemas() -> dict[str, Schema]:
    """``{"run": …, "dataset": …}``: JSON Schemas (draft 2020-12) of the files as people write them."""
    run = RunConfig.model_json_schema()
    dataset = run["$defs"]["DatasetConfig"]
    dataset["properties"]["extends"] = {
        "type": "string",
        "description": "A dataset file; other keys of this table override its keys.",
    }
    dataset["required"] = []
    for key, registry in (("sampling", SAMPLERS), ("weighting", WEIGHTINGS), ("sharing", SHARINGS)):
        run["properties"][key] = _kinds(registry)
        for member in run["properties"][key]["oneOf"]:  # tables of a kind's own: where the references look for them
            run["$defs"] |= member.pop("$defs", {})
    alone = DatasetConfig.model_json_schema()
    for schema, partial in ((dataset, True), (alone, False)):
        tasks = schema["properties"]["tasks"]
        tasks["patternProperties"] = dict.fromkeys(tasks["patternProperties"], _kinds(TASKS, partial=partial))
        tasks["additionalProperties"] = False
    return {
        name: {"$schema": "https://json-schema.org/draft/2020-12/schema", **_prune(s)}
        for name, s in (("run", run), ("dataset", alone))
    }


def _kinds(registry: Registry, *, partial: bool = False) -> Schema:
    """One of the registered kinds, each with its own keys; partial: any of its keys, as overrides of a dataset file."""
    members = []
    for name in registry.names():
        schema = registry.options(name).model_json_schema()
        schema["title"] = name
        schema["properties"]["kind"] = {"const": name}
        if partial:
            schema["required"] = []
        members.append(schema)
    return {"anyOf" if partial else "oneOf": members}


def _prune(schema: Schema) -> Schema:
    """Drop the definitions that the kinds have replaced."""
    schema["$defs"] = {k: v for k, v in schema.get("$defs", {}).items() if k not in ("KindOptions", "TaskOptions")}
    return schema
