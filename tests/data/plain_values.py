"""Tokenised rows as plain Python values, for comparisons."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from nlpmtl.data.arrow_tables import TableRows
from nlpmtl.data.label_columns import LabelColumn
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.token_store import Tokens, TokenStore
from nlpmtl.data.tokenized_split import TokenizedSplit


def all_tokens(split: TokenizedSplit) -> Tokens:
    """Return all token sequences of a split."""
    return split.tokens.take(np.arange(len(split.tokens.lengths)))


def plain(value: Any) -> Any:
    """Return nested lists, dtypes and names; NaN becomes a string, so that it equals itself."""
    if isinstance(value, TokenStore):
        value = value.take(np.arange(len(value.lengths)))
    if isinstance(value, TokenizedSplit | LabelColumn | Ragged | Tokens):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value) if field.name != "key"}
    if isinstance(value, TableRows):
        return value.table.schema, value.table.to_pylist()
    if isinstance(value, np.ndarray):
        return str(value.dtype), ["nan" if number != number else number for number in value.tolist()]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value
