"""Aliases for renamed methods and attributes, which warn when they are used."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

REMOVED_IN = "0.3"
"""The version that removes the names that 0.2 deprecates."""


class RenamedMethod:
    """A class attribute under the old name of a method: it calls the new one, with a warning.

    Args:
        new: name of the method that replaces it.
    """

    def __init__(self, new: str) -> None:
        self._new = new

    def __set_name__(self, owner: type, name: str) -> None:
        self._message = (
            f"{owner.__name__}.{name} is deprecated and will be removed in nlpmtl {REMOVED_IN}: use {self._new} instead"
        )

    def __get__(self, instance: object | None, owner: type) -> Callable[..., Any]:
        method = getattr(owner if instance is None else instance, self._new)

        def call(*args: Any, **kwargs: Any) -> Any:
            warnings.warn(self._message, FutureWarning, stacklevel=2)
            return method(*args, **kwargs)

        return call


class RenamedAttribute:
    """A class attribute under the old name of a field or property: it returns the new one, with a warning.

    Args:
        new: name of the attribute that replaces it.
    """

    def __init__(self, new: str) -> None:
        self._new = new

    def __set_name__(self, owner: type, name: str) -> None:
        self._message = (
            f"{owner.__name__}.{name} is deprecated and will be removed in nlpmtl {REMOVED_IN}: use {self._new} instead"
        )

    def __get__(self, instance: object | None, owner: type) -> Any:
        if instance is None:
            return self
        warnings.warn(self._message, FutureWarning, stacklevel=2)
        return getattr(instance, self._new)
