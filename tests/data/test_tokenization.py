"""Tokenization of batches, compared with single texts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpmtl.data.ragged import Ragged
from nlpmtl.data.tokenization import tokenize
from nlpmtl.data.word_alignment import Spans, find_first_tokens, join_words, split_words
from tests.data.plain_values import plain
from tests.tiny_tokenizers import TOKENIZERS, token

QUICK = settings(deadline=None, max_examples=20)
TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from(" .,aeio"), max_size=12)
TEXTS = st.lists(TEXT, min_size=1, max_size=4)
EVERY_TOKENIZER = pytest.mark.parametrize("name", sorted(TOKENIZERS))


def rows(ragged: Ragged | None) -> list[list[int]] | None:
    return None if ragged is None else [ragged[i].tolist() for i in range(len(ragged))]


@EVERY_TOKENIZER
@QUICK
@given(texts=TEXTS, max_length=st.sampled_from([3, 6, 64]))
def test_batched_tokenization_equals_single_tokenization(name: str, texts: list[str], max_length: int) -> None:
    tokenizer = TOKENIZERS[name]()
    words = [split_words(text) for text in texts]
    tokens = tokenize(tokenizer, texts, words=words, max_length=max_length)
    separate = [
        tokenizer(text, truncation=True, max_length=max_length, return_offsets_mapping=True, verbose=False)
        for text in texts
    ]
    assert rows(tokens.ids) == [single["input_ids"] for single in separate]
    assert tokens.types is None
    expected = [
        find_first_tokens(spans, single["offset_mapping"]) for spans, single in zip(words, separate, strict=True)
    ]
    assert rows(tokens.first_tokens) == expected
    full = [len(tokenizer(text, verbose=False)["input_ids"]) for text in texts]
    assert tokens.cut.tolist() == [length > max_length for length in full]


@EVERY_TOKENIZER
@QUICK
@given(pairs=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4), max_length=st.sampled_from([7, 64]))
def test_pairs_have_token_type_ids_if_the_encoder_uses_them(
    name: str, pairs: list[tuple[str, str]], max_length: int
) -> None:
    tokenizer = TOKENIZERS[name]()
    tokens = tokenize(
        tokenizer, [item for item, _ in pairs], pairs=[other for _, other in pairs], max_length=max_length
    )
    separate = [
        tokenizer([item], [second], truncation=True, max_length=max_length, verbose=False) for item, second in pairs
    ]
    assert rows(tokens.ids) == [item["input_ids"][0] for item in separate]
    assert rows(tokens.types) == ([item["token_type_ids"][0] for item in separate] if name == "token" else None)
    assert tokens.first_tokens is None


def test_words_may_be_a_spans_object() -> None:
    texts = [join_words(words) for words in (["a", "", "film"], [""], ["ada", "lives"])]
    spans = [words for _, words in texts]
    packed, lists = (
        tokenize(token(), [text for text, _ in texts], words=words, max_length=9)
        for words in (Spans.pack(spans), spans)
    )
    assert rows(packed.first_tokens) == rows(lists.first_tokens) == [[1, -1, 2], [-1], [1, 2]]


def test_token_arrays_are_int32() -> None:
    tokens = tokenize(token(), ["a"], pairs=["b"], words=[[(0, 1)]], max_length=9)
    assert [part.values.dtype for part in (tokens.ids, tokens.types, tokens.first_tokens) if part is not None] == [
        np.int32,
        np.int8,
        np.int32,
    ]
    assert plain(tokens.cut) == ("bool", [False])
