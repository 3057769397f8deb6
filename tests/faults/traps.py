"""Traps in what a run or a model reads: nothing of it is executed, and nothing is written where it should not be."""

from __future__ import annotations

import atexit
import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

import nlpmtl
from nlpmtl.errors import NlpmtlError
from nlpmtl.evaluation import Scores
from tests.faults.harness import Count, one_thread
from tests.faults.hostile import to_toml
from tests.tiny import make_run

SECRETS = {
    "HF_TOKEN": "hf_" + "QxZvKjWpRtYuLmNbGhDs" + "TfEaCiOqSd",
    "HUGGING_FACE_HUB_TOKEN": "hf_" + "MnBvCxZaSdFgHjKlQwEr" + "TyUiOpZxCv",
}
"""Made up; put together here, so that no search for tokens takes this file for a leak."""

STEPS = 2


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
def _runs() -> tuple[Path, dict[str, Any], dict[str, Any]]:
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
def _ground(scratch: Path) -> Iterator[Ground]:
    """Both runs; while it lasts, the cache of prepared rows is in the scratch directory."""
    scratch.mkdir(parents=True, exist_ok=True)
    with patch.dict(os.environ, NLPMTL_CACHE=str(scratch / "cache")), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made, run, short = _runs()
        output = Path(run["output"])
        yield Ground(run, output, output / "model", short, made / "half")


def _try(door: Callable[[], object]) -> tuple[str | None, str | None]:
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
        wrong, refused = _try(door)
        if self.witness.exists():
            self.witness.unlink()
            wrong = "it was executed"
        if wrong is None and opens is not None and opens is not (refused is None):
            wrong = f"it was refused: {refused}" if refused else "it was accepted"
        self._count.add(name, wrong is None, wrong or "")


def _copy(directory: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(directory, to, symlinks=True)
    return to


def _sign(directory: Path, *, inside: str | None) -> None:
    """Write a manifest anew, as whoever changed a file could: the sums of all files, under a key or bare."""
    sums = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.iterdir())
        if path.name != "manifest.json"
    }
    (directory / "manifest.json").write_text(json.dumps({inside: sums} if inside else sums), encoding="utf-8")


def _doors(model: Path, run: Mapping[str, Any]) -> dict[str, Callable[[], object]]:
    """The doors of a model directory."""
    return {
        "Predictor": lambda: nlpmtl.Predictor.from_pretrained(model).predict_all("a cat sings"),
        "evaluate": lambda: nlpmtl.evaluate(model, run),
    }


def _train(run: Mapping[str, Any], encoder: Path, output: Path) -> object:
    shutil.rmtree(output, ignore_errors=True)
    config = {**run, "encoder": {**run["encoder"], "name": str(encoder)}, "train": {**run["train"], "steps": 1}}
    return nlpmtl.train(config, output=output)


def _start(run: Mapping[str, Any], encoder: Path) -> None:
    """The door of an encoder, which goes through once it is loaded: a run that finds no rows."""
    ((name, dataset),) = run["datasets"].items()
    datasets = {name: {**dataset, "data": {"files": {"train": "no rows.jsonl"}}}}
    try:
        nlpmtl.train({**run, "encoder": {**run["encoder"], "name": str(encoder)}, "datasets": datasets})
    except nlpmtl.DataError as error:
        if "no rows.jsonl: no such file" not in str(error):
            raise


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
    count = Count("pickles in the place of files that are loaded: none is unpickled")
    trial = Trials(count, scratch / "witness")
    with _ground(scratch) as ground:
        forms = Forms(bombs(trial.witness), every=every)
        _pickles_in_models(ground, scratch, forms, trial)
        _pickles_in_encoders(ground, scratch, forms, trial)
        _pickles_in_runs(ground, scratch, forms, trial)
        _pickles_in_the_cache(ground, scratch, forms, trial)
    return count


