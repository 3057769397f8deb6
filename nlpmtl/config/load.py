"""From files, dicts and overrides to checked configs, with errors that name the file and the dotted key."""

from __future__ import annotations

import codecs
import glob
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from nlpmtl.config.dataset import DataConfig, DatasetConfig, are_paths
from nlpmtl.config.messages import instead
from nlpmtl.config.overrides import check_datasets
from nlpmtl.config.renamed_keys import replace_old_keys, replace_old_overrides
from nlpmtl.config.run import RunConfig
from nlpmtl.errors import ConfigError, quote
from nlpmtl.strict_model import MISSING, UNKNOWN, StrictModel

Raw = dict[str, Any]
_OF_A_KEY = "[key]"
"""What pydantic appends to the place of an error in the key of a table, not in its value."""
_TYPE_OF_UNION = re.compile(r"[a-z-]+\[.*\]")
"""What pydantic puts into the place of an error in a value that may be of several types."""
_INSTEAD = {"epochs": "steps", "steps": "epochs", "words": "text", "text": "words"}
"""Keys of which a table has one or the other."""
_UTF_16 = "; it looks like UTF-16 or UTF-32, as some editors save it: save it as UTF-8"
_SECRET_KEY = re.compile(r"token$|secret|password|passwd|api_?key|credential", re.IGNORECASE)
_SECRET = re.compile(r"\b(hf_|sk-|ghp_|github_pat_)[A-Za-z0-9_-]{16,}")
T = TypeVar("T", bound=StrictModel)


def read_run(source: str | Path | Mapping[str, Any] | RunConfig, *, overrides: Mapping[str, Any] | None = None) -> Raw:
    """A run file or dict as plain tables: each `extends` followed, paths resolved, overrides laid over.

    Args:
        source: a run file (what it names is relative to it), or a dict or a config (relative to the working directory).
        overrides: dotted key = value, such as ``{"train.lr": 3e-5}``; paths are relative to the working directory.

    Raises:
        ConfigError: a file is missing, is not TOML, or an `extends` or an override cannot be followed.
    """
    if isinstance(source, str | Path):
        base, raw = Path(source).parent, read_toml(Path(source))
    else:
        base, raw = Path(), _copy(source.model_dump() if isinstance(source, RunConfig) else source)
    where = describe(source)
    raw = replace_old_keys(raw, where=where)
    laid = replace_old_overrides(overrides or {})
    for key in [key for key in laid if key.endswith(".extends")]:
        _lay(raw, key, str(Path.cwd() / str(laid.pop(key))))
    _resolve_encoder(raw, base)
    datasets: Any = raw.get("datasets")
    for name, table in datasets.items() if isinstance(datasets, dict) else ():
        if isinstance(table, dict):
            datasets[name] = _follow_extends(table, base=base, where=f"{where}: datasets.{name}")
    names = list(datasets) if isinstance(datasets, dict) else []
    for key, value in laid.items():
        _lay(raw, key, value)
    check_datasets(raw, laid, names=names)
    return raw


def check_syntax(path: Path, *, overrides: Mapping[str, Any]) -> None:
    """Read a run file, or a dataset file, and the dataset files that it names; what they say is not checked.

    Args:
        path: the file.
        overrides: dotted key = value.

    Raises:
        ConfigError: a file is missing or is not TOML.
    """
    datasets = replace_old_keys(read_toml(path), where=str(path), warn=False).get("datasets")
    overrides = replace_old_overrides(overrides, warn=False)
    for name, table in datasets.items() if isinstance(datasets, dict) else ():
        key = f"datasets.{name}.extends"
        used = table.get("extends") if isinstance(table, dict) else None
        base, used = (Path.cwd(), overrides[key]) if key in overrides else (path.parent, used)
        if isinstance(used, str):
            try:
                read_toml(_resolve(base, used))
            except ConfigError as error:
                raise ConfigError(f"{path}: {key}: {error}") from None


def plugins_of(
    source: str | Path | Mapping[str, Any] | RunConfig, *, overrides: Mapping[str, Any] | None = None
) -> list[str]:
    """The modules that a run wants imported before its kinds are looked up.

    Raises:
        ConfigError: the file cannot be read, or `plugins` is not a list; without them, others would be reported.
    """
    if isinstance(source, RunConfig):
        return list(source.plugins)
    raw = read_toml(Path(source)) if isinstance(source, str | Path) else source
    names = {**raw, **(overrides or {})}.get("plugins", [])
    if not isinstance(names, list | tuple):
        example = names if isinstance(names, str) and names.isprintable() else "my_kinds"
        rule = f'a list of module names was expected, such as ["{example}"]'
        raise ConfigError(f"{describe(source)}: plugins: {rule} (found {quote(names, most=80)})")
    return [name for name in names if isinstance(name, str)]


