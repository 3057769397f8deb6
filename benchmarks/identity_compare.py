"""Two runs of different versions, compared: every tensor, prediction and score."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file

from benchmarks.identity_jobs import ERROR, PREDICTIONS, SCORES, WITHOUT_MODEL

RENAMED: Final[Mapping[str, str]] = {}
"""Prefix of a tensor's name in the earlier version → its prefix in the later one. Of several that match, the longest
one counts. Tensors of the optimizer begin with the name of their parameter, so they are renamed with it."""


@dataclass(frozen=True)
class Count:
    """Number of equal values among all values of one type."""

    equal: int
    total: int


@dataclass(frozen=True)
class Comparison:
    """One job in both versions.

    Args:
        job: name of the job.
        counts: tensors, predictions and scores; empty if the job failed in a version.
        differences: a line for each value that differs, or what failed.
    """

    job: str
    counts: tuple[Count, ...]
    differences: tuple[str, ...]


def new_name(name: str, renamed: Mapping[str, str] = RENAMED) -> str:
    """Return the name in the later version of a tensor of the earlier one."""
    prefix = max((old for old in renamed if name.startswith(old)), key=len, default=None)
    return name if prefix is None else renamed[prefix] + name.removeprefix(prefix)


def compare_runs(job: str, base: Path, current: Path, *, renamed: Mapping[str, str] = RENAMED) -> Comparison:
    """Compare two output directories of a run.

    Args:
        job: name of the job.
        base: output directory of the earlier version, with its `predictions.jsonl`.
        current: output directory of the later version.
        renamed: prefixes of names of tensors, see `RENAMED`.
    """
    has_model = job not in WITHOUT_MODEL
    failures = tuple(_failure(output, PREDICTIONS if has_model else SCORES) for output in (base, current))
    if any(failures):
        names = ("BASE", "working tree")
        return Comparison(job, (), tuple(f"{n}: {f}" for n, f in zip(names, failures, strict=True) if f))
    counts: list[Count] = []
    differences: list[str] = []
    scores = _scores(base)
    known = {key: value for key, value in _scores(current).items() if key in scores}  # later versions have more metrics
    for sort, (count, lines) in {
        "tensors": _compare_tensors(base, current, renamed=renamed),
        "predictions": _compare_texts(_predictions(base), _predictions(current)),
        "scores": _compare_texts(scores, known),
    }.items():
        counts.append(count)
        expected = has_model or sort == "scores"
        differences += lines or ([f"no {sort} were found"] if expected and count.total == 0 else [])
    return Comparison(job, tuple(counts), tuple(differences))


def _failure(output: Path, file: str) -> str | None:
    """Return the last line of the error of a job that failed or wrote no such file, or None."""
    if (output / ERROR).is_file():
        return (output / ERROR).read_text(encoding="utf-8").strip().splitlines()[-1]
    return None if (output / file).is_file() else f"no {file} was written"


def digest(tensor: torch.Tensor) -> str:
    """Return the sha256 of the dtype, the shape and the bytes of a tensor."""
    header = f"{tensor.dtype} {tuple(tensor.shape)}\n".encode()
    return hashlib.sha256(header + tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()).hexdigest()


def read_tensors(output: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of the model directory ("model NAME") and of the last checkpoint ("checkpoint NAME")."""
    checkpoints = sorted((output / "checkpoints").glob("step-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    tensors: dict[str, torch.Tensor] = {}
    for place, directory in (("model", output / "model"), *(("checkpoint", path) for path in checkpoints[-1:])):
        for file in sorted(directory.glob("*.safetensors")):
            tensors |= {f"{place} {name}": value for name, value in load_file(file).items()}
    return tensors


def _compare_tensors(base: Path, current: Path, *, renamed: Mapping[str, str]) -> tuple[Count, list[str]]:
    before: dict[str, torch.Tensor] = {}
    after = read_tensors(current)
    for key, tensor in read_tensors(base).items():
        place, _, name = key.partition(" ")
        before[f"{place} {new_name(name, renamed)}"] = tensor
    differences = [f"{key}: only in BASE" for key in before if key not in after]
    differences += [f"{key}: only in the working tree" for key in after if key not in before]
    for key in before.keys() & after.keys():
        if digest(before[key]) != digest(after[key]):
            differences.append(f"{key}: {_describe(before[key], after[key])}")
    total = len(before.keys() | after.keys())
    return Count(total - len(differences), total), sorted(differences)


def _describe(tensor: torch.Tensor, other: torch.Tensor) -> str:
    if (tensor.dtype, tensor.shape) != (other.dtype, other.shape):
        return f"{tensor.dtype} {tuple(tensor.shape)} and {other.dtype} {tuple(other.shape)}"
    return f"differs by at most {(tensor.double() - other.double()).abs().max().item():.1e}"


def _predictions(output: Path) -> dict[str, str]:
    """Return the JSON of each prediction: input and task to its text as it was written."""
    predictions = {}
    file = output / PREDICTIONS
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    for number, line in enumerate(lines, 1):
        for task, prediction in json.loads(line)["predictions"].items():
            predictions[f"prediction {number} {task}"] = json.dumps(prediction)
    return predictions


def _scores(output: Path) -> dict[str, str]:
    """Return the values in scores.json by dotted key."""
    values: dict[str, str] = {}

    def add(key: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                add(f"{key}.{name}" if key else name, inner)
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                add(f"{key}.{number}", inner)
        else:
            values[f"score {key}"] = json.dumps(value)

    add("", json.loads((output / SCORES).read_text(encoding="utf-8")))
    return values


def _compare_texts(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Count, list[str]]:
    keys = [*before, *(key for key in after if key not in before)]
    differences = [
        f"{key}: {before.get(key, 'missing')} in BASE, {after.get(key, 'missing')} in the working tree"
        for key in keys
        if before.get(key) != after.get(key)
    ]
    return Count(len(keys) - len(differences), len(keys)), differences