def _pickles_in_models(ground: Ground, scratch: Path, forms: Forms, trial: Trials) -> None:
    model = scratch / "model"
    doors = _doors(model, ground.short)
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        for door, enter in doors.items():
            for form, content in forms():
                _copy(ground.model, model)
                (model / name).write_bytes(content)
                trial(f"a model's {name}, {form}, {door}", enter, opens=False)
    for name in ("pytorch_model.bin", "model.safetensors.index.json", "model.onnx"):
        for door, enter in doors.items():
            for form, content in forms():
                _copy(ground.model, model)
                (model / name).write_bytes(content)
                trial(f"{name} beside a model, {form}, {door}", enter)
                (model / "model.safetensors").unlink()
                trial(f"{name} instead of a model's weights, {form}, {door}", enter, opens=False)


def _pickles_in_encoders(ground: Ground, scratch: Path, forms: Forms, trial: Trials) -> None:
    source, encoder = Path(ground.run["encoder"]["name"]), scratch / "encoder"

    def enter() -> None:
        _start(ground.short, encoder)

    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        for form, content in forms():
            _copy(source, encoder)
            (encoder / name).write_bytes(content)
            trial(f"an encoder's {name}, {form}", enter, opens=False)
    for name in ("pytorch_model.bin", "model.safetensors.index.json", "pytorch_model.bin.index.json"):
        for form, content in forms():
            _copy(source, encoder)
            (encoder / "model.safetensors").unlink()
            (encoder / name).write_bytes(content)
            trial(f"{name} instead of an encoder's weights, {form}", enter, opens=False)
    _copy(source, encoder)
    for name in ("pytorch_model.bin", "tf_model.h5", "training_args.bin"):
        (encoder / name).write_bytes(forms.whole["torch"])
    door = lambda: _train(ground.short, encoder, scratch / "trained")  # noqa: E731
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
                _copy(Path(ground.short["output"]) if kind == "best" else ground.half, half)
                for directory in (half / kind).glob("step-*"):
                    (directory / name).write_bytes(content)
                    if signed:
                        _sign(directory, inside="sha256")
                how = ", its sum in the manifest" if signed else ""
                trial(f"{name} of {kind}, {form}{how}", resume, opens=False)
    for name in ("run.json", "metrics.jsonl", "evaluations.jsonl"):
        for form, content in forms():
            _copy(ground.half, half)
            (half / name).write_bytes(content)
            trial(f"{name}, {form}", resume)


def _entries(run: Mapping[str, Any], model: Path) -> list[Path]:
    """The entries of the cache that an evaluation reads."""
    entries = Path(os.environ["NLPMTL_CACHE"])
    shutil.rmtree(entries, ignore_errors=True)
    nlpmtl.evaluate(model, run)
    return sorted(path for path in entries.iterdir() if path.is_dir())


def _pickles_in_the_cache(ground: Ground, scratch: Path, forms: Forms, trial: Trials) -> None:
    for name, run in ground.alone(every=forms.every):
        expected = nlpmtl.evaluate(ground.model, run)
        (entry,) = _entries(run, ground.model)
        kept = _copy(entry, scratch / "entry")

        def evaluated(run: Mapping[str, Any] = run, expected: Scores = expected) -> None:
            assert nlpmtl.evaluate(ground.model, run) == expected, "the scores are others"

        for file in sorted(path.name for path in kept.iterdir()):
            for signed in (False, True) if file != "manifest.json" else (False,):
                for form, content in forms():
                    _copy(kept, entry)
                    (entry / file).write_bytes(content)
                    if signed:
                        _sign(entry, inside=None)
                    how = ", its sum in the manifest" if signed else ""
                    trial(f"{file} of {name} in the cache, {form}{how}", evaluated, opens=True)


