"""The report of a comparison: compare.md for people, compare.json for programs, and compare.png."""

from __future__ import annotations

from nlpmtl.artifact import write_json
from nlpmtl.comparing.markdown import write_markdown
from nlpmtl.comparing.result import CompareResult
from nlpmtl.errors import RunError


def write_report(result: CompareResult) -> None:
    """Write the three files into the comparison's directory.

    Raises:
        RunError: they cannot be written.
    """
    # matplotlib comes in when it is needed
    from nlpmtl.artifact.pictures import Difference, describe_differences, draw_differences

    found = [
        Difference(name, one.alone.kept.mean, one.mixture.kept.mean, one.interval) for name, one in result.tasks.items()
    ]
    below = f"mean of {len(result.seeds)} seeds, and the interval of 95 % over validation rows; right of 0 it gained"
    try:
        write_json(result.directory / "compare.json", result.to_json())
        (result.directory / "compare.png").write_bytes(draw_differences(found, below=below))
        text = write_markdown(result, picture="compare.png", alt=describe_differences(found))
        (result.directory / "compare.md").write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"{result.directory}: the report cannot be written: {error}; all runs are done") from error
