"""Aliases for renamed methods and attributes, which warn when they are used."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from nlpmtl.errors import ConfigError

REMOVED_IN = "0.3"
"""The version that removes the names that 0.2 deprecates."""


def reject_options_of(module: str, task_type: str) -> Callable[[str], Any]:
    """Return a module's `__getattr__` that refuses the options class that a task type had in nlpmtl 0.1.

    Args:
        module: name of the module.
        task_type: name of the task type's class.
    """

    def get(name: str) -> Any:
        if name == f"{task_type}Options":
            raise ConfigError(
                f"{module}.{name} does not exist any more: the options of a task type are the annotated fields of its "
                f"class, and a subclass of {task_type} inherits them"
            )
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return get


class _Renamed:
    """A class attribute under an old name, with the warning for its use.

    Args:
        new: name that replaces it.
    """

    def __init__(self, new: str) -> None:
        self._new = new

    def __set_name__(self, owner: type, name: str) -> None:
        self._message = (
            f"{owner.__name__}.{name} is deprecated and will be removed in nlpmtl {REMOVED_IN}: use {self._new} instead"
        )


class RenamedMethod(_Renamed):
    """A class attribute under the old name of a method: it calls the new one, with a warning."""

    def __get__(self, instance: object | None, owner: type) -> Callable[..., Any]:
        method = getattr(owner if instance is None else instance, self._new)

        def call(*args: Any, **kwargs: Any) -> Any:
            warnings.warn(self._message, FutureWarning, stacklevel=2)
            return method(*args, **kwargs)

        return call


class RenamedAttribute(_Renamed):
    """A class attribute under the old name of a field or property: it returns the new one, with a warning."""

    def __get__(self, instance: object | None, owner: type) -> Any:
        if instance is None:
            return self
        warnings.warn(self._message, FutureWarning, stacklevel=2)
        return getattr(instance, self._new)
