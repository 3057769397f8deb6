"""Texts as wordpieces, and the place of each word among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from transformers import PreTrainedTokenizerBase

from nlpmtl.data.align import Span, Spans, all_first_pieces
from nlpmtl.data.ragged import Ragged


@dataclass(frozen=True)
class Pieces:
    """Texts as wordpieces.

    Args:
        ids: the wordpieces of each text, special tokens included.
        types: the segment of each wordpiece, where the encoder tells two texts apart by it.
        firsts: the first wordpiece of each word, −1 for a word without one; None where words were not asked for.
        cut: whether each text was longer than the limit.
    """

    ids: Ragged
    types: Ragged | None
    firsts: Ragged | None
    cut: NDArray[np.bool_]


def tokenize(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    pairs: Sequence[str] | None = None,
    words: Sequence[Sequence[Span]] | Spans | None = None,
    max_length: int,
) -> Pieces:
    """Texts, or pairs of them, as wordpieces; with words, the place of each word too.

    The longer text of a pair is cut first. A row is cut only if it is longer than ``max_length`` wordpieces.
    """
    encoding = tokenizer(
        list(texts),
        list(pairs) if pairs is not None else None,
        truncation=True,
        max_length=max_length,
        return_token_type_ids=False,
        return_attention_mask=False,
        return_overflowing_tokens=False,
        verbose=False,
    )
    rows: Sequence[Any] = encoding.encodings or ()
    ids = _pack(rows, lambda row: row.ids, dtype=np.int32)
    takes_types = pairs is not None and "token_type_ids" in tokenizer.model_input_names
    firsts = None
    if words is not None:
        pieces = Spans.pack([row.offsets for row in rows])
        firsts = all_first_pieces(words if isinstance(words, Spans) else Spans.pack(words), pieces)
    return Pieces(
        ids=ids,
        types=_pack(rows, lambda row: row.type_ids, dtype=np.int8) if takes_types else None,
        firsts=firsts,
        cut=np.array([bool(row.overflowing) for row in rows], dtype=np.bool_),
    )


def _pack(rows: Sequence[Any], of: Callable[[Any], Sequence[int]], *, dtype: DTypeLike) -> Ragged:
    lists = [of(row) for row in rows]
    bounds = np.zeros(len(lists) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, lists), dtype=np.int64, count=len(lists)), out=bounds[1:])
    return Ragged(np.fromiter(chain.from_iterable(lists), dtype=dtype, count=int(bounds[-1])), bounds)
