"""Loading the config of a run: plugins, file and overrides.

It does not import torch, so a mistake in a config is reported at once. The built-in task types, samplers, weightings
and metrics are imported here, so that a config can name them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nlpmtl.metrics
import nlpmtl.sampling
import nlpmtl.tasks
import nlpmtl.weighting  # noqa: F401
from nlpmtl.config import (
    DatasetConfig,
    RunConfig,
    check_flag,
    check_output,
    find_run_file,
    parse_dataset,
    parse_run,
    plugins_of,
    read_dataset,
    read_run,
    read_toml,
    read_top_level_key,
    replace_old_overrides,
    source_name,
)
from nlpmtl.environment import check_environment
from nlpmtl.errors import ConfigError, quote
from nlpmtl.plugins import import_plugins

Source = str | Path | Mapping[str, Any] | RunConfig
"""A run file, the name of a built-in run file, a dict, or a config."""


def load_config(source: Source, *, overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """Return a validated config. The plugins that it names are imported first.

    Raises:
        ConfigError: the config cannot be read or is invalid, or a variable of Accelerate in the environment is invalid;
            the message has one line per problem.
    """
    check_environment()
    if not isinstance(source, str | Path | Mapping | RunConfig):
        kind = type(source).__name__
        raise ConfigError(
            f"a run file, the name of a built-in one, a dict or a RunConfig was expected, found type {kind}"
        )
    source = find_run_file(source) if isinstance(source, str | Path) else source
    import_plugins(plugins_of(source, overrides=overrides))
    return parse_run(read_run(source, overrides=overrides), where=source_name(source))


def load_run(
    source: Source, *, output: str | Path | None, resume: bool, overrides: Mapping[str, Any]
) -> tuple[RunConfig, dict[str, Any]]:
    """Return the config of a run and its overrides; a resumed run applies the overrides in its run.json again.

    Args:
        source: as for `train`.
        output: directory of the run; None: `output` of the config.
        resume: whether the run is resumed.
        overrides: dotted key = value; they take precedence over the recorded ones.

    Raises:
        ConfigError: the config cannot be read or is invalid, or `resume` is not true or false.
    """
    merged = replace_old_overrides(overrides)
    if check_flag(resume, name="resume") and isinstance(source, str | Path | Mapping | RunConfig):
        run = find_run_file(source) if isinstance(source, str | Path) else source
        directory = output if output is not None else read_top_level_key(run, "output", overrides=merged)
        if isinstance(directory, str | Path):
            from nlpmtl.training import recorded_overrides

            merged = {**recorded_overrides(check_output(directory), excluding=merged), **merged}
    return load_config(source, overrides=merged), merged


def load_datasets(
    data: str | Path | Mapping[str, Any], *, overrides: Mapping[str, Any] | None = None
) -> Mapping[str, DatasetConfig]:
    """Return the datasets of a run, or the dataset of a dataset file or of a dict, by name.

    Args:
        data: a run file, the name of a built-in one, or a dataset file; or a dict of either.
        overrides: dotted key = value, for a run.

    Raises:
        ConfigError: the config cannot be read or is invalid, or there are overrides for a dataset.
    """
    if isinstance(data, Mapping) and "data" in data:
        _refuse_overrides(overrides or {}, where="config")
        return {"data": parse_dataset(data, where="config")}
    values = tuple(data.values()) if isinstance(data, Mapping) else ()
    splits = values and not any(isinstance(value, Mapping | str | int) for value in values)
    if splits or not isinstance(data, str | Path | Mapping | RunConfig):
        kind = type(data).__name__
        description = f"a {kind} of splits" if splits else f"type {kind}"
        raise ConfigError(
            f"expected a run file, a dataset file, or a dict of either, found {description}. Pass rows in "
            'memory as {"data": {"files": {"validation": rows}}, "input": {"text": "…"}, "tasks": {…}}'
        )
    if isinstance(data, str | Path):
        path = find_run_file(data)
        if "data" in read_toml(path):
            _refuse_overrides(overrides or {}, where=str(path))
            return {path.stem: parse_dataset(read_dataset(path), where=str(path))}
    return load_config(data, overrides=overrides).datasets


def _refuse_overrides(overrides: Mapping[str, Any], *, where: str) -> None:
    """Refuse overrides of the keys of a run for a dataset file, or for the dict of a dataset."""
    for key, value in overrides.items():
        raise ConfigError(
            f"{where}: {key}: there is no such argument, and only the keys of a run can be overridden, not those of a "
            f"dataset: change the dataset (found {quote(value, limit=80)})"
        )
