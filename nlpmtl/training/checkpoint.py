"""Checkpoints: a directory that exists whole or not at all, and that says itself whether it is intact.

Written to a temporary directory beside, flushed to the disk, listed with sha256 in a manifest, then renamed.
safetensors and JSON only.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from nlpmtl.errors import RunError
from nlpmtl.fs import (
    GONE,
    apply_umask,
    atomic_directory,
    clear_leftovers,
    hidden_sibling,
    link_or_copy,
    remove_path,
    sha256_file,
)
from nlpmtl.strict_json import dumps
from nlpmtl.training.fsdp import full_tensor, shard_like

_MANIFEST, _STATE, _TENSORS = "manifest.json", "state.json", ".safetensors"


def save_atomic(
    directory: Path,
    *,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Any],
    copies: Mapping[str, Path] = MappingProxyType({}),
) -> None:
    """Write a directory of safetensors files and one ``state.json``, whole or not at all.

    Args:
        directory: where.
        tensors: the tensors of each safetensors file.
        state: plain values.
        copies: further files, of which copies are kept.

    Raises:
        RunError: it cannot be written.
    """
    with _replacing(directory) as part:
        for name, values in tensors.items():
            save_file({key: value.detach().contiguous().cpu() for key, value in values.items()}, part / name)
        apply_umask(part)
        _complete(part, state=state, copies=copies, known={})


def amend(directory: Path, *, state: Mapping[str, Any], copies: Mapping[str, Path] = MappingProxyType({})) -> None:
    """Replace the plain values of a committed directory; its tensors stay as they are.

    Raises:
        RunError: it cannot be written.
    """
    listed: dict[str, str] = json.loads((directory / _MANIFEST).read_text(encoding="utf-8"))["sha256"]
    tensors = {name: digest for name, digest in listed.items() if name.endswith(_TENSORS)}
    with _replacing(directory) as part:
        for name in tensors:
            link_or_copy(directory / name, part / name)
        _complete(part, state=state, copies=copies, known=tensors)


@contextmanager
def _replacing(directory: Path) -> Iterator[Path]:
    """A new directory to write into, which takes the place of another one when the block ends without an error."""
    try:
        with atomic_directory(directory) as part:
            yield part
    except (OSError, SafetensorError) as error:
        raise RunError(f"{directory} cannot be written: {error}; checkpoints before it are as they were") from error


def _complete(part: Path, *, state: Mapping[str, Any], copies: Mapping[str, Path], known: Mapping[str, str]) -> None:
    """Write the state, the copies and the manifest beside the tensors."""
    for name, source in copies.items():
        shutil.copyfile(source, part / name)
    (part / _STATE).write_text(dumps(state, indent=1), encoding="utf-8")
    digests = {file.name: known.get(file.name) or sha256_file(file) for file in sorted(part.iterdir())}
    (part / _MANIFEST).write_text(dumps({"sha256": digests}, indent=1), encoding="utf-8")


def verify(directory: Path) -> str | None:
    """What is wrong with a committed directory; None if it is intact."""
    try:
        if (directory / _MANIFEST).is_symlink():
            return f"its {_MANIFEST} is a link"
        manifest = json.loads((directory / _MANIFEST).read_text(encoding="utf-8"))
        digests: dict[str, str] = dict(manifest["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"its {_MANIFEST} cannot be read ({error})"
    if _STATE not in digests:
        return f"its {_MANIFEST} lists no {_STATE}"
    for name, digest in digests.items():
        path = directory / name
        if Path(name).name != name or path.is_symlink() or not path.is_file():
            return f"{name} is missing"
        if sha256_file(path) != digest:
            return f"{name} is damaged: its sha256 is not the one in {_MANIFEST}"
        try:
            _look_into(path)
        except (OSError, ValueError, SafetensorError) as error:
            return f"{name} cannot be read ({error})"
    return None


def _look_into(path: Path) -> None:
    """Raise what reading a file raises that is not what its name says, whatever its sum."""
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt"):
            pass  # its header names every byte of the file
    elif path.suffix == ".json" and not isinstance(json.loads(path.read_text(encoding="utf-8")), dict):
        raise ValueError("it holds no table")


def latest_valid(directory: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that verifies, and what is wrong with those that were passed over.

    Raises:
        RunError: there are checkpoints and none verifies.
    """
    passed_over: list[str] = []
    for path in reversed(_in_order(directory)):
        wrong = verify(path)
        if wrong is None:
            return path, passed_over
        passed_over.append(f"{path}: {wrong}")
    if passed_over:
        raise RunError("no checkpoint is intact:\n" + "\n".join(passed_over))
    return None, []