CODE = """
from pathlib import Path
Path({witness!r}).touch()
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
import datasets
import evaluate
class Config(BertConfig): model_type = "evil"
class Model(BertModel): config_class = Config
class Tokenizer(PreTrainedTokenizerFast): pass
class Metric(evaluate.Metric):
    def _info(self):
        value = datasets.Value("int64")
        features = datasets.Features({{"predictions": value, "references": value}})
        return evaluate.MetricInfo(description="", citation="", features=features)
    def _compute(self, predictions, references): return {{"evil": 0.0}}
"""
"""A module that says that it was imported."""

_MAP = {
    "AutoConfig": "evil.Config",
    "AutoModel": "evil.Model",
    "AutoModelForSequenceClassification": "evil.Model",
    "AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"],
}


def _edit(path: Path, **changes: Any) -> None:
    """Change the keys of a file of JSON."""
    value = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**value, **changes}), encoding="utf-8")


def remote_code(scratch: Path) -> Count:
    """Code that a directory of weights brings along, asked for in every way that a config can ask."""
    count = Count("code that an encoder or a model brings along: none is imported")
    trial = Trials(count, scratch / "witness")
    with _ground(scratch) as ground:
        _code_in_encoders(ground, scratch, trial)
        _code_in_models(ground, scratch, trial)
    return count


def _with_code(directory: Path, to: Path, trial: Trials) -> Path:
    _copy(directory, to)
    for name in (
        "evil",
        "modeling_evil",
        "configuration_evil",
        "tokenization_evil",
        to.name,
        "custom_generate/generate",
    ):
        (to / name).parent.mkdir(exist_ok=True)
        (to / f"{name}.py").write_text(CODE.format(witness=str(trial.witness)), encoding="utf-8")
    return to


def _code_in_encoders(ground: Ground, scratch: Path, trial: Trials) -> None:
    base = Path(ground.run["encoder"]["name"])
    elsewhere = dict.fromkeys(("AutoConfig", "AutoModel"), f"{base}--evil.Config")
    asked: dict[str, dict[str, dict[str, Any]]] = {
        "auto_map": {"config.json": {"auto_map": _MAP}},
        "auto_map and trust": {"config.json": {"auto_map": _MAP, "trust_remote_code": True}},
        "auto_map of an unknown type": {"config.json": {"auto_map": _MAP, "model_type": "evil"}},
        "auto_map of another directory": {"config.json": {"auto_map": elsewhere, "model_type": "evil"}},
        "no type": {"config.json": {"auto_map": _MAP, "model_type": None, "architectures": ["Model"]}},
        "auto_map of a tokenizer": {
            "tokenizer_config.json": {"auto_map": _MAP, "tokenizer_class": "Tokenizer", "trust_remote_code": True}
        },
        "auto_map of a tokenizer, as a list": {
            "tokenizer_config.json": {"auto_map": _MAP["AutoTokenizer"], "tokenizer_class": "Tokenizer"}
        },
        "a tokenizer's class": {"tokenizer_config.json": {"tokenizer_class": "evil.Tokenizer"}},
        "a tokenizer's class in config.json": {"config.json": {"tokenizer_class": "evil.Tokenizer"}},
        "kernels": {"config.json": {"attn_implementation": "evil/kernels", "_attn_implementation": "evil/kernels"}},
        "quantisation": {"config.json": {"quantization_config": {"quant_method": "evil", "modules": "evil.Model"}}},
        "plugins": {"config.json": {"plugins": ["evil"], "custom_pipelines": {"x": {"impl": "evil.Model"}}}},
    }  # fmt: skip
    for name, files in asked.items():
        encoder = _with_code(base, scratch / "encoder", trial)
        for file, changes in files.items():
            _edit(encoder / file, **changes)
        trial(f"an encoder with {name}", partial(_start, ground.short, encoder))


