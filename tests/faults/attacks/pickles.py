"""Pickles instead of every file that is loaded."""

from __future__ import annotations

import io
import os
import pickle
import shutil
from collections.abc import Iterable, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch

import nlpmtl
from nlpmtl.evaluation import Scores
from tests.faults.attacks.targets import (
    ExecutionCheck,
    TrainedRuns,
    copy,
    load_encoder_only,
    model_actions,
    train,
    trained_runs,
    write_manifest,
)
from tests.faults.harness import FaultCount


class Payload:
    """An object that creates a file when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self._witness = str(witness)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self._witness, "w")


def payloads(witness: Path) -> dict[str, bytes]:
    """Return the payload in each pickle format; unpickling creates the witness file."""
    payload = Payload(witness)
    files = {"pickle": pickle.dumps(payload), "old pickle": pickle.dumps(payload, protocol=0)}
    for name, zipped in (("torch", True), ("old torch", False)):
        sink = io.BytesIO()
        torch.save({"weight": payload}, sink, _use_new_zipfile_serialization=zipped)
        files[name] = sink.getvalue()
    sink = io.BytesIO()
    np.save(sink, np.array([payload], dtype=object), allow_pickle=True)
    return {**files, "numpy": sink.getvalue()}


class PickleFormats:
    """The pickle formats to test: all for each file, or one in turn.

    Args:
        formats: the payloads by format.
        every: whether to return all of them.
    """

    def __init__(self, formats: Mapping[str, bytes], *, every: bool) -> None:
        self.payloads, self.every, self._turn = formats, every, cycle(formats.items())

    def __call__(self) -> Iterable[tuple[str, bytes]]:
        return self.payloads.items() if self.every else [next(self._turn)]


def pickles(scratch: Path, *, every: bool = True) -> FaultCount:
    """Replace every file that is loaded by pickles.

    Args:
        scratch: directory for the runs.
        every: whether to use all formats for each file; otherwise one.
    """
    count = FaultCount("pickles instead of files that are loaded: none is unpickled")
    check = ExecutionCheck(count, scratch / "witness")
    with trained_runs(scratch) as runs:
        formats = PickleFormats(payloads(check.witness), every=every)
        _pickles_in_models(runs, scratch, formats, check)
        _pickles_in_encoders(runs, scratch, formats, check)
        _pickles_in_runs(runs, scratch, formats, check)
        _pickles_in_the_cache(runs, scratch, formats, check)
    return count


def _pickles_in_models(runs: TrainedRuns, scratch: Path, formats: PickleFormats, check: ExecutionCheck) -> None:
    model = scratch / "model"
    actions = model_actions(model, runs.short)
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        for action, load in actions.items():
            for format_name, content in formats():
                copy(runs.model, model)
                (model / name).write_bytes(content)
                check(f"a model's {name}, {format_name}, {action}", load, accepted=False)
    for name in ("pytorch_model.bin", "model.safetensors.index.json", "model.onnx"):
        for action, load in actions.items():
            for format_name, content in formats():
                copy(runs.model, model)
                (model / name).write_bytes(content)
                check(f"{name} next to a model, {format_name}, {action}", load)
                (model / "model.safetensors").unlink()
                check(f"{name} instead of a model's weights, {format_name}, {action}", load, accepted=False)


def _pickles_in_encoders(runs: TrainedRuns, scratch: Path, formats: PickleFormats, check: ExecutionCheck) -> None:
    source, encoder = Path(runs.run["encoder"]["name"]), scratch / "encoder"

    def load() -> None:
        load_encoder_only(runs.short, encoder)

    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        for format_name, content in formats():
            copy(source, encoder)
            (encoder / name).write_bytes(content)
            check(f"an encoder's {name}, {format_name}", load, accepted=False)
    for name in ("pytorch_model.bin", "model.safetensors.index.json", "pytorch_model.bin.index.json"):
        for format_name, content in formats():
            copy(source, encoder)
            (encoder / "model.safetensors").unlink()
            (encoder / name).write_bytes(content)
            check(f"{name} instead of an encoder's weights, {format_name}", load, accepted=False)
    copy(source, encoder)
    for name in ("pytorch_model.bin", "tf_model.h5", "training_args.bin"):
        (encoder / name).write_bytes(formats.payloads["torch"])
    action = lambda: train(runs.short, encoder, scratch / "trained")  # noqa: E731
    check("pytorch_model.bin and others next to an encoder", action, accepted=True)


def _pickles_in_runs(runs: TrainedRuns, scratch: Path, formats: PickleFormats, check: ExecutionCheck) -> None:
    interrupted = scratch / "interrupted"

    def resume() -> None:
        nlpmtl.train(runs.short, output=interrupted, resume=True)

    files = [("checkpoints", name) for name in ("model.safetensors", "optimizer.safetensors", "state.json")]
    files += [("best", name) for name in ("model.safetensors", "state.json")]
    for kind, name in [*files, ("checkpoints", "manifest.json"), ("best", "manifest.json")]:
        for with_manifest in (False, True) if name != "manifest.json" else (False,):
            for format_name, content in formats():
                # The best model is read at the end, which a finished run reaches at once.
                copy(Path(runs.short["output"]) if kind == "best" else runs.interrupted, interrupted)
                for directory in (interrupted / kind).glob("step-*"):
                    (directory / name).write_bytes(content)
                    if with_manifest:
                        write_manifest(directory, inside="sha256")
                suffix = ", with a valid manifest" if with_manifest else ""
                check(f"{name} of {kind}, {format_name}{suffix}", resume, accepted=False)
    for name in ("run.json", "metrics.jsonl", "evaluations.jsonl"):
        for format_name, content in formats():
            copy(runs.interrupted, interrupted)
            (interrupted / name).write_bytes(content)
            check(f"{name}, {format_name}", resume)


def cache_entries(run: Mapping[str, Any], model: Path) -> list[Path]:
    """Return the cache entries that an evaluation creates."""
    directory = Path(os.environ["NLPMTL_CACHE"])
    shutil.rmtree(directory, ignore_errors=True)
    nlpmtl.evaluate(model, run)
    return sorted(path for path in directory.iterdir() if path.is_dir())


def _pickles_in_the_cache(runs: TrainedRuns, scratch: Path, formats: PickleFormats, check: ExecutionCheck) -> None:
    for name, run in runs.per_dataset(every=formats.every):
        expected = nlpmtl.evaluate(runs.model, run)
        (entry,) = cache_entries(run, runs.model)
        kept = copy(entry, scratch / "entry")

        def evaluated(run: Mapping[str, Any] = run, expected: Scores = expected) -> None:
            assert nlpmtl.evaluate(runs.model, run) == expected, "the scores differ"

        for file in sorted(path.name for path in kept.iterdir()):
            for with_manifest in (False, True) if file != "manifest.json" else (False,):
                for format_name, content in formats():
                    copy(kept, entry)
                    (entry / file).write_bytes(content)
                    if with_manifest:
                        write_manifest(entry, inside=None)
                    suffix = ", with a valid manifest" if with_manifest else ""
                    check(f"{file} of {name} in the cache, {format_name}{suffix}", evaluated, accepted=True)
