"""Attachment scores of dependency trees: fractions of words with the correct head (UAS), and relation (LAS).

    UAS = 1/W · Σ_j [h_j = g_j]        LAS = 1/W · Σ_j [h_j = g_j and d_j = e_j]

Symbols:
- W: number of words over all rows
- h_j, g_j: predicted and reference head of word j; d_j, e_j: predicted and reference relation to it
- [·]: 1 if the condition holds, otherwise 0

Both are from 0 to 1, over all words, punctuation included. They are undefined without words.

Departure from the evaluation of the CoNLL 2018 shared task:
- Relations are compared with their subtypes, so ``nsubj`` is not ``nsubj:pass``, unless the task has
  ``strip_subtypes = true``.

References:
    Nivre and Fang (2017), Universal Dependency Evaluation, https://aclanthology.org/W17-0411
    Zeman et al. (2018), CoNLL 2018 Shared Task: Multilingual Parsing from Raw Text to Universal Dependencies,
        https://aclanthology.org/K18-2001

Example:
    >>> from nlpmtl.metrics import LabeledAttachment, UnlabeledAttachment
    >>> predictions = [[{"head": 2, "deprel": "det"}, {"head": 0, "deprel": "root"}]]
    >>> references = [[{"head": 2, "deprel": "amod"}, {"head": 0, "deprel": "root"}]]
    >>> UnlabeledAttachment().compute(predictions=predictions, references=references)
    {'uas': 1.0}
    >>> LabeledAttachment().compute(predictions=predictions, references=references)
    {'las': 0.5}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nlpmtl.metrics.base import Metric
from nlpmtl.registry import METRICS

Word = Mapping[str, Any]
"""The head of a word, the number of a word from 1 or 0 for the root, and its relation: "head" and "deprel"."""
Tree = Sequence[Word]


@METRICS.register("las")
class LabeledAttachment(Metric):
    """Labeled attachment score: fraction of words with the correct head and relation, over all rows, from 0 to 1.

    Undefined: no words.

    References:
        Nivre and Fang (2017), Universal Dependency Evaluation

    Raises:
        ValueError: the number of predicted heads of a row differs from the number of gold heads.
    """

    other_names = "labeled_attachment_score labelled_attachment_score"

    name = "las"
    reads = frozenset({"tree"})

    def score(self, predictions: Sequence[Tree], references: Sequence[Tree]) -> float | None:
        return _fraction(predictions, references, lambda word, gold: word == gold)


@METRICS.register("uas")
class UnlabeledAttachment(Metric):
    """Unlabeled attachment score: fraction of words with the correct head, over all rows, from 0 to 1.

    Undefined: no words.

    References:
        Nivre and Fang (2017), Universal Dependency Evaluation

    Raises:
        ValueError: the number of predicted heads of a row differs from the number of gold heads.
    """

    other_names = "unlabeled_attachment_score unlabelled_attachment_score"

    name = "uas"
    reads = frozenset({"tree"})

    def score(self, predictions: Sequence[Tree], references: Sequence[Tree]) -> float | None:
        return _fraction(predictions, references, lambda word, gold: word["head"] == gold["head"])


def _fraction(
    predictions: Sequence[Tree], references: Sequence[Tree], is_correct: Callable[[Word, Word], bool]
) -> float | None:
    words = correct = 0
    for row, (predicted, gold) in enumerate(zip(predictions, references, strict=True)):
        if len(predicted) != len(gold):
            raise ValueError(
                f"a row needs one predicted head per word, found {len(predicted)} for {len(gold)} in row {row}"
            )
        words += len(gold)
        correct += sum(map(is_correct, predicted, gold))
    return correct / words if words else None