def _code_in_models(ground: Ground, scratch: Path, trial: Trials) -> None:
    found = json.loads((ground.model / "config.json").read_text(encoding="utf-8"))
    task, spec = next(iter(found["tasks"].items()))
    metric = str(scratch / "model" / "evil.py")

    def told(**changes: Any) -> dict[str, Any]:
        return {"tasks": {**found["tasks"], task: {**spec, **changes}}}

    inner = found["encoder_config"]
    asked: dict[str, dict[str, dict[str, Any]]] = {
        "auto_map": {"config.json": {"auto_map": _MAP, "trust_remote_code": True}},
        "auto_map of its encoder": {"config.json": {"encoder_config": {**inner, "auto_map": _MAP}}},
        "an encoder of an unknown type": {
            "config.json": {"encoder_config": {**inner, "auto_map": _MAP, "model_type": "evil"}}
        },
        "auto_map of a tokenizer": {
            "tokenizer_config.json": {"auto_map": _MAP, "tokenizer_class": "Tokenizer", "trust_remote_code": True}
        },
        "kernels": {"config.json": {"attn_implementation": "evil/kernels"}},
        "a metric that is a program": {"config.json": told(metrics=[f"evaluate:{metric}"])},
        "a metric that is a folder": {"config.json": told(metrics=[f"evaluate:{Path(metric).parent}"])},
        "a metric that is a module": {"config.json": told(metrics=["evil.Metric"])},
        "a kind that is a class": {"config.json": told(kind="evil.Model")},
        "a sharing that is a class": {"config.json": {"sharing": {"kind": "evil.Model"}}},
        "plugins": {"config.json": {"plugins": ["evil"]}},
    }
    owner = next(one for one, dataset in ground.run["datasets"].items() if task in dataset["tasks"])
    metered = {**ground.run, "datasets": {owner: ground.run["datasets"][owner]}}
    for name, files in asked.items():
        model = _with_code(ground.model, scratch / "model", trial)
        for file, changes in files.items():
            _edit(model / file, **changes)
        for door, enter in _doors(model, metered).items():
            trial(f"a model with {name}, {door}", enter)
        if "auto_map" in name or "kernels" in name:
            trial(f"a model with {name}, as an encoder", partial(_start, ground.short, model))


def _named(scratch: Path) -> list[str]:
    """Names that look like something else."""
    return [
        *("..", ".", "../x", "../../../x", "/etc/nlpmtl-x", str(scratch / "elsewhere" / "x"), "a/b", "a\\b", "~/x"),
        *("~", "con", "NUL", "x\0y", "x\ny", "\x1b[2J", "n" * 300, "a/" * 3000, "", " ", "-rf", "%2e%2e/x", "a;b"),
        *("$HOME", "\u202e", "type", "__class__", "weight.x", "**", "{}", "é" * 100),
    ]  # fmt: skip


class Named:
    """Chooses names for a place.

    Args:
        names: all of them.
        every: choose all; otherwise every fifth, beginning with another one each time.
    """

    def __init__(self, names: Sequence[str], *, every: bool) -> None:
        self.whole, self._every, self._turn = names, every, cycle(range(5))

    def __call__(self) -> Sequence[str]:
        return self.whole if self._every else self.whole[next(self._turn) :: 5]


def _tree(directory: Path, *, but: Sequence[Path]) -> dict[str, tuple[int, int]]:
    """All files below a directory, those below some left out: what they hold, and when it was written."""
    found = {}
    for path in sorted(directory.rglob("*")):
        if not any(path.is_relative_to(one) for one in but):
            state = path.lstat()
            found[str(path)] = (state.st_size, 0 if path.is_dir() else state.st_mtime_ns)
    return found


def names(scratch: Path, *, every: bool = True) -> Count:
    """Names of tasks, datasets, splits, labels, columns, outputs, trackers and models that look like paths.

    Args:
        scratch: where to do it.
        every: each name in each place; otherwise every fifth, others in other places.
    """
    count = Count("names that look like paths: nothing is written outside the output directory")
    with _ground(scratch) as ground:
        work = scratch / "work" / "inner"
        work.mkdir(parents=True)
        here = Path.cwd()
        os.chdir(work)
        try:
            chosen = Named(_named(scratch), every=every)
            _names_in_runs(ground, scratch, count, chosen)
            _names_of_outputs(ground, scratch, count)
            _names_of_models(ground, scratch, count, chosen)
        finally:
            os.chdir(here)
    return count


