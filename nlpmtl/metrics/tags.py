"""Tagged words: reading spans from BIO tags, F1 over spans, accuracy over words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nlpmtl.metrics.base import Metric
from nlpmtl.registry import METRICS


def spans(tags: Iterable[str]) -> list[tuple[str, int, int]]:
    """The spans of one row of `O`, `B-X` and `I-X` tags, as (type, start, end), the end exclusive.

    A span begins at `B-X` and goes on over `I-X` of the same type. An `I-X` that continues nothing (after `O`, after
    another type, or as the first tag) begins a span too: gold data hold such tags, and conlleval, seqeval's default
    mode and the scores published with them read them so. seqeval's `mode="strict"` with `IOB2` drops them.

    >>> spans(["B-PER", "I-PER", "O", "I-LOC"])
    [('PER', 0, 2), ('LOC', 3, 4)]
    """
    found: list[tuple[str, int, int]] = []
    open_kind, start = "", 0
    for position, tag in enumerate([*tags, "O"]):
        prefix, _, kind = tag.partition("-")
        if prefix == "I" and kind == open_kind:
            continue
        if open_kind:
            found.append((open_kind, start, position))
        open_kind, start = kind, position
    return found


@METRICS.register("span_f1")
class SpanF1(Metric):
    """F1 over the spans of all rows: 2 · right / (predicted + gold), from 0 to 1.

    A predicted span is right when its type, start and end are. Types are counted together (micro-averaged). A stray
    `I-X` begins a span, as `spans` says, so the value is that of conlleval and of seqeval's default mode, and can be
    far from that of seqeval's `mode="strict"`. Undefined: neither gold nor predicted spans (seqeval gives 0 there).

    Source: Tjong Kim Sang and De Meulder, Introduction to the CoNLL-2003 Shared Task (2003).

    Raises:
        ValueError: a row has more or fewer predicted tags than gold ones.
    """

    name = "span_f1"
    reads = frozenset({"tags"})

    def score(self, predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> float | None:
        _check_lengths(predictions, references)
        said = _all_spans(predictions)
        gold = _all_spans(references)
        if not said and not gold:
            return None
        return 2 * len(said & gold) / (len(said) + len(gold))


@METRICS.register("token_accuracy")
class TokenAccuracy(Metric):
    """The share of words whose tag is right, over all words of all rows, from 0 to 1.

    Undefined: no words. Source: scikit-learn's `accuracy_score` over the words.

    Raises:
        ValueError: a row has more or fewer predicted tags than gold ones.
    """

    name = "token_accuracy"
    reads = frozenset({"tags"})

    def score(self, predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> float | None:
        _check_lengths(predictions, references)
        words = sum(map(len, references))
        rows = zip(predictions, references, strict=True)
        right = sum(said == gold for row in rows for said, gold in zip(*row, strict=True))
        return right / words if words else None


def _all_spans(rows: Sequence[Sequence[str]]) -> set[tuple[int, str, int, int]]:
    return {(row, *span) for row, tags in enumerate(rows) for span in spans(tags)}


def _check_lengths(predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> None:
    for row, (said, gold) in enumerate(zip(predictions, references, strict=True)):
        if len(said) != len(gold):
            raise ValueError(f"a row needs one predicted tag per word, found {len(said)} for {len(gold)} in row {row}")
