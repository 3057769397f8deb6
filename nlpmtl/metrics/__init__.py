"""Metrics of predictions against references: a number, or None where the value is undefined.

    >>> from nlpmtl.metrics import scores, task_score
    >>> values = scores(["accuracy", "macro_f1"], predictions=[0, 1, 1, 1], references=[0, 1, 1, 0], reads="label")
    >>> values["accuracy"]
    0.75
    >>> task_score(values)
    0.75

Each metric can be used as an `evaluate.Metric`, such as in `evaluate.combine`, and needs neither network nor cache:

    >>> from nlpmtl.metrics import SpanF1
    >>> SpanF1().compute(predictions=[["B-PER", "I-PER", "O"]], references=[["B-PER", "I-PER", "B-LOC"]])
    {'span_f1': 0.6666666666666666}
"""

from __future__ import annotations

import warnings
from typing import Any

from nlpmtl.deprecation import REMOVED_IN
from nlpmtl.metrics.accuracy import Accuracy
from nlpmtl.metrics.attachment import LabeledAttachment, UnlabeledAttachment
from nlpmtl.metrics.base import Metric, PredictionType
from nlpmtl.metrics.combined import AccuracyF1, AccuracyMacroF1, CombinedMetric, MicroMacroF1, PearsonSpearman
from nlpmtl.metrics.correlation import EmbeddingSpearman, Pearson, Spearman
from nlpmtl.metrics.distance import MeanAbsoluteError, MeanSquaredError
from nlpmtl.metrics.f1 import F1, MacroF1, MicroF1
from nlpmtl.metrics.generated_text import Bleu, ChrF, RougeL
from nlpmtl.metrics.loss import Loss, Perplexity
from nlpmtl.metrics.matthews import MatthewsCorrelation
from nlpmtl.metrics.ranking import NDCG10, MeanReciprocalRank
from nlpmtl.metrics.relations import RelationF1
from nlpmtl.metrics.retrieval import RecallAt10
from nlpmtl.metrics.scores import check, load_foreign, reads_losses, scores, task_score
from nlpmtl.metrics.soft_cross_entropy import SoftCrossEntropy
from nlpmtl.metrics.squad import ExactMatch, SquadF1, answer_f1, is_exact_match
from nlpmtl.metrics.tags import SpanF1, TokenAccuracy, spans

__all__ = [
    "F1",
    "NDCG10",
    "Accuracy",
    "AccuracyF1",
    "AccuracyMacroF1",
    "Bleu",
    "ChrF",
    "CombinedMetric",
    "EmbeddingSpearman",
    "ExactMatch",
    "LabeledAttachment",
    "Loss",
    "MacroF1",
    "MatthewsCorrelation",
    "MeanAbsoluteError",
    "MeanReciprocalRank",
    "MeanSquaredError",
    "Metric",
    "MicroF1",
    "MicroMacroF1",
    "Pearson",
    "PearsonSpearman",
    "Perplexity",
    "PredictionType",
    "RecallAt10",
    "RelationF1",
    "RougeL",
    "SoftCrossEntropy",
    "SpanF1",
    "Spearman",
    "SquadF1",
    "TokenAccuracy",
    "UnlabeledAttachment",
    "answer_f1",
    "check",
    "is_exact_match",
    "load_foreign",
    "reads_losses",
    "scores",
    "spans",
    "task_score",
]


def __getattr__(name: str) -> Any:
    if name != "Shape":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    message = (
        f"nlpmtl.metrics.Shape is deprecated and will be removed in nlpmtl {REMOVED_IN}: use PredictionType instead"
    )
    warnings.warn(message, FutureWarning, stacklevel=2)
    return PredictionType
