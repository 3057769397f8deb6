"""The model card: a pure function of plain values to text. It knows of no file and no model."""

from __future__ import annotations

from nlpmtl.card.card_data import CHOICES, CURVE, Facts, Source
from nlpmtl.card.markdown import escape
from nlpmtl.card.metadata import addressed, front_matter, result_files
from nlpmtl.card.scores import calibration, scores
from nlpmtl.card.tasks import limits, tasks, use
from nlpmtl.card.training import training

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
