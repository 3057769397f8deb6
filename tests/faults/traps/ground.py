"""A model, an encoder and a run to lay traps in, and the doors that they go through."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import nlpmtl
from nlpmtl.errors import NlpmtlError
from tests.faults.harness import Count
from tests.tiny import make_run

STEPS = 2


@dataclass(frozen=True)
class Ground:
    """A run of all kinds of task, and a short one of a single kind that goes on from its first checkpoint.

    Args:
        run: the run's config.
        output: its directory.
        model: its model directory.
        short: the config of the short one …
        half: … and its directory, as it was before the last step.
    """

    run: dict[str, Any]
    output: Path
    model: Path
    short: dict[str, Any]
    half: Path

    def alone(self, *, every: bool) -> Iterator[tuple[str, dict[str, Any]]]:
        """The run with each of its datasets alone, or with one of them."""
        for name, dataset in self.run["datasets"].items():
            if every or name in self.short["datasets"]:
                yield name, {**self.run, "datasets": {name: dataset}}


@cache
def runs() -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Where both runs are, for as long as this process lasts, and their configs."""
    directory = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    train = {"steps": STEPS, "batch_size": 8, "lr": 1e-3, "save_every": 1, "keep": 9, "precision": "fp32"}
    run = make_run(directory / "run", rows=24, train=train, eval={"every": 1})
    short = {**run, "datasets": {"pairs": run["datasets"]["pairs"]}, "output": str(directory / "short")}
    for one in (run, short):
        nlpmtl.train(one)
    half = directory / "half"
    shutil.copytree(short["output"], half, ignore=shutil.ignore_patterns("model", f"step-{STEPS:06d}"))
    return directory, run, short


@contextmanager
def grounds(scratch: Path) -> Iterator[Ground]:
    """Both runs; while it lasts, the cache of prepared rows is in the scratch directory."""
    scratch.mkdir(parents=True, exist_ok=True)
    with patch.dict(os.environ, NLPMTL_CACHE=str(scratch / "cache")), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made, run, short = runs()
        output = Path(run["output"])
        yield Ground(run, output, output / "model", short, made / "half")


def attempt(door: Callable[[], object]) -> tuple[str | None, str | None]:
    """What is wrong with how a door refuses, and its words if it does; neither if it opens."""
    try:
        door()
    except NlpmtlError as error:
        return None, str(error)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}", None
    return None, None


class Trials:
    """Tries doors and watches a witness.

    Args:
        count: is told.
        witness: the file that no door may make.
    """

    def __init__(self, count: Count, witness: Path) -> None:
        self._count, self.witness = count, witness

    def __call__(self, name: str, door: Callable[[], object], *, opens: bool | None = None) -> None:
        """Go through a door.

        Args:
            name: of the trial.
            door: what to do.
            opens: whether it must open, or must not; None: either will do.
        """
        wrong, refused = attempt(door)
        if self.witness.exists():
            self.witness.unlink()
            wrong = "it was executed"
        if wrong is None and opens is not None and opens is not (refused is None):
            wrong = f"it was refused: {refused}" if refused else "it was accepted"
        self._count.add(name, wrong is None, wrong or "")


def copy(directory: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(directory, to, symlinks=True)
    return to


def sign(directory: Path, *, inside: str | None) -> None:
    """Write a manifest anew, as whoever changed a file could: the sums of all files, under a key or bare."""
    sums = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.iterdir())
        if path.name != "manifest.json"
    }
    (directory / "manifest.json").write_text(json.dumps({inside: sums} if inside else sums), encoding="utf-8")


def doors(model: Path, run: Mapping[str, Any]) -> dict[str, Callable[[], object]]:
    """The doors of a model directory."""
    return {
        "Predictor": lambda: nlpmtl.Predictor.from_pretrained(model).predict_all("a cat sings"),
        "evaluate": lambda: nlpmtl.evaluate(model, run),
    }


def train(run: Mapping[str, Any], encoder: Path, output: Path) -> object:
    shutil.rmtree(output, ignore_errors=True)
    config = {**run, "encoder": {**run["encoder"], "name": str(encoder)}, "train": {**run["train"], "steps": 1}}
    return nlpmtl.train(config, output=output)


def start(run: Mapping[str, Any], encoder: Path) -> None:
    """The door of an encoder, which goes through once it is loaded: a run that finds no rows."""
    ((name, dataset),) = run["datasets"].items()
    datasets = {name: {**dataset, "data": {"files": {"train": "no rows.jsonl"}}}}
    try:
        nlpmtl.train({**run, "encoder": {**run["encoder"], "name": str(encoder)}, "datasets": datasets})
    except nlpmtl.DataError as error:
        if "no rows.jsonl: no such file" not in str(error):
            raise


def edit(path: Path, **changes: Any) -> None:
    """Change the keys of a file of JSON."""
    value = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**value, **changes}), encoding="utf-8")
