"""Tagging scheme of lists of tags: the first of `bio`, `iob1` and `bioes` that at most 1% of the spans contradict."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nlpmtl.data import LabelColumn, Ragged, Scheme, find_contradiction

_LETTERS = ("B-", "I-", "E-", "S-", "L-", "U-", "M-", "W-")


def find_scheme(rows: Sequence[Sequence[str]]) -> Scheme:
    """Return the tagging scheme of the tags of words.

    Args:
        rows: the tags of each row.

    Example:
        >>> find_scheme([["B-person", "I-person", "O"]])
        'bio'
        >>> find_scheme([["NOUN", "VERB"]])
        'plain'
    """
    names = tuple(dict.fromkeys(tag for row in rows for tag in row))
    if not any(name.startswith(_LETTERS) and name[2:] for name in names):
        return "plain"
    codes = {name: code for code, name in enumerate(names)}
    values = Ragged.pack([codes[tag] for tag in row] for row in rows)
    column = LabelColumn("tags", names, np.ones(len(rows), dtype=np.bool_), values)
    contradiction = find_contradiction(column, "bio", train=True)
    return "bio" if contradiction is None else contradiction.fitting or "plain"
