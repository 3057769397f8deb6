"""The proposed task type or input of a column, with the evidence for it: the result of a rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NOT_USED = "none"
"""The kind of a column that no task and no input reads."""
INPUTS = ("text", "pair", "words", "choices", "negatives")
"""Kinds of the columns of an input; they are keys of the table `input` of a dataset file."""

TAGS_OF_WORDS = ("labeling", "parsing")
"""Task types whose label columns have an item per word."""


@dataclass(frozen=True)
class Finding:
    """The proposed task type or input of a column.

    Args:
        kind: a task type; one of `INPUTS`; or "none".
        evidence: the property of the values, or of the name of the column, that this is based on.
        labels: names of the labels that must be written in the dataset file, in order; empty if the data define them.
        separator: separator of the labels or words in a cell; None for a list.
        scheme: tagging scheme of tags of words.
        spans: whether the labels are character spans of a text that become tags of its words.
        context: the column of the texts that contain the answers to questions.
        columns: for a task with several label columns, the key of each in the dataset file = its column.
        relations: the column of relations between the spans.
    """

    kind: str
    evidence: str
    labels: tuple[str, ...] = ()
    separator: str | None = None
    scheme: str | None = None
    spans: bool = False
    context: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    relations: str | None = None


def not_used(evidence: str) -> Finding:
    """Return the finding for a column that is not proposed, with the reason."""
    return Finding(NOT_USED, evidence)
