"""Checks of overrides, such as ``train.lr=3e-5``, against the run that they change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nlpmtl.errors import ConfigError, did_you_mean


def check_datasets(raw: Mapping[str, Any], overrides: Mapping[str, Any], *, names: Sequence[str]) -> None:
    """Refuse overrides of a dataset that the run does not have and that the overrides do not define.

    Args:
        raw: tables of the run with the overrides.
        overrides: dotted key = value.
        names: names of the datasets without the overrides.

    Raises:
        ConfigError: a dataset is unknown.
    """
    datasets = raw.get("datasets")
    if not isinstance(datasets, Mapping):  # validation names the wrong value
        return
    for key in overrides:
        table, _, rest = key.partition(".")
        name = rest.partition(".")[0]
        if table == "datasets" and names and name != rest and name not in names and not _has_data(datasets.get(name)):
            raise ConfigError(f"{key}: the run has no dataset {name!r}; {did_you_mean(name, names)}")


def _has_data(dataset: Any) -> bool:
    return isinstance(dataset, Mapping) and bool({"data", "from"} & dataset.keys())
