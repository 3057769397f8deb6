"""Shared parts of the benchmarks: arguments, reports, spreads of repeated measurements, and provenance."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the option ``--output``, the file of the report."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, metavar="FILE.md", help="write the report to this file")
    return parser


def run_parts(parts: Iterable[str], run: Callable[[str], Iterable[str]]) -> list[str]:
    """Print the lines of each part as they come; return all of them, with an empty line after each part."""
    lines = []
    for part in parts:
        for line in run(part):
            print(line, flush=True)
            lines.append(line)
        lines.append("")
    return lines


def write_report(lines: Iterable[str], output: Path | None, *, echo: bool = True) -> None:
    """Print a report, and write it to a file if there is one.

    Args:
        lines: lines of the report.
        output: the file; None: only print.
        echo: whether to print the report.
    """
    text = "\n".join(lines)
    if echo:
        print(text)
    if output is not None:
        output.write_text(text + "\n", encoding="utf-8")


def median_spread(values: Sequence[float], digits: int) -> str:
    """Return ``median (minimum to maximum)``."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def mean_spread(values: Sequence[float], digits: int) -> str:
    """Return ``mean ± standard deviation``; the deviation of a single value is 0."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}"


def commit() -> str:
    """Return the abbreviated commit of the working tree, followed by ``-dirty`` if the code differs from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()

    changed = git("diff", "--name-only", "HEAD", "--", "*.py", "pyproject.toml", "constraints.txt")
    return git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")


def facts(command: str, *packages: str, threads: int | None = None) -> list[str]:
    """Return the provenance of a table, command and machine, as two list items.

    Args:
        command: arguments of ``python -m``.
        packages: packages whose versions are shown in addition to torch and transformers.
        threads: threads of torch in the measured processes; default: those of this process.
    """
    import torch  # imported late, so that benchmarks of memory do not include it

    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", *packages))
    return [
        f"- `python -m {command}`; Python {platform.python_version()}, {versions}.",
        f"- {platform.system()} {platform.machine()} with {torch.backends.cpu.get_cpu_capability()}, "
        f"{threads or torch.get_num_threads()} thread(s) of {os.cpu_count()}.",
    ]
