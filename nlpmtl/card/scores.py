"""The parts of a card that tell what was measured."""

from __future__ import annotations

import math

from nlpmtl.card.card_data import CHOICES, CURVE, Facts
from nlpmtl.card.markdown import code, escape, table


def scores(facts: Facts) -> list[str]:
    """Every metric of every task, and what to think of it."""
    if facts.scores is None:
        return ["## Scores", "", "Not evaluated: no dataset of the run has a split `validation`.", ""]
    lines = [
        (code(task), code(metric), _value(metric, value, values["rows"]), f"{values['rows']:,}", _on(facts, task))
        for task, values in facts.scores["tasks"].items()
        for metric, value in values.items()
        if metric not in ("score", "rows")
    ]
    shares = any(metric == "accuracy" for values in facts.scores["tasks"].values() for metric in values)
    return [
        "## Scores",
        "",
        *table(("task", "metric", "value", "rows", "of"), lines),
        f"On the split {code(facts.scores['split'])}; the mean of the tasks' scores is {facts.scores['mean']:.4f}. "
        + ("After ± stands the standard error of a share of so many rows, √(p(1−p)/n). " if shares else "")
        + _chosen(facts),
        "",
        *_pictures(facts),
    ]


def calibration(facts: Facts) -> list[str]:
    """What temperatures and thresholds changed."""
    if not facts.calibrated:
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
                for name, one in facts.calibrated.items()
            ),
        ),
    ]


def _value(metric: str, value: float | None, rows: int) -> str:
    if value is None:
        return "undefined"
    if metric == "accuracy" and 0 < value < 1:
        return f"{value:.4f} ± {math.sqrt(value * (1 - value) / rows):.4f}"
    return f"{value:.4f}"


def _on(facts: Facts, task: str) -> str:
    return ", ".join(code(one.name) for one in facts.scored_on(task))


def _chosen(facts: Facts) -> str:
    """In how far the rows had a say in what they measure."""
    select = facts.config["eval"]["select"]
    by = "the mean of the tasks' scores" if select == "mean" else f"the score of {code(select)}"
    said = []
    if facts.evaluations > 1:
        said.append(f"the weights are the best of {facts.evaluations} evaluations, by {by}")
    if facts.calibrated:
        said.append("thresholds and temperatures were fitted on half of them")
    if not said:
        return "No choice was made on these rows."
    return f"The same rows made choices ({'; '.join(said)}), so the scores are a little optimistic."


def _pictures(facts: Facts) -> list[str]:
    shown = [(path, alt) for path, alt in facts.pictures.items() if path not in (CURVE, CHOICES)]
    return [line for path, alt in shown for line in (f"![{escape(alt)}]({path})", "")]
