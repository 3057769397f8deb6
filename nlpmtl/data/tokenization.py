"""Tokenization: texts or text pairs to token ids, truncated, with the first token of each word.

Several threads may tokenize at once. A fast tokenizer keeps its truncation and padding settings in one object that all
threads share, and transformers sets them in every call, so concurrent calls truncate each other's texts. Here the
settings of a tokenizer never change: it encodes whole texts, and this module and `nlpmtl.data.sliding_window` truncate
or split the token ids.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nlpmtl.data.ragged import Ragged, row_bounds
from nlpmtl.data.token_store import Tokens
from nlpmtl.data.word_alignment import Span, Spans, find_first_tokens_batch
from nlpmtl.errors import DataError, NlpmtlError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def without_truncation(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Return a copy of a fast tokenizer that neither truncates nor pads."""
    copied: Any = copy.deepcopy(tokenizer)
    copied.backend_tokenizer.no_truncation()
    copied.backend_tokenizer.no_padding()
    copied.backend_tokenizer.encode_special_tokens = copied.split_special_tokens
    return copied  # type: ignore[no-any-return]


def encode_untruncated(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, pairs: Sequence[str] | None = None
) -> list[Any]:
    """Encode texts, or pairs of texts, without truncation, special tokens included.

    Args:
        tokenizer: a fast tokenizer. One from `without_truncation` is used as it is, any other is copied in each call.
        texts: the texts.
        pairs: the second text of each pair.

    Returns:
        One ``tokenizers.Encoding`` per text.
    """
    backend: Any = tokenizer.backend_tokenizer
    if backend.truncation is not None or backend.padding is not None:
        backend = without_truncation(tokenizer).backend_tokenizer
    encodings: list[Any] = backend.encode_batch(list(texts) if pairs is None else list(zip(texts, pairs, strict=True)))
    return encodings


@contextmanager
def naming_failing_row(
    tokenizer: PreTrainedTokenizerBase, rows: Iterable[tuple[str, tuple[str, ...]]]
) -> Iterator[None]:
    """Turn an exception in the block into an error that names the row that the tokenizer cannot encode, if any.

    Args:
        tokenizer: a fast tokenizer from `without_truncation`.
        rows: location of each row, and its text or its two texts; only read if the block raises.

    Raises:
        DataError: the tokenizer cannot encode a row.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, NlpmtlError):
        raise
    except BaseException as error:  # a panic of the tokenizer's Rust code is not an Exception
        for place, texts in rows:
            if not _can_encode(tokenizer, texts):
                raise DataError(
                    f"{place}: the encoder's tokenizer fails for this row ({type(error).__name__}: {error}); remove "
                    "the row, or use an encoder with an intact tokenizer.json"
                ) from error
        raise


def _can_encode(tokenizer: PreTrainedTokenizerBase, texts: tuple[str, ...]) -> bool:
    """Return whether a tokenizer can encode a text, or a pair of texts."""
    text, *pair = texts
    try:
        encode_untruncated(tokenizer, [text], pairs=pair or None)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # as above
        return False
    return True


def placeholder_token(tokenizer: PreTrainedTokenizerBase) -> NDArray[np.int32]:
    """Return the token for a text without tokens, ``[1]``: the unknown token, else the padding token.

    A tokenizer without special tokens returns no tokens for an empty text, and an encoder needs at least one.
    """
    token = tokenizer.pad_token_id if tokenizer.unk_token_id is None else tokenizer.unk_token_id
    return np.array([token], dtype=np.int32)


@dataclass(frozen=True)
class TokenizedTexts(Tokens):
    """Tokenized texts: a sequence of each, or its windows.

    Args:
        cut: whether tokens of its text are not in a sequence, ``[sequences]``.
    """

    cut: NDArray[np.bool_] = field(kw_only=True)


def tokenize(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    pairs: Sequence[str] | None = None,
    words: Sequence[Sequence[Span]] | Spans | None = None,
    max_length: int,
    offsets: bool = False,
) -> TokenizedTexts:
    """Tokenize texts or text pairs; with the spans of words (of the first text), find the first token of each word too.

    A row is truncated if it is longer than ``max_length`` tokens; of a pair, the longer text first. A text without
    tokens becomes one unknown token, which belongs to no word. With ``offsets``, those of the tokens are returned too.
    """
    rows = encode_untruncated(tokenizer, texts, pairs=pairs)
    ids: list[Sequence[int]] = [row.ids or placeholder_token(tokenizer).tolist() for row in rows]
    cut = np.array([len(row) > max_length for row in ids], dtype=np.bool_)
    kept = {
        int(i): kept_tokens(sequence_ids(rows[i]), max_length=max_length, side=tokenizer.truncation_side)
        for i in np.flatnonzero(cut)
    }
    takes_types = pairs is not None and "token_type_ids" in tokenizer.model_input_names
    types = [_take(row.type_ids or [0], kept.get(i)) for i, row in enumerate(rows)] if takes_types else None
    first_tokens = None
    if words is not None:
        tokens = Spans.pack([_take(_offsets(row, 0, (0, 0)), kept.get(i)) for i, row in enumerate(rows)])
        first_tokens = find_first_tokens_batch(words if isinstance(words, Spans) else Spans.pack(words), tokens)
    return TokenizedTexts(
        ids=_pack([_take(row, kept.get(i)) for i, row in enumerate(ids)], dtype=np.int32),
        types=None if types is None else _pack(types, dtype=np.int8),
        first_tokens=first_tokens,
        cut=cut,
        offsets=_pack_offsets(rows, kept, last=0 if pairs is None else 1) if offsets else None,
    )


def _offsets(encoding: Any, number: int, outside: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the offsets of the tokens of one text of a pair; ``outside`` for those of the other one."""
    offsets: list[tuple[int, int]] = encoding.offsets
    if number == 0 and encoding.n_sequences == 1 and outside == (0, 0):  # special tokens have these offsets already
        return offsets
    return [span if text == number else outside for span, text in zip(offsets, encoding.sequence_ids, strict=True)]