def _outside(
    count: Count, scratch: Path, name: str, door: Callable[[], object], *, output: Path, opens: bool | None = None
) -> None:
    """Go through a door that may write into one directory."""
    but = [output, scratch / "cache"]
    before = _tree(scratch, but=but)
    wrong, refused = _try(door)
    changed = sorted(set(_tree(scratch, but=but).items()) ^ set(before.items()))
    if changed or Path("/etc/nlpmtl-x").exists():
        wrong = f"it wrote {changed[:3]}"
    if wrong is None and opens is not None and opens is not (refused is None):
        wrong = f"it was refused: {refused}" if refused else "it was accepted"
    count.add(name, wrong is None, wrong or "")


def _names_in_runs(ground: Ground, scratch: Path, count: Count, chosen: Named) -> None:
    output = scratch / "named"
    base = {**ground.short, "train": {**ground.short["train"], "steps": 1}}
    pairs = base["datasets"]["pairs"]
    (task,) = pairs["tasks"].values()

    def attempt(what: str, name: str, run: Any, *, opens: bool | None = False) -> None:
        shutil.rmtree(output, ignore_errors=True)
        door = lambda: nlpmtl.train(run, output=output)  # noqa: E731
        _outside(count, scratch, f"{what} {name[:40]!r}", door, output=output, opens=opens)

    def other(**tables: Any) -> dict[str, Any]:
        return {**base, "datasets": {"pairs": {**pairs, **tables}}}

    allowed = {"con", "NUL", "-rf", "type", "__class__"}
    places: dict[str, Callable[[str], Any]] = {
        "a task": lambda name: other(tasks={name: task}),
        "a dataset": lambda name: {**base, "datasets": {name: pairs}},
        "a tracker": lambda name: {**base, "train": {**base["train"], "trackers": [name]}},
        "the task that selects": lambda name: {**base, "eval": {"every": 1, "select": name}},
        "an encoder": lambda name: {**base, "encoder": {"name": name, "max_length": 48}},
        "a plugin": lambda name: {**base, "plugins": [name]},
        "a column": lambda name: other(input={"text": name}),
        "a file": lambda name: other(data={"files": {"train": name}}),
        "a run": lambda name: name,
    }
    for place, make in places.items():
        for name in chosen():
            if place not in ("a task", "a dataset") or name not in allowed:
                attempt(place, name, make(name))
    tasks = dict.fromkeys(sorted(allowed), task)
    attempt("tasks named", ", ".join(tasks), {**base, "datasets": {"-rf": {**pairs, "tasks": tasks}}}, opens=True)
    # All at once: every name is one of a split, of a label, of a column.
    every = chosen.whole
    rows = [{"text": "a cat", "label": name, **dict.fromkeys(every, name)} for name in every]
    path = scratch / "named.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    files = dict.fromkeys(["train", "validation", *every], str(path))
    named = {
        "data": {"files": files},
        "input": {"text": "../x"},
        "tasks": {"named": {"kind": "classification", "label": "/etc/nlpmtl-x"}},
    }
    attempt("splits, labels and columns", "all", {**base, "datasets": {"named": named}}, opens=True)
    labels = {**named, "tasks": {"named": {"kind": "classification", "label": "label"}}}
    attempt("labels", "all", {**base, "datasets": {"named": labels}}, opens=True)
    model = output / "model"
    for name in chosen():
        door = lambda name=name: nlpmtl.evaluate(model, {**base, "datasets": {"named": labels}}, split=name)  # noqa: E731
        _outside(count, scratch, f"a split {name[:40]!r}", door, output=output, opens=True)


