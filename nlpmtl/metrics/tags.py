"""Metrics of token tags and spans: span F1 (Tjong Kim Sang and De Meulder, 2003) and token accuracy.

    span F1 = 2 · |P ∩ R| / (|P| + |R|)        token accuracy = 1/W · Σ_j [p_j = r_j]

Symbols:
- P, R: sets of predicted and reference spans over all rows; a span is (row, type, start, end). Spans may be given as
  tags, or as lists of [start, end, type], which may be nested
- W: number of words over all rows
- p_j, r_j: predicted and reference tag of word j
- [·]: 1 if the condition holds, otherwise 0

Both are from 0 to 1. Types are counted together (micro average). Span F1 is undefined without spans on either side,
token accuracy without words.

Departures from seqeval:
- The value is that of conlleval and of seqeval's default mode: an `I-X` tag that continues no span starts one. With
  `mode="strict"` seqeval drops it, and the value can differ much.
- seqeval returns 0 where span F1 is undefined.

References:
    Tjong Kim Sang and De Meulder (2003), Introduction to the CoNLL-2003 Shared Task: Language-Independent Named Entity
        Recognition, CoNLL, https://aclanthology.org/W03-0419

Example:
    >>> from nlpmtl.metrics import SpanF1, TokenAccuracy
    >>> predictions, references = [["B-PER", "I-PER", "O", "O"]], [["B-PER", "I-PER", "O", "B-LOC"]]
    >>> round(SpanF1().compute(predictions=predictions, references=references)["span_f1"], 3)
    0.667
    >>> TokenAccuracy().compute(predictions=predictions, references=references)
    {'token_accuracy': 0.75}
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from nlpmtl.metrics.base import Metric
from nlpmtl.metrics.relations import labelled_spans, set_f1
from nlpmtl.registry import METRICS


def spans(tags: Iterable[str]) -> list[tuple[str, int, int]]:
    """Return the spans of a row of BIO tags.

    A span starts at `B-X` and continues over `I-X` of the same type. An `I-X` that continues no span (after `O`,
    after another type, or as the first tag) also starts one: gold data contain such tags, and conlleval, seqeval's
    default mode and scores published with them read them so. seqeval's `mode="strict"` with `IOB2` drops them.

    >>> spans(["B-PER", "I-PER", "O", "I-LOC"])
    [('PER', 0, 2), ('LOC', 3, 4)]

    Args:
        tags: a tag per word, `O`, `B-X` or `I-X`.

    Returns:
        (type, start, end) of each span, as indices of words; the end is exclusive.
    """
    result: list[tuple[str, int, int]] = []
    open_kind, start = "", 0
    for position, tag in enumerate([*tags, "O"]):
        prefix, _, kind = tag.partition("-")
        if prefix == "I" and kind == open_kind:
            continue
        if open_kind:
            result.append((open_kind, start, position))
        open_kind, start = kind, position
    return result


@METRICS.register("span_f1")
class SpanF1(Metric):
    """Span F1: F1 score over the spans of all rows, 2 · correct / (predicted + gold), from 0 to 1.

    A predicted span is correct if its type, start and end are; spans may be nested where a task predicts them as
    spans, not as tags. Types are counted together (micro average). An `I-X`
    that continues no span starts one, so the value is that of conlleval and of seqeval's default mode, and can differ
    much from that of seqeval's `mode="strict"`. Undefined: neither gold nor predicted
    spans (seqeval returns 0).

    References:
        Tjong Kim Sang and De Meulder (2003), Introduction to the CoNLL-2003 Shared Task

    Raises:
        ValueError: the number of predicted tags of a row differs from the number of gold tags.
    """

    other_names = "seqeval ner_f1 entity_f1 conll_f1"

    name = "span_f1"
    reads = frozenset({"tags", "spans"})

    def score(self, predictions: Sequence[Sequence[Any]], references: Sequence[Sequence[Any]]) -> float | None:
        if self.reads_as == "spans":
            return set_f1(labelled_spans(predictions), labelled_spans(references))
        _check_lengths(predictions, references)
        return set_f1(_all_spans(predictions), _all_spans(references))


@METRICS.register("token_accuracy")
class TokenAccuracy(Metric):
    """Token accuracy: fraction of words whose tag is correct, over all rows, from 0 to 1.

    It equals scikit-learn's `accuracy_score` over the words. Undefined: no words.

    Raises:
        ValueError: the number of predicted tags of a row differs from the number of gold tags.
    """

    other_names = "token_acc tag_accuracy"

    name = "token_accuracy"
    reads = frozenset({"tags"})

    def score(self, predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> float | None:
        _check_lengths(predictions, references)
        words = sum(map(len, references))
        rows = zip(predictions, references, strict=True)
        correct = sum(predicted == gold for row in rows for predicted, gold in zip(*row, strict=True))
        return correct / words if words else None


def _all_spans(rows: Sequence[Sequence[str]]) -> set[tuple[int, str, int, int]]:
    return {(row, *span) for row, tags in enumerate(rows) for span in spans(tags)}


def _check_lengths(predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> None:
    for row, (predicted, gold) in enumerate(zip(predictions, references, strict=True)):
        if len(predicted) != len(gold):
            raise ValueError(
                f"a row needs one predicted tag per word, found {len(predicted)} for {len(gold)} in row {row}"
            )
