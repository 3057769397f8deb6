"""Metrics of generated texts against one reference each: chrF, BLEU and ROUGE-L, as fractions of 1.

chrF, character n-gram F-score:

    chrF = (1 + β²) P R / (β² P + R)        β = 2

BLEU, corpus level:

    BLEU = min(1, exp(1 − r/c)) · exp(1/4 Σ_{n=1}^{4} log p_n)

ROUGE-L:

    ROUGE-L = 1/N Σ_i 2 P_i R_i / (P_i + R_i)        P_i = lcs_i / |prediction_i|        R_i = lcs_i / |reference_i|

Symbols:
- P, R: mean precision and recall of character n-grams, n from 1 to 6, without white space; counts are summed over rows
- p_n: precision of word n-grams, whose counts are clipped to those of the reference and summed over rows; for n without
  any match 1 / (2^k · n-grams of the predictions), k counted up from 1 ("exponential" smoothing)
- c, r: number of words of all predictions and of all references
- lcs_i: number of words of the longest common subsequence; N: number of rows

Words of BLEU are those of the tokenizer "13a" of mteval, with each Chinese and Japanese character as a word. Words of
ROUGE-L are runs of letters and digits in lower case, with the vowel signs and accents on them (Unicode form NFC), again
with each such character as a word. chrF and BLEU are 1/100 of what sacrebleu calls chrF2 and BLEU (for Chinese with its
tokenizer "zh"); for ASCII texts ROUGE-L is that of the package `rouge-score` without stemming.

References:
    Popović (2015), chrF: character n-gram F-score for automatic MT evaluation, WMT, https://aclanthology.org/W15-3049
    Papineni, Roukos, Ward and Zhu (2002), BLEU: a Method for Automatic Evaluation of Machine Translation, ACL,
        https://aclanthology.org/P02-1040
    Post (2018), A Call for Clarity in Reporting BLEU Scores, WMT, https://aclanthology.org/W18-6319
    Lin (2004), ROUGE: A Package for Automatic Evaluation of Summaries, https://aclanthology.org/W04-1013
    Hyyrö (2004), Bit-Parallel LCS-length Computation Revisited, AWOCA

Example:
    >>> from nlpmtl.metrics import RougeL
    >>> RougeL().compute(predictions=["the cat sat down"], references=["the cat is down"])
    {'rouge_l': 0.75}
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from functools import cache, lru_cache

import numpy as np

from nlpmtl.metrics.base import Metric
from nlpmtl.registry import METRICS

TEXT = "text"
"""Type of predictions that are texts: the column type of their references."""
_CHAR_ORDER, _WORD_ORDER = 6, 4
_CACHED = 1 << 16
"""Rows whose counts are cached, because confidence intervals score the same rows a thousand times."""
_CJK = (
    r"\u2600-\u27bf\u2e80-\u2fff\u3000-\u30ff\u3100-\u312f\u31a0-\u31ff\u3200-\u33ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uf900-\ufaff\ufe10-\ufe1f\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff"
)
"""Characters that are words by themselves: Chinese and Japanese, with their punctuation and full-width forms."""
_EACH_CJK = re.compile(f"([{_CJK}])")
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
_SPLITS_13A = (
    (re.compile(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])"), r" \1 "),
    (re.compile(r"([^0-9])([\.,])"), r"\1 \2 "),
    (re.compile(r"([\.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)


def words_13a(text: str) -> list[str]:
    """Return the words of a text as BLEU counts them: those of mteval-v13a, and each Chinese or Japanese character.

    >>> words_13a("It costs 1.50 euro, no?"), words_13a("今天 是 Monday。")
    (['It', 'costs', '1.50', 'euro', ',', 'no', '?'], ['今', '天', '是', 'Monday', '。'])
    """
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, character in _ENTITIES:
        text = text.replace(entity, character)
    text = " " + _EACH_CJK.sub(r" \1 ", text) + " "
    for pattern, split in _SPLITS_13A:
        text = pattern.sub(split, text)
    return text.split()


def _ngrams(items: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(items[start:] for start in range(order)), strict=False))


def _count_ngrams(prediction: Sequence[str], reference: Sequence[str], *, order: int) -> list[int]:
    """Return the n-grams of a prediction, those of its reference, and their matches, for each n up to an order."""
    counts = []
    for n in range(1, order + 1):
        predicted, expected = _ngrams(prediction, n), _ngrams(reference, n)
        matches = sum(min(count, expected[ngram]) for ngram, count in predicted.items())
        counts += [predicted.total(), expected.total(), matches]
    return counts


@lru_cache(maxsize=_CACHED)
def _chrf_counts(prediction: str, reference: str) -> list[int]:
    """Return the counts of `_count_ngrams` for characters; 0 for a prediction whose reference has no n-grams."""
    counts = _count_ngrams("".join(prediction.split()), "".join(reference.split()), order=_CHAR_ORDER)
    for i in range(0, len(counts), 3):
        counts[i] = counts[i] if counts[i + 1] else 0
    return counts


@lru_cache(maxsize=_CACHED)
def _bleu_counts(prediction: str, reference: str) -> list[int]:
    """Return the counts of `_count_ngrams` for words."""
    return _count_ngrams(words_13a(prediction), words_13a(reference), order=_WORD_ORDER)


def _add_counts(rows: Iterable[list[int]]) -> tuple[list[int], list[int], list[int]]:
    """Return counts summed over rows, each for n from 1: those of predictions, of references, and matches."""
    totals: list[int] = np.sum(list(rows), axis=0).tolist()
    return totals[::3], totals[1::3], totals[2::3]


def chrf(predictions: Sequence[str], references: Sequence[str], *, beta: float = 2.0) -> float:
    """Return chrF. An n for which no prediction or no reference has n-grams is excluded from the means.

    As in sacrebleu, a prediction does not count for an n for which its reference has no n-grams.

    Args:
        predictions: a text per row.
        references: a text per row.
        beta: β, the weight of recall.
    """
    counts = _add_counts(map(_chrf_counts, predictions, references))
    counted = [(p, r, matches) for p, r, matches in zip(*counts, strict=True) if p and r]
    if not any(matches for _, _, matches in counted):
        return 0.0
    precision = sum(matches / predicted for predicted, _, matches in counted) / len(counted)
    recall = sum(matches / expected for _, expected, matches in counted) / len(counted)
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def bleu(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Return corpus BLEU with exponential smoothing; 0 if no prediction has four words or no word matches.

    Args:
        predictions: a text per row.
        references: a text per row.
    """
    totals, expected, matches = _add_counts(map(_bleu_counts, predictions, references))
    return bleu_of_counts(matches, totals, totals[0], expected[0])