def read_dataset(path: Path) -> Raw:
    """A dataset file as plain tables, its paths resolved."""
    raw = replace_old_keys(read_toml(path), where=str(path))
    _resolve_files(raw, path.parent)
    return raw


def parse_run(raw: Mapping[str, Any], *, where: str) -> RunConfig:
    """Check a run's tables; every problem stands in one ConfigError."""
    return _parse(RunConfig, raw, where)


def parse_dataset(raw: Mapping[str, Any], *, where: str) -> DatasetConfig:
    """Check a dataset's tables; every problem stands in one ConfigError."""
    return _parse(DatasetConfig, raw, where)


def parse_data(raw: Mapping[str, Any], *, where: str) -> DataConfig:
    """Check a `data` table; every problem is in one ConfigError."""
    return _parse(DataConfig, raw, where)


def describe(source: object) -> str:
    """How an error calls where a config came from."""
    return str(source) if isinstance(source, str | Path) else "config"


def read_toml(path: Path) -> Raw:
    """The tables of a TOML file; ConfigError with the place if it cannot be read."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8").removeprefix("\ufeff")
        tables = tomllib.loads(text.replace("\r\n", "\n").replace("\r", "\n"))
        large = _large(tables)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        marked = error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in error.object
        hint = _UTF_16 if marked else ""
        raise ConfigError(f"{path}: not UTF-8: {error.reason} at byte {error.start}{hint}") from None
    except tomllib.TOMLDecodeError as error:
        if b"\0" in content:
            raise ConfigError(f"{path}: not TOML: a NUL character{_UTF_16}") from None
        raise ConfigError(f"{path}: not TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: cannot be read: its tables or lists are nested too deep") from None
    except ValueError as error:  # a path with a null character, an integer of thousands of digits
        raise ConfigError(f"{str(path)!r}: cannot be read: {error}") from None
    if large is not None:
        raise ConfigError(f"{path}: {large}: an integer of more than 64 bits was found, which TOML does not have")
    return tables


def _large(value: Any, key: str = "") -> str | None:
    """The dotted key of an integer of more than 64 bits, which Python reads, and may be unable to show; None: none."""
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**63 else key
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = (_large(one, f"{key}.{name}" if key else str(name)) for name, one in inside)
    return next((one for one in found if one is not None), None)


def parse_override(text: str) -> tuple[str, Any]:
    """``"train.lr=3e-5"`` as a dotted key and a value: TOML if it reads as such, else a string."""
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise ConfigError(f"--set {text}: write KEY=VALUE, such as train.lr=3e-5")
    try:
        read = tomllib.loads(f"value = {value}")["value"]
        return key.strip(), value.strip() if _large(read, key) is not None else read
    except (ValueError, RecursionError):
        return key.strip(), value.strip()


def dotted(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys; an empty table inside another stays a value."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        inside = isinstance(value, Mapping) and (value or not prefix)
        flat |= dotted(value, f"{prefix}{key}.") if inside else {f"{prefix}{key}": value}
    return flat


def plain_config(config: RunConfig, *, output: Path) -> Raw:
    """A run's config in plain values that mean the same wherever one stands: paths are absolute.

    Args:
        config: the config.
        output: the run's directory, which need not be the config's.
    """
    plain = config.model_dump(mode="json")
    plain["output"] = _absolute(output)
    if os.path.isdir(config.encoder.name):  # noqa: PTH112 (is_dir raises on a long id)
        plain["encoder"]["name"] = _absolute(config.encoder.name)
    for name, dataset in config.datasets.items():
        for split, value in (dataset.data.files or {}).items():
            if isinstance(value, str | Path):
                plain["datasets"][name]["data"]["files"][split] = _absolute_pattern(value)
            elif are_paths(value):
                plain["datasets"][name]["data"]["files"][split] = [_absolute_pattern(one) for one in value]
    return plain


def _absolute(path: str | Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 (it also removes what `..` undoes, which Path.absolute leaves)


def _absolute_pattern(name: str | Path) -> str:
    here = Path(os.path.abspath(os.curdir))  # noqa: PTH100 (as `_absolute`)
    return os.path.normpath(_resolve_pattern(here, name))


def _parse(model: type[T], raw: Mapping[str, Any], where: str) -> T:
    raw = replace_old_keys(raw, where=where)
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        messages: dict[tuple[str, str], list[str]] = {}
        for details in error.errors(include_url=False):
            kind, path = details["type"], [str(part) for part in details["loc"]]
            if kind != UNKNOWN:
                path = [part for part in path if not _TYPE_OF_UNION.fullmatch(part)]
            if kind != UNKNOWN and path[-1:] == [_OF_A_KEY]:
                path.pop()
            message = details["msg"].removeprefix("Value error, ")  # the rules of the outermost table still carry it
            if kind == UNKNOWN and (advice := instead(path)):
                message = f"unknown key; {advice}"
            key = ".".join(path)
            # A rule of the outermost table would show all of it.
            shows_value = key and kind not in ("missing", MISSING)
            value = f" (found {quote(_without_secrets(details['input'], path[-1]), most=80)})" if shows_value else ""
            messages.setdefault((f"{where}: {key + ': ' if key else ''}", value), []).append(message)
        lines = [f"{start}{', or: '.join(parts)}{value}" for (start, value), parts in messages.items()]
        raise ConfigError("\n".join(lines)) from None


def _without_secrets(value: Any, key: str, *, levels: int = 20) -> Any:
    """A value as an error may show it: access tokens and passwords, by their keys or their form, are left out."""
    inner = levels - 1
    if isinstance(value, Mapping | list | tuple) and not levels:  # too deep to be shown, and perhaps to be walked
        return "…"
    if isinstance(value, Mapping):
        return {name: _without_secrets(inside, str(name), levels=inner) for name, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(inside, key, levels=inner) for inside in value]
    return "…" if isinstance(value, str) and (_SECRET_KEY.search(key) or _SECRET.search(value)) else value


def _follow_extends(table: Raw, *, base: Path, where: str) -> Raw:
    """The dataset file that a table names, with the rest of the table laid over it."""
    used = table.pop("extends", None)
    _resolve_files(table, base)
    if used is None:
        return table
    if not isinstance(used, str):
        raise ConfigError(f"{where}.extends: the path of a dataset file was expected, found {used!r}")
    path = _resolve(base, used)
    try:
        raw = read_dataset(path)
    except ConfigError as error:
        raise ConfigError(f"{where}.extends: {error}") from None
    parse_dataset(raw, where=str(path))
    own = table.get("data")
    if isinstance(own, dict) and {"files", "hub"} & own.keys():  # another source replaces the first whole
        raw["data"] = _beside_source(raw["data"], own)
    shape = table.get("input")
    if isinstance(shape, dict):  # another shape of input replaces the first
        raw["input"] = {key: value for key, value in raw["input"].items() if _INSTEAD.get(key) not in shape}
        if "words" in shape:
            raw["input"].pop("pair", None)
    return _merge(raw, table)


def _beside_source(data: Raw, own: Raw) -> Raw:
    """What stays of a file's `data` beside another source: no share for validation where that has such a split."""
    splits = own.get("files", own.get("splits"))
    moot = {"validation"} if isinstance(splits, dict) and "validation" in splits else set()
    return {key: value for key, value in data.items() if key in {"validation", "on_bad_row"} - moot}


