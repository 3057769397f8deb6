"""Attacks through files, with few repetitions: no code is executed, nothing leaks, and nothing is written outside."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.faults import attacks


@pytest.mark.slow
def test_pickles_are_not_unpickled(tmp_path: Path) -> None:
    count = attacks.pickles(tmp_path, every=False)
    assert count.failures == []
    assert count.attempts >= 50


@pytest.mark.parametrize("format_name", ["pickle", "old pickle", "torch", "old torch", "numpy"])
def test_every_test_pickle_executes_when_unpickled(tmp_path: Path, format_name: str) -> None:
    content = io.BytesIO(attacks.payloads(tmp_path / "witness")[format_name])
    if "torch" in format_name:
        torch.load(content, weights_only=False)["weight"].close()
    elif format_name == "numpy":
        np.load(content, allow_pickle=True)[0].close()
    else:
        pickle.load(content).close()
    assert (tmp_path / "witness").exists()


def test_code_in_model_directories_is_not_imported(tmp_path: Path) -> None:
    count = attacks.remote_code(tmp_path)
    assert count.failures == []
    assert count.attempts >= 30


@pytest.mark.slow
def test_names_that_look_like_paths_are_not_followed(tmp_path: Path) -> None:
    count = attacks.names(tmp_path, every=False)
    assert count.failures == []
    assert count.attempts >= 80


@pytest.mark.slow
def test_links_are_not_followed_when_writing(tmp_path: Path) -> None:
    count = attacks.links(tmp_path, every=False)
    assert count.failures == []
    assert count.attempts >= 70


@pytest.mark.slow  # three processes that import everything
def test_a_token_in_the_environment_is_never_written(tmp_path: Path) -> None:
    count = attacks.tokens(tmp_path)
    assert count.failures == []
    assert count.attempts >= 20
