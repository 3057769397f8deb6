"""The report of a comparison: compare.md for people, compare.json for programs, and the plot compare.png."""

from __future__ import annotations

from nlpmtl.comparison.markdown import write_markdown
from nlpmtl.comparison.results import CompareResult
from nlpmtl.errors import RunError
from nlpmtl.fs import write_atomic, write_json

_PLOT = "compare.png"


def write_report(result: CompareResult) -> list[str]:
    """Write the files into the directory of the comparison; return notes, if the plot could not be drawn.

    Raises:
        RunError: a file cannot be written.
    """
    try:
        write_json(result.directory / "compare.json", result.to_json())
        alt, notes = _draw(result)
        if notes:
            (result.directory / _PLOT).unlink(missing_ok=True)  # of an earlier call
        text = write_markdown(result, plot=None if notes else _PLOT, alt=alt)
        write_atomic(result.directory / "compare.md", text.encode())
    except OSError as error:
        raise RunError(f"{result.directory}: the report cannot be written: {error}; all runs are finished") from error
    return notes


def _draw(result: CompareResult) -> tuple[str, list[str]]:
    """Draw the plot; return its alt text, and notes instead of an error: the report is useful without a plot."""
    count = len(result.seeds)
    subtitle = (
        f"mean over {count} seed{'s' * (count > 1)}, 95% CI over validation rows; right of 0: multi-task is better"
    )
    try:
        # imported late: matplotlib is slow to import
        from nlpmtl.plots import ScoreDifference, describe_score_differences, draw_score_differences

        differences = [
            ScoreDifference(name, task.single_task.selected.mean, task.multi_task.selected.mean, task.interval)
            for name, task in result.tasks.items()
        ]
        write_atomic(result.directory / _PLOT, draw_score_differences(differences, subtitle=subtitle))
        return describe_score_differences(differences), []
    except Exception as error:  # drawing libraries may raise anything
        return "", [f"{_PLOT} was not drawn: {type(error).__name__}: {error}"]
