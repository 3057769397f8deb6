"""Loading configs: files, dicts and overrides, merged into plain tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nlpmtl.config.overrides import check_datasets
from nlpmtl.config.parse import parse_dataset
from nlpmtl.config.renamed_keys import replace_old_keys, replace_old_overrides
from nlpmtl.config.resolve_paths import resolve_encoder, resolve_files, resolve_path
from nlpmtl.config.run import RunConfig
from nlpmtl.config.toml import read_toml
from nlpmtl.errors import ConfigError, quote

Raw = dict[str, Any]
_ALTERNATIVES = {"epochs": ("steps",), "steps": ("epochs",), "words": ("text", "pair"), "text": ("words",)}
"""Key = keys that a table cannot have as well."""
_PINS = ("revision", "sha256")
"""Keys of `encoder` that belong to its name: an override of the name removes them."""


def read_run(source: str | Path | Mapping[str, Any] | RunConfig, *, overrides: Mapping[str, Any] | None = None) -> Raw:
    """Return a run as plain tables, with dataset files merged, paths resolved and overrides applied.

    Args:
        source: a run file (its paths are relative to it), or a dict or a config (relative to the working directory).
        overrides: dotted key = value, such as ``{"train.lr": 3e-5}``; paths are relative to the working directory.

    Raises:
        ConfigError: a file is missing or not TOML, or `extends` or an override is invalid.
    """
    if isinstance(source, str | Path):
        base, raw = Path(source).parent, read_toml(Path(source))
    else:
        # Without defaults, which may not be keys of another kind that an override names.
        plain = source.model_dump(exclude_unset=True) if isinstance(source, RunConfig) else source
        base, raw = Path(), _copy(plain)
    where = source_name(source)
    raw = replace_old_keys(raw, where=where)
    overrides = replace_old_overrides(overrides or {})
    dataset_files = {key: value for key, value in overrides.items() if key.endswith(".extends")}
    for key, path in dataset_files.items():  # before the dataset files are read
        _set(raw, key, str(resolve_path(Path.cwd(), str(path))))
    resolve_encoder(raw, base)
    datasets: Any = raw.get("datasets")
    for name, table in _tables(datasets):
        datasets[name] = _merge_dataset_file(table, base=base, where=f"{where}: datasets.{name}")
    names = list(datasets) if isinstance(datasets, dict) else []
    others = {key: value for key, value in overrides.items() if key not in dataset_files}
    encoder = raw.get("encoder")
    if "encoder.name" in others and isinstance(encoder, dict) and encoder.get("name") != others["encoder.name"]:
        raw["encoder"] = {key: value for key, value in encoder.items() if key not in _PINS}
    _remove_other_sources(raw, others)
    for key, value in others.items():
        _set(raw, key, value)
    check_datasets(raw, others, names=names)
    for _, table in _tables(raw.get("datasets")):
        resolve_files(table, Path())
    return raw


def plugins_of(
    source: str | Path | Mapping[str, Any] | RunConfig, *, overrides: Mapping[str, Any] | None = None
) -> list[str]:
    """Return the modules that must be imported before the kinds of a run are looked up.

    Raises:
        ConfigError: the file cannot be read, or `plugins` is not a list.
    """
    names = read_top_level_key(source, "plugins", overrides=overrides or {})
    names = [] if names is None else names
    if not isinstance(names, list | tuple):
        example = names if isinstance(names, str) and names.isprintable() else "my_kinds"
        rule = f'a list of module names was expected, such as ["{example}"]'
        raise ConfigError(f"{source_name(source)}: plugins: {rule} (found {quote(names, limit=80)})")
    return [name for name in names if isinstance(name, str)]


def read_top_level_key(
    source: str | Path | Mapping[str, Any] | RunConfig, key: str, *, overrides: Mapping[str, Any]
) -> Any:
    """Return the value of a key outside of the tables of a run, without its dataset files; None if it is missing.

    Unlike `read_run`, this does not need the plugins of the run.

    Raises:
        ConfigError: the file cannot be read.
    """
    if key in overrides:
        return overrides[key]
    if isinstance(source, RunConfig):
        return getattr(source, key)
    return (read_toml(Path(source)) if isinstance(source, str | Path) else source).get(key)


def read_dataset(path: Path) -> Raw:
    """Return a dataset file as plain tables, with paths resolved.

    Raises:
        ConfigError: the file is missing or is not TOML.
    """
    raw = replace_old_keys(read_toml(path), where=str(path))
    resolve_files(raw, path.parent)
    return raw


def source_name(source: object) -> str:
    """Return the name of a config's source for errors."""
    return str(source) if isinstance(source, str | Path) else "config"