def _merge(below: Raw, above: Raw) -> Raw:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _copy(value: Any) -> Any:
    return {key: _copy(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _lay(raw: Raw, key: str, value: Any) -> None:
    """Set a dotted key, making tables on the way; another key that says the same in other words is dropped."""
    *tables, last = key.split(".")
    if not all(part.strip() for part in (*tables, last)):
        raise ConfigError(f"{key!r}: a part of this dotted key is empty; write the whole key, such as train.lr")
    for name in tables:
        raw = raw.setdefault(name, {})
        if not isinstance(raw, dict):
            raise ConfigError(f"{key}: {name!r} is no table, so nothing can be set inside it")
    raw[last] = value
    if tables[-1:] in (["train"], ["input"]):
        raw.pop(_INSTEAD.get(last, ""), None)


def _resolve(base: Path, name: str | Path) -> Path:
    """A path as it is written, from the folder that it is relative to."""
    try:
        return base / Path(name).expanduser()
    except RuntimeError:
        raise ConfigError(f"{name}: there is no such home directory") from None


def _resolve_pattern(base: Path, name: str | Path) -> str:
    """The path of a file, or a pattern: characters of the folder's own name have no special meaning in it."""
    path = str(_resolve(base, name))
    if not glob.has_magic(str(name)) or os.path.exists(path):  # noqa: PTH110 (exists raises on a long name)
        return path
    return str(_resolve(Path(glob.escape(str(base))), name))


def _resolve_files(raw: Raw, base: Path) -> None:
    data = raw.get("data")
    files = data.get("files") if isinstance(data, dict) else None
    if isinstance(files, dict):
        for split, value in files.items():
            if isinstance(value, str | Path):
                files[split] = _resolve_pattern(base, value)
            elif are_paths(value):
                files[split] = [_resolve_pattern(base, one) for one in value]


def _resolve_encoder(raw: Raw, base: Path) -> None:
    """A directory beside the file wins over a Hub id of the same spelling."""
    encoder = raw.get("encoder")
    if not isinstance(encoder, dict):
        return
    name = encoder.get("name")
    if isinstance(name, str) and not name.startswith("package:"):
        path = _resolve(base, name)
        if os.path.isdir(path) or name.startswith((".", "~", os.sep)):  # noqa: PTH112 (is_dir raises on a long id)
            encoder["name"] = str(path)
