"""Checks of the class of a task type when it is registered, so that importing a plugin finds its mistakes."""

from __future__ import annotations

from collections.abc import Collection, Set
from typing import TYPE_CHECKING

from nlpmtl.data import column_type
from nlpmtl.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from nlpmtl.tasks.fields import TaskFields

_TEXT_KEYS = frozenset({"text", "pair", "words"})
_SETS_OF_FIELDS = ("fitted", "calibrated", "changeable")


def check_task_type(cls: type[TaskFields], *, base: type[TaskFields], keys: Set[str]) -> None:
    """Check that a class follows the contract of task types.

    Args:
        cls: the class.
        base: the class that defines the contract, from which it derives.
        keys: the config keys that all task types have.

    Raises:
        ConfigError: a method is missing, a field has the name of a method, or an attribute contains a name that is
            unknown or already used.
    """
    problems = [f"it must define `{name}`" for name in sorted(getattr(cls, "__abstractmethods__", ()))]
    fields = cls.own_fields().keys()
    for name in sorted(fields - base.model_fields.keys()):
        if hasattr(base, name):
            problems.append(f"`{name}` cannot be a field, because {base.__name__} has an attribute of this name")
    for name in sorted((fields & keys) - base.model_fields.keys()):
        problems.append(f"`{name}` cannot be a field, because it is a key of every task's config")
    for attribute in _SETS_OF_FIELDS:
        unknown = sorted(vars(cls).get(attribute, frozenset()) - cls.model_fields.keys())
        problems += [
            f"`{attribute}` contains {name!r}, which is not a field; {did_you_mean(name, fields)}" for name in unknown
        ]
    for attribute, used, what in (
        ("columns", {*keys, *fields}, "a key of the task's config"),
        ("extra_inputs", _TEXT_KEYS, "a key of the text"),
    ):
        problems += [
            f"`{attribute}` contains {key!r}, which is already {what}" for key in getattr(cls, attribute) if key in used
        ]
        problems += _unknown_types(attribute, getattr(cls, attribute).values())
    if isinstance(cls.inputs, str) or not set(cls.inputs) <= _TEXT_KEYS or not cls.inputs:
        problems.append(f"`inputs` must be a set of {', '.join(map(repr, sorted(_TEXT_KEYS)))}, found {cls.inputs!r}")
    problems += [
        f"`any_of` contains {key!r}, which is not in `columns`"
        for key in sorted(vars(cls).get("any_of", frozenset()) - cls.columns.keys())
    ]
    if problems:
        raise ConfigError(f"task type {cls.__module__}.{cls.__qualname__}: {'; '.join(problems)}")


def _unknown_types(attribute: str, names: Collection[str]) -> list[str]:
    problems = []
    for name in names:
        try:
            column_type(name)
        except ValueError as error:
            problems.append(f"`{attribute}`: {error}; register a column type before the task type")
    return problems
