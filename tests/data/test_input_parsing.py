"""Valid and invalid texts and words."""

from __future__ import annotations

from typing import Any

import pytest

from nlpmtl.data.example import to_text, to_words
from nlpmtl.strict_json import has_surrogate


@pytest.mark.parametrize("text", ["", " ", "plain", "\u200b", "héllo \U0001f600", "a\0b"])
def test_any_valid_text_is_kept(text: str) -> None:
    assert to_text(text) == text


@pytest.mark.parametrize(
    ("value", "rule"),
    [(None, "null"), (3, "a string"), (["a"], "a string"), (b"a", "a string"), ("\ud800", "Unicode")],
)
def test_invalid_texts(value: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        to_text(value)


def test_words_may_be_empty_strings_but_not_absent() -> None:
    assert to_words(("a", "", "\u200b")) == ["a", "", "\u200b"]


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (None, "null"),
        ("a b", "a list of words"),
        ([], "at least one word"),
        (["a", None], "word 2 is not a string"),
        (["a", 2], "word 2 is not a string"),
        (["a", "b", "\udfff"], "word 3 is not valid Unicode"),
    ],
)
def test_invalid_words(value: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        to_words(value)


def test_only_lone_surrogates_are_invalid() -> None:
    assert has_surrogate("é\ud83d")
    assert not has_surrogate("é\U0001f600")
