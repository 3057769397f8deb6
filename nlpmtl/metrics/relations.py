"""Metrics of labelled spans and of relations between them.

    F1 = 2 · |P ∩ R| / (|P| + |R|)

Symbols:
- P, R: sets of predicted and reference items over all rows. A span is (row, start, end, label), a relation is
  (row, head, tail, label), whose head and tail are spans with their labels

Both are from 0 to 1. Labels are counted together (micro average). A value is undefined without items on either side.

References:
    Taillé, Guigue, Scoutheeten and Gallinari (2020), Let's Stop Incorrect Comparisons in End-to-end Relation
        Extraction!, EMNLP, https://aclanthology.org/2020.emnlp-main.301: relations are scored as in their setting
        "strict"

Example:
    >>> from nlpmtl.metrics import RelationF1
    >>> ada, turin, rome = [0, 3, "person"], [13, 18, "place"], [22, 26, "place"]
    >>> predictions, references = [[[ada, turin, "lives_in"], [ada, rome, "lives_in"]]], [[[ada, turin, "lives_in"]]]
    >>> round(RelationF1().value(predictions, references), 3)
    0.667
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nlpmtl.metrics.base import Metric
from nlpmtl.registry import METRICS


def set_f1(predicted: set[Any], gold: set[Any]) -> float | None:
    """Return the F1 score of two sets; None if both are empty."""
    size = len(predicted) + len(gold)
    return 2 * len(predicted & gold) / size if size else None


def labelled_spans(rows: Sequence[Sequence[Sequence[Any]]]) -> set[tuple[Any, ...]]:
    """Return the spans ``[start, end, label]`` of rows as a set of (row, start, end, label)."""
    return {(row, *span) for row, spans in enumerate(rows) for span in spans}


@METRICS.register("relation_f1")
class RelationF1(Metric):
    """Relation F1: F1 score over the relations of all rows, 2 · correct / (predicted + gold), from 0 to 1.

    A predicted relation is correct if its label is, and the start, the end and the label of its head and its tail.
    Rows whose reference is None, because they were not annotated with relations, are excluded. Undefined: neither gold
    nor predicted relations.

    References:
        Taillé, Guigue, Scoutheeten and Gallinari (2020), Let's Stop Incorrect Comparisons in End-to-end Relation
            Extraction!, setting "strict"
    """

    other_names = "rel_f1 re_f1 relation_extraction_f1"

    name = "relation_f1"
    reads = frozenset({"relations"})

    def score(self, predictions: Sequence[Any], references: Sequence[Any]) -> float | None:
        rows = [pair for pair in zip(predictions, references, strict=True) if pair[1] is not None]
        predicted, gold = (
            {(row, *head, *tail, label) for row, pair in enumerate(rows) for head, tail, label in pair[side] or ()}
            for side in (0, 1)
        )
        return set_f1(predicted, gold)
