"""JSON Schemas of run files and dataset files, with every registered kind, for editors."""

from __future__ import annotations

from typing import Any

from nlpmtl.config.dataset import DatasetConfig
from nlpmtl.config.dataset_texts import FROM
from nlpmtl.config.run import RunConfig
from nlpmtl.registry import LOSSES, OPTIMIZERS, SAMPLERS, SCHEDULES, SHARINGS, TASKS, WEIGHTINGS, Registry

Schema = dict[str, Any]


def schemas() -> dict[str, Schema]:
    """Return the JSON Schemas (draft 2020-12) of run files and dataset files: ``{"run": …, "dataset": …}``."""
    run = RunConfig.model_json_schema()
    dataset = run["$defs"]["DatasetConfig"]
    dataset["properties"]["extends"] = {
        "type": "string",
        "description": "A dataset file; other keys of this table override its keys.",
    }
    dataset["properties"][FROM] = {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "description": "Names of datasets of this run whose texts it has, without `data` and `input`.",
    }
    dataset["required"] = []
    kinds = {"sampling": SAMPLERS, "weighting": WEIGHTINGS, "sharing": SHARINGS, "optimizer": OPTIMIZERS}
    for key, registry in kinds.items():
        run["properties"][key] = _kinds(registry)
        for member in run["properties"][key]["oneOf"]:  # references to definitions start at the root
            run["$defs"] |= member.pop("$defs", {})
    train = run["$defs"]["TrainConfig"]["properties"]
    train["schedule"] |= {"anyOf": [{"enum": _names_without_options(SCHEDULES)}, _kinds(SCHEDULES)]}
    del train["schedule"]["$ref"]
    dataset_file = DatasetConfig.model_json_schema()
    for schema, partial in ((dataset, True), (dataset_file, False)):
        tasks = schema["properties"]["tasks"]
        tasks["patternProperties"] = dict.fromkeys(tasks["patternProperties"], _kinds(TASKS, partial=partial))
        tasks["additionalProperties"] = False
    return {
        name: {"$schema": "https://json-schema.org/draft/2020-12/schema", **_prune(s)}
        for name, s in (("run", run), ("dataset", dataset_file))
    }


def _kinds(registry: Registry, *, partial: bool = False) -> Schema:
    """Return the schema of a table of any registered kind; `partial`: without required keys, as for overrides."""
    members = []
    for name in registry.names():
        schema = registry.options(name).model_json_schema()
        schema["title"] = name
        schema["properties"]["kind"] = {"const": name}
        if "loss" in schema["properties"]:
            schema["properties"]["loss"] = _kinds(LOSSES) | {"description": schema["properties"]["loss"]["description"]}
            del schema["$defs"]["KindOptions"]
        if partial:
            schema["required"] = []
            schema.pop("allOf", None)  # one of several keys
        members.append(schema)
    return {"anyOf" if partial else "oneOf": members}


def _names_without_options(registry: Registry) -> list[str]:
    """Return the kinds that can be given by their name only, because no option is required."""
    return [name for name in registry.names() if registry.options(name).model_json_schema()["required"] == ["kind"]]


def _prune(schema: Schema) -> Schema:
    """Remove the definitions that the schemas of the kinds replace."""
    schema["$defs"] = {k: v for k, v in schema.get("$defs", {}).items() if k not in ("KindOptions", "TaskOptions")}
    return schema
