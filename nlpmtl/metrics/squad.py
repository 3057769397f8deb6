"""SQuAD metrics of extractive question answering: token F1 and exact match (Rajpurkar et al., 2016 and 2018).

    exact match = 1/N · Σ_i max_{r ∈ R_i} [n(p_i) = n(r)]        F1 = 1/N · Σ_i max_{r ∈ R_i} F1(p_i, r)

    F1(p, r) = 2 · c / (|n(p)| + |n(r)|)

Symbols:
- N: number of rows
- p_i: predicted answer of row i, "" for no answer; R_i: its gold answers, {""} for a question without an answer
- n(·): the words of a text in lower case, without punctuation and the articles a, an and the
- c: number of words that n(p) and n(r) share, with repetitions
- [·]: 1 if the condition holds, otherwise 0

Both are from 0 to 1 and are undefined without rows. They equal the values of the official script of SQuAD 2.0, divided
by 100. As there, F1 with an empty answer is 1 if both are empty, otherwise 0; and gold answers without a word are left
out if another one has words. Words are separated by white space, so in Chinese or Japanese F1 is close to exact match.

References:
    Rajpurkar, Zhang, Lopyrev and Liang (2016), SQuAD: 100,000+ Questions for Machine Comprehension of Text, EMNLP,
        section 6.1, https://arxiv.org/abs/1606.05250
    Rajpurkar, Jia and Liang (2018), Know What You Don't Know: Unanswerable Questions for SQuAD, ACL,
        https://arxiv.org/abs/1806.03822

Example:
    >>> from nlpmtl.metrics import ExactMatch, SquadF1
    >>> predictions, references = ["the city of Turin", ""], [["Turin", "in Turin"], []]
    >>> round(SquadF1().compute(predictions=predictions, references=references)["squad_f1"], 3)
    0.75
    >>> ExactMatch().compute(predictions=predictions, references=references)
    {'exact_match': 0.5}
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

from nlpmtl.metrics.base import Metric
from nlpmtl.registry import METRICS

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def answer_f1(prediction: str, answers: Sequence[str]) -> float:
    """Return the F1 of a predicted answer with the gold answer that is most similar; no gold answers: no answer.

    >>> answer_f1("in Turin", ["Turin", "Rome"]), answer_f1("", [])
    (0.6666666666666666, 1.0)
    """
    words = normalized_words(prediction)
    return max(_f1(words, gold) for gold in _gold_words(answers))


def is_exact_match(prediction: str, answers: Sequence[str]) -> bool:
    """Return whether a predicted answer has the same words as a gold answer; no gold answers: no answer."""
    words = normalized_words(prediction)
    return any(words == gold for gold in _gold_words(answers))


def normalized_words(text: str) -> list[str]:
    """Return the words of an answer that are compared.

    >>> normalized_words("The U.S. Army")
    ['us', 'army']
    """
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def _gold_words(answers: Sequence[str]) -> list[list[str]]:
    return [words for words in map(normalized_words, answers) if words] or [[]]


def _f1(predicted: list[str], gold: list[str]) -> float:
    if not predicted or not gold:
        return float(predicted == gold)
    common = (Counter(predicted) & Counter(gold)).total()
    return 2 * common / (len(predicted) + len(gold))


@METRICS.register("squad_f1")
class SquadF1(Metric):
    """SQuAD F1: mean F1 over the words of the predicted and the gold answer, from 0 to 1.

    Of several gold answers the most similar one counts. Words are compared in lower case, without punctuation and
    English articles; no answer equals only no answer. It is the F1 of the official script of SQuAD 2.0, divided by 100.
    Undefined: no rows.

    References:
        Rajpurkar, Jia and Liang (2018), Know What You Don't Know: Unanswerable Questions for SQuAD
    """

    name = "squad_f1"
    reads = frozenset({"answers"})

    def score(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
        return sum(map(answer_f1, predictions, references)) / len(references)


@METRICS.register("exact_match")
class ExactMatch(Metric):
    """Exact match: fraction of predicted answers that equal a gold answer, from 0 to 1.

    Answers are compared in lower case, without punctuation and English articles; no answer equals only no answer. It
    is the exact match of the official script of SQuAD 2.0, divided by 100. Undefined: no rows.

    References:
        Rajpurkar, Jia and Liang (2018), Know What You Don't Know: Unanswerable Questions for SQuAD
    """

    other_names = "em squad_em"

    name = "exact_match"
    reads = frozenset({"answers"})

    def score(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
        return sum(map(is_exact_match, predictions, references)) / len(references)
