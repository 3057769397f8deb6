"""Synthetic tasks with known relations: each label is whether a weighted count of words is above its mean.

A text is a sequence of random words. Task t has a weight for every word, w_t, and its label is whether Σ w_t[word] over
the text, minus its expectation for a text of that length, is above 0. The cosine between w_t and w_u is set: two tasks
agree on a fraction 1 − arccos(cosine) / π of texts. The words are those of `tests.tiny`, whose encoder is random: it is
first trained to predict the words of a text, so that it represents words as pretrained encoders do.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nlpmtl
from nlpmtl.hub import load_model
from tests.tiny import WORDS, write_encoder, write_rows

Floats = NDArray[np.float64]
_SHORTEST, _LONGEST = 6, 16
_CLUSTERS: Floats = np.array(
    [
        [1.00, 0.95, 0.80, 0.30, 0.20, 0.10],
        [0.95, 1.00, 0.70, 0.25, 0.15, 0.05],
        [0.80, 0.70, 1.00, 0.35, 0.00, -0.05],
        [0.30, 0.25, 0.35, 1.00, 0.85, 0.60],
        [0.20, 0.15, 0.00, 0.85, 1.00, 0.75],
        [0.10, 0.05, -0.05, 0.60, 0.75, 1.00],
    ]
)
"""Two clusters of three tasks with different cosines; most pairs across clusters differ by only 0.05."""
_ANGLES = np.deg2rad([0, 17, 48, 90, 126, 170])
_FAN: Floats = 0.9 * np.cos(_ANGLES[:, None] - _ANGLES) + 0.1 * np.eye(6)
"""Tasks as directions in a plane, from similar to opposite, each with a tenth of its own."""
TRUTHS = {"fan": _FAN, "clusters": _CLUSTERS, "unrelated": np.eye(6)}


def weights(cosines: Floats, *, seed: int) -> Floats:
    """Return random word weights, ``[tasks, words]``, with exactly these cosines between the tasks."""
    source = np.random.default_rng(seed)
    values, vectors = np.linalg.eigh(cosines)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    base, _ = np.linalg.qr(source.normal(size=(len(WORDS), len(cosines))))
    word_weights: Floats = root @ base.T
    return word_weights


def rows(words: Floats, *, count: int, seed: int) -> list[dict[str, Any]]:
    """Return texts labelled for every task, `t0`, `t1`, …"""
    source = np.random.default_rng(seed)
    labelled = []
    for _ in range(count):
        drawn = source.integers(len(WORDS), size=source.integers(_SHORTEST, _LONGEST + 1))
        scores = (words[:, drawn] - words.mean(axis=1, keepdims=True)).sum(axis=1)
        labels = {f"t{t}": "yes" if score > 0 else "no" for t, score in enumerate(scores)}
        labelled.append({"text": " ".join(WORDS[i] for i in drawn), **labels})
    return labelled


def planted_run(
    directory: Path,
    *,
    cosines: Floats,
    joint: bool,
    encoder: Path,
    text_count: int,
    seed: int,
    train: Mapping[str, Any],
    validation_count: int = 0,
) -> dict[str, Any]:
    """Return a run over tasks with planted relations.

    Args:
        directory: directory for the rows.
        cosines: cosines between the tasks, ``[tasks, tasks]``.
        joint: whether every text is labelled for all tasks; otherwise each task has different texts.
        encoder: directory of the encoder.
        text_count: number of train texts, per task unless joint.
        seed: random seed.
        train: keys of ``[train]``.
        validation_count: number of validation texts, per task unless joint.
    """
    words, tasks = weights(cosines, seed=seed), [f"t{t}" for t in range(len(cosines))]
    datasets = {}
    for number, names in enumerate([tasks] if joint else [[task] for task in tasks]):
        sizes = {"train": text_count, **({"validation": validation_count} if validation_count else {})}
        stream = iter(rows(words, count=sum(sizes.values()), seed=1000 * seed + number))
        files = {
            split: str(write_rows(directory / f"{number}-{split}.jsonl", list(islice(stream, size))))
            for split, size in sizes.items()
        }
        kinds = {name: {"kind": "classification", "label": name, "labels": ["no", "yes"]} for name in names}
        datasets[f"d{number}"] = {"data": {"files": files}, "input": {"text": "text"}, "tasks": kinds}
    return {
        "seed": seed,
        "output": str(directory / "out"),
        "encoder": {"name": str(encoder), "max_length": 32},
        "datasets": datasets,
        "train": train,
    }


def word_encoder(directory: Path, *, seed: int, steps: int) -> Path:
    """Train the tiny encoder to predict the words of a text; return its directory."""
    source = np.random.default_rng(seed)
    texts = []
    for _ in range(4000):
        drawn = source.integers(len(WORDS), size=source.integers(_SHORTEST, _LONGEST + 1))
        texts.append({"text": " ".join(WORDS[i] for i in drawn), "words": sorted({WORDS[i] for i in drawn})})
    path = write_rows(directory / "words.jsonl", texts)
    run = {
        "seed": seed,
        "encoder": {"name": str(write_encoder(directory / "encoder", seed=seed, dropout=0.0)), "max_length": 32},
        "datasets": {
            "words": {
                "data": {"files": {"train": str(path)}},
                "input": {"text": "text"},
                "tasks": {"words": {"kind": "multilabel", "label": "words", "labels": list(WORDS)}},
            }
        },
        "train": {"steps": steps, "batch_size": 64, "lr": 5e-3, "precision": "fp32", "save_every": steps},
    }
    model, tokenizer = load_model(str(nlpmtl.train(run, output=directory / "words").model_dir))
    for saved in (model.sharing.encoder, tokenizer):
        saved.save_pretrained(directory / "pretrained")
    return directory / "pretrained"
