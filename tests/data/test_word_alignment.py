"""First tokens of words."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nlpmtl.data.word_alignment import (
    NO_TOKEN,
    Span,
    Spans,
    find_first_tokens,
    find_first_tokens_batch,
    join_words,
    split_words,
)
from tests.slow import slow_except
from tests.tiny_tokenizers import TOKENIZERS

QUICK = settings(deadline=None, max_examples=50)
TEXT = st.text(
    st.characters(codec="utf-8") | st.sampled_from(" \t\n\u00a0\u3000.,;:!?…()[]{}<>\"'“”‘’«»¿¡$£"), max_size=30
)
WORDS = st.lists(st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(["", " ", "\u200b"]), max_size=8)
LETTERS = st.lists(
    st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), min_size=1, max_size=9), min_size=1, max_size=8
)


def _lay(steps: list[tuple[int, int]]) -> list[Span]:
    """Return ordered spans without overlap, from gaps and lengths."""
    spans, position = [], 0
    for gap, length in steps:
        spans.append((position + gap, position + gap + length))
        position += gap + length
    return spans


IN_ORDER = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=6).map(_lay)
ANYWHERE = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)).map(lambda span: (span[0], sum(span))), max_size=6)
OVERLAPPING = ANYWHERE.map(lambda spans: list(zip(*map(sorted, zip(*spans, strict=True)), strict=True)))
"""Starts and ends are ascending."""
SPECIAL = st.builds(lambda spans: [(0, 0), *spans, (0, 0)], IN_ORDER)
PIECES = IN_ORDER | OVERLAPPING | SPECIAL
EVERY_TOKENIZER = pytest.mark.parametrize(
    "name", slow_except(sorted(TOKENIZERS), "token", "metaspace", "byte-level, spaces")
)


class TestSplitWords:
    @QUICK
    @given(TEXT)
    def test_every_non_space_character_is_in_one_word(self, text: str) -> None:
        words = split_words(text)
        assert all(start < end for start, end in words)
        assert all(before[1] <= after[0] for before, after in pairwise(words))
        covered = [index for start, end in words for index in range(start, end)]
        assert covered == [index for index, character in enumerate(text) if not character.isspace()]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", ""),
            (" \n", ""),
            ("Ada lives in Turin.", "Ada|lives|in|Turin|."),
            ("don't", "don't"),
            ("£34.99, e.g.", "£34.99|,|e.g|."),
            ('("Hm!?")', '(|"|Hm|!|?|"|)'),
            ("«Ça»", "«|Ça|»"),
            ("...", ".|.|."),
            ("((", "(|("),
            (")a(", ")a("),
            ("a\u00a0b\u3000c", "a|b|c"),
        ],
    )
    def test_by_hand(self, text: str, expected: str) -> None:
        assert "|".join(text[start:end] for start, end in split_words(text)) == expected


class TestJoinWords:
    @QUICK
    @given(WORDS)
    def test_join_words_gives_the_span_of_each_word(self, words: list[str]) -> None:
        text, spans = join_words(words)
        assert [text[start:end] for start, end in spans] == words
        assert all(before[1] + 1 == after[0] for before, after in pairwise(spans))
        assert len(text) == (spans[-1][1] if spans else 0)


class TestFirstTokens:
    @pytest.mark.parametrize(
        ("words", "pieces", "expected"),
        [
            ([], [(0, 0)], []),
            ([(0, 3)], [], [NO_TOKEN]),
            ([(0, 3), (4, 9)], [(0, 0), (0, 2), (2, 3), (4, 7), (7, 9), (0, 0)], [1, 3]),
            # Offsets include the leading space:
            ([(0, 3), (4, 9)], [(0, 3), (3, 9)], [0, 1]),
            # A token over two words belongs to both; a token of only a space to none.
            ([(0, 1), (2, 3)], [(0, 3)], [0, 0]),
            ([(0, 1), (3, 4)], [(0, 1), (1, 2), (2, 4)], [0, 2]),
            # Empty words, and truncated words.
            ([(0, 0), (1, 2), (3, 3), (4, 5)], [(0, 0), (1, 2), (0, 0)], [NO_TOKEN, 1, NO_TOKEN, NO_TOKEN]),
            # Several tokens for one character.
            ([(0, 1), (2, 3)], [(0, 1), (0, 1), (1, 3), (2, 3)], [0, 2]),
        ],
    )
    def test_by_hand(self, words: list[Span], pieces: list[Span], expected: list[int]) -> None:
        assert find_first_tokens(words, pieces) == expected

    @EVERY_TOKENIZER
    @QUICK
    @given(words=WORDS)
    @example(words=["a", " ", "\u00a0", " ", "b"])
    @example(words=["e\u0301\u0323", "\ufb03", "½", "\u0344x", "각"])
    def test_a_partly_kept_word_has_its_first_token(self, name: str, words: list[str]) -> None:
        text, spans = join_words(words)
        pieces = TOKENIZERS[name]()(text, return_offsets_mapping=True)["offset_mapping"]
        for (start, end), first in zip(spans, find_first_tokens(spans, pieces), strict=True):
            sharing = [i for i, (a, b) in enumerate(pieces) if max(a, start) < min(b, end)]
            assert first == (sharing[0] if sharing else NO_TOKEN)

    @EVERY_TOKENIZER
    @QUICK
    @given(words=LETTERS)
    def test_plain_words_have_a_first_token_at_their_start(self, name: str, words: list[str]) -> None:
        text, spans = join_words(words)
        encoding = TOKENIZERS[name]()(text, return_offsets_mapping=True)
        first_tokens = find_first_tokens(spans, encoding["offset_mapping"])
        assert len(set(first_tokens)) == len(words)
        for word, first in zip(words, first_tokens, strict=True):
            start, end = encoding["offset_mapping"][first]
            assert first != NO_TOKEN
            assert word.startswith(text[start:end].strip())

    @EVERY_TOKENIZER
    @QUICK
    @given(text=TEXT)
    def test_words_of_raw_text_have_first_tokens(self, name: str, text: str) -> None:
        words = split_words(text)
        pieces = TOKENIZERS[name]()(text, return_offsets_mapping=True)["offset_mapping"]
        first_tokens = find_first_tokens(words, pieces)
        for (start, end), first in zip(words, first_tokens, strict=True):
            if re.fullmatch("[a-zA-Z]+", text[start:end]):
                assert first != NO_TOKEN
            if first != NO_TOKEN:
                assert max(start, pieces[first][0]) < min(end, pieces[first][1])
        first_token_counts = [first for first in first_tokens if first != NO_TOKEN]
        assert first_token_counts == sorted(first_token_counts)


class TestSpans:
    @QUICK
    @given(st.lists(ANYWHERE, max_size=5))
    def test_packed_spans_round_trip(self, texts: list[list[Span]]) -> None:
        packed = Spans.pack(texts)
        assert [packed[i] for i in range(len(texts))] == texts
        assert packed.starts.dtype == packed.ends.dtype == packed.bounds.dtype == np.int64

    @QUICK
    @given(st.lists(WORDS, max_size=5))
    def test_joined_spans_equal_join_words(self, texts: list[list[str]]) -> None:
        lengths = np.array([len(word) for words in texts for word in words], dtype=np.int64)
        bounds = np.cumsum([0, *map(len, texts)], dtype=np.int64)
        joined = Spans.joined(lengths, bounds)
        assert [joined[i] for i in range(len(texts))] == [join_words(words)[1] for words in texts]


class TestFirstTokensBatch:
    @settings(QUICK, max_examples=50)
    @given(st.lists(st.tuples(IN_ORDER, PIECES), max_size=5))
    @example([])
    @example([([], [])])
    @example([([(0, 3)], []), ([], [(0, 3)]), ([(0, 3)], [(0, 0), (0, 0)])])
    @example([([(0, 9)], [(8, 9)]), ([(0, 1)], [(0, 1)])])
    def test_batched_first_tokens_equal_those_of_each_text(self, texts: list[tuple[list[Span], list[Span]]]) -> None:
        self.check(texts)

    @QUICK
    @given(st.lists(st.tuples(IN_ORDER, ANYWHERE | PIECES), max_size=4))
    @example([([(0, 1), (2, 3)], [(2, 3), (0, 1)])])
    @example([([(0, 1), (2, 3)], [(0, 3), (1, 2)]), ([(0, 1)], [(0, 1)])])
    def test_tokens_out_of_order(self, texts: list[tuple[list[Span], list[Span]]]) -> None:
        self.check(texts)

    @EVERY_TOKENIZER
    @settings(QUICK, max_examples=20)
    @given(st.lists(WORDS, min_size=1, max_size=4))
    def test_first_tokens_of_real_tokenizers(self, name: str, texts: list[list[str]]) -> None:
        joined = [join_words(words) for words in texts]
        offsets = TOKENIZERS[name]()([text for text, _ in joined], return_offsets_mapping=True)["offset_mapping"]
        self.check([(spans, pieces) for (_, spans), pieces in zip(joined, offsets, strict=True)])

    def check(self, texts: list[tuple[list[Span], list[Span]]]) -> None:
        first_tokens = find_first_tokens_batch(
            Spans.pack(words for words, _ in texts), Spans.pack(pieces for _, pieces in texts)
        )
        assert [first_tokens[i].tolist() for i in range(len(first_tokens))] == [
            find_first_tokens(*text) for text in texts
        ]
        assert [first_tokens.values.dtype, first_tokens.bounds.dtype] == [np.dtype(np.int32), np.dtype(np.int64)]
