"""Config keys that were renamed in nlpmtl 0.2: the old names are accepted with a warning until 0.3.

Models declare them (`StrictModel.renamed_keys`). They are replaced in each file and each override before these are
merged, so that an override in the new name wins over a file with the old one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nlpmtl.config.dataset import DatasetConfig
from nlpmtl.config.run import EncoderConfig, RunConfig, TrainConfig
from nlpmtl.errors import ConfigError
from nlpmtl.registry import OPTIMIZERS, SAMPLERS, SHARINGS, TASKS, WEIGHTINGS, Registry
from nlpmtl.strict_model import StrictModel, both_given, rename_keys, warn_about_old_key

_TABLES: Mapping[str, type[StrictModel]] = {"": RunConfig, "train": TrainConfig, "encoder": EncoderConfig}
_DEPTH = 4
"""Length of the longest path to a table with renamed keys: datasets.NAME.tasks.NAME."""
_KINDS: Mapping[str, Registry] = {
    "sampling": SAMPLERS,
    "weighting": WEIGHTINGS,
    "sharing": SHARINGS,
    "optimizer": OPTIMIZERS,
}


def replace_old_keys(tables: Mapping[str, Any], *, where: str, warn: bool = True) -> dict[str, Any]:
    """Return the tables of a run file or a dataset file with the present names of all keys.

    Args:
        tables: the content of the file.
        where: the file, for messages.
        warn: whether to warn about old names; False for files that an earlier version wrote.

    Raises:
        ConfigError: a table has both names of a key.
    """
    try:
        replaced: dict[str, Any] = _replace(tables, (), where=f"{where}: " if warn else None)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None
    return replaced


def replace_old_overrides(overrides: Mapping[str, Any], *, warn: bool = True) -> dict[str, Any]:
    """Return overrides with the present names of all keys.

    Args:
        overrides: dotted key = value.
        warn: whether to warn about old names; False for overrides that a run recorded.

    Raises:
        ConfigError: both names of a key are given.
    """
    replaced: dict[str, Any] = {}
    for key, value in overrides.items():
        *tables, last = key.split(".")
        new = ".".join([*tables, _renamed_in(tables, kind=None).get(last, last)])
        if new != key and warn:
            warn_about_old_key(key, new)
        if new in replaced or (new != key and new in overrides):
            raise ConfigError(both_given(key, new))
        replaced[new] = _replace(value, tuple(new.split(".")), where="" if warn else None)
    return replaced


def _replace(value: Any, path: tuple[str, ...], *, where: str | None) -> Any:
    """Return a copy of a value, with the keys of all tables in it replaced.

    Args:
        value: the value at a path.
        path: its dotted key, in parts.
        where: how warnings begin; None: no warnings.
    """
    if not isinstance(value, Mapping) or len(path) > _DEPTH:
        return value
    prefix = "".join(f"{part}." for part in path)
    renamed = _renamed_in(path, kind=value.get("kind"))
    table = rename_keys(value, renamed, prefix=prefix, where=where)
    return {key: _replace(inner, (*path, str(key)), where=where) for key, inner in table.items()}


def _renamed_in(path: Sequence[str], *, kind: object) -> Mapping[str, str]:
    """Return the old and the new names of keys in the table at a path of a run file or a dataset file."""
    match path:
        case ["datasets", _]:
            return DatasetConfig.renamed_keys
        case ["datasets", _, "tasks", _] | ["tasks", _]:
            return _renamed_in_kinds(TASKS, kind)
        case ["sampling" | "weighting" | "sharing" | "optimizer" as section]:
            return _renamed_in_kinds(_KINDS[section], kind)
    model = _TABLES.get(".".join(path))
    return model.renamed_keys if model else {}


def _renamed_in_kinds(registry: Registry, kind: object) -> Mapping[str, str]:
    """Return the renamed keys of a kind; if it isn't known here, those of all kinds that are not a key of any."""
    if isinstance(kind, str) and kind in registry.names():
        return registry.options(kind).renamed_keys
    models = [registry.options(name) for name in registry.names()]
    keys = {key for model in models for key in model.model_fields}
    return {old: new for model in models for old, new in model.renamed_keys.items() if old not in keys}
