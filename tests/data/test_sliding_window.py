"""Windows of long texts, compared with the tokenizers library."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from nlpmtl.data.sliding_window import Windows, tokenize_windows
from nlpmtl.data.tokenization import tokenize, without_truncation
from nlpmtl.data.word_alignment import NO_TOKEN, find_first_tokens, split_words
from tests.slow import slow_except
from tests.tiny_tokenizers import TOKENIZERS

QUICK = settings(deadline=None, max_examples=25)
TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from(" .,aeio"), max_size=40)
LENGTHS = st.sampled_from([4, 5, 6, 7, 11, 64])
SIDES = pytest.mark.parametrize("side", ["right", "left"])


def without_special_tokens(*, byte_level: bool = False) -> PreTrainedTokenizerBase:
    """A tokenizer as in GPT-2: letters, no special tokens."""
    letters = {letter: i for i, letter in enumerate(["<pad>", "<unk>", *"abcdefghijklmnopqrstuvwxyz.,"])}
    tokenizer = Tokenizer(models.WordPiece(letters, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if byte_level:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")


ALL_TOKENIZERS = {
    **{name: build() for name, build in TOKENIZERS.items()},
    "no special tokens": without_special_tokens(),
    "no special tokens, byte-level": without_special_tokens(byte_level=True),
}
EVERY_TOKENIZER = pytest.mark.parametrize(
    "name", slow_except(sorted(ALL_TOKENIZERS), "token", "metaspace", "byte-level, spaces", "no special tokens")
)


def with_truncation_side(name: str, side: str) -> PreTrainedTokenizerBase:
    tokenizer = copy.deepcopy(ALL_TOKENIZERS[name])
    tokenizer.truncation_side = side
    return tokenizer


def word_ids_of(windows: Windows, window: int) -> list[int]:
    assert windows.pieces.word_ids is not None
    return list(windows.pieces.word_ids[window].tolist())


def rows(windows: Windows) -> list[list[int]]:
    return [windows.pieces.ids[i].tolist() for i in range(len(windows.text))]


@SIDES
@EVERY_TOKENIZER
@QUICK
@given(texts=st.lists(TEXT, min_size=1, max_size=3), max_length=LENGTHS)
def test_windows_equal_those_of_the_tokenizers_library(name: str, side: str, texts: list[str], max_length: int) -> None:
    tokenizer = with_truncation_side(name, side)
    words = [split_words(text) for text in texts]
    windows = tokenize_windows(without_truncation(tokenizer), texts, words=words, max_length=max_length)
    reference = tokenizer(
        texts,
        truncation=True,
        max_length=max_length,
        stride=(max_length - tokenizer.num_special_tokens_to_add(pair=False)) // 2,
        return_overflowing_tokens=True,
        verbose=False,
    )
    # A text for which the library gives no token is one unknown token.
    assert rows(windows) == [row or [tokenizer.unk_token_id] for row in reference["input_ids"]]
    assert windows.text.tolist() == reference["overflow_to_sample_mapping"]
    assert windows.first.tolist() == [reference["overflow_to_sample_mapping"].index(i) for i in range(len(texts))]


@SIDES
@EVERY_TOKENIZER
@QUICK
@given(text=TEXT, max_length=LENGTHS)
def test_each_word_is_predicted_in_the_window_with_most_context(
    name: str, side: str, text: str, max_length: int
) -> None:
    tokenizer, words = with_truncation_side(name, side), split_words(text)
    windows = tokenize_windows(without_truncation(tokenizer), [text], words=[words], max_length=max_length)
    first_tokens, word_ids = windows.pieces.first_tokens, windows.pieces.word_ids
    assert word_ids is not None
    assert first_tokens is not None
    full = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False)
    expected = find_first_tokens(words, full["offset_mapping"])
    assert sorted(word_ids.values.tolist()) == [i for i, first in enumerate(expected) if first != NO_TOKEN]
    before = ([*full["special_tokens_mask"], 0]).index(0) if words else 0
    size, step = _sizes(full["special_tokens_mask"], max_length)
    for window in range(len(windows.text)):
        start = _start(window, size, step, side=side, content_length=max_length - sum(full["special_tokens_mask"]))
        for word, index in zip(word_ids[window].tolist(), first_tokens[window].tolist(), strict=True):
            assert expected[word] == index + start
            context = {}
            for other in range(len(windows.text)):
                position = expected[word] - _start(
                    other, size, step, side=side, content_length=max_length - sum(full["special_tokens_mask"])
                )
                length = len(windows.pieces.ids[other])
                if before <= position < length - (sum(full["special_tokens_mask"]) - before):
                    context[other] = min(position, length - 1 - position)
            assert window == max(context, key=lambda index: (context[index], -index))


def _sizes(special: list[int], max_length: int) -> tuple[int, int]:
    content_length = max_length - sum(special)
    return len(special) - sum(special), content_length - content_length // 2


def _start(window: int, size: int, step: int, *, side: str, content_length: int) -> int:
    """Return the number of tokens of the text before a window."""
    return window * step if side == "right" else max(0, size - window * step - content_length)


@SIDES
@EVERY_TOKENIZER
@QUICK
@given(pairs=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3), max_length=st.sampled_from([6, 7, 8, 12, 64]))
def test_pairs_are_truncated_as_by_the_tokenizers_library(
    name: str, side: str, pairs: list[tuple[str, str]], max_length: int
) -> None:
    tokenizer = with_truncation_side(name, side)
    first, second = [text for text, _ in pairs], [other for _, other in pairs]
    tokens = tokenize(without_truncation(tokenizer), first, pairs=second, max_length=max_length)
    references = [tokenizer([a], [b], truncation=True, max_length=max_length, verbose=False) for a, b in pairs]
    for i, reference in enumerate(references):
        if reference["input_ids"][0]:
            assert tokens.ids[i].tolist() == reference["input_ids"][0]
            if tokens.types is not None:
                assert tokens.types[i].tolist() == reference["token_type_ids"][0]


def test_memory_of_windows_grows_linearly_with_the_text() -> None:
    """Each word has one entry in all windows together."""
    tokenizer = without_truncation(ALL_TOKENIZERS["token"])
    for count in (100, 200, 400):
        text = "a " * count
        windows = tokenize_windows(tokenizer, [text], words=[split_words(text)], max_length=8)
        assert windows.pieces.first_tokens is not None
        assert len(windows.pieces.first_tokens.values) == count
        assert windows.pieces.ids.bounds[-1] <= 4 * count


def test_windows_of_several_texts_are_separate() -> None:
    tokenizer = without_truncation(ALL_TOKENIZERS["token"])
    texts = ["a " * 20, "", "the cat", "a b c d e f g"]
    windows = tokenize_windows(tokenizer, texts, words=[split_words(text) for text in texts], max_length=8)
    assert windows.pieces.cut.tolist() == [text in (0, 3) for text in windows.text]
    for i, text in enumerate(texts):
        single = tokenize_windows(tokenizer, [text], words=[split_words(text)], max_length=8)
        indices = np.flatnonzero(windows.text == i).tolist()
        assert [rows(windows)[window] for window in indices] == rows(single)
        assert [word_ids_of(windows, w) for w in indices] == [word_ids_of(single, w) for w in range(len(indices))]
