"""The model card: a pure function of plain values to text. It knows of no file and no model."""

from __future__ import annotations

from nlpmtl.card.card_data import DYNAMICS, LEARNING_CURVE, CardData, CardDataset
from nlpmtl.card.markdown import escape
from nlpmtl.card.metadata import eval_result_files, front_matter, with_repo_id
from nlpmtl.card.scores import calibration, scores
from nlpmtl.card.tasks import limits, tasks, use
from nlpmtl.card.training import training

__all__ = [
    "DYNAMICS",
    "LEARNING_CURVE",
    "CardData",
    "CardDataset",
    "eval_result_files",
    "with_repo_id",
    "write_card",
]


def write_card(card: CardData) -> str:
    """The README.md of a model directory."""
    lines = ["---", front_matter(card), "---", "", f"# {escape(card.name)}", ""]
    for section in (tasks, use, scores, calibration, training, limits):
        lines += section(card)
    return "\n".join(lines)
