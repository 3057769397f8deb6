"""Units at which spans begin and end, from the offsets of tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nlpmtl.data import Example, TokenSequence, WordSplitting, to_input, tokenize_text_inputs, without_truncation
from nlpmtl.tasks.span_units import Units, find_units
from tests.tiny import write_tokenizer
from tests.tiny_tokenizers import TOKENIZERS


def sequence(offsets: list[list[int]]) -> TokenSequence:
    return TokenSequence(np.arange(len(offsets)), offsets=np.array(offsets, dtype=np.int32).reshape(-1, 2))


def as_lists(units: Units) -> list[list[int]]:
    return [values.tolist() for values in units]


def test_tokens_without_special_tokens() -> None:
    units = find_units(Example(to_input("ab c")), sequence([[-1, -1], [0, 1], [1, 2], [3, 4], [-1, -1]]), by_word=False)
    assert as_lists(units) == [[1, 2, 3], [1, 2, 3], [0, 1, 3], [1, 2, 4]]


def test_spaces_are_no_part_of_a_token_and_a_token_of_spaces_is_none() -> None:
    units = find_units(Example(to_input("ab  c ")), sequence([[0, 2], [2, 3], [3, 5], [5, 6]]), by_word=False)
    assert as_lists(units) == [[0, 2], [0, 2], [0, 4], [2, 5]]


def test_tokens_of_one_character_are_one_unit() -> None:
    units = find_units(Example(to_input("a😀b")), sequence([[0, 1], [1, 2], [1, 2], [1, 2], [2, 3]]), by_word=False)
    assert as_lists(units) == [[0, 1, 4], [0, 3, 4], [0, 1, 2], [1, 2, 3]]


def test_words_from_the_first_to_the_last_token() -> None:
    example = Example(to_input({"words": ["abc", "", "d"]}))
    units = find_units(example, sequence([[-1, -1], [0, 1], [1, 3], [5, 6], [-1, -1]]), by_word=True)
    assert as_lists(units) == [[1, 3], [2, 3], [0, 5], [3, 6]]


def test_words_of_a_text_that_is_split_as_in_training_have_the_offsets_of_the_text(tmp_path: Any) -> None:
    tokenizer = without_truncation(write_tokenizer(tmp_path))
    text = to_input("ada's film")
    example = Example(type(text)(text.text, splitting=WordSplitting("every_mark")))
    tokenized = tokenize_text_inputs(tokenizer, [example.text_input(words=True, offsets=True)], max_length=20)
    units = find_units(example, tokenized.tokens.sequence(0), by_word=True)
    words = [example.text[a:b] for a, b in zip(units.start, units.end, strict=True)]
    assert words == ["ada", "'", "s", "film"]


def test_a_span_is_located_by_the_units_that_it_touches() -> None:
    units = find_units(Example(to_input("ab cd ef")), sequence([[0, 2], [3, 5], [6, 8]]), by_word=False)
    assert units.locate(0, 2) == (0, 0)
    assert units.locate(1, 4) == (0, 1)
    assert units.locate(2, 8) == (1, 2)
    assert units.locate(2, 3) is None


@pytest.mark.parametrize("offsets", [[], [[-1, -1], [-1, -1]]])
def test_no_token(offsets: list[list[int]]) -> None:
    for by_word in (False, True):
        assert as_lists(find_units(Example(to_input("")), sequence(offsets), by_word=by_word)) == [[]] * 4
    assert as_lists(find_units(Example(to_input("")), TokenSequence(np.arange(2)), by_word=False)) == [[]] * 4


TEXTS = ["ada's lamp, in  turin: good!", "a😀b été naïve", "  good film ", "ada lives in turin and rome " * 3]


@pytest.mark.parametrize("name", sorted(TOKENIZERS))
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("stride", [None, "half"])
def test_units_of_real_tokenizers(name: str, text: str, stride: Any) -> None:
    """Units of tokens follow each other, without spaces at their ends; a word has all of its tokens."""
    tokenizer = without_truncation(TOKENIZERS[name]())
    words = text.split()
    inputs = {False: to_input(text), True: to_input({"words": words})}
    for by_word, value in inputs.items():
        example = Example(value)
        requested = example.text_input(words=by_word, stride=stride, offsets=True)
        tokenized = tokenize_text_inputs(tokenizer, [requested], max_length=12 if stride else 200)
        found: set[tuple[int, int]] = set()
        for sequence in tokenized.sequences(np.arange(len(tokenized.tokens.ids))):
            units = find_units(example, sequence, by_word=by_word)
            assert (units.start[1:] >= units.end[:-1]).all()
            assert (units.first <= units.last).all()
            parts = [example.text[start:end] for start, end in zip(units.start, units.end, strict=True)]
            assert all(part and part == part.strip() for part in parts)
            assert not by_word or set(parts) <= set(words)
            for index, (start, end) in enumerate(zip(units.start.tolist(), units.end.tolist(), strict=True)):
                assert units.locate(start, end) == (index, index)
            found.update(zip(units.start.tolist(), units.end.tolist(), strict=True))
        covered = {place for start, end in found for place in range(start, end)}
        unknown = {place for place, mark in enumerate(example.text) if mark.isspace()}
        assert covered | unknown == set(range(len(example.text))), "every character is in a unit"
