"""Whether every extra can be installed under constraints.txt, alone and all together.

    python -m benchmarks.extras

pip resolves each set without installing anything. It needs a package index, and some minutes.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def requirements(extras: list[str]) -> list[str]:
    """The package's dependencies with those of some extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    wanted = list(project["dependencies"])
    for extra in extras:
        for one in optional[extra]:
            inner = one.removeprefix(f"{project['name']}[").removesuffix("]") if one.startswith(project["name"]) else ""
            wanted += requirements(inner.split(",")) if inner else [one]
    return list(dict.fromkeys(wanted))


def resolve(extras: list[str]) -> str | None:
    """Resolve the dependencies with some extras; return what pip says if it cannot."""
    options = ["--dry-run", "--quiet", "--ignore-installed", "--constraint", str(ROOT / "constraints.txt")]
    command = [sys.executable, "-m", "pip", "install", *options, *requirements(extras)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stderr.strip()


def main() -> int:
    """Resolve every extra alone and all together; return how many sets could not be resolved."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = sorted(project["optional-dependencies"])
    failed = 0
    for wanted in (*([extra] for extra in extras), extras):
        problem = resolve(wanted)
        print(f"{', '.join(wanted)}: {'resolved' if problem is None else problem}", flush=True)
        failed += problem is not None
    return failed


if __name__ == "__main__":
    sys.exit(main())
