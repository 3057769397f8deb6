"""Sections of a model card: evaluation and calibration."""

from __future__ import annotations

import math

from nlpmtl.card.card_data import DYNAMICS_PLOT, LEARNING_CURVE_PLOT, CardData
from nlpmtl.card.markdown import code, escape, table


def evaluation(card: CardData) -> list[str]:
    """Return the section with every metric of every task, and the plots of the predictions."""
    if card.scores is None:
        return ["## Evaluation", "", "Not evaluated: no dataset of the run has a `validation` split.", ""]
    rows = [
        (
            code(task),
            code(metric),
            _value(metric, value, card.gold_rows[task]),
            f"{values['rows']:,}",
            _datasets(card, task),
        )
        for task, values in card.scores["tasks"].items()
        for metric, value in values.items()
        if metric not in ("score", "rows")
    ]
    has_accuracy = any("accuracy" in values for values in card.scores["tasks"].values())
    return [
        "## Evaluation",
        "",
        *table(("task", "metric", "value", "rows", "dataset"), rows),
        f"Results on the split {code(card.scores['split'])}. The mean of the task scores is {card.scores['mean']:.4f}. "
        + ("± is the binomial standard error. " if has_accuracy else "")
        + _selection(card),
        "",
        *_plots(card),
    ]


def calibration(card: CardData) -> list[str]:
    """Return the section on the effect of temperatures and thresholds."""
    if not card.calibration:
        return []
    return [
        "## Calibration",
        "",
        "Expected calibration error (ECE, 15 bins) and task score, before and after temperatures and thresholds were",
        "fitted on one half of the validation rows. Measured on the other half.",
        "",
        *table(
            ("task", "temperature", "ECE before", "ECE", "score before", "score", "rows"),
            (
                (
                    code(name),
                    f"{report['temperature']:.3f}",
                    *(
                        "–" if report[key] is None else f"{report[key]:.4f}"
                        for key in ("error_before", "error", "score_before", "score")
                    ),
                    f"{report['rows']:,}",
                )
                for name, report in card.calibration.items()
            ),
        ),
    ]


def _value(metric: str, value: float | None, rows: int) -> str:
    if value is None:
        return "undefined"
    if metric == "accuracy" and 0 < value < 1:
        return f"{value:.4f} ± {math.sqrt(value * (1 - value) / rows):.4f}"
    return f"{value:.4f}"


def _datasets(card: CardData, task: str) -> str:
    return ", ".join(code(dataset.name) for dataset in card.scored_on(task))


def _selection(card: CardData) -> str:
    """Return a sentence on what was selected or fitted on the rows that are scored."""
    select = card.config["eval"]["select"]
    criterion = "mean task score" if select == "mean" else f"the score of {code(select)}"
    uses = []
    if card.evaluations > 1:
        uses.append(f"the weights are the best of {card.evaluations} evaluations by {criterion}")
    if card.calibration:
        uses.append("temperatures and thresholds were fitted on half of them")
    if not uses:
        return "These rows were not used for model selection."
    return f"The same rows were used for model selection ({'; '.join(uses)}), so the scores are slightly optimistic."


def _plots(card: CardData) -> list[str]:
    plots = [(path, alt) for path, alt in card.plots.items() if path not in (LEARNING_CURVE_PLOT, DYNAMICS_PLOT)]
    return [line for path, alt in plots for line in (f"![{escape(alt)}]({path})", "")]
