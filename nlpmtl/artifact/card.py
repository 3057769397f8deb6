"""The model card: a pure function of plain values to text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def write_card(
    *,
    encoder: str,
    tasks: Mapping[str, Mapping[str, Any]],
    scores: Mapping[str, Any] | None,
    calibrated: Mapping[str, Mapping[str, Any]],
    facts: Sequence[str],
) -> str:
    """A README for the model directory.

    Args:
        encoder: the name of the pretrained encoder.
        tasks: each task as `Task.spec` describes it.
        scores: as in scores.json; None where nothing was scored.
        calibrated: what calibration did to tasks, as `Calibrated` says it.
        facts: one sentence each, on how it was trained.
    """
    lines = [
        "---",
        "library_name: nlpmtl",
        "tags:",
        "- multi-task",
        "---",
        "",
        "# A multi-task text model",
        "",
        f"One encoder (`{encoder}`) with {len(tasks)} head{'s' if len(tasks) > 1 else ''}, trained with nlpmtl.",
        "",
        "| task | kind | input | labels |",
        "|---|---|---|---|",
        *(f"| {name} | {spec['kind']} | {spec['input']} | {_labels(spec)} |" for name, spec in tasks.items()),
        "",
        "## Scores",
        "",
        *_scores(scores),
        "",
        *_calibration(calibrated),
        "## Training",
        "",
        *(f"- {fact}" for fact in facts),
        "",
        "## Use",
        "",
        "```python",
        "import nlpmtl",
        "",
        'model = nlpmtl.Predictor.from_pretrained("this-directory-or-repository")',
        'model.predict_all("A text.")',
        "```",
        "",
    ]
    return "\n".join(lines)


def _calibration(calibrated: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not calibrated:
        return []
    return [
        "## Calibration",
        "",
        "Fitted on one half of the validation rows, told on the other: the expected calibration error (15 bins), and",
        "the task's score, before and after.",
        "",
        "| task | temperature | error before | error | score before | score | rows |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {name} | {one['temperature']:.3f} | {one['error_before']:.4f} | {one['error']:.4f} "
            f"| {one['score_before']:.4f} | {one['score']:.4f} | {one['rows']} |"
            for name, one in calibrated.items()
        ),
        "",
    ]


def _labels(spec: Mapping[str, Any]) -> str:
    names = spec["labels"]
    shown = ", ".join(f"`{name}`" for name in names[:8])
    return f"{shown}, … ({len(names)})" if len(names) > 8 else shown or "a number"


def _scores(scores: Mapping[str, Any] | None) -> list[str]:
    if scores is None:
        return ["Not evaluated."]
    lines = [f"On the split `{scores['split']}`:", "", "| task | metric | value | rows |", "|---|---|---|---|"]
    for task, values in scores["tasks"].items():
        for metric, value in values.items():
            if metric not in ("score", "rows"):
                shown = "undefined" if value is None else f"{value:.4f}"
                lines.append(f"| {task} | {metric} | {shown} | {values['rows']} |")
    return lines
