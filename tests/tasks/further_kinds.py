"""Rows, further inputs and tasks of the kinds that `tests.tiny.make_run` does not have."""

from __future__ import annotations

from typing import Any

from tests.tiny import make_rows

CHOICES = [["a lamp", "the kettle sings"], ["turin", "rome", "ada lives in paris"], ["a", "b", "a book", "it"]]
INPUTS: dict[str, list[Any]] = {"choices": CHOICES}
"""Further input -> values to predict for."""


def further_datasets() -> dict[str, tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]]:
    """Return kind -> its rows, the table `input` and the options of the task."""
    choices = [
        {"text": row["text"], "choices": CHOICES[i % 3], "label": i % 2, "grades": [j % 3 for j in range(2 + i % 3)]}
        for i, row in enumerate(make_rows(24, seed=3))
    ]
    rows = [{**row, "label": None, "grades": None} if i % 8 == 3 else row for i, row in enumerate(choices)]
    input_ = {"text": "text", "choices": "choices"}
    return {
        "multiple_choice": (rows, input_, {"label": "label"}),
        "ranking": (rows, input_, {"label": "grades"}),
    }
