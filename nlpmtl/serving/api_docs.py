"""API documentation as one static page, rendered from the OpenAPI description of the server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from nlpmtl.strict_json import dumps

_JSON = "application/json"
Schema = Mapping[str, Any]


def render_api_docs(api: Schema) -> str:
    """Return the page. All values are escaped; the names of tasks and models come from the model.

    Args:
        api: an OpenAPI description, as FastAPI writes it.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "static"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    schemas = api["components"]["schemas"]
    operations = [
        _operation(path, method, operation, schemas)
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
    ]
    named = {match[0] for row in operations for match in re.finditer(r"\w+", str(row["responses"]))}
    objects = [{"name": name, **_object(schema)} for name, schema in schemas.items() if name in named]
    template = environment.get_template("docs.html")
    return template.render(about=api["info"], operations=operations, objects=objects)


def _operation(path: str, method: str, operation: Schema, schemas: Schema) -> dict[str, Any]:
    """Return what the page shows of a route."""
    body = operation.get("requestBody", {}).get("content", {}).get(_JSON, {}).get("schema")
    request = {} if body is None else schemas[_name(body)]
    return {
        "method": method.upper(),
        "path": path,
        "about": operation["description"],
        "parameters": [_field(part["name"], part["schema"], required=True) for part in operation.get("parameters", ())],
        "body": _object(request)["fields"],
        "examples": [
            dumps({"inputs": example}, ensure_ascii=False)
            for example in request.get("properties", {}).get("inputs", {}).get("examples", ())
        ],
        "responses": [
            {"status": status, "about": response["description"], "content": _content(response)}
            for status, response in operation["responses"].items()
        ],
    }


def _object(schema: Schema) -> dict[str, Any]:
    required = schema.get("required", ())
    fields = [_field(name, part, required=name in required) for name, part in schema.get("properties", {}).items()]
    return {"about": schema.get("description", ""), "fields": fields}


def _field(name: str, schema: Schema | bool, *, required: bool) -> dict[str, Any]:
    """Return a row of a table of parameters or keys."""
    schema = {} if isinstance(schema, bool) else schema
    forms = [part for part in schema.get("anyOf", ()) if "description" in part]
    return {
        "name": name,
        "required": required,
        "type": _type(schema),
        "default": "" if required or "default" not in schema else dumps(schema["default"]),
        "about": schema.get("description", ""),
        "forms": [{"type": _type(form), "about": form["description"]} for form in forms],
    }


def _content(response: Schema) -> str:
    """Return the type of a response, or the media type of one that is not JSON."""
    content = next(iter(response.get("content", {}).items()), None)
    if content is None:
        return ""
    return _type(content[1]["schema"]) if content[0] == _JSON else content[0]


def _type(schema: Schema | bool) -> str:
    """Return a type in the notation of TypeScript, such as ``(string | number)[]``."""
    if isinstance(schema, bool):  # true allows any value
        return "any"
    if "$ref" in schema:
        return _name(schema)
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(map(_type, schema["anyOf"])))
    if "enum" in schema or "const" in schema:
        return " | ".join(dumps(value, ensure_ascii=False) for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        item = _type(schema.get("items", {}))
        return f"({item})[]" if " | " in item else f"{item}[]"
    if "properties" in schema:
        return f"{{{', '.join(f'{name}: {_type(part)}' for name, part in schema['properties'].items())}}}"
    types = schema.get("type", "any")
    return types if isinstance(types, str) else " | ".join(types)


def _name(reference: Schema) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _code(text: str) -> Markup:
    """Return a text as HTML, with `quoted` parts as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))
