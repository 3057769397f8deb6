from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nlpmtl.data.align import NO_PIECE, Span, first_pieces, join_words, split_words
from tests.tokenizing import TOKENIZERS

QUICK = settings(deadline=None, max_examples=100)
TEXT = st.text(
    st.characters(codec="utf-8") | st.sampled_from(" \t\n\u00a0\u3000.,;:!?…()[]{}<>\"'“”‘’«»¿¡$£"), max_size=30
)
WORDS = st.lists(st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(["", " ", "\u200b"]), max_size=8)
LETTERS = st.lists(
    st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), min_size=1, max_size=9), min_size=1, max_size=8
)
EVERY_TOKENIZER = pytest.mark.parametrize("name", sorted(TOKENIZERS))


class TestSplitWords:
    @QUICK
    @given(TEXT)
    def test_every_character_that_is_no_space_is_in_one_word(self, text: str) -> None:
        words = split_words(text)
        assert all(start < end for start, end in words)
        assert all(before[1] <= after[0] for before, after in pairwise(words))
        covered = [at for start, end in words for at in range(start, end)]
        assert covered == [at for at, character in enumerate(text) if not character.isspace()]

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
    def test_each_word_is_where_its_span_says(self, words: list[str]) -> None:
        text, spans = join_words(words)
        assert [text[start:end] for start, end in spans] == words
        assert all(before[1] + 1 == after[0] for before, after in pairwise(spans))
        assert len(text) == (spans[-1][1] if spans else 0)


class TestFirstPieces:
    @pytest.mark.parametrize(
        ("words", "pieces", "expected"),
        [
            ([], [(0, 0)], []),
            ([(0, 3)], [], [NO_PIECE]),
            ([(0, 3), (4, 9)], [(0, 0), (0, 2), (2, 3), (4, 7), (7, 9), (0, 0)], [1, 3]),
            # The space before counted in:
            ([(0, 3), (4, 9)], [(0, 3), (3, 9)], [0, 1]),
            # A piece over two words stands for both; one over a space alone for none.
            ([(0, 1), (2, 3)], [(0, 3)], [0, 0]),
            ([(0, 1), (3, 4)], [(0, 1), (1, 2), (2, 4)], [0, 2]),
            # Empty words, and words that were cut off.
            ([(0, 0), (1, 2), (3, 3), (4, 5)], [(0, 0), (1, 2), (0, 0)], [NO_PIECE, 1, NO_PIECE, NO_PIECE]),
            # Several pieces for one character.
            ([(0, 1), (2, 3)], [(0, 1), (0, 1), (1, 3), (2, 3)], [0, 2]),
        ],
    )
    def test_by_hand(self, words: list[Span], pieces: list[Span], expected: list[int]) -> None:
        assert first_pieces(words, pieces) == expected

    @EVERY_TOKENIZER
    @QUICK
    @given(words=WORDS)
    @example(words=["a", " ", "\u00a0", " ", "b"])
    @example(words=["e\u0301\u0323", "\ufb03", "½", "\u0344x", "각"])
    def test_a_word_of_which_a_character_is_kept_has_its_first_piece(self, name: str, words: list[str]) -> None:
        text, spans = join_words(words)
        pieces = TOKENIZERS[name]()(text, return_offsets_mapping=True)["offset_mapping"]
        for (start, end), first in zip(spans, first_pieces(spans, pieces), strict=True):
            sharing = [i for i, (a, b) in enumerate(pieces) if max(a, start) < min(b, end)]
            assert first == (sharing[0] if sharing else NO_PIECE)

    @EVERY_TOKENIZER
    @QUICK
    @given(words=LETTERS)
    def test_plain_words_all_have_one_that_is_their_beginning(self, name: str, words: list[str]) -> None:
        text, spans = join_words(words)
        encoding = TOKENIZERS[name]()(text, return_offsets_mapping=True)
        firsts = first_pieces(spans, encoding["offset_mapping"])
        assert len(set(firsts)) == len(words)
        for word, first in zip(words, firsts, strict=True):
            start, end = encoding["offset_mapping"][first]
            assert first != NO_PIECE
            assert word.startswith(text[start:end].strip())

    @EVERY_TOKENIZER
    @QUICK
    @given(text=TEXT)
    def test_words_of_a_raw_text_too(self, name: str, text: str) -> None:
        words = split_words(text)
        pieces = TOKENIZERS[name]()(text, return_offsets_mapping=True)["offset_mapping"]
        firsts = first_pieces(words, pieces)
        for (start, end), first in zip(words, firsts, strict=True):
            if re.fullmatch("[a-zA-Z]+", text[start:end]):
                assert first != NO_PIECE
            if first != NO_PIECE:
                assert max(start, pieces[first][0]) < min(end, pieces[first][1])
        placed = [first for first in firsts if first != NO_PIECE]
        assert placed == sorted(placed)
