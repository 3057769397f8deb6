"""The parts of a card that tell what was measured."""

from __future__ import annotations

import math

from nlpmtl.card.card_data import DYNAMICS, LEARNING_CURVE, CardData
from nlpmtl.card.markdown import code, escape, table


def scores(card: CardData) -> list[str]:
    """Every metric of every task, and what to think of it."""
    if card.scores is None:
        return ["## Scores", "", "Not evaluated: no dataset of the run has a split `validation`.", ""]
    lines = [
        (code(task), code(metric), _value(metric, value, values["rows"]), f"{values['rows']:,}", _on(card, task))
        for task, values in card.scores["tasks"].items()
        for metric, value in values.items()
        if metric not in ("score", "rows")
    ]
    shares = any(metric == "accuracy" for values in card.scores["tasks"].values() for metric in values)
    return [
        "## Scores",
        "",
        *table(("task", "metric", "value", "rows", "of"), lines),
        f"On the split {code(card.scores['split'])}; the mean of the tasks' scores is {card.scores['mean']:.4f}. "
        + ("After ± stands the standard error of a share of so many rows, √(p(1−p)/n). " if shares else "")
        + _chosen(card),
        "",
        *_pictures(card),
    ]


def calibration(card: CardData) -> list[str]:
    """What temperatures and thresholds changed."""
    if not card.calibration:
        return []
    return [
        "## Calibration",
        "",
        "How far the scores of answers are from being probabilities (the expected calibration error, 15 bins), and the",
        "task's score, before and after. Fitted on one half of the validation rows, told on the other.",
        "",
        *table(
            ("task", "temperature", "error before", "error", "score before", "score", "rows"),
            (
                (
                    code(name),
                    f"{one['temperature']:.3f}",
                    *(f"{one[key]:.4f}" for key in ("error_before", "error", "score_before", "score")),
                    f"{one['rows']:,}",
                )
                for name, one in card.calibration.items()
            ),
        ),
    ]


def _value(metric: str, value: float | None, rows: int) -> str:
    if value is None:
        return "undefined"
    if metric == "accuracy" and 0 < value < 1:
        return f"{value:.4f} ± {math.sqrt(value * (1 - value) / rows):.4f}"
    return f"{value:.4f}"


def _on(card: CardData, task: str) -> str:
    return ", ".join(code(one.name) for one in card.scored_on(task))


def _chosen(card: CardData) -> str:
    """In how far the rows had a say in what they measure."""
    select = card.config["eval"]["select"]
    by = "the mean of the tasks' scores" if select == "mean" else f"the score of {code(select)}"
    said = []
    if card.evaluations > 1:
        said.append(f"the weights are the best of {card.evaluations} evaluations, by {by}")
    if card.calibration:
        said.append("thresholds and temperatures were fitted on half of them")
    if not said:
        return "No choice was made on these rows."
    return f"The same rows made choices ({'; '.join(said)}), so the scores are a little optimistic."


def _pictures(card: CardData) -> list[str]:
    shown = [(path, alt) for path, alt in card.plots.items() if path not in (LEARNING_CURVE, DYNAMICS)]
    return [line for path, alt in shown for line in (f"![{escape(alt)}]({path})", "")]
