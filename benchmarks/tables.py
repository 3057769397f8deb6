"""Shared helpers of result tables: spreads of repeated measurements, and provenance."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version


def median_spread(values: Sequence[float], digits: int) -> str:
    """Return ``median (minimum to maximum)``."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def mean_spread(values: Sequence[float], digits: int) -> str:
    """Return ``mean ± standard deviation``; the deviation of a single value is 0."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}"


def facts(command: str, *packages: str) -> list[str]:
    """Return the provenance of a table, command and machine, as two list items.

    Args:
        command: arguments of ``python -m``.
        packages: packages whose versions are shown in addition to torch and transformers.
    """
    import torch  # imported late, so that benchmarks of memory do not include it

    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", *packages))
    return [
        f"- `python -m {command}`; Python {platform.python_version()}, {versions}.",
        f"- {platform.system()} {platform.machine()} with {torch.backends.cpu.get_cpu_capability()}, "
        f"{torch.get_num_threads()} thread(s) of {os.cpu_count()}.",
    ]
