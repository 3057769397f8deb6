"""Token sequences of the text inputs of task types: pairs, windows and strides."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpmtl.data import (
    Input,
    TextInput,
    TokenSequence,
    sliding_window,
    tokenization,
    tokenize_text_inputs,
    without_truncation,
)
from nlpmtl.data.text_inputs import TextTable, TokenizedInputs
from nlpmtl.data.tokenization import encode_untruncated
from tests.data.test_sliding_window import ALL_TOKENIZERS, EVERY_TOKENIZER, SIDES, TEXT, with_truncation_side

QUICK = settings(deadline=None, max_examples=25)
STRIDES: st.SearchStrategy[int | Literal["half"] | None] = st.sampled_from([None, "half", 0, 1, 3])


def sequences(tokenized: TokenizedInputs, number: int) -> list[TokenSequence]:
    return [tokenized.tokens.sequence(i) for i in range(*tokenized.first[number : number + 2].tolist())]


@st.composite
def text_inputs(draw: st.DrawFn) -> TextInput:
    text, stride = draw(TEXT), draw(STRIDES)
    if draw(st.booleans()):
        return TextInput(text, draw(TEXT), stride=stride, offsets=draw(st.booleans()))
    return Input(text).text_input(words=draw(st.booleans()), stride=stride, offsets=draw(st.booleans()))


@SIDES
@EVERY_TOKENIZER
@QUICK
@given(inputs=st.lists(text_inputs(), min_size=1, max_size=4), max_length=st.sampled_from([6, 7, 12, 64]))
def test_an_input_gives_the_same_sequences_with_and_without_others(
    name: str, side: str, inputs: list[TextInput], max_length: int
) -> None:
    tokenizer = without_truncation(with_truncation_side(name, side))
    together = tokenize_text_inputs(tokenizer, inputs, max_length=max_length)
    for number, text in enumerate(inputs):
        single = sequences(tokenize_text_inputs(tokenizer, [text], max_length=max_length), 0)
        assert len(sequences(together, number)) == len(single)
        for actual, expected in zip(sequences(together, number), single, strict=True):
            assert actual.ids.tolist() == expected.ids.tolist()
            assert len(actual.ids) <= max_length
            if text.words is not None:
                assert actual.words is not None
                assert expected.words is not None
                assert actual.words.tolist() == expected.words.tolist()
            if text.offsets:
                assert actual.offsets is not None
                assert expected.offsets is not None
                assert actual.offsets.tolist() == expected.offsets.tolist()
            if text.pair is not None and expected.type_ids is not None:
                assert actual.type_ids is not None
                assert actual.type_ids.tolist() == expected.type_ids.tolist()


@SIDES
@QUICK
@given(words=st.integers(1, 4), second=TEXT, stride=st.integers(0, 4), max_length=st.sampled_from([12, 16, 64]))
def test_windows_of_a_pair_cut_the_second_text_only(
    side: str, words: int, second: str, stride: int, max_length: int
) -> None:
    tokenizer = with_truncation_side("token", side)
    first, second = "the " * words, f"b {second}"
    full = tokenizer(first, second, return_offsets_mapping=True, verbose=False)
    numbers = full.encodings[0].sequence_ids
    text = [i for i, number in enumerate(numbers) if number == 1]
    windows = sequences(
        tokenize_text_inputs(
            without_truncation(tokenizer),
            [TextInput(first, second, stride=stride, offsets=True)],
            max_length=max_length,
        ),
        0,
    )
    assert len(windows) == 1 or len(full["input_ids"]) > max_length
    covered = set()
    for window in windows:
        assert len(window.ids) <= max_length
        assert window.offsets is not None
        inside = window.offsets[:, 0] >= 0
        assert inside.sum() == len(window.ids) - (len(numbers) - len(text))
        for token, (start, end) in zip(window.ids[inside].tolist(), window.offsets[inside].tolist(), strict=True):
            places = [i for i in text if full["offset_mapping"][i] == (start, end)]
            assert full["input_ids"][places[0]] == token
            covered.add((start, end))
        assert window.ids[~inside].tolist() == [
            token for token, number in zip(full["input_ids"], numbers, strict=True) if number != 1
        ]
    assert covered == {full["offset_mapping"][i] for i in text}


def test_neighbouring_windows_share_the_tokens_of_the_stride() -> None:
    tokenizer = without_truncation(ALL_TOKENIZERS["token"])
    windows = sequences(tokenize_text_inputs(tokenizer, [TextInput("a e i o " * 5, stride=3)], max_length=10), 0)
    inner = [window.ids[1:-1] for window in windows]
    assert len(inner) == 4
    for left, right in itertools.pairwise(inner):
        np.testing.assert_array_equal(left[-3:], right[:3])


def test_a_long_first_text_leaves_a_quarter_of_the_window_to_the_second() -> None:
    tokenizer = without_truncation(ALL_TOKENIZERS["token"])
    windows = sequences(
        tokenize_text_inputs(tokenizer, [TextInput("a " * 50, "b " * 20, stride=1, offsets=True)], max_length=16), 0
    )
    assert all(window.offsets is not None and (window.offsets[:, 0] >= 0).sum() == 4 for window in windows[:-1])
    assert all(len(window.ids) <= 16 for window in windows)


@pytest.mark.parametrize("words", [True, False])
def test_windows_without_words_are_dropped(words: bool) -> None:
    tokenizer = without_truncation(ALL_TOKENIZERS["token"])
    text = Input("a" * 30).text_input(words=words, stride="half")
    assert (len(sequences(tokenize_text_inputs(tokenizer, [text], max_length=8), 0)) == 1) is words


@EVERY_TOKENIZER
def test_a_call_of_the_tokenizer_has_a_limited_number_of_characters(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a text of 200,000 characters that is read with each of 128 choices."""
    words = Input("a e, i o " * 4)
    inputs = [
        *(TextInput("a e i o " * 6, f"choice {number}") for number in range(8)),
        *(words.text_input(words=True, stride=stride) for stride in (None, 2, "half")),
        TextInput("a " * 400),
        *(TextInput(f"text {number}", offsets=True) for number in range(8)),
    ]
    tokenizer = without_truncation(with_truncation_side(name, "right"))
    whole = tokenize_text_inputs(tokenizer, inputs, max_length=12)
    calls: list[int] = []

    def encode(*args: Any, pairs: Sequence[str] | None = None) -> list[Any]:
        calls.append(sum(map(len, [*args[1], *(pairs or ())])))
        return encode_untruncated(*args, pairs=pairs)

    for module in (tokenization, sliding_window):
        monkeypatch.setattr(module, "encode_untruncated", encode)
    monkeypatch.setattr("nlpmtl.data.text_inputs._MAX_CHARACTERS", 130)
    parts = tokenize_text_inputs(tokenizer, inputs, max_length=12)
    assert sorted(calls)[-2] <= 130 < max(calls) == 800
    assert parts.first.tolist() == whole.first.tolist()
    assert parts.cut.tolist() == whole.cut.tolist()
    for number in range(len(inputs)):
        for part, expected in zip(sequences(parts, number), sequences(whole, number), strict=True):
            np.testing.assert_equal(asdict(part), asdict(expected))


def test_thousands_of_texts_of_a_row_take_linear_time() -> None:
    table, texts = TextTable(), [TextInput(f"choice {number}") for number in range(20_000)]
    start = time.process_time()
    (reads,) = table.add([[*texts, *texts]])
    assert time.process_time() - start < 5
    assert [text for text, _ in reads] == [*range(20_000), *range(20_000)]
