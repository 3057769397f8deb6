"""The model card: a pure function of plain values to text. It knows of no file and no model."""

from __future__ import annotations

from nlpmtl.artifact.card.facts import CHOICES, CURVE, Facts, Source
from nlpmtl.artifact.card.markdown import escape
from nlpmtl.artifact.card.metadata import addressed, front_matter, result_files
from nlpmtl.artifact.card.scores import calibration, scores
from nlpmtl.artifact.card.tasks import limits, tasks, use
from nlpmtl.artifact.card.training import training

__all__ = [
    "CHOICES",
    "CURVE",
    "Facts",
    "Source",
    "addressed",
    "result_files",
    "write_card",
]


def write_card(facts: Facts) -> str:
    """The README.md of a model directory."""
    lines = ["---", front_matter(facts), "---", "", f"# {escape(facts.name)}", ""]
    for section in (tasks, use, scores, calibration, training, limits):
        lines += section(facts)
    return "\n".join(lines)
