"""Checkpoints: atomic, self-verifying directories of safetensors and JSON files.

A checkpoint is written to a temporary sibling directory with a manifest of SHA-256 digests, flushed to disk, and then
renamed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from nlpmtl.errors import RunError
from nlpmtl.format_version import FORMAT_KEY, FORMAT_VERSION, check_format_version
from nlpmtl.fs import (
    REMOVED,
    atomic_directory,
    clear_leftovers,
    hidden_sibling,
    link_or_copy,
    remove_path,
    set_default_permissions,
    sha256_file,
)
from nlpmtl.model import with_shared, without_shared
from nlpmtl.strict_json import dumps
from nlpmtl.training.events import BestModel, RunState
from nlpmtl.training.fsdp import full_tensors, shard_like

_MANIFEST, _STATE, _TENSORS = "manifest.json", "state.json", ".safetensors"
_MODEL, _OPTIMIZER = "model.safetensors", "optimizer.safetensors"
CHECKPOINT_NAME = re.compile(r"step-[0-9]+")


def save_atomic(
    directory: Path,
    *,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Any],
    copies: Mapping[str, Path] = MappingProxyType({}),
) -> None:
    """Write a checkpoint; after a failure or a kill it is complete or absent.

    Args:
        directory: directory of the checkpoint.
        tensors: file name → tensors of a safetensors file.
        state: JSON-serialisable content of ``state.json``.
        copies: file name → further file to copy, if it exists.

    Raises:
        RunError: the checkpoint cannot be written.
    """
    with _replacing(directory) as part:
        for name, values in tensors.items():
            save_file({key: value.detach().contiguous().cpu() for key, value in values.items()}, part / name)
        set_default_permissions(part)
        _complete(part, state=state, copies=copies, digests={})


def update_state(
    directory: Path, *, state: Mapping[str, Any], copies: Mapping[str, Path] = MappingProxyType({})
) -> None:
    """Replace the state and the copied files of a checkpoint; its tensors are kept.

    Raises:
        RunError: the checkpoint cannot be written.
    """
    manifest: dict[str, str] = json.loads((directory / _MANIFEST).read_text(encoding="utf-8"))["sha256"]
    tensors = {name: digest for name, digest in manifest.items() if name.endswith(_TENSORS)}
    with _replacing(directory) as part:
        for name in tensors:
            link_or_copy(directory / name, part / name)
        _complete(part, state=state, copies=copies, digests=tensors)


@contextmanager
def _replacing(directory: Path) -> Iterator[Path]:
    """Yield a temporary directory that replaces a checkpoint when the block ends without an error."""
    try:
        with atomic_directory(directory) as part:
            yield part
    except (OSError, SafetensorError) as error:
        raise RunError(f"{directory} cannot be written: {error}; earlier checkpoints are unchanged") from error


def _complete(part: Path, *, state: Mapping[str, Any], copies: Mapping[str, Path], digests: Mapping[str, str]) -> None:
    """Write the state, the copies and the manifest; `digests` are those known already."""
    for name, source in copies.items():
        if source.is_file():  # the user may have removed it
            shutil.copyfile(source, part / name)
    (part / _STATE).write_text(dumps({FORMAT_KEY: FORMAT_VERSION, **state}, indent=1), encoding="utf-8")
    manifest = {file.name: digests.get(file.name) or sha256_file(file) for file in sorted(part.iterdir())}
    (part / _MANIFEST).write_text(dumps({"sha256": manifest}, indent=1), encoding="utf-8")


def verify(directory: Path) -> str | None:
    """Return what is wrong with a checkpoint; None if it is intact."""
    try:
        if (directory / _MANIFEST).is_symlink():
            return f"its {_MANIFEST} is a link"
        manifest = json.loads((directory / _MANIFEST).read_text(encoding="utf-8"))
        digests: dict[str, str] = dict(manifest["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"its {_MANIFEST} cannot be read ({error})"
    if _STATE not in digests:
        return f"its {_MANIFEST} does not list {_STATE}"
    for name, digest in digests.items():
        path = directory / name
        if Path(name).name != name or path.is_symlink() or not path.is_file():
            return f"{name} is missing"
        if sha256_file(path) != digest:
            return f"{name} is damaged: its SHA-256 is not the one in {_MANIFEST}"
        try:
            _check_readable(path)
        except (OSError, ValueError, SafetensorError) as error:
            return f"{name} cannot be read ({error})"
    return None


def _check_readable(path: Path) -> None:
    """Raise what reading the file raises if its content does not fit its name, whatever its digest."""
    if path.suffix == _TENSORS:
        with safe_open(path, framework="pt"):
            pass  # the header describes every byte of the file
    elif path.suffix == ".json" and not isinstance(json.loads(path.read_text(encoding="utf-8")), dict):
        raise ValueError("it does not contain a JSON object")


def latest_valid(directory: Path) -> tuple[Path | None, list[str]]:
    """Return the latest intact checkpoint, and a line for each later one that is damaged.

    Raises:
        RunError: there are checkpoints and none is intact.
    """
    skipped: list[str] = []
    for path in reversed(_by_step(directory)):
        problem = verify(path)
        if problem is None:
            return path, skipped
        skipped.append(f"{path}: {problem}")
    if skipped:
        raise RunError("no checkpoint is intact:\n" + "\n".join(skipped))
    return None, []


def prune(directory: Path, *, keep: int) -> set[int]:
    """Remove all but the latest checkpoints; return the steps of the best models that the kept ones refer to."""
    paths = _by_step(directory)
    for path in paths[:-keep]:
        _remove(path)
    states = [read_state(path) for path in paths[-keep:]]
    return {state["best"]["step"] for state in states if state["best"] is not None}


def quarantine_corrupt(directory: Path) -> None:
    """Rename damaged checkpoints, so that a run that resumes from an earlier one does not count them.

    Also remove leftovers of interrupted writes.
    """
    clear_leftovers(directory)
    for path in _by_step(directory):
        if verify(path) is not None:
            damaged = path.with_name(f"damaged-{path.name}")
            remove_path(damaged)
            path.rename(damaged)


def _remove(path: Path) -> None:
    """Rename, then remove: a checkpoint half removed by a killed process must not look like a damaged one."""
    if os.path.lexists(path):
        removed = hidden_sibling(path, REMOVED)
        remove_path(removed)
        path.rename(removed)
        remove_path(removed)


def _by_step(directory: Path) -> list[Path]:
    """Return the checkpoints, the earliest first; a copy with another name, such as step-000004-old, is not one."""
    paths = [path for path in directory.glob("step-*") if CHECKPOINT_NAME.fullmatch(path.name)]
    return sorted(paths, key=lambda path: int(path.name.removeprefix("step-")))


def read_state(directory: Path) -> dict[str, Any]:
    """Return the content of a checkpoint's state.json without its format version.

    Raises:
        RunError: another version of nlpmtl wrote it.
    """
    state: dict[str, Any] = json.loads((directory / _STATE).read_text(encoding="utf-8"))
    if check_format_version(state, where=str(directory / _STATE), error=RunError) < FORMAT_VERSION:
        raise RunError(
            f"{directory} was written by nlpmtl 0.1, whose checkpoints this version does not read: finish the run with "
            "`pip install 'nlpmtl<0.2'`, or start a new run in another output directory"
        )
    state.pop(FORMAT_KEY, None)
    return state


def state_tensors(model: nn.Module, optimizer: Optimizer, *, keep: bool = True) -> dict[str, dict[str, Tensor]]:
    """Return the parameters of a model and its optimizer state, by file name.

    All ranks of a sharded model take part; those without `keep` get empty tensors. A head without any row so far has no
    optimizer state.
    """
    parameters = full_tensors(without_shared(model.state_dict(), model), keep=keep)
    optimizer_state = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            value = value if isinstance(value, Tensor) else torch.tensor(value)
            optimizer_state[f"{name}/{key}"] = value
    return {_MODEL: parameters, _OPTIMIZER: full_tensors(optimizer_state, keep=keep)}


def restore(directory: Path, *, model: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """Load a checkpoint that holds `state_tensors` into a model and its optimizer; return its state.

    Raises:
        RunError: the checkpoint belongs to another model.
    """
    try:
        saved, current = with_shared(load_file(directory / _MODEL), model), model.state_dict()
        model.load_state_dict({k: shard_like(v, current[k]) if k in current else v for k, v in saved.items()})
        optimizer_state = load_file(directory / _OPTIMIZER)
    except (RuntimeError, SafetensorError) as error:
        raise RunError(f"{directory} is a checkpoint of another model: {error}") from None
    parameters = dict(model.named_parameters())
    for path, value in optimizer_state.items():
        name, _, key = path.rpartition("/")
        parameter = parameters.get(name)
        if parameter is None:
            raise RunError(f"{directory} is a checkpoint of another model: the current model has no parameter {name!r}")
        # The fused kernel reads the step count on the parameter's device, in fp32 whatever the parameter's dtype.
        restored = value.to(parameter.device) if key == "step" else shard_like(value, parameter)
        optimizer.state[parameter][key] = restored
    return read_state(directory)


@dataclass(frozen=True)
class CheckpointManager:
    """Writes, prunes and restores the checkpoints and the best models of a run.

    Args:
        run_directory: directory of the run, with ``checkpoints/`` and ``best/``.
        accelerator: rank 0 writes, the others wait.
        model: model that is trained.
        full_model: the same model, or an unsharded copy of a sharded one.
        optimizer: optimizer of the model.
        keep: number of checkpoints to keep.
        metadata: JSON-serialisable values to store in addition to the state of the run: config, data, plugins.
        logs: file name → log file to copy into each checkpoint.
    """

    run_directory: Path
    accelerator: Accelerator
    model: nn.Module
    full_model: nn.Module
    optimizer: Optimizer
    keep: int
    metadata: Mapping[str, Any]
    logs: Mapping[str, Path]

    def path(self, step: int) -> Path:
        """Return the directory of a checkpoint."""
        return self.run_directory / "checkpoints" / f"step-{step:06d}"

    def best_path(self, step: int) -> Path:
        """Return the directory of a best model."""
        return self.run_directory / "best" / f"step-{step:06d}"

    def save(self, state: RunState) -> None:
        """Write the checkpoint of a step, or update the state of an existing one.

        Earlier checkpoints, and the best models that only they refer to, are removed afterwards.
        """
        path, is_main = self.path(state.step), self.accelerator.is_main_process
        tensors = state_tensors(self.model, self.optimizer, keep=is_main)
        content = {**state.to_json(), **self.metadata}
        if is_main and not path.exists():
            save_atomic(path, tensors=tensors, state=content, copies=self.logs)
        elif is_main and read_state(path) != json.loads(dumps(content)):
            update_state(path, state=content, copies=self.logs)
        if is_main:
            kept = {self.best_path(step) for step in prune(path.parent, keep=self.keep)}
            for best in _by_step(self.run_directory / "best"):
                if best not in kept:
                    remove_path(best)
        self.accelerator.wait_for_everyone()

    def restore(self, path: Path) -> RunState:
        """Load a checkpoint into the model and the optimizer; return the state of the run.

        Raises:
            RunError: the checkpoint belongs to another model or another version of nlpmtl.
        """
        return RunState.from_json(restore(path, model=self.model, optimizer=self.optimizer))

    def save_best(self, best: BestModel) -> None:
        """Write the full model as the best model."""
        if self.accelerator.is_main_process:
            weights = without_shared(self.full_model.state_dict(), self.full_model)
            save_atomic(self.best_path(best.step), tensors={_MODEL: weights}, state=vars(best))
        self.accelerator.wait_for_everyone()

    def load_best(self, best: BestModel) -> None:
        """Load the best model into the full model.

        Raises:
            RunError: its files are damaged.
        """
        path = self.best_path(best.step)
        problem = verify(path)
        if problem is not None:
            raise RunError(f"the best model cannot be read: {path}: {problem}; the last model is in checkpoints/")
        self.full_model.load_state_dict(with_shared(load_file(path / _MODEL), self.full_model))
