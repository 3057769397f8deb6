"""Options shared by task types, and options of the output of a prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from nlpmtl.config import LabelName, TaskOptions

Aggregation = Literal["first", "none"]
ClassWeights = dict[LabelName, Annotated[float, Field(ge=0)]] | Literal["balanced"]


@dataclass(frozen=True)
class OutputOptions:
    """What an answer shows.

    Args:
        all_scores: add ``"scores"``, the probability of every label.
        aggregation: of words with BIO tags, as `pipeline()` names it: "first", the spans that the words make, each word
            tagged at its first token; or "none", the words themselves.
    """

    all_scores: bool = False
    aggregation: Aggregation = "first"


DEFAULT_OUTPUT = OutputOptions()


class LabelOptions(TaskOptions):
    """Options of the kinds whose answers are among a list of labels."""

    class_weights: ClassWeights | None = None
    """Label = its weight in the loss (default: 1), all multiplied by the number that makes their mean over the train
    rows 1; or "balanced": rows / (labels · rows of the label)."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """The share of the target's mass that is spread over all labels."""

    def resolved(self, spell: Callable[[str], str]) -> dict[str, Any]:
        if not isinstance(self.class_weights, Mapping):
            return super().resolved(spell)
        weights = {spell(label): weight for label, weight in self.class_weights.items()}
        return {**super().resolved(spell), "class_weights": weights}
