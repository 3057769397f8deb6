"""Tasks whose relations are known: each is yes or no by a weighted count of words, and the weights are correlated.

The correlation of two tasks' weights is exactly the one that is asked for. Each task has texts of its own, so nothing
but what a model learns can show that two of them are related.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.architectures import write_architecture
from tests.tiny import WORDS

Numbers = npt.NDArray[np.float64]

CLUSTERS: Numbers = np.array(
    [
        [1.00, 0.95, 0.80, 0.30, 0.20, 0.10],
        [0.95, 1.00, 0.70, 0.25, 0.15, 0.05],
        [0.80, 0.70, 1.00, 0.35, 0.00, -0.05],
        [0.30, 0.25, 0.35, 1.00, 0.85, 0.60],
        [0.20, 0.15, 0.00, 0.85, 1.00, 0.75],
        [0.10, 0.05, -0.05, 0.60, 0.75, 1.00],
    ]
)
"""Two clusters of three tasks, no two pairs alike; most pairs across differ by 0.05 alone."""
_ANGLES = np.deg2rad([0, 17, 48, 90, 126, 170])
FAN: Numbers = 0.9 * np.cos(_ANGLES[:, None] - _ANGLES) + 0.1 * np.eye(6)
"""Tasks as directions in a plane, from alike to opposite, and a tenth of each its own."""
UNRELATED: Numbers = np.eye(6)
_ENCODER: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
_SHORTEST, _LONGEST = 4, 12


def planted_weights(truth: Numbers, *, words: int, seed: int) -> Numbers:
    """The weight of each word for each task, ``[tasks, words]``, whose correlations are the truth."""
    eigenvalues, vectors = np.linalg.eigh(truth)
    assert eigenvalues.min() > 0, "these correlations cannot be had together"
    drawn = np.random.default_rng(seed).normal(size=(words, len(truth)))
    directions, _ = np.linalg.qr(drawn - drawn.mean(axis=0))
    root: Numbers = (vectors * np.sqrt(eigenvalues)) @ vectors.T
    weights: Numbers = root @ directions.T
    return weights


def planted_rows(weights: Numbers, *, rows: int, seed: int) -> list[list[dict[str, Any]]]:
    """For each task rows of random words, ``text``, and whether their weights sum to more than 0, ``label``."""
    source = random.Random(seed)
    made = []
    for own in weights:
        value = dict(zip(WORDS, own.tolist(), strict=True))
        texts = [source.choices(WORDS, k=source.randint(_SHORTEST, _LONGEST)) for _ in range(rows)]
        made.append(
            [
                {"text": " ".join(words), "label": "yes" if sum(value[word] for word in words) > 0 else "no"}
                for words in texts
            ]
        )
    return made


def planted_run(directory: Path, truth: Numbers, *, rows: int, seed: int, **tables: Any) -> dict[str, Any]:
    """A run over one dataset for each task, with a tiny random encoder; `tables` override whole tables of it."""
    weights = planted_weights(truth, words=len(WORDS), seed=seed)
    train, validation = (planted_rows(weights, rows=many, seed=2 * seed + i) for i, many in enumerate((rows, 100)))
    datasets = {
        f"d{number}": {
            "data": {"files": {"train": train[number], "validation": validation[number]}},
            "input": {"text": "text"},
            "tasks": {f"t{number}": {"kind": "classification", "label": "label", "labels": ["no", "yes"]}},
        }
        for number in range(len(truth))
    }
    encoder = write_architecture("bert", directory / "encoder", seed=seed, **_ENCODER)
    return {
        "seed": seed,
        "output": str(directory / "out"),
        "encoder": {"name": str(encoder), "max_length": 24},
        "datasets": datasets,
        "sampling": {"kind": "uniform"},
        **tables,
    }


def pairs(matrix: Numbers) -> Numbers:
    """What stands above the diagonal, in order."""
    return matrix[np.triu_indices(len(matrix), k=1)]


def symmetric(matrix: Sequence[Sequence[float]] | Numbers) -> Numbers:
    """The mean of a matrix and its transpose."""
    values = np.asarray(matrix, dtype=np.float64)
    return (values + values.T) / 2
