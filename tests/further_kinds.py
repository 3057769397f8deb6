"""Rows of the task types that read more than a text and its label, for tests over all registered types."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.tiny import WORDS, write_rows

Row = dict[str, Any]


def parsed(source: random.Random) -> Row:
    """Return words with a random tree, in which each word but the root depends on one between itself and the root."""
    words = [source.choice(WORDS) for _ in range(source.randint(1, 9))]
    root = source.randrange(len(words))
    heads = [
        0 if i == root else 1 + source.randrange(min(i + 1, root), max(i, root + 1))  # counted from 1
        for i in range(len(words))
    ]
    deprels = ["root" if head == 0 else source.choice(["det", "obj", "nsubj", "nsubj:pass"]) for head in heads]
    return {"tokens": words, "heads": heads if source.random() < 0.9 else None, "deprels": deprels}


def similar(source: random.Random) -> Row:
    """Return a text, a text of the same words, and up to two others."""
    words = [source.choice(WORDS) for _ in range(source.randint(2, 8))]
    others = [" ".join(source.choice(WORDS) for _ in range(4)) for _ in range(source.randint(0, 2))]
    return {"anchor": " ".join(words), "positive": " ".join(reversed(words)), "others": others}


KINDS: dict[str, tuple[Any, dict[str, str], dict[str, str]]] = {
    "embedding": (similar, {"text": "anchor", "pair": "positive", "negatives": "others"}, {}),
    "parsing": (parsed, {"words": "tokens"}, {"heads": "heads", "deprels": "deprels"}),
}
"""Task type = a function that makes a row, the columns of the input, and the keys of the task."""


def make_datasets(directory: Path, *, count: int = 24) -> dict[str, Any]:
    """Return a dataset of each type, by the name of the type, which is also that of the task."""
    datasets: dict[str, Any] = {}
    for kind, (make, columns, keys) in KINDS.items():
        files = {}
        for split, rows in (("train", count), ("validation", count // 2)):
            source = random.Random(f"{kind} {split}")
            files[split] = str(write_rows(directory / f"{kind}-{split}.jsonl", [make(source) for _ in range(rows)]))
        datasets[kind] = {"data": {"files": files}, "input": columns, "tasks": {kind: {"kind": kind, **keys}}}
    return datasets
