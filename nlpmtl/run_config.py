"""The config of a run, from its file and its overrides; the plugins that it names are imported first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nlpmtl.config import RunConfig, describe, find_run, parse_run, plugins_of, read_run, replace_old_overrides
from nlpmtl.errors import ConfigError
from nlpmtl.plugins import import_plugins
from nlpmtl.training import recorded_overrides

Source = str | Path | Mapping[str, Any] | RunConfig
"""A run file, the name of a shipped one, a dict, or a config."""


def load_config(source: Source, *, overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """A checked config; the members of the house and the plugins that it names are imported first.

    Raises:
        ConfigError: it cannot be read, or says something that cannot be done: every problem, one a line.
    """
    if not isinstance(source, str | Path | Mapping | RunConfig):
        kind = type(source).__name__
        raise ConfigError(f"a run file, the name of a shipped one, a dict or a RunConfig was expected, found a {kind}")
    found = find_run(source) if isinstance(source, str | Path) else source
    import_plugins(plugins_of(found, overrides=overrides))
    return parse_run(read_run(found, overrides=overrides), where=describe(found))


def load_run(
    source: Source, *, output: str | Path | None, resume: bool, overrides: Mapping[str, Any]
) -> tuple[RunConfig, dict[str, Any]]:
    """The config of a run, and its overrides: when it is resumed, those that run.json records are applied too.

    Args:
        source: as of `train`.
        output: the run's directory; None: the config's.
        resume: whether it is resumed.
        overrides: dotted key = value; they win over those that are recorded.

    Raises:
        ConfigError: as `load_config` raises it.
    """
    laid = overrides = replace_old_overrides(overrides)
    if resume and isinstance(source, str | Path | Mapping | RunConfig):
        found = find_run(source) if isinstance(source, str | Path) else source
        directory = output if output is not None else read_run(found, overrides=overrides).get("output")
        if isinstance(directory, str | Path):
            laid = {**recorded_overrides(Path(directory), excluding=overrides), **overrides}
    return load_config(source, overrides=laid), laid
