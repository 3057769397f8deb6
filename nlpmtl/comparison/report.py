"""The report of a comparison: compare.md for people, compare.json for programs, and compare.png."""

from __future__ import annotations

from nlpmtl.comparison.markdown import write_markdown
from nlpmtl.comparison.results import CompareResult
from nlpmtl.errors import RunError
from nlpmtl.fs import write_atomic, write_json

_PICTURE = "compare.png"


def write_report(result: CompareResult) -> list[str]:
    """Write the three files into the comparison's directory; notes come back: the picture could not be drawn.

    Raises:
        RunError: they cannot be written.
    """
    try:
        write_json(result.directory / "compare.json", result.to_json())
        alt, notes = _draw(result)
        text = write_markdown(result, picture=None if notes else _PICTURE, alt=alt)
        write_atomic(result.directory / "compare.md", text.encode())
    except OSError as error:
        raise RunError(f"{result.directory}: the report cannot be written: {error}; all runs are done") from error
    return notes


def _draw(result: CompareResult) -> tuple[str, list[str]]:
    """Draw the picture, and return its text and what went wrong: the numbers are worth more than the picture."""
    below = f"mean of {len(result.seeds)} seeds, and the interval of 95 % over validation rows; right of 0 it gained"
    try:
        # matplotlib comes in when it is needed
        from nlpmtl.plots import ScoreDifference, describe_score_differences, draw_score_differences

        found = [
            ScoreDifference(name, one.alone.kept.mean, one.mixture.kept.mean, one.interval)
            for name, one in result.tasks.items()
        ]
        write_atomic(result.directory / _PICTURE, draw_score_differences(found, subtitle=below))
        return describe_score_differences(found), []
    except Exception as error:  # drawing libraries may raise anything
        return "", [f"{_PICTURE} is not drawn: {type(error).__name__}: {error}"]
