"""Model cards: the README.md of a model directory and the Hub's files of evaluation results, from plain values."""

from __future__ import annotations

from nlpmtl.card.card_data import DYNAMICS, LEARNING_CURVE, CardData, CardDataset, CardTask
from nlpmtl.card.markdown import escape
from nlpmtl.card.metadata import eval_result_files, front_matter, widget, with_repo_id
from nlpmtl.card.scores import calibration, evaluation
from nlpmtl.card.tasks import limitations, tasks, usage
from nlpmtl.card.training import training

__all__ = [
    "DYNAMICS",
    "LEARNING_CURVE",
    "CardData",
    "CardDataset",
    "CardTask",
    "eval_result_files",
    "widget",
    "with_repo_id",
    "write_card",
]


def write_card(card: CardData) -> str:
    """Return the text of a model card."""
    lines = ["---", front_matter(card), "---", "", f"# {escape(card.name)}", ""]
    for section in (tasks, usage, evaluation, calibration, training, limitations):
        lines += section(card)
    return "\n".join(lines)