def prune(directory: Path, *, keep: int) -> set[int]:
    """Remove all but the newest checkpoints; the steps of the best models that those know of come back."""
    paths = _in_order(directory)
    for path in paths[:-keep]:
        _remove(path)
    states = [json.loads((path / _STATE).read_text(encoding="utf-8")) for path in paths[-keep:]]
    return {state["best"]["step"] for state in states if state["best"] is not None}


def quarantine_corrupt(directory: Path) -> None:
    """Rename the damaged checkpoints, so that a run that goes on from an older one does not count them.

    What a killed run left half written or half removed goes.
    """
    clear_leftovers(directory)
    for path in _in_order(directory):
        if verify(path) is not None:
            aside = path.with_name(f"damaged-{path.name}")
            remove_path(aside)
            path.rename(aside)


def _remove(path: Path) -> None:
    """A checkpoint that is killed half removed must not look like a damaged one: it is renamed first."""
    if os.path.lexists(path):
        gone = hidden_sibling(path, GONE)
        remove_path(gone)
        path.rename(gone)
        remove_path(gone)


def _in_order(directory: Path) -> list[Path]:
    """The checkpoints, the oldest first."""
    return sorted(directory.glob("step-*"), key=_step)


def _step(path: Path) -> int:
    number = path.name.removeprefix("step-")
    return int(number) if number.isdecimal() else -1


def state_tensors(model: nn.Module, optimizer: Optimizer, *, keep: bool = True) -> dict[str, dict[str, Tensor]]:
    """All tensors that the future of a run depends on, by file.

    Where the model is in slices all processes take part, those that do not keep what they are given too.
    """
    weights = {name: full_tensor(value, keep=keep) for name, value in model.state_dict().items()}
    return {"model.safetensors": weights, "optimizer.safetensors": _moments(model, optimizer, keep=keep)}


def restore(directory: Path, *, model: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """Load a committed `state_tensors` into a model and its optimizer, and return the state beside it.

    Raises:
        RunError: it is of another model.
    """
    try:
        weights, own = load_file(directory / "model.safetensors"), model.state_dict()
        model.load_state_dict({k: shard_like(v, own[k]) if k in own else v for k, v in weights.items()})
        moments = load_file(directory / "optimizer.safetensors")
    except (RuntimeError, SafetensorError) as error:
        raise RunError(f"{directory} is a checkpoint of another model: {error}") from None
    named = dict(model.named_parameters())
    for key, value in moments.items():
        name, _, moment = key.rpartition("/")
        parameter = named.get(name)
        if parameter is None:
            raise RunError(f"{directory} is a checkpoint of another model: this one has no {name!r}")
        # The fused kernel reads the count of steps where the parameter is; it is in single precision whatever that is.
        like = value.to(parameter.device) if moment == "step" else shard_like(value, parameter)
        optimizer.state[parameter][moment] = like
    return read_state(directory)


def read_state(directory: Path) -> dict[str, Any]:
    """The plain values of a committed directory."""
    state: dict[str, Any] = json.loads((directory / _STATE).read_text(encoding="utf-8"))
    return state


def _moments(model: nn.Module, optimizer: Optimizer, *, keep: bool) -> dict[str, Tensor]:
    """The optimizer's memory by parameter name; a head that never had a row has none yet."""
    found = {}
    for name, parameter in model.named_parameters():
        for moment, value in optimizer.state.get(parameter, {}).items():
            value = value if isinstance(value, Tensor) else torch.tensor(value)
            found[f"{name}/{moment}"] = full_tensor(value, keep=keep)
    return found
