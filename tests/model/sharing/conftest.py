"""A tiny encoder for the tests of sharing schemes."""

from __future__ import annotations

import copy

import pytest
from transformers import PreTrainedModel

from tests.model.sharing.schemes import make_encoder


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    return make_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def encoder(pretrained: PreTrainedModel) -> PreTrainedModel:
    """A copy of a tiny encoder, which tests may modify."""
    return copy.deepcopy(pretrained)
