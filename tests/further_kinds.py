"""Rows of the task types that read more than a text and its label, for tests over all registered types."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.tiny import WORDS, write_rows

Row = dict[str, Any]


def answered(source: random.Random) -> Row:
    """Return a question and a context with the answer; of ten rows two have no answer, and one is unlabelled."""
    words = [source.choice(WORDS) for _ in range(source.choice([6, 20, 90]))]
    place, context = source.randrange(len(words)), " ".join(words)
    answer = {"text": [words[place]], "answer_start": [len(" ".join([*words[:place], ""]))]}
    none: Row = {"text": [], "answer_start": []}
    answers = source.choice([answer] * 7 + [none] * 2 + [None])
    return {"question": f"where is {words[place - 1]}", "context": context, "answers": answers}


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


CHOICES = [["a lamp", "the kettle sings"], ["turin", "rome", "ada lives in paris"], ["a", "b", "a book", "it"]]
INPUTS: dict[str, list[Any]] = {"choices": CHOICES}
"""Further input = values to predict for."""


def chosen(source: random.Random) -> Row:
    """Return a text with choices; of ten rows one is unlabelled."""
    choices = source.choice(CHOICES)
    row: Row = {"text": " ".join(source.choice(WORDS) for _ in range(source.randint(3, 9))), "choices": choices}
    if source.random() < 0.1:
        return {**row, "label": None, "grades": None}
    return {**row, "label": source.randrange(2), "grades": [source.randrange(3) for _ in choices]}


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
    "embedding": (similar, {"text": "anchor", "pair": "positive", "negatives": "others"}, {}),
    "multiple_choice": (chosen, {"text": "text", "choices": "choices"}, {"label": "label"}),
    "parsing": (parsed, {"words": "tokens"}, {"heads": "heads", "deprels": "deprels"}),
    "question_answering": (answered, {"text": "question", "pair": "context"}, {"label": "answers"}),
    "ranking": (chosen, {"text": "text", "choices": "choices"}, {"label": "grades"}),
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
