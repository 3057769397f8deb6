"""Tokenised rows as plain Python values, for comparisons."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from nlpmtl.data.examples import ArrowBatches
from nlpmtl.data.label_columns import LabelColumn
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.tokenized_split import TokenizedSplit


def plain(value: Any) -> Any:
    """Return nested lists, dtypes and names; NaN becomes a string, so that it equals itself."""
    if isinstance(value, TokenizedSplit | LabelColumn | Ragged):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value) if field.name != "key"}
    if isinstance(value, ArrowBatches):
        return value.schema, value.table().to_pylist()
    if isinstance(value, np.ndarray):
        return str(value.dtype), ["nan" if number != number else number for number in value.tolist()]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def arrays(value: Any) -> list[np.ndarray[Any, Any]]:
    """Return all arrays of tokenised rows."""
    if isinstance(value, TokenizedSplit | LabelColumn | Ragged):
        return [array for field in fields(value) for array in arrays(getattr(value, field.name))]
    if isinstance(value, dict):
        return [array for item in value.values() for array in arrays(item)]
    return [value] if isinstance(value, np.ndarray) else []
