"""What tables of results have in common: figures that were measured several times, and where they come from."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version


def median_spread(values: Sequence[float], digits: int) -> str:
    """``median (least to most)``."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def mean_spread(values: Sequence[float], digits: int) -> str:
    """``mean ± standard deviation``, which is 0 of a single value."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}"


def facts(command: str, *packages: str) -> list[str]:
    """What a table was made by, and where: two items of a list.

    Args:
        command: after ``python -m``.
        packages: whose versions matter, beside torch and transformers.
    """
    import torch  # not before: a benchmark that measures memory has none of it

    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", *packages))
    return [
        f"- `python -m {command}`; Python {platform.python_version()}, {versions}.",
        f"- {platform.system()} {platform.machine()} with {torch.backends.cpu.get_cpu_capability()}, "
        f"{torch.get_num_threads()} thread(s) of {os.cpu_count()}.",
    ]
