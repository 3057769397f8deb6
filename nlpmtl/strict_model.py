"""The base of every table in a config: frozen plain values; an unknown key is answered with the nearest known one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
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
"""What TOML may write for each type of value, and the name of that type in an error."""


RULE, MISSING, UNKNOWN = "rule", "missing_key", "unknown_key"
"""Types of errors whose messages are ours."""
_TABLE = "a table"
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
    """A table of a config file. The docstring under each field becomes its line in the reference and the schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    table_examples: ClassVar[Mapping[str, str]] = {}
    """What an error shows where a table was expected: for a key of this table an example of its value; for "" an
    example of this table."""

    renamed_keys: ClassVar[Mapping[str, str]] = {}
    """Keys that had another name in nlpmtl 0.1, which is accepted until 0.3: old name = field."""

    @field_validator("*", mode="before")
    @classmethod
    def _take_no_other_type(cls, value: Any, info: ValidationInfo) -> Any:
        """A number in quotes, or a 1 for true, is a slip: say so, where pydantic would convert it."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        choices = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
        wanted = [one for one in _SCALARS if one in choices] if value is not None else []
        if isinstance(value, list | tuple) and any(get_origin(one) in (list, tuple) for one in choices):
            return value
        if wanted and not any(type(value) in _SCALARS[one][0] for one in wanted) and not isinstance(value, Mapping):
            raise ValueError(f"{' or '.join(_SCALARS[one][1] for one in wanted)} was expected")
        return value

    @model_validator(mode="wrap")
    @classmethod
    def _name_nearest_keys(cls, value: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        if cls.renamed_keys and isinstance(value, Mapping):
            value = rename_keys(value, cls.renamed_keys)
        try:
            return validate(value)
        except ValidationError as error:
            lines = [cls._explain(found) for found in error.errors()]
            raise ValidationError.from_exception_data(cls.__name__, lines) from None

    @classmethod
    def _explain(cls, found: ErrorDetails) -> InitErrorDetails:
        """Return an error in our words. Errors of inner tables were explained there."""
        kind, said = found["type"], found["msg"].removeprefix("Value error, ")
        if kind == "extra_forbidden" and len(found["loc"]) == 1:
            kind, said = UNKNOWN, f"unknown key; {did_you_mean(str(found['loc'][0]), cls.model_fields)}"
        elif kind == "missing" and len(found["loc"]) == 1:
            kind, said = MISSING, _missing(str(found["loc"][0]), cls.model_fields[str(found["loc"][0])])
        elif kind not in (RULE, MISSING, UNKNOWN):
            example = cls.table_examples.get(".".join(map(str, found["loc"])))
            such_as = f", such as {example}" if example and _EXPECTED.get(kind) == _TABLE else ""
            kind, said = RULE, f"{explain(kind, said, found.get('ctx', {}))}{such_as}"
        return InitErrorDetails(
            type=PydanticCustomError(kind, "{said}", {"said": said}), loc=found["loc"], input=found["input"]
        )


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


def explain(kind: str, said: str, context: Mapping[str, Any]) -> str:
    """Return what is wrong and what to write, for a kind of error of pydantic.

    Args:
        kind: pydantic's name of the rule that was broken.
        said: pydantic's message.
        context: the values in that message.
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
    if kind == "string_pattern_mismatch":
        pattern = context["pattern"]
        return _PATTERNS.get(pattern, f"must match the regular expression {pattern}")
    return said.replace("Input should be a valid ", "must be a ").replace("Input should be ", "must be ")


def _missing(name: str, field: FieldInfo) -> str:
    """Return the error of a key that is not there."""
    about = (field.description or "").replace("\n", " ").partition(". ")[0].rstrip(".")
    about = f" ({about[0].lower()}{about[1:]})" if about else ""
    kind = field.annotation
    origin = get_origin(kind) or kind
    if isinstance(origin, type) and issubclass(origin, dict | BaseModel):
        return f"this table is missing; write [{name}{'.NAME' if issubclass(origin, dict) else ''}]{about}"
    examples: dict[Any, str] = {int: "1", float: "0.1", bool: "true", tuple: '["…"]', list: '["…"]'}
    example = examples.get(origin, '"…"')
    return f"this key is missing; write {name} = {example}{about}"
