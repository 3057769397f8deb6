"""A trained model, an encoder and a run that the attacks modify, and the actions that load them."""

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
from tests.faults.harness import FaultCount
from tests.tiny import make_run

STEPS = 2


@dataclass(frozen=True)
class TrainedRuns:
    """A run of five task types (see `make_run`), and a short run of one task type that can be resumed.

    Args:
        run: config of the run.
        output: output directory of the run.
        model: model directory of the run.
        short: config of the short run.
        interrupted: directory of the short run as it was before the last step.
    """

    run: dict[str, Any]
    output: Path
    model: Path
    short: dict[str, Any]
    interrupted: Path

    def per_dataset(self, *, every: bool) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the run with a single dataset, for each dataset or only for that of the short run."""
        for name, dataset in self.run["datasets"].items():
            if every or name in self.short["datasets"]:
                yield name, {**self.run, "datasets": {name: dataset}}


@cache
def _train_runs() -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Train both runs once per process, and return their directory and configs."""
    directory = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    train = {"steps": STEPS, "batch_size": 8, "lr": 1e-3, "save_every": 1, "keep": 9, "precision": "fp32"}
    run = make_run(directory / "run", rows=24, train=train, eval={"every": 1})
    short = {**run, "datasets": {"pairs": run["datasets"]["pairs"]}, "output": str(directory / "short")}
    for config in (run, short):
        nlpmtl.train(config)
    interrupted = directory / "interrupted"
    shutil.copytree(short["output"], interrupted, ignore=shutil.ignore_patterns("model", f"step-{STEPS:06d}"))
    return directory, run, short


@contextmanager
def trained_runs(scratch: Path) -> Iterator[TrainedRuns]:
    """Yield both runs, with the dataset cache in the scratch directory."""
    scratch.mkdir(parents=True, exist_ok=True)
    with patch.dict(os.environ, NLPMTL_CACHE=str(scratch / "cache")), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        directory, run, short = _train_runs()
        output = Path(run["output"])
        yield TrainedRuns(run, output, output / "model", short, directory / "interrupted")


def attempt(action: Callable[[], object]) -> tuple[str | None, str | None]:
    """Call an action, and return the problem (an unexpected exception) and the message of a refusal, or None."""
    try:
        action()
    except NlpmtlError as error:
        return None, str(error)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}", None
    return None, None


class ExecutionCheck:
    """Calls actions, and checks that no code of the attacker was executed.

    Args:
        count: counts the attempts.
        witness: the file that executed code would create.
    """

    def __init__(self, count: FaultCount, witness: Path) -> None:
        self._count, self.witness = count, witness

    def __call__(self, name: str, action: Callable[[], object], *, accepted: bool | None = None) -> None:
        """Call an action.

        Args:
            name: name of the attempt.
            action: the function that loads the modified files.
            accepted: whether the action must succeed (True) or must raise an error (False); None: either.
        """
        problem, refusal = attempt(action)
        if self.witness.exists():
            self.witness.unlink()
            problem = "code was executed"
        if problem is None and accepted is not None and accepted is not (refusal is None):
            problem = f"refused: {refusal}" if refusal else "accepted"
        self._count.add(name, problem is None, problem or "")


def copy(directory: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(directory, to, symlinks=True)
    return to


def write_manifest(directory: Path, *, inside: str | None) -> None:
    """Rewrite a manifest with the current digests of all files, under a key or at the top level."""
    sums = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.iterdir())
        if path.name != "manifest.json"
    }
    (directory / "manifest.json").write_text(json.dumps({inside: sums} if inside else sums), encoding="utf-8")


def model_actions(model: Path, run: Mapping[str, Any]) -> dict[str, Callable[[], object]]:
    """Return the actions that load a model directory."""
    return {
        "Predictor": lambda: nlpmtl.Predictor.from_pretrained(model).predict_all("a cat sings"),
        "evaluate": lambda: nlpmtl.evaluate(model, run),
    }


def train(run: Mapping[str, Any], encoder: Path, output: Path) -> object:
    shutil.rmtree(output, ignore_errors=True)
    config = {**run, "encoder": {**run["encoder"], "name": str(encoder)}, "train": {**run["train"], "steps": 1}}
    return nlpmtl.train(config, output=output)


def load_encoder_only(run: Mapping[str, Any], encoder: Path) -> None:
    """Load only the encoder: start a run whose data file does not exist."""
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
