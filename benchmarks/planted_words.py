"""Tasks whose relations are known: each asks whether a weighted count of words is above its mean.

A text is words drawn at random. Task t has a weight for every word, w_t, and its label is whether Σ w_t[word] over the
text, less what is expected of a text of its length, is above 0. The cosine between w_t and w_u is planted: two tasks
agree on a share 1 − arccos(cosine) / π of texts. The words are those of `tests.tiny`, whose encoder knows nothing: it
is first trained to name the words of a text, as pretrained encoders know of words.
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
"""Two clusters of three tasks, no two pairs alike; most pairs across differ by 0.05 alone."""
_ANGLES = np.deg2rad([0, 17, 48, 90, 126, 170])
_FAN: Floats = 0.9 * np.cos(_ANGLES[:, None] - _ANGLES) + 0.1 * np.eye(6)
"""Tasks as directions in a plane, from alike to opposite, and a tenth of each its own."""
TRUTHS = {"fan": _FAN, "clusters": _CLUSTERS, "unrelated": np.eye(6)}


def weights(cosines: Floats, *, seed: int) -> Floats:
    """Random weights of words for each task, ``[tasks, words]``, with exactly these cosines between the tasks."""
    source = np.random.default_rng(seed)
    values, vectors = np.linalg.eigh(cosines)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    base, _ = np.linalg.qr(source.normal(size=(len(WORDS), len(cosines))))
    found: Floats = root @ base.T
    return found


def rows(words: Floats, *, many: int, seed: int) -> list[dict[str, Any]]:
    """Texts labelled for every task, `t0`, `t1`, …"""
    source = np.random.default_rng(seed)
    found = []
    for _ in range(many):
        drawn = source.integers(len(WORDS), size=source.integers(_SHORTEST, _LONGEST + 1))
        scores = (words[:, drawn] - words.mean(axis=1, keepdims=True)).sum(axis=1)
        labels = {f"t{t}": "yes" if score > 0 else "no" for t, score in enumerate(scores)}
        found.append({"text": " ".join(WORDS[i] for i in drawn), **labels})
    return found


def planted_run(
    directory: Path,
    *,
    cosines: Floats,
    joint: bool,
    encoder: Path,
    many: int,
    seed: int,
    train: Mapping[str, Any],
    unseen: int = 0,
) -> dict[str, Any]:
    """A run over tasks with planted relations.

    Args:
        directory: where the rows are written.
        cosines: between the tasks, ``[tasks, tasks]``.
        joint: whether every text is labelled for all tasks; else each task has texts of its own.
        encoder: where it starts from.
        many: texts, of each task if they are not joint.
        seed: of all that is random.
        train: keys of ``[train]``.
        unseen: texts for validation, of each task if they are not joint.
    """
    words, tasks = weights(cosines, seed=seed), [f"t{t}" for t in range(len(cosines))]
    datasets = {}
    for number, names in enumerate([tasks] if joint else [[task] for task in tasks]):
        sizes = {"train": many, **({"validation": unseen} if unseen else {})}
        made = iter(rows(words, many=sum(sizes.values()), seed=1000 * seed + number))
        files = {
            split: str(write_rows(directory / f"{number}-{split}.jsonl", list(islice(made, size))))
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
    """The tiny encoder, trained to name the words of a text: a directory."""
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
    for part in (model.sharing.encoder, tokenizer):
        part.save_pretrained(directory / "knows-words")
    return directory / "knows-words"
