"""ClassLabel features that `datasets` writes into the metadata of parquet files: the names behind the integers."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pyarrow as pa

_KEY = b"huggingface"


def class_names(schema: pa.Schema, *, columns: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The names of the labels in each column that is a ClassLabel, or a list of them; metadata of others is ignored."""
    try:
        features = json.loads((schema.metadata or {})[_KEY])["info"]["features"]
        found = {column: _names(features[column]) for column in columns if column in features}
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return {column: names for column, names in found.items() if names}


def _names(feature: Any) -> tuple[str, ...]:
    """The names of a feature; lists and sequences hold their items as ``feature``, older files in a list."""
    while isinstance(feature, dict) and "feature" in feature:
        feature = feature["feature"]
    if isinstance(feature, list) and len(feature) == 1:
        feature = feature[0]
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return ()
    names = feature.get("names")
    whole = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return tuple(names or ()) if whole else ()
