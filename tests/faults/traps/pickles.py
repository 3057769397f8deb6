"""Pickles in everything that is loaded."""

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
from tests.faults.harness import Count
from tests.faults.traps.ground import Ground, Trials, copy, doors, grounds, sign, start, train


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self._witness = str(witness)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self._witness, "w")


def bombs(witness: Path) -> dict[str, bytes]:
    """Pickles as files hold them, each of which writes the witness if it is unpickled."""
    bomb = Bomb(witness)
    found = {"pickle": pickle.dumps(bomb), "old pickle": pickle.dumps(bomb, protocol=0)}
    for name, zipped in (("torch", True), ("old torch", False)):
        sink = io.BytesIO()
        torch.save({"weight": bomb}, sink, _use_new_zipfile_serialization=zipped)
        found[name] = sink.getvalue()
    sink = io.BytesIO()
    np.save(sink, np.array([bomb], dtype=object), allow_pickle=True)
    return {**found, "numpy": sink.getvalue()}


class Forms:
    """The forms of a pickle: all of them for each file, or each form in turn.

    Args:
        forms: by name.
        every: all of them.
    """

    def __init__(self, forms: Mapping[str, bytes], *, every: bool) -> None:
        self.whole, self.every, self._turn = forms, every, cycle(forms.items())

    def __call__(self) -> Iterable[tuple[str, bytes]]:
        return self.whole.items() if self.every else [next(self._turn)]


def pickles(scratch: Path, *, every: bool = True) -> Count:
    """Pickles in the place of every file that is loaded.

    Args:
        scratch: where to do it.
        every: in all forms; otherwise each file in one form.
    """
    count = Count("pickles instead of files that are loaded: none is unpickled")
    trial = Trials(count, scratch / "witness")
    with grounds(scratch) as ground:
        forms = Forms(bombs(trial.witness), every=every)
        _pickles_in_models(ground, scratch, forms, trial)
        _pickles_in_encoders(ground, scratch, forms, trial)
        _pickles_in_runs(ground, scratch, forms, trial)
        _pickles_in_the_cache(ground, scratch, forms, trial)
    return count


def _pickles_in_models(ground: Ground, scratch: Path, forms: Forms, trial: Trials) -> None:
    model = scratch / "model"
    entrances = doors(model, ground.short)
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        for door, enter in entrances.items():
            for form, content in forms():
                copy(ground.model, model)
                (model / name).write_bytes(content)
                trial(f"a model's {name}, {form}, {door}", enter, opens=False)
    for name in ("pytorch_model.bin", "model.safetensors.index.json", "model.onnx"):
        for door, enter in entrances.items():
            for form, content in forms():
                copy(ground.model, model)
                (model / name).write_bytes(content)
                trial(f"{name} beside a model, {form}, {door}", enter)
                (model / "model.safetensors").unlink()
                trial(f"{name} instead of a model's weights, {form}, {door}", enter, opens=False)


def _pickles_in_encoders(ground: Ground, scratch: Path, forms: Forms, trial: Trials) -> None:
    source, encoder = Path(ground.run["encoder"]["name"]), scratch / "encoder"

    def enter() -> None:
        start(ground.short, encoder)

    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        for form, content in forms():
            copy(source, encoder)
            (encoder / name).write_bytes(content)
            trial(f"an encoder's {name}, {form}", enter, opens=False)
    for name in ("pytorch_model.bin", "model.safetensors.index.json", "pytorch_model.bin.index.json"):
        for form, content in forms():
            copy(source, encoder)
            (encoder / "model.safetensors").unlink()
            (encoder / name).write_bytes(content)
            trial(f"{name} instead of an encoder's weights, {form}", enter, opens=False)
    copy(source, encoder)
    for name in ("pytorch_model.bin", "tf_model.h5", "training_args.bin"):
        (encoder / name).write_bytes(forms.whole["torch"])
    door = lambda: train(ground.short, encoder, scratch / "trained")  # noqa: E731
    trial("pytorch_model.bin and others beside an encoder", door, opens=True)


def _pickles_in_runs(ground: Ground, scratch: Path, forms: Forms, trial: Trials) -> None:
    half = scratch / "half"

    def resume() -> None:
        nlpmtl.train(ground.short, output=half, resume=True)

    files = [("checkpoints", name) for name in ("model.safetensors", "optimizer.safetensors", "state.json")]
    files += [("best", name) for name in ("model.safetensors", "state.json")]
    for kind, name in [*files, ("checkpoints", "manifest.json"), ("best", "manifest.json")]:
        for signed in (False, True) if name != "manifest.json" else (False,):
            for form, content in forms():
                # The best model is read at the end: a run that is at its end gets there at once.
                copy(Path(ground.short["output"]) if kind == "best" else ground.half, half)
                for directory in (half / kind).glob("step-*"):
                    (directory / name).write_bytes(content)
                    if signed:
                        sign(directory, inside="sha256")
                how = ", its sum in the manifest" if signed else ""
                trial(f"{name} of {kind}, {form}{how}", resume, opens=False)
    for name in ("run.json", "metrics.jsonl", "evaluations.jsonl"):
        for form, content in forms():
            copy(ground.half, half)
            (half / name).write_bytes(content)
            trial(f"{name}, {form}", resume)


def entries(run: Mapping[str, Any], model: Path) -> list[Path]:
    """The entries of the cache that an evaluation reads."""
    entries = Path(os.environ["NLPMTL_CACHE"])
    shutil.rmtree(entries, ignore_errors=True)
    nlpmtl.evaluate(model, run)
    return sorted(path for path in entries.iterdir() if path.is_dir())


def _pickles_in_the_cache(ground: Ground, scratch: Path, forms: Forms, trial: Trials) -> None:
    for name, run in ground.alone(every=forms.every):
        expected = nlpmtl.evaluate(ground.model, run)
        (entry,) = entries(run, ground.model)
        kept = copy(entry, scratch / "entry")

        def evaluated(run: Mapping[str, Any] = run, expected: Scores = expected) -> None:
            assert nlpmtl.evaluate(ground.model, run) == expected, "the scores are others"

        for file in sorted(path.name for path in kept.iterdir()):
            for signed in (False, True) if file != "manifest.json" else (False,):
                for form, content in forms():
                    copy(kept, entry)
                    (entry / file).write_bytes(content)
                    if signed:
                        sign(entry, inside=None)
                    how = ", its sum in the manifest" if signed else ""
                    trial(f"{file} of {name} in the cache, {form}{how}", evaluated, opens=True)
