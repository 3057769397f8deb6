"""Loading the config of a run: plugins, file and overrides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nlpmtl.config import RunConfig, describe, find_run, parse_run, plugins_of, read_run, replace_old_overrides
from nlpmtl.errors import ConfigError
from nlpmtl.plugins import import_plugins
from nlpmtl.training import recorded_overrides

Source = str | Path | Mapping[str, Any] | RunConfig
"""A run file, the name of a shipped run file, a dict, or a config."""


def load_config(source: Source, *, overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """Return a validated config. The plugins that it names are imported first.

    Raises:
        ConfigError: the config cannot be read or is invalid; the message has one line per problem.
    """
    if not isinstance(source, str | Path | Mapping | RunConfig):
        kind = type(source).__name__
        raise ConfigError(f"a run file, the name of a shipped one, a dict or a RunConfig was expected, found a {kind}")
    source = find_run(source) if isinstance(source, str | Path) else source
    import_plugins(plugins_of(source, overrides=overrides))
    return parse_run(read_run(source, overrides=overrides), where=describe(source))


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
        ConfigError: the config cannot be read or is invalid.
    """
    merged = replace_old_overrides(overrides)
    if resume and isinstance(source, str | Path | Mapping | RunConfig):
        run = find_run(source) if isinstance(source, str | Path) else source
        directory = output if output is not None else read_run(run, overrides=merged).get("output")
        if isinstance(directory, str | Path):
            merged = {**recorded_overrides(Path(directory), excluding=merged), **merged}
    return load_config(source, overrides=merged), merged
