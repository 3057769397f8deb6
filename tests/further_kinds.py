"""Rows of the task types that read more than a text and its label, for tests over all registered types."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.tiny import WORDS, write_rows

Row = dict[str, Any]
PLACES = ("turin", "rome", "paris")


def related(source: random.Random) -> Row:
    """Return a text with people and places, some of them nested in phrases, and relations between them.

    A sixth of the rows have no spans, and of the others a third no relations.
    """
    words = [source.choice([*WORDS[:20], *PLACES, "ada"]) for _ in range(source.choice([3, 8, 14]))]
    spans: list[Row] = []
    start = 0
    for word in words:
        end = start + len(word)
        if word in PLACES:
            spans.append({"start": start, "end": end, "label": "place"})
        elif word == "ada":
            spans.append({"start": start, "end": end, "label": "person"})
        if word == words[1]:
            spans.append({"start": 0, "end": end, "label": "phrase"})
        start = end + 1
    pairs = [(i, j) for i, a in enumerate(spans) for j, b in enumerate(spans) if (a["label"], b["label"]) in NEAR]
    relations = [{"head": head, "tail": tail, "label": "near"} for head, tail in pairs[:3]]
    row: Row = {"text": " ".join(words), "entities": spans, "relations": relations}
    return row | {key: None for key in ("entities", "relations") if source.randrange(6) == 0}


NEAR = {("person", "place"), ("place", "phrase")}
"""Labels of spans between which the rows have relations."""

KINDS: dict[str, tuple[Any, dict[str, str], dict[str, str]]] = {
    "spans": (related, {"text": "text"}, {"label": "entities", "relations": "relations"}),
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
