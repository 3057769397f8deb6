"""Console output of all commands: text, JSON and tables without control characters, and quiet libraries."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

import nlpmtl
from nlpmtl.errors import escape_control_characters, escape_line
from nlpmtl.strict_json import to_json

if TYPE_CHECKING:
    from nlpmtl.evaluation import Scores
    from nlpmtl.inference.backend import Backend

_WIDE = 240
"""Width of a table written to a file or a pipe, in columns: wide enough that nothing wraps."""
_PACKAGE = Path(nlpmtl.__file__).parent


def quiet_libraries() -> None:
    """Turn off the progress bars that transformers shows while it loads and saves weights."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def report_device(model: Backend) -> None:
    """Print the device of a model on stderr; the CPU only if a graph does not use the GPU of this machine."""
    import torch

    provider = getattr(model, "provider", None)  # only ONNX models have one
    if model.device.type != "cpu" or (provider and torch.cuda.is_available()):
        typer.echo(f"device: {model.device}{f' ({provider})' if provider else ''}", err=True)


def protect_output() -> None:
    """Escape characters that the encoding of stdout or stderr lacks; by default, Python raises an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def protect_logs() -> None:
    """Escape control characters in log messages and warnings, which may quote models and data, of all libraries.

    Warnings of nlpmtl itself, such as those about renamed config keys, are printed without file and line.
    """
    logging.setLogRecordFactory(_PlainRecord)
    warnings.formatwarning = _format_warning


class _PlainRecord(logging.LogRecord):
    def getMessage(self) -> str:  # noqa: N802 - name in logging
        return escape_control_characters(super().getMessage())


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    if Path(filename).is_relative_to(_PACKAGE):
        return escape_control_characters(f"warning: {message}\n")
    return escape_control_characters(f"{filename}:{lineno}: {category.__name__}: {message}\n")


def echo(text: object, *, err: bool = False) -> None:
    """Print text whose parts may be untrusted, such as labels of a model; control characters are escaped."""
    typer.echo(escape_control_characters(text), err=err)


def echo_json(value: Any, *, indent: int | None = None) -> None:
    """Print JSON in UTF-8, independent of the locale."""
    typer.echo(f"{to_json(value, indent=indent)}\n".encode(errors="backslashreplace"), nl=False)


def print_table(*columns: str, rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()) -> None:
    """Print a table on stdout.

    Args:
        columns: headings.
        rows: cells.
        numbers: headings of the columns to align to the right.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        right = column in numbers
        table.add_column(escape_line(column), justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in rows:
        table.add_row(*map(escape_line, row))
    # No markup: labels and names may contain [brackets] and :colons:.
    width = None if sys.stdout.isatty() else _WIDE
    Console(markup=False, emoji=False, highlight=False, width=width).print(table)


def print_scores(scores: Scores) -> None:
    """Print a table with one row per metric of each task, then the mean over tasks."""
    from nlpmtl.evaluation import SCORE_COLUMNS

    print_table(*SCORE_COLUMNS, rows=scores.rows(), numbers=SCORE_COLUMNS[2:])
