"""ClassLabel names in the metadata that `datasets` writes into Parquet files."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pyarrow as pa

_KEY = b"huggingface"


def class_names(schema: pa.Schema, *, columns: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the label names of each column that is a ClassLabel or a list of ClassLabels."""
    try:
        features = json.loads((schema.metadata or {})[_KEY])["info"]["features"]
        names = {column: _names(features[column]) for column in columns if column in features}
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return {column: column_names for column, column_names in names.items() if column_names}


def _names(feature: Any) -> tuple[str, ...]:
    """Return the names of a feature; lists and sequences have an item ``feature``, older files a list of one."""
    while isinstance(feature, dict) and "feature" in feature:
        feature = feature["feature"]
    if isinstance(feature, list) and len(feature) == 1:
        feature = feature[0]
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return ()
    names = feature.get("names")
    valid = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return tuple(names or ()) if valid else ()
