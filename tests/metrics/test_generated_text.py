"""chrF, BLEU and ROUGE-L against published values and values of sacrebleu 2.6.0."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from typing import Any

import pytest

from nlpmtl.metrics import Bleu, ChrF, RougeL, scores
from nlpmtl.metrics.generated_text import (
    bleu,
    bleu_of_counts,
    chrf,
    longest_common_subsequence,
    rouge_l,
    words_13a,
)

RISK = (
    " risk assessment must be made of those who are qualified and expertise in the sector - these are the scientists .",
    "risk assessment has to be undertaken by those who are qualified and expert in that area "
    "- that is the scientists .",
)
OBAMA = (
    " Die    Beziehung zwischen  Obama und Netanjahu ist nicht gerade  freundlich. ",
    "Das Verhältnis zwischen Obama und Netanyahu ist nicht gerade freundschaftlich.",
)


@pytest.mark.parametrize(
    ("predictions", "references", "expected"),
    [
        (["abcdefg"], ["hijklmnop"], 0.0),
        ([""], ["reference"], 0.0),
        (["a"], ["a"], 1.0),
        (["a b c"], ["abc"], 1.0),
        (["a", "b"], ["a", "c"], 0.5),
        (["aa"], ["ab"], 0.25),
        ([RISK[0]], [RISK[1]], 0.63361730),
        ([OBAMA[0]], [OBAMA[1]], 0.641302698),
    ],
)
def test_chrf_has_the_published_values(predictions: list[str], references: list[str], expected: float) -> None:
    """Those of the test suite of sacrebleu, which has β = 3."""
    assert chrf(predictions, references, beta=3.0) == pytest.approx(expected, abs=1e-6)


TEXTS = [
    ("The dog bit the man. It wasn't surprising.", "The dog had bit the man. No one was surprised."),
    ('He said: "It\'s 3.50 euro -- no, 4-5!"', 'He said, "It is 3.50 euros; no: 4-5?"'),
    ("The quick brown fox", "The quick brown fox jumps over the lazy dog"),
    ("今天天气很好，我们去公园。", "今天天气不错，我们一起去公园吧。"),
    ("我有3.5个 apples。", "我有3.5个苹果。"),
]


@pytest.mark.parametrize(
    ("texts", "expected_bleu", "expected_chrf"),
    [
        (TEXTS[:1], 0.2658156069371863, 0.485082385388875),
        (TEXTS[1:2], 0.1401464325887573, 0.4590343564481496),
        (TEXTS[2:3], 0.2865047968601902, 0.4687186149301531),
        (TEXTS[3:4], 0.29059394092519575, 0.263267247044077),
        (TEXTS[4:5], 0.45480190470279064, 0.4658159358852702),
        (TEXTS[:3], 0.21417461826131817, 0.4718515611704226),
    ],
)
def test_values_are_those_of_sacrebleu(
    texts: list[tuple[str, str]], expected_bleu: float, expected_chrf: float
) -> None:
    """BLEU with the tokenizer "13a", for Chinese "zh", and chrF2, divided by 100."""
    predictions, references = zip(*texts, strict=True)
    assert bleu(predictions, references) == pytest.approx(expected_bleu, abs=1e-12)
    assert chrf(predictions, references) == pytest.approx(expected_chrf, abs=1e-12)


def test_bleu_of_counts_has_the_published_value() -> None:
    assert bleu_of_counts([9, 7, 5, 3], [10, 8, 6, 4], 11, 11) == pytest.approx(0.8375922397, abs=1e-10)
    assert bleu_of_counts([0, 0, 0, 0], [10, 11, 12, 0], 14, 10) == 0.0


def test_bleu_has_a_brevity_penalty() -> None:
    reference = "one two three four five six seven eight"
    assert bleu([reference], [reference]) == 1.0
    assert bleu(["one two three four"], [reference]) == pytest.approx(math.exp(1 - 8 / 4))


def test_bleu_is_0_without_four_words() -> None:
    assert bleu(["one two three"], ["one two three"]) == 0.0


def test_japanese_is_split_by_character() -> None:
    assert words_13a("カタカナと漢字。") == list("カタカナと漢字。")
    assert words_13a("A&amp;B") == ["A", "&", "B"]


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        ("testing one", "testing one two", 4 / 5),
        ("testing two", "testing one two", 4 / 5),
        ("", "testing one two", 0.0),
        ("Testing, ONE!", "testing-one", 1.0),
        ("police killed the gunman", "police kill the gunman", 3 / 4),  # Lin (2004), section 3.1
        ("the gunman kill police", "police kill the gunman", 1 / 2),
        ("今天下雨", "今天不下雨", 8 / 9),
        ("उसका घर", "उसकी घर", 1 / 2),
        ("หนังสือ", "หนังสื", 0.0),
        ("cafe\u0301", "caf\u00e9", 1.0),
        ("cafe\u0301", "cafe\u0300", 0.0),
        ("דָּבָר", "דְּבַר", 0.0),
    ],
)
def test_rouge_l_has_the_published_values(prediction: str, reference: str, expected: float) -> None:
    assert rouge_l(prediction, reference) == pytest.approx(expected)


def test_they_score_texts() -> None:
    predictions, references = ["ada lives in turin", "it rains"], ["ada lives in rome", "it rains"]
    values = scores(["chrf", "bleu", "rouge_l"], predictions=predictions, references=references, reads="text")
    assert values["rouge_l"] == pytest.approx((0.75 + 1) / 2)
    assert all(0 < value < 1 for value in values.values() if value is not None)
    for metric in (ChrF(), Bleu(), RougeL()):
        assert metric.value([], []) is None
        assert metric.value(references, references) == 1.0 or metric.name == "bleu"


def test_order_of_rows_does_not_matter() -> None:
    predictions, references = map(list, zip(*TEXTS, strict=True))
    for score in (chrf, bleu):
        assert score(predictions[::-1], references[::-1]) == pytest.approx(score(predictions, references), abs=1e-12)


def simple_lcs(first: Sequence[Any], second: Sequence[Any]) -> int:
    lengths = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, j in itertools.product(range(len(first)), range(len(second))):
        longest = max(lengths[i][j + 1], lengths[i + 1][j])
        lengths[i + 1][j + 1] = lengths[i][j] + 1 if first[i] == second[j] else longest
    return lengths[-1][-1]


@pytest.mark.parametrize("words", [1, 2, 5, 30])
def test_the_longest_common_subsequence_by_dynamic_programming(words: int) -> None:
    source = random.Random(words)
    for _ in range(100):
        first, second = ([source.randrange(words) for _ in range(source.randrange(40))] for _ in range(2))
        assert longest_common_subsequence(first, second) == simple_lcs(first, second)


def test_words_of_long_texts_are_not_compared_with_all_others() -> None:
    compared = 0

    class Word(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    first, second = ([Word(f"w{(step * i) % 97}") for i in range(2000)] for step in (1, 5))
    assert longest_common_subsequence(first, second) > 100
    assert compared < 20 * (len(first) + len(second))
