"""Registries: the classes of each `kind` of a config file, and the metrics, by name.

A class is registered under one name, with a model of the options that a config can give it:

    class TemperatureOptions(SamplingOptions):
        temperature: float = Field(2.0, gt=0)
        "Sampling temperature."

    @SAMPLERS.register("temperature", TemperatureOptions)
    class Temperature(Sampler):
        other_names = "temperature_sampling"

The error about an unknown name recognises `other_names`, those that other tools use.

The modules of members, and the user's plugins, must have been imported before names are looked up. Only the built-in
sharing schemes, which need torch, are imported when they are used.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from nlpmtl.errors import ConfigError, did_you_mean
from nlpmtl.strict_model import StrictModel

T = TypeVar("T")

_MAX_NAME_LENGTH = 100


class KindOptions(StrictModel):
    """Base class of the options of a kind."""

    kind: str
    """Registered name."""


class Registry:
    """Registered classes by name, with their options.

    Args:
        noun: noun for a member in errors, such as ``"sampler"``.
        renamed: names that methods and attributes of members had in nlpmtl 0.1: old name = new name.
    """

    def __init__(self, noun: str, *, renamed: Mapping[str, str] | None = None) -> None:
        self.noun, self.renamed = noun, renamed or {}
        self._members: dict[str, tuple[type | str, type[KindOptions]]] = {}

    def register(self, name: str, options: type[KindOptions] | None = None) -> Callable[[type[T]], type[T]]:
        """Register the decorated class under a name.

        Args:
            name: the name.
            options: the model of its options; default: what the method `options_model` of the class returns, or its
                `default_options`, or no options.

        Raises:
            ValueError: the name is taken by another class.
            ConfigError: the class defines a method by the name that it had in nlpmtl 0.1, declares its options itself
                and is given a model of them as well, or breaks the rules of task types; `options` does not derive from
                its `default_options`.
        """

        def add(member: type[T]) -> type[T]:
            reject_old_names(member, self.renamed)
            known = self._members[name][0] if name in self._members else member
            module = known if isinstance(known, str) else known.__module__
            is_other = isinstance(known, type) and known.__qualname__ != member.__qualname__
            if module != member.__module__ or is_other:
                raise ValueError(f"the {self.noun} {name!r} is already registered, by {module}")
            self._members[name] = (member, self._options_of(name, member, options))
            return member

        return add

    def register_lazily(self, name: str, options: type[KindOptions], *, module: str) -> None:
        """Register the options of a class whose module is imported when the class is first used.

        Args:
            name: the name.
            options: the model of its options.
            module: the module, which registers the class under the same name.
        """
        self._members[name] = (module, options)

    def _options_of(self, name: str, member: type, options: type[KindOptions] | None) -> type[KindOptions]:
        make = getattr(member, "options_model", None)
        if make is None:
            base: type[KindOptions] = getattr(member, "default_options", KindOptions)
            if options is not None and not issubclass(options, base):
                raise ConfigError(f"the options of the {self.noun} {name!r} must derive from {base.__name__}")
            return options or base
        if options is not None:
            raise ConfigError(
                f"{member.__module__}.{member.__qualname__} is registered with {options.__name__}, as in nlpmtl 0.1: "
                f"register it under its name only, ({name!r}), and declare its options as annotated fields of the class"
            )
        kind = getattr(member, "kind", None)
        if kind != name:
            where = f"{member.__module__}.{member.__qualname__}"
            raise ConfigError(f"{where} is registered as {name!r}, but its attribute `kind` is {kind!r}")
        model: type[KindOptions] = make()
        return model

    def parse(self, value: Any) -> KindOptions:
        """Return the options of a mapping with a ``kind``. Options of a kind are returned as they are.

        Raises:
            ValueError: ``kind`` is missing or unknown, or the options are not those of their kind.
            pydantic.ValidationError: a key of the kind is missing, unknown or invalid.
        """
        if isinstance(value, KindOptions):
            expected = self.options(value.kind)
            if not isinstance(value, expected):
                raise ValueError(
                    f"the options of the {self.noun} {value.kind!r} are {expected.__name__}, found "
                    f"{type(value).__name__}: write a table with a `kind`"
                )
            return value
        if not isinstance(value, Mapping):
            name = self._translate(value) or value
            hint = f'; write {{ kind = "{name}" }}' if name in self.names() else ""
            raise ValueError(f"a table with a `kind` was expected{hint}")
        if "kind" not in value:
            raise ValueError(f"`kind` is missing; known: {', '.join(self.names())}")
        return self.options(value["kind"]).model_validate(dict(value))

    def build(self, options: KindOptions, base: type[T], *, exclude: Collection[str] = (), **context: Any) -> T:
        """Create an instance of the class of some options.

        Args:
            options: options that `parse` returned; their fields become keyword arguments.
            base: expected base class.
            exclude: fields that are not passed.
            context: further keyword arguments.

        Raises:
            ConfigError: the class does not derive from `base`, or lacks methods.
        """
        member = self.get(options.kind)
        if not issubclass(member, base):
            raise ConfigError(f"the {self.noun} {options.kind!r} is not a subclass of {base.__name__}")
        if missing := sorted(getattr(member, "__abstractmethods__", ())):
            where = f"{member.__module__}.{member.__qualname__}"
            raise ConfigError(f"the {self.noun} {options.kind!r}, {where}, must define {', '.join(missing)}")
        fields = {name: getattr(options, name) for name in type(options).model_fields if name not in {"kind", *exclude}}
        return member(**fields, **context)

    def get(self, name: str) -> type:
        """Return the class of a name; ValueError with the nearest known name if it is unknown."""
        member = self._find(name)[0]
        if isinstance(member, str):
            importlib.import_module(member)
            member = self._find(name)[0]
        assert isinstance(member, type), f"{member} does not register {name!r}"
        return member

    def options(self, name: str) -> type[KindOptions]:
        """Return the options model of a name; ValueError with the nearest known name if it is unknown."""
        return self._find(name)[1]

    def names(self) -> list[str]:
        """Return the registered names, sorted."""
        return sorted(self._members)

    def _find(self, name: object) -> tuple[type | str, type[KindOptions]]:
        if not isinstance(name, str) or name not in self._members:
            registered = self._translate(name)
            hint = f"write {registered!r}" if registered else did_you_mean(str(name), self._members)
            raise ValueError(f"unknown {self.noun} {name!r}; {hint}")
        return self._members[name]

    def _translate(self, name: object) -> str | None:
        """Return the registered name that is spelled like a name, or whose class has it among its `other_names`.

        The options list the `other_names` of a class that is imported when it is used.
        """
        other = _squash(str(name)[:_MAX_NAME_LENGTH])
        for registered in self.names():
            known = [registered]
            for cls in self._members[registered]:
                attributes = getattr(cls, "__dict__", {})  # without those of its base classes
                known += attributes.get("other_names", "").split()
            if other in map(_squash, known):
                return registered
        return None


def _squash(name: str) -> str:
    """Return a name without what differs between tools: case, underscores, hyphens and spaces."""
    return re.sub("[-_ ]+", "", name.lower())


def reject_old_names(member: type, renamed: Mapping[str, str]) -> None:
    """Refuse a class that defines methods or attributes by names of nlpmtl 0.1, which are no longer called.

    Args:
        member: the class; its base classes are checked too.
        renamed: old name = new name.

    Raises:
        ConfigError: the class defines old names; the message lists them with the new ones.
    """
    defined = {name for base in member.__mro__ for name in vars(base)}
    old_names = [name for name in renamed if name in defined]
    if old_names:
        changes = ", ".join(f"`{name}` to `{renamed[name]}`" for name in old_names)
        raise ConfigError(f"{member.__module__}.{member.__qualname__} is written for nlpmtl 0.1: rename {changes}")


TASKS = Registry(
    "task type",
    renamed={
        "choose": "decode",
        "choose_rows": "decode",
        "present": "format",
        "present_rows": "format",
        "spec": "to_config",
        "follow": "continue_from",
        "compare": "error_analysis",
        "shape": "columns",
        "default_metrics": "metrics",
        "head": "build_head",
        "level": "build_head",
    },
)
SAMPLERS = Registry(
    "sampler",
    renamed={"learn": "update", "start": "initial_state", "choose": "draw", "of_datasets": "per_dataset"},
)
WEIGHTINGS = Registry(
    "weighting",
    renamed={
        "weigh": "compute_weights",
        "learn": "update",
        "learns": "is_adaptive",
        "looks_back": "needs_post_step_losses",
        "sight": "requires",
        "memory": "state",
    },
)
SHARINGS = Registry(
    "sharing scheme",
    renamed={
        "own": "task_parameters",
        "added": "added_shared_parameters",
        "initialise": "init_parameters",
        "encoder_of": "standalone_encoder",
        "cost": "relative_flops",
        "after_step": "post_step",
        "relations": "task_relations",
        "record": "capture_cuda_graphs",
    },
)
LOSSES = Registry("loss function")
OPTIMIZERS = Registry("optimizer")
SCHEDULES = Registry("learning-rate schedule")
METRICS = Registry("metric")
COLUMN_TYPES = Registry("column type")
