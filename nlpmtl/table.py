"""The base of every table in a config: frozen plain values; an unknown key is answered with the nearest known one."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Any, Self, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from nlpmtl.errors import did_you_mean

_SCALARS: dict[Any, tuple[type, ...]] = {int: (int,), float: (int, float), bool: (bool,), str: (str,)}
"""What TOML may write for each type of value."""


class Table(BaseModel):
    """A table of a config file. The docstring under each field becomes its line in the reference and the schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _take_no_other_type(cls, value: Any, info: ValidationInfo) -> Any:
        """A number in quotes, or a 1 for true, is a slip: say so, where pydantic would convert it."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        choices = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
        wanted = set(choices) & _SCALARS.keys() if value is not None else set()
        if isinstance(value, list | tuple) and any(get_origin(one) in (list, tuple) for one in choices):
            return value
        if wanted and not any(type(value) in _SCALARS[one] for one in wanted) and not isinstance(value, Mapping):
            raise ValueError(f"a {' or '.join(sorted(one.__name__ for one in wanted))} was expected")
        return value

    @model_validator(mode="wrap")
    @classmethod
    def _name_nearest_keys(cls, value: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return validate(value)
        except ValidationError as error:
            lines = [cls._explain(found) for found in error.errors()]
            raise ValidationError.from_exception_data(cls.__name__, lines) from None

    @classmethod
    def _explain(cls, found: ErrorDetails) -> InitErrorDetails:
        """One line of pydantic's, in our words where we have better ones. "rule" marks those that are ours."""
        kind: str | PydanticCustomError = found["type"]
        if kind == "extra_forbidden" and len(found["loc"]) == 1:
            hint = did_you_mean(str(found["loc"][0]), cls.model_fields)
            kind = PydanticCustomError("rule", "unknown key; {hint}", {"hint": hint})
        elif kind != "missing":  # those of pydantic too: it cannot raise all of its own again
            kind = PydanticCustomError("rule", "{said}", {"said": found["msg"].removeprefix("Value error, ")})
        return InitErrorDetails(type=kind, loc=found["loc"], input=found["input"], ctx=found.get("ctx", {}))
