"""Model cards: README.md and `.eval_results/` of a model directory."""

from __future__ import annotations

from nlpmtl.card.card_data import DYNAMICS_PLOT, LEARNING_CURVE_PLOT, CardData, CardDataset, CardTask
from nlpmtl.card.markdown import escape
from nlpmtl.card.metadata import eval_result_files, front_matter, widget, with_repo_id
from nlpmtl.card.scores import calibration, evaluation
from nlpmtl.card.tasks import limitations, tasks, usage
from nlpmtl.card.training import training

__all__ = [
    "DYNAMICS_PLOT",
    "LEARNING_CURVE_PLOT",
    "CardData",
    "CardDataset",
    "CardTask",
    "eval_result_files",
    "render_card",
    "widget",
    "with_repo_id",
]


def render_card(card: CardData) -> str:
    """Return the Markdown text of a model card."""
    lines = ["---", front_matter(card), "---", "", f"# {escape(card.name)}", ""]
    for section in (tasks, usage, evaluation, calibration, training, limitations):
        lines += section(card)
    return "\n".join(lines)
