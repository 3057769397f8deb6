"""A Predictor shared by several threads."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nlpmtl import MultiTaskModel, Predictor
from nlpmtl.kernels import to_int8
from nlpmtl.model import load_encoder
from nlpmtl.tasks import task_from_config
from tests.architectures import write_architecture
from tests.model.sharing.schemes import CASES, stir
from tests.tasks.kinds import SPECS, config_of_kind
from tests.threads import LONG, SHORT, calls_of, check_threads
from tests.tiny import Trained, write_encoder


def make_predictor(encoder: Path, case: str = "hard") -> Predictor:
    """A model with the task types of `SPECS`, and a second one that labels words."""
    loaded = load_encoder(str(encoder))
    specs = {name: config_of_kind(name) for name in SPECS} | {"tags": config_of_kind("labeling", scheme="plain")}
    tasks = [task_from_config(name, spec) for name, spec in specs.items()]
    model = MultiTaskModel.from_encoder(loaded, tasks=tasks, sharing=CASES[case], input_length=16, seed=0)
    stir(model.sharing)
    model.train(False)
    return Predictor(model, loaded.tokenizer)


@pytest.mark.parametrize("case", ["layers", *(pytest.param(c, marks=pytest.mark.slow) for c in CASES if c != "layers")])
def test_threads_get_the_predictions_that_one_thread_gets(case: str, tmp_path: Path) -> None:
    check_threads(make_predictor(write_encoder(tmp_path / "encoder"), case))


@pytest.mark.slow
def test_the_tokenizer_of_a_predictor_may_be_used_concurrently(tmp_path: Path) -> None:
    """Calls that change the truncation and padding settings of the tokenizer."""
    predictor = make_predictor(write_encoder(tmp_path / "encoder"))
    options: dict[str, Any] = {"truncation": True, "max_length": 5, "padding": "max_length"}
    check_threads(predictor, meanwhile=lambda: predictor.tokenizer([*LONG, *SHORT], **options))


def test_predictions_do_not_change_tokenizer_settings(tmp_path: Path) -> None:
    predictor = make_predictor(write_encoder(tmp_path / "encoder"))
    expected = [predictor.predict_all(inputs, **options) for inputs, options in calls_of(predictor)]
    backend = predictor.tokenizer.backend_tokenizer
    backend.enable_truncation(max_length=3)
    backend.enable_padding(length=9)
    before = backend.to_str()
    for source in (predictor, Predictor(predictor.model, predictor.tokenizer)):
        assert [source.predict_all(inputs, **options) for inputs, options in calls_of(source)] == expected
    assert backend.to_str() == before


@pytest.mark.parametrize("case", ["layers", "pal"])
def test_a_model_with_task_specific_layers_can_be_copied_and_pickled(case: str, tmp_path: Path) -> None:
    predictor = make_predictor(write_encoder(tmp_path / "encoder"), case)
    expected = predictor.predict_all(SHORT)
    assert isinstance(predictor.model, MultiTaskModel)
    for model in (copy.deepcopy(predictor.model), pickle.loads(pickle.dumps(predictor.model))):
        assert Predictor(model, predictor.tokenizer).predict_all(SHORT) == expected


FORK = """
import json, os, sys, torch
from pathlib import Path
import nlpmtl
from nlpmtl import Predictor, RunError
from tests.test_threads import make_predictor
from tests.tiny import write_encoder
model, run, output = sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3])
actions = {
    "load": lambda: Predictor.from_pretrained(model).predict("a cat", task="topic"),
    "evaluate": lambda: nlpmtl.evaluate(model, run, split="validation")["topic"]["accuracy"],
    "train": lambda: nlpmtl.train(run, output=output / str(os.getpid())).step,
    "build": lambda: build(),
    "predict": lambda: predictor.predict("a cat", task="classification"),
}
def build():
    global predictor
    torch.set_num_threads(1)
    predictor = make_predictor(write_encoder(output / "encoder"))
    torch.set_num_threads(2)
torch.set_num_threads(2)
for name in sys.argv[4].split():
    actions[name]()
after = actions[sys.argv[5]]
if os.fork() == 0:
    try:
        after()
        os._exit(1)
    except RunError as error:
        assert "set_num_threads(1)" in str(error)
    torch.set_num_threads(1)
    os._exit(0 if after() else 2)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("load", "load"),
        ("train", "load"),
        ("evaluate", "load"),
        ("load", "evaluate"),
        ("load", "train"),
        ("build predict", "predict"),
    ],
)
def test_a_computation_after_a_fork_is_refused(before: str, after: str, trained: Trained, tmp_path: Path) -> None:
    """In a separate process with several torch threads, which the last case sets after the model was made."""
    run = {**trained.run, "train": {**trained.run["train"], "steps": 1}}
    arguments = [str(trained.model_dir), json.dumps(run), str(tmp_path), before, after]
    result = subprocess.run([sys.executable, "-c", FORK, *arguments], timeout=300, check=False)
    assert result.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["roberta", "xlm-roberta", "deberta-v2", "modernbert", "distilbert", "mpnet"])
@pytest.mark.parametrize("case", CASES)
def test_threads_with_every_architecture(name: str, case: str, tmp_path: Path) -> None:
    check_threads(make_predictor(write_architecture(name, tmp_path / "encoder"), case), rounds=2)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_threads_with_int8(case: str, tmp_path: Path) -> None:
    predictor = make_predictor(write_encoder(tmp_path / "encoder"), case)
    assert isinstance(predictor.model, MultiTaskModel)
    to_int8(predictor.model.sharing)
    check_threads(predictor, rounds=5)
