"""Fast tokenizers that several threads may use at once.

A fast tokenizer keeps its truncation and padding settings in one object that all threads share, and transformers sets
them in every call, so concurrent calls truncate each other's texts. Here the settings of a tokenizer never change: it
encodes whole texts, and `nlpmtl.data.tokenization` and `nlpmtl.data.sliding_window` truncate or split the token ids.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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


def find_failing_text(tokenizer: PreTrainedTokenizerBase, rows: Sequence[tuple[str, ...]]) -> int | None:
    """Return the index of the first row that the tokenizer cannot encode; None if it can encode each of them.

    Args:
        tokenizer: a fast tokenizer from `without_truncation`.
        rows: the text of each row, or its two texts.
    """
    for number, (text, *pair) in enumerate(rows):
        try:
            encode_untruncated(tokenizer, [text], pairs=pair or None)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # a panic of the tokenizer's Rust code is not an Exception
            return number
    return None


def placeholder_token(tokenizer: PreTrainedTokenizerBase) -> NDArray[np.int32]:
    """Return the token for a text without tokens, ``[1]``: the unknown token, else the padding token.

    A tokenizer without special tokens returns no tokens for an empty text, and an encoder needs at least one.
    """
    token = tokenizer.pad_token_id if tokenizer.unk_token_id is None else tokenizer.unk_token_id
    return np.array([token], dtype=np.int32)
