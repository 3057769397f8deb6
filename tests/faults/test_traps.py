"""Traps of all kinds: nothing is executed, nothing leaks, and nothing is written outside."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.faults import traps


def test_pickles_are_not_unpickled(tmp_path: Path) -> None:
    count = traps.pickles(tmp_path, every=False)
    assert count.wrong == []
    assert count.tried >= 50


@pytest.mark.parametrize("form", ["pickle", "old pickle", "torch", "old torch", "numpy"])
def test_every_test_pickle_executes_when_unpickled(tmp_path: Path, form: str) -> None:
    content = io.BytesIO(traps.bombs(tmp_path / "witness")[form])
    if "torch" in form:
        torch.load(content, weights_only=False)["weight"].close()
    elif form == "numpy":
        np.load(content, allow_pickle=True)[0].close()
    else:
        pickle.load(content).close()
    assert (tmp_path / "witness").exists()


def test_code_in_model_directories_is_not_imported(tmp_path: Path) -> None:
    count = traps.remote_code(tmp_path)
    assert count.wrong == []
    assert count.tried >= 30


def test_names_that_look_like_paths_are_not_followed(tmp_path: Path) -> None:
    count = traps.names(tmp_path, every=False)
    assert count.wrong == []
    assert count.tried >= 80


def test_links_are_not_followed_when_writing(tmp_path: Path) -> None:
    count = traps.links(tmp_path, every=False)
    assert count.wrong == []
    assert count.tried >= 70


@pytest.mark.slow  # three processes that import everything
def test_a_token_in_the_environment_is_never_written(tmp_path: Path) -> None:
    count = traps.secret(tmp_path)
    assert count.wrong == []
    assert count.tried >= 20
