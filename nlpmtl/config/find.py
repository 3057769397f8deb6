"""Where run files are: a path, or the name of one that is shipped."""

from __future__ import annotations

from pathlib import Path

from nlpmtl.errors import ConfigError, did_you_mean


def find_run(name: str | Path) -> Path:
    """A run file: a path, or the name of a shipped one."""
    path = Path(name)
    if path.is_file() or path.suffix or len(path.parts) > 1:  # a folder of that name hides no shipped run
        return path
    runs = shipped_configs() / "runs"
    if not (runs / f"{name}.toml").is_file():
        known = [file.stem for file in runs.glob("*.toml")]
        raise ConfigError(f"no run file {str(name)!r}, neither here nor shipped; {did_you_mean(str(name), known)}")
    return runs / f"{name}.toml"


def shipped_configs() -> Path:
    """The directory of shipped configs: inside the installed package, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "task_configs"
    return inside if inside.is_dir() else package.parent / "task_configs"
