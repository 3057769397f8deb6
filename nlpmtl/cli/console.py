"""What several verbs say alike: tables on stdout, and silence where other libraries would talk."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

import typer

from nlpmtl.errors import plain, plain_line
from nlpmtl.strict_json import dumps

if TYPE_CHECKING:
    from nlpmtl.evaluation import Scores
    from nlpmtl.inference.backend import Backend

_ESCAPED = {
    code: f"\\u{code:04x}"
    for codes in (range(0x7F, 0xA0), (0x061C, 0x200E, 0x200F), range(0x2028, 0x202F), range(0x2066, 0x206A))
    for code in codes
}
"""What a terminal obeys and JSON need not escape: control characters, line ends, directions of text."""
_WIDE = 240
"""Columns of a table that goes into a file or a pipe: nothing wraps."""


def is_main_process() -> bool:
    """Whether this is the process that talks, of those that a launcher started."""
    rank = os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))
    return not rank.isdecimal() or int(rank) == 0  # the run refuses what is not a number


def check_toml(run: str, overrides: Sequence[str] | None = None) -> None:
    """Report a run file that is missing or is not TOML, such a dataset file in it, or a bad override, before torch."""
    from nlpmtl.config import check_syntax, find_run, parse_override

    check_syntax(find_run(run), overrides=dict(map(parse_override, overrides or ())))


def quiet_libraries() -> None:
    """No bars of transformers for reading and writing weights: progress is ours to show."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def report_device(model: Backend) -> None:
    """Say on stderr where a model computes, unless it is the CPU."""
    if model.device.type != "cpu":
        provider = getattr(model, "provider", None)  # of onnxruntime
        typer.echo(f"computing on {model.device}{f' ({provider})' if provider else ''}", err=True)


def protect_output() -> None:
    """Let stdout and stderr escape characters that their encoding lacks, such as ASCII, where Python would fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def protect_logs() -> None:
    """Escape what a terminal would obey in log messages and warnings of all libraries: they quote models and data."""
    logging.setLogRecordFactory(_PlainRecord)
    warnings.formatwarning = _format_warning


class _PlainRecord(logging.LogRecord):
    def getMessage(self) -> str:  # noqa: N802 - its name in logging
        return plain(super().getMessage())


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return plain(f"{filename}:{lineno}: {category.__name__}: {message}\n")


def echo(text: object, *, err: bool = False) -> None:
    """Print text of which parts may come from models or data."""
    typer.echo(plain(text), err=err)


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return JSON for a terminal or a pipe: letters of all scripts as they are, what a terminal would obey escaped."""
    return dumps(value, indent=indent, ensure_ascii=False).translate(_ESCAPED)


def echo_json(value: Any, *, indent: int | None = None) -> None:
    """Print JSON, in UTF-8 whatever the encoding of the terminal."""
    typer.echo(f"{to_json(value, indent=indent)}\n".encode(errors="backslashreplace"), nl=False)


def print_table(*columns: str, rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()) -> None:
    """A table on stdout.

    Args:
        columns: their headings.
        rows: the cells.
        numbers: the columns that are aligned to the right.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        right = column in numbers
        table.add_column(plain_line(column), justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in rows:
        table.add_row(*map(plain_line, row))
    # Labels and names are shown as they are: [brackets] and :colons: mean nothing.
    width = None if sys.stdout.isatty() else _WIDE
    Console(markup=False, emoji=False, highlight=False, width=width).print(table)


def print_scores(scores: Scores) -> None:
    """A row for each metric of each task, then the mean of the tasks."""
    numbers = ("value", "rows")
    print_table("task", "metric", "value", "rows", rows=list(_score_rows(scores)), numbers=numbers)


def _score_rows(scores: Scores) -> Iterator[tuple[str, str, str, str]]:
    for task, values in scores.tasks.items():
        metrics = {name: value for name, value in values.items() if name not in ("score", "rows")}
        if list(metrics.values()) != [values["score"]]:  # of several metrics, or of an error, the score is a new number
            metrics["score"] = values["score"]
        for name, value in metrics.items():
            yield task, name, "undefined" if value is None else f"{value:.4f}", str(values["rows"])
    yield "mean", "", f"{scores.mean:.4f}", ""
