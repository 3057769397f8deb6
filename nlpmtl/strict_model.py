"""Base class of all config tables: frozen, strict pydantic models, whose errors suggest the nearest known key."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from types import UnionType
from typing import Any, ClassVar, Self, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from nlpmtl.errors import did_you_mean

_SCALARS: dict[Any, tuple[tuple[type, ...], str]] = {
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    bool: ((bool,), "true or false"),
    str: ((str,), "a string in quotes"),
}
"""Types that TOML may have for each type of value, and the name of the type in errors."""

RULE, MISSING, UNKNOWN = "rule", "missing_key", "unknown_key"
"""Types of errors whose messages are final."""
_TABLE = "a table"
_LARGEST_INTEGER = 10**18 - 1
"""The largest integer of 18 digits; some of 19 digits do not fit into the 64 bits of a TOML integer."""
Place = tuple[str, ...]
"""Keys from a table to a value in it."""
_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": 'a string, such as "text",',
    "string_sub_type": 'a string, such as "text",',
    "string_unicode": "valid Unicode",
    "tuple_type": 'a list, such as ["a", "b"],',
    "list_type": 'a list, such as ["a", "b"],',
    "iterable_type": 'a list, such as ["a", "b"],',
    "dict_type": _TABLE,
    "mapping_type": _TABLE,
    "model_type": _TABLE,
    "model_attributes_type": _TABLE,
    "path_type": 'a path, such as "runs/first",',
    "invalid_key": "a string as key",
}
_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
    "multiple_of": ("multiple_of", "a multiple of"),
}
_PATTERNS = {
    "^[A-Za-z_-][A-Za-z0-9_-]{0,63}$": "a name consists of letters, digits, _ and -, at most 64 characters, and does "
    "not start with a digit",
    "^[0-9a-f]{64}$": "64 hex digits in lower case were expected",
}


class StrictModel(BaseModel):
    """A table of a config file. The docstring of each field is its description in the reference and the JSON Schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    table_examples: ClassVar[Mapping[str, str]] = {}
    """Examples for errors about a value that is not a table: by key of this table; "": this table itself."""

    renamed_keys: ClassVar[Mapping[str, str]] = {}
    """Keys that had another name in nlpmtl 0.1, which is accepted until 0.3: old name = field."""

    other_keys: ClassVar[Mapping[str, str]] = {}
    """Keys of other tools and papers, for errors about unknown keys: field of this table = names, with spaces between
    them. Instead of a field also advice that begins with one."""

    @field_validator("*", mode="before")
    @classmethod
    def _reject_coercion(cls, value: Any, info: ValidationInfo) -> Any:
        """Reject values that pydantic would convert, such as a quoted number, or 1 for true."""
        value = without_numpy(value)
        annotation = cls.model_fields[str(info.field_name)].annotation
        types = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
        if value is None or isinstance(value, Mapping):
            return value
        if isinstance(value, list | tuple) and any(get_origin(kind) in (list, tuple) for kind in types):
            return value
        if type(value) is int and not -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER:
            raise ValueError("a number with at most 18 digits was expected")
        scalars = [scalar for scalar in _SCALARS if scalar in types]
        if scalars and not any(type(value) in _SCALARS[scalar][0] for scalar in scalars):
            raise ValueError(f"{' or '.join(_SCALARS[scalar][1] for scalar in scalars)} was expected")
        return value

    @model_validator(mode="wrap")
    @classmethod
    def _validate(cls, value: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        if cls.renamed_keys and isinstance(value, Mapping):
            value = rename_keys(value, cls.renamed_keys)
        try:
            return validate(value)
        except ValidationError as error:
            lines = [cls._explain(details) for details in error.errors()]
            different = {(line["loc"], str(line["type"])): line for line in lines}  # one for all missing entries
            raise ValidationError.from_exception_data(cls.__name__, [*different.values()]) from None

    @classmethod
    def _entries(cls, name: str) -> str | None:
        """Return the number of the entries of a field, and an example, if it is a tuple of fixed length."""
        field = cls.model_fields.get(name)  # None for an alias
        if field is None or get_origin(field.annotation) is not tuple or Ellipsis in get_args(field.annotation):
            return None
        entries = get_args(field.annotation)
        example = f", such as {[*field.default]}," if isinstance(field.default, tuple) else ""
        return f"{len(entries)} entries{example}"

    @classmethod
    def meant_by(cls, key: str) -> str | None:
        """Return the field, or the advice, for a key of another tool; None if it is not known."""
        key = key.lower().replace("-", "_")
        return next((ours for ours, names in cls.other_keys.items() if key in names.split()), None)

    @classmethod
    def _explain(cls, details: ErrorDetails) -> InitErrorDetails:
        """Return an error with the final message. Inner tables have explained their errors already."""
        kind, message, location = details["type"], details["msg"].removeprefix("Value error, "), details["loc"]
        meant = cls.meant_by(str(location[0])) if kind == "extra_forbidden" and len(location) == 1 else None
        if meant is not None:
            kind, message = RULE, f"unknown key; write {meant}"
        elif kind == "extra_forbidden" and len(location) == 1:
            kind, message = UNKNOWN, f"unknown key; {did_you_mean(str(location[0]), cls.model_fields)}"
        elif kind == "missing" and len(location) == 1:
            kind, message = MISSING, _missing(str(location[0]), cls.model_fields[str(location[0])])
        elif kind in ("missing", "too_long", "tuple_type") and (entries := cls._entries(str(location[0]))):
            kind, message, location = RULE, f"a list of {entries} was expected", location[:1]
        elif kind not in (RULE, MISSING, UNKNOWN):
            example = cls.table_examples.get(".".join(map(str, location)))
            such_as = f", such as {example}" if example and _EXPECTED.get(kind) == _TABLE else ""
            kind, message = RULE, f"{explain(kind, message, details.get('ctx', {}))}{such_as}"
        error = PydanticCustomError(kind, "{message}", {"message": message})
        return InitErrorDetails(type=error, loc=location, input=details["input"])


def without_numpy(value: Any) -> Any:
    """Return a value with scalars of NumPy replaced by numbers, booleans and strings, also those in a list or table."""
    if _is_numpy_scalar(value):
        return value.item()
    if isinstance(value, list | tuple) and any(map(_is_numpy_scalar, value)):
        return [without_numpy(item) for item in value]
    if isinstance(value, Mapping) and any(map(_is_numpy_scalar, value.values())):
        return {key: without_numpy(item) for key, item in value.items()}
    return value


def _is_numpy_scalar(value: Any) -> bool:
    return type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()


def unknown_keys(values: Mapping[Place, Any], known: Collection[str]) -> ValidationError:
    """Return the error for unknown keys of a table; the most similar known key is named.

    Args:
        values: place of each unknown key = its value.
        known: the known keys.
    """
    messages = {place: f"unknown key; {did_you_mean(place[-1], known)}" for place in values}
    return _error(UNKNOWN, messages, values)


def broken_rules(messages: Mapping[Place, str], values: Mapping[Place, Any]) -> ValidationError:
    """Return the error for values that break rules: place of each value = the rule, and the value."""
    return _error(RULE, messages, values)


def missing_key(fields: Mapping[str, FieldInfo], name: str, *others: str) -> ValidationError:
    """Return the error for a missing key of a table, instead of which one of several others may be given."""
    instead = "".join(f', or {other} = "…"' for other in others)
    return _error(MISSING, {(name,): f"{_missing(name, fields[name])}{instead}"}, {(name,): None})


def _error(kind: str, messages: Mapping[Place, str], values: Mapping[Place, Any]) -> ValidationError:
    lines = [
        InitErrorDetails(
            type=PydanticCustomError(kind, "{message}", {"message": message}), loc=place, input=values[place]
        )
        for place, message in messages.items()
    ]
    return ValidationError.from_exception_data("config", lines)


def rename_keys(
    table: Mapping[str, Any], renamed: Mapping[str, str], *, prefix: str = "", where: str | None = ""
) -> dict[str, Any]:
    """Return a table with the present names of its keys.

    Args:
        table: keys and values.
        renamed: old name = present name.
        prefix: dotted key of the table with a final dot, for messages.
        where: how warnings begin, such as ``"run.toml: "``; None: no warnings.

    Raises:
        ValueError: the table has both names of a key.
    """
    result: dict[str, Any] = {}
    for key, value in table.items():
        new = renamed.get(key, key)
        if new != key and new in table:
            raise ValueError(both_given(f"{prefix}{key}", f"{prefix}{new}"))
        if new != key and where is not None:
            warn_about_old_key(f"{prefix}{key}", f"{prefix}{new}", where=where)
        result[new] = value
    return result


def both_given(old: str, new: str) -> str:
    """Return the error for a key that is given by both of its names."""
    return f"`{old}` is the old name of `{new}`, and both are given: write `{new}` only"


def warn_about_old_key(old: str, new: str, *, where: str = "") -> None:
    """Warn that a dotted key has another name since nlpmtl 0.2."""
    message = f"{where}`{old}` is now called `{new}`; the old name is accepted until nlpmtl 0.3"
    warnings.warn(message, FutureWarning, stacklevel=2)


def explain(kind: str, message: str, context: Mapping[str, Any]) -> str:
    """Return the message for an error of pydantic.

    Args:
        kind: type of the error in pydantic.
        message: pydantic's message.
        context: values in that message.
    """
    if kind in _EXPECTED:
        return f"{_EXPECTED[kind]} was expected"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"must be {words} {context[key]}"
    if kind == "literal_error":
        return f"must be {context['expected']}".replace("'", '"')
    if kind in ("too_short", "too_long"):
        count = context["min_length" if kind == "too_short" else "max_length"]
        entries = "1 entry is" if count == 1 else f"{count} entries are"
        return f"at least {entries} needed" if kind == "too_short" else f"at most {entries} allowed"
    if kind == "string_too_short":
        least = context["min_length"]
        return "a string that is not empty was expected" if least == 1 else f"at least {least} characters are needed"
    if kind == "string_pattern_mismatch":
        pattern = context["pattern"]
        return _PATTERNS.get(pattern, f"must match the regular expression {pattern}")
    return message.replace("Input should be a valid ", "must be a ").replace("Input should be ", "must be ")


def _missing(name: str, field: FieldInfo) -> str:
    """Return the error for a missing key."""
    about = (field.description or "").replace("\n", " ").partition(". ")[0].rstrip(".")
    about = f" ({about[0].lower()}{about[1:]})" if about else ""
    kind = field.annotation
    origin = get_origin(kind) or kind
    if isinstance(origin, type) and issubclass(origin, dict | BaseModel):
        return f"this table is missing; write [{name}{'.NAME' if issubclass(origin, dict) else ''}]{about}"
    examples: dict[Any, str] = {int: "1", float: "0.1", bool: "true", tuple: '["…"]', list: '["…"]'}
    example = examples.get(origin, '"…"')
    return f"this key is missing; write {name} = {example}{about}"
