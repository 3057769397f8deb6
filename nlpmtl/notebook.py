"""Jupyter: whether this process is a kernel, or was started by a cell of a notebook."""

from __future__ import annotations

import os
import sys
from typing import IO, Any


def in_kernel() -> bool:
    """Return whether a Jupyter kernel runs this process; IPython is not imported for it."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def is_terminal(stream: IO[Any]) -> bool:
    """Return whether a stream is a terminal with a user, who sees it redrawn and can answer questions.

    A command in a cell, ``!nlpmtl …``, has a terminal too, but its output is only appended, and nobody can type there.
    """
    return stream.isatty() and not _started_by_a_kernel()


def _started_by_a_kernel() -> bool:
    # jupyter_client sets the first for a kernel, ipykernel the second; commands in its cells inherit both.
    return "JPY_PARENT_PID" in os.environ or "inline" in os.environ.get("MPLBACKEND", "")