def _pack_offsets(rows: Sequence[Any], kept: Mapping[int, NDArray[np.int64]], *, last: int) -> Ragged:
    """Return the offsets of the tokens in the last text of each row, ``[tokens, 2]``; -1 outside it."""
    lists = [_take(_offsets(row, last, (-1, -1)) or [(-1, -1)], kept.get(i)) for i, row in enumerate(rows)]
    values = np.array(list(chain.from_iterable(lists)), dtype=np.int32).reshape(-1, 2)
    return Ragged(values, row_bounds(list(map(len, lists))))


def sequence_ids(encoding: Any) -> NDArray[np.floating]:
    """Return for each token whether it is from the first text (0) or the second (1); NaN for special tokens."""
    return np.array(encoding.sequence_ids, dtype=np.float32)


def kept_tokens(sequences: NDArray[np.floating], *, max_length: int, side: str) -> NDArray[np.int64]:
    """Return the indices of the tokens that truncation keeps: all special tokens, and the start (or end) of each text.

    This equals the strategy ``longest_first`` of the `tokenizers` library.

    Args:
        sequences: as `sequence_ids` gives them.
        max_length: the maximum number of tokens, special tokens included.
        side: the side of a text that is truncated, "right" or "left".
    """
    special = np.isnan(sequences)
    kept = special.copy()
    texts = [np.flatnonzero(sequences == number) for number in (0, 1)]
    available = max(0, max_length - int(special.sum()))
    for positions, length in zip(texts, _longest_first(len(texts[0]), len(texts[1]), available=available), strict=True):
        kept[positions[:length] if side == "right" else positions[len(positions) - length :]] = True
    return np.flatnonzero(kept)


def _longest_first(first: int, second: int, *, available: int) -> tuple[int, int]:
    """Return the number of tokens that each text of a pair keeps."""
    if first + second <= available:
        return first, second
    short, long = sorted((first, second))
    long = max(short, available - short) if short <= available else short
    if short + long > available:
        short, long = available // 2, available - available // 2
    return (short, long) if first <= second else (long, short)


def _take(values: Sequence[Any], kept: NDArray[np.int64] | None) -> Sequence[Any]:
    return values if kept is None else [values[index] for index in kept.tolist()]


def _pack(lists: Sequence[Sequence[int]], *, dtype: DTypeLike) -> Ragged:
    bounds = row_bounds(list(map(len, lists)))
    return Ragged(np.fromiter(chain.from_iterable(lists), dtype=dtype, count=int(bounds[-1])), bounds)