def _merge_dataset_file(table: Raw, *, base: Path, where: str) -> Raw:
    """Return a dataset's table merged into the dataset file that it extends."""
    dataset_file = table.pop("extends", None)
    resolve_files(table, base)
    if dataset_file is None:
        return table
    if not isinstance(dataset_file, str):
        raise ConfigError(f"{where}.extends: the path of a dataset file was expected, found {dataset_file!r}")
    path = resolve_path(base, dataset_file)
    try:
        raw = read_dataset(path)
    except ConfigError as error:
        raise ConfigError(f"{where}.extends: {error}") from None
    parse_dataset(raw, where=str(path))
    data = table.get("data")
    if isinstance(data, dict) and {"files", "hub"} & data.keys():  # another source replaces that of the file
        raw["data"] = _kept_with_other_source(raw["data"], data)
    columns = table.get("input")
    if isinstance(columns, dict):  # another type of input replaces that of the file
        replaced = {other for key in columns for other in _ALTERNATIVES.get(key, ())}
        raw["input"] = {key: value for key, value in raw["input"].items() if key not in replaced}
    return _merge(raw, table)


def _tables(datasets: Any) -> list[tuple[str, Raw]]:
    """Return the datasets that are tables, by name; validation names the others."""
    tables = datasets.items() if isinstance(datasets, dict) else ()
    return [(name, table) for name, table in tables if isinstance(table, dict)]


def _remove_other_sources(raw: Raw, overrides: Mapping[str, Any]) -> None:
    """Remove `files` of the datasets for which the overrides set `hub`, and `hub` of those for which they set `files`.

    Overrides that replace the source do so as a run file that extends a dataset file.
    """
    changes: Raw = {}
    for key, value in overrides.items():
        if key.startswith("datasets."):
            _set(changes, key, _copy(value))
    tables = dict(_tables(raw.get("datasets")))
    for name, change in _tables(changes.get("datasets")):
        data, source = tables.get(name, {}).get("data"), change.get("data")
        if isinstance(data, dict) and isinstance(source, dict):
            for key, other in (("files", "hub"), ("hub", "files")):
                if key in source and other in data:
                    tables[name]["data"] = _kept_with_other_source(data, source)


def _kept_with_other_source(data: Raw, source: Raw) -> Raw:
    """Return the keys of `data` that survive when another source replaces the first.

    `validation` is dropped if the new source has a validation split.
    """
    splits = source.get("files", source.get("splits"))
    kept = {"on_bad_row"} if isinstance(splits, dict) and "validation" in splits else {"on_bad_row", "validation"}
    return {key: value for key, value in data.items() if key in kept}


def _merge(base: Raw, overrides: Raw) -> Raw:
    """Return nested tables with the values of others applied."""
    merged = dict(base)
    for key, value in overrides.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _copy(value: Any) -> Any:
    return {key: _copy(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _set(raw: Raw, key: str, value: Any) -> None:
    """Set a dotted key; missing tables are created, and an alternative to the key is removed."""
    *tables, last = key.split(".")
    if not all(part.strip() for part in (*tables, last)):
        raise ConfigError(f"{key!r}: a part of this dotted key is empty; write the whole key, such as train.lr")
    for name in tables:
        raw = raw.setdefault(name, {})
        if not isinstance(raw, dict):
            raise ConfigError(f"{key}: {name!r} is not a table, so no key can be set inside it")
    raw[last] = value
    if tables[-1:] in (["train"], ["input"]):
        for other in _ALTERNATIVES.get(last, ()):
            raw.pop(other, None)