def _names_of_outputs(ground: Ground, scratch: Path, count: Count) -> None:
    run = {**ground.short, "train": {**ground.short["train"], "steps": 1}}
    file = scratch / "file"
    file.touch()
    (scratch / "elsewhere").mkdir(exist_ok=True)
    opening = {"../x": True, "con": True, "~": True, " ": True, "{}": True}
    for name in [*opening, "x\0y", "n" * 300, "a/" * 3000, str(file), str(file / "x"), "/dev/null", "/proc/nlpmtl-x"]:
        output = Path(os.path.normpath(Path.cwd() / name)) if len(name) < 300 and "\0" not in name else Path.cwd() / "x"
        door = lambda name=name: nlpmtl.train(run, output=name)  # noqa: E731
        _outside(count, scratch, f"an output {name[:40]!r}", door, output=output, opens=opening.get(name, False))
        if name in opening:
            shutil.rmtree(output)


def _names_of_models(ground: Ground, scratch: Path, count: Count, chosen: Named) -> None:
    output = scratch / "nothing"
    for name in chosen():
        for what, door in _doors(name, ground.run).items():  # type: ignore[arg-type]
            _outside(count, scratch, f"a model {name[:40]!r}, {what}", door, output=output, opens=False)
        door = partial(nlpmtl.evaluate, ground.model, name)
        _outside(count, scratch, f"data {name[:40]!r}", door, output=output, opens=False)
    for name in ("/etc/nlpmtl-x", "../x", "x/y", "n" * 300):
        model = _rename(ground.model, scratch / "model", name)
        export = lambda: nlpmtl.Predictor.from_pretrained(model).export(output, task=name)  # noqa: B023, E731
        _outside(count, scratch, f"a model's task {name[:40]!r}", export, output=output, opens=False)


def _rename(model: Path, to: Path, name: str) -> Path:
    """A model whose first task has another name."""
    from safetensors.torch import load_file, save_file

    _copy(model, to)
    config = json.loads((to / "config.json").read_text(encoding="utf-8"))
    first, *others = config["tasks"]
    _edit(to / "config.json", tasks={name: config["tasks"][first], **{one: config["tasks"][one] for one in others}})
    found = load_file(to / "model.safetensors")
    renamed = {key.replace(f"heads.{first}_head.", f"heads.{name}_head."): value for key, value in found.items()}
    save_file(renamed, to / "model.safetensors", metadata={"format": "pt"})
    return to