def bleu_of_counts(matches: Sequence[int], totals: Sequence[int], length: int, reference_length: int) -> float:
    """Return BLEU from its counts.

    Args:
        matches: matching n-grams, for n from 1 to 4.
        totals: n-grams of the predictions.
        length: words of the predictions.
        reference_length: words of the references.
    """
    if not any(matches) or not all(totals):
        return 0.0
    smoothing, logs = 1.0, 0.0
    for matched, total in zip(matches, totals, strict=True):
        if not matched:
            smoothing *= 2
        logs += math.log(matched / total if matched else 1 / (smoothing * total))
    penalty = 1.0 if length >= reference_length else math.exp(1 - reference_length / length)
    return penalty * math.exp(logs / len(totals))


@cache
def _rouge_word() -> re.Pattern[str]:
    r"""Return the pattern of a word of ROUGE-L. `\w` has no marks, such as the vowel signs of Hindi."""
    # All combining marks but the variation selectors, which are not part of words, are below 0x1F000.
    marks = "".join(chr(code) for code in range(0x300, 0x1F000) if unicodedata.category(chr(code)).startswith("M"))
    return re.compile(rf"[{_CJK}]|(?:[^\W_{_CJK}][{marks}]*)+")


def words_rouge(text: str) -> list[str]:
    """Return the words of a text as ROUGE-L counts them.

    >>> words_rouge("Testing, ONE! उसकी किताब")
    ['testing', 'one', 'उसकी', 'किताब']
    """
    return _rouge_word().findall(unicodedata.normalize("NFC", text).lower())


@lru_cache(maxsize=_CACHED)
def rouge_l(prediction: str, reference: str) -> float:
    """Return ROUGE-L of one text: the F1 of its longest common subsequence with the reference."""
    predicted, expected = words_rouge(prediction), words_rouge(reference)
    longest = longest_common_subsequence(predicted, expected)
    return 2 * longest / (len(predicted) + len(expected)) if longest else 0.0


def longest_common_subsequence(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Return the length of the longest common subsequence, by the bit-parallel algorithm of Hyyrö (2004).

    After each item of the first sequence, the number of 0 bits up to a place of the second one is the length for both
    parts. An integer has the bits of all places, so the time is almost linear in the length of texts.
    """
    places: dict[Hashable, int] = {}
    for i, item in enumerate(second):
        places[item] = places.get(item, 0) | 1 << i
    every = ones = (1 << len(second)) - 1
    for item in first:
        matches = ones & places.get(item, 0)
        ones = (ones + matches | ones - matches) & every
    return len(second) - ones.bit_count()


@METRICS.register("chrf")
class ChrF(Metric):
    """chrF (Popović, 2015): F-score of character n-grams up to n = 6, with β = 2, over all rows; from 0 to 1.

    It is 1/100 of sacrebleu's chrF2, and suits languages without spaces between words. Undefined: no rows.
    """

    other_names = "chrf2 chrf++"

    name = "chrf"
    reads = frozenset({TEXT})

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> float:
        return chrf(predictions, references)


@METRICS.register("bleu")
class Bleu(Metric):
    """BLEU (Papineni et al., 2002): precision of word n-grams up to n = 4 with a brevity penalty, over all rows; from 0
    to 1.

    Chinese and Japanese are split by character. It is 1/100 of sacrebleu's BLEU with its default tokenizer and
    smoothing, for Chinese with its tokenizer "zh". It is 0 if no prediction has four words. Undefined: no rows.
    """

    other_names = "sacrebleu"

    name = "bleu"
    reads = frozenset({TEXT})

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> float:
        return bleu(predictions, references)


@METRICS.register("rouge_l")
class RougeL(Metric):
    """ROUGE-L (Lin, 2004): F1 of the longest common subsequence of words, mean over rows; from 0 to 1.

    It equals that of the package `rouge-score` without stemming, for texts of ASCII letters. Undefined: no rows.
    """

    other_names = "rouge rougel rouge-l"

    name = "rouge_l"
    reads = frozenset({TEXT})

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> float:
        return sum(map(rouge_l, predictions, references)) / len(references)