class Victims:
    """Files outside, to which links lead.

    Args:
        directory: where they are.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[Path, tuple[str, dict[str, tuple[bytes, int]]]] = {}

    def take(self, path: Path, *, name: str, content: bytes | None = None) -> None:
        """Put a link in the place of a file or a directory, which goes outside."""
        victim = self._directory / str(len(self._known))
        victim.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            victim.write_bytes(content)
        elif path.exists():
            shutil.move(path, victim)
        else:
            victim.mkdir()
            (victim / "model.safetensors").write_bytes(b"mine")
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(victim)
        self._known[victim] = (name, self._state(victim))

    def check(self, count: Count, *, wrong: str | None = None) -> None:
        """Count each, and forget them."""
        for victim, (name, before) in self._known.items():
            now = self._state(victim)
            why = wrong if now == before else f"{sorted(now.items() ^ before.items())[:2]!a}"[:300]
            count.add(name, why is None, why or "")
        self._known = {}
        shutil.rmtree(self._directory, ignore_errors=True)

    def _state(self, victim: Path) -> dict[str, tuple[bytes, int]]:
        if not victim.is_dir():
            return {"": _content(victim)}
        return {str(path.relative_to(victim)): _content(path) for path in sorted(victim.rglob("*"))}


def _content(path: Path) -> tuple[bytes, int]:
    if path.is_dir():
        return b"a directory", 0
    return (path.read_bytes(), path.stat().st_mtime_ns) if path.exists() else (b"gone", 0)


def links(scratch: Path, *, every: bool = True) -> Count:
    """Links to files outside, in the place of files that are read, written, or removed.

    Args:
        scratch: where to do it.
        every: in the cache, with the rows of all datasets; otherwise of one.
    """
    count = Count("links in the place of files: what they lead to is as it was")
    with _ground(scratch) as ground:
        victims = Victims(scratch / "victims")
        _links_in_runs(ground, scratch, count, victims)
        _links_in_models(ground, scratch, count, victims)
        _links_in_the_cache(ground, count, victims, every=every)
    return count


def _links_in_runs(ground: Ground, scratch: Path, count: Count, victims: Victims) -> None:
    half = scratch / "half"

    def resume(*, opens: bool | None) -> str | None:
        wrong, refused = _try(lambda: nlpmtl.train(ground.short, output=half, resume=True))
        if wrong is None and opens is not None and opens is not (refused is None):
            return f"it was refused: {refused}" if refused else "it was accepted"
        return wrong

    def files(directory: Path) -> list[Path]:
        return sorted(path for path in directory.rglob("*") if path.is_file())

    # Each file of a checkpoint, alone; the only one, then it cannot be used; then the one that is passed over.
    for path in files(ground.half / "checkpoints" / "step-000001"):
        _copy(ground.half, half)
        shutil.rmtree(half / "checkpoints" / "step-000000")
        victims.take(half / path.relative_to(ground.half), name=f"{path.name} of the only checkpoint")
        victims.check(count, wrong=resume(opens=False))
    _copy(ground.half, half)
    for path in files(half / "checkpoints" / "step-000001"):
        victims.take(path, name=f"{path.name} of the newest checkpoint, with others")
    victims.check(count, wrong=resume(opens=True))
    _copy(ground.half, half)
    for path in files(half / "best"):
        victims.take(path, name=f"{path.name} of the best model")
    victims.check(count, wrong=resume(opens=None))
    # Whatever a run writes, and what stood there before.
    _copy(ground.half, half)
    shutil.copytree(Path(ground.short["output"]) / "model", half / "model")
    for path in [*files(half / "model"), *(path for path in half.iterdir() if path.is_file())]:
        victims.take(path, name=f"{path.relative_to(half)}")
    victims.check(count, wrong=resume(opens=True))
    # Directories, in the places of what is written, of what is set aside, and of what is removed.
    for name in ("model", "model/images", "model/.eval_results", "checkpoints/step-000000", "checkpoints/step-000001"):
        _copy(ground.half, half)
        victims.take(half / name, name=f"the directory {name}")
        victims.check(count, wrong=resume(opens=True))
    for names in (
        ["checkpoints/.step-000002.part", "checkpoints/.step-000000.gone", "checkpoints/.x.gone"],
        ["checkpoints/damaged-step-000001", "best/.step-000002.part", "best/.step-000002.gone"],
        ["checkpoints/step-000003"],
    ):  # fmt: skip
        _copy(ground.half, half)
        if "checkpoints/damaged-step-000001" in names:
            (half / "checkpoints" / "step-000001" / "state.json").unlink()
        for name in names:
            victims.take(half / name, name=f"the directory {name}")
        victims.check(count, wrong=resume(opens=True))


def _links_in_models(ground: Ground, scratch: Path, count: Count, victims: Victims) -> None:
    for door in _doors(scratch / "model", ground.short):
        model = _copy(ground.model, scratch / "model")
        for path in sorted(path for path in model.rglob("*") if path.is_file()):
            victims.take(path, name=f"{path.relative_to(model)} of a model, {door}")
        victims.check(count, wrong=_try(_doors(model, ground.short)[door])[0])


def _links_in_the_cache(ground: Ground, count: Count, victims: Victims, *, every: bool) -> None:
    root = Path(os.environ["NLPMTL_CACHE"])
    for name, run in ground.alone(every=every):
        expected = nlpmtl.evaluate(ground.model, run)

        def evaluate(run: Mapping[str, Any] = run, expected: Scores = expected) -> str | None:
            found: list[Scores] = []
            wrong, refused = _try(lambda: found.append(nlpmtl.evaluate(ground.model, run)))
            return wrong or refused or (None if found == [expected] else "the scores are others")

        (entry,) = _entries(run, ground.model)
        for file in sorted(path.name for path in entry.iterdir()):
            victims.take(entry / file, name=f"{file} of {name} in the cache")
            victims.check(count, wrong=evaluate())
        victims.take(entry, name=f"the entry of {name} in the cache")
        victims.check(count, wrong=evaluate())
        (entry,) = _entries(run, ground.model)
        (lock,) = root.glob("*.lock")
        for path in (entry, lock):
            victims.take(path, name=f"an entry of {name} in the cache, and its lock", content=b"mine")
        victims.take(root / ".half-made-x", name="something half made in the cache")
        victims.check(count, wrong=evaluate())


class _Denying(BaseHTTPRequestHandler):
    """Knows nobody."""

    heard: list[str]

    def _answer(self) -> None:
        self.heard.append(self.headers.get("Authorization", ""))
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_POST = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def _denying_hub() -> Iterator[tuple[str, list[str]]]:
    """A Hub that lets nobody in: its address, and what it was shown."""
    heard: list[str] = []
    handler = type("Handler", (_Denying,), {"heard": heard})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", heard
        finally:
            server.shutdown()


def secret(scratch: Path) -> Count:
    """Tokens in the environment of runs that succeed and that fail: nowhere in what they say and write."""
    count = Count("places that a run with a token in its environment writes to: none shows the token")
    train = {"steps": 1, "batch_size": 8, "save_every": 1, "precision": "fp32"}
    run = make_run(scratch / "run", rows=12, train=train)
    run["datasets"] = {"pairs": run["datasets"]["pairs"]}
    del run["output"]
    path = scratch / "run.toml"
    path.write_text(to_toml(run), encoding="utf-8")
    bad = ["--set", "encoder.name=me/private"]
    asked = {
        "success": (["train", str(path)], 0),
        "a model that it may not read": (["train", str(path), *bad], 2),
        "a model that it may not read, --debug": (["--debug", "train", str(path), *bad], 2),
    }
    with _denying_hub() as (address, heard):
        env = {**one_thread(), **SECRETS, "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": address}
        started = {}
        for number, (name, (arguments, _)) in enumerate(asked.items()):
            own = scratch / f"process{number}"
            own.mkdir()
            places = {"HF_HOME": str(own / "hf"), "NLPMTL_CACHE": str(own / "cache"), "TMPDIR": str(own)}
            command = [sys.executable, "-m", "nlpmtl", *arguments, "--output", str(own / "out")]
            with (own / "stdout").open("wb") as out, (own / "stderr").open("wb") as err:
                started[name] = own, subprocess.Popen(command, stdout=out, stderr=err, env={**env, **places})
        codes = {name: process.wait(timeout=600) for name, (_, process) in started.items()}
    for name, (own, _) in started.items():
        expected = asked[name][1]
        told = (own / "stderr").read_text(encoding="utf-8", errors="replace")[-500:]
        count.add(f"{name}: its exit code", codes[name] == expected, f"{codes[name]}, {told}")
        for file in sorted(path for path in own.rglob("*") if path.is_file()):
            content = file.read_bytes()
            shown = [
                key for key, value in SECRETS.items() if value.encode() in content or value[3:].encode() in content
            ]
            count.add(f"{name}: {file.relative_to(own)}", not shown, f"it shows {', '.join(shown)}")
    said = any(SECRETS["HF_TOKEN"] in one for one in heard)
    count.add("the token is one that is used", said, f"the Hub was shown {len(heard)} other tokens or none")
    return count
