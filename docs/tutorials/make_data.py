"""Generate the data of the tutorials, in docs/tutorials/data: python -m docs.tutorials.make_data.

The texts are put together at random from the phrases of an invented shop for outdoor gear. Some labels are missing, and
some stars are one off, as in data that people labelled.
"""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from docs.tutorials import phrases

DIRECTORY = Path(__file__).parent / "data"
_SLOT = re.compile(r"\{(\w+)\}")


def main(directory: Path = DIRECTORY) -> None:
    """Write all files into a directory."""
    directory.mkdir(exist_ok=True)
    rng = random.Random(17)
    reviews = make_reviews(rng, 240)
    _write_csv(directory / "reviews.csv", reviews)
    new = [{"id": f"{i:04d}", "review": row["review"]} for i, row in enumerate(make_reviews(rng, 12), 1)]
    _write_csv(directory / "new-reviews.csv", new)
    notes = (
        "".join(f"{word} {tag}\n" for word, tag in zip(*sentence, strict=True)) for sentence in make_notes(rng, 120)
    )
    (directory / "notes.conll").write_text("\n".join(notes), encoding="utf-8")
    _write_lines(directory / "requests.jsonl", [doccano(i + 1, row) for i, row in enumerate(make_requests(rng, 120))])
    # Validation has, for each intent, a phrase that is not in train.
    _write_lines(directory / "messages" / "train.jsonl", make_requests(rng, 240, templates=5))
    _write_lines(directory / "messages" / "validation.jsonl", make_requests(rng, 100))
    answers = make_answers(rng, 140)
    _write_csv(directory / "survey" / "train.csv", answers[:40])
    _write_csv(directory / "survey" / "validation.csv", answers[40:])


def make_reviews(rng: random.Random, count: int) -> list[dict[str, Any]]:
    """Return reviews with stars and a category; a few cells are empty."""
    rows, texts = list[dict[str, Any]](), set[str]()
    while len(rows) < count:
        category, stars = rng.choice(list(phrases.NOUNS)), rng.choice([1, 2, 3, 4, 4, 5, 5])
        opinion, detail = rng.choice(phrases.OPINIONS[stars]), rng.choice(phrases.DETAILS[category])
        bought = f"Bought the {rng.choice(phrases.NOUNS[category])} {rng.choice(phrases.OCCASIONS)}"
        sentences = [bought, opinion, detail[0].upper() + detail[1:]][rng.choice([0, 0, 1]) :]
        rng.shuffle(sentences)
        text = ". ".join(sentences) + "."
        if text in texts:
            continue
        texts.add(text)
        given = min(5, max(1, stars + rng.choice([-1, 1]))) if rng.random() < 0.06 else stars
        rows.append(
            {
                "id": f"R{len(rows) + 1001}",
                "date": f"2026-{rng.randint(1, 9):02d}-{rng.randint(1, 28):02d}",
                "review": text,
                "stars": "" if rng.random() < 0.04 else given,
                "category": "" if rng.random() < 0.08 else category,
            }
        )
    return rows


def make_answers(rng: random.Random, count: int) -> list[dict[str, Any]]:
    """Return answers of a survey, with whether the customer recommends the product."""
    rows = (row for row in make_reviews(rng, 2 * count) if row["stars"] not in ("", 3))
    answers = [{"answer": row["review"], "recommend": "yes" if row["stars"] > 3 else "no"} for row in rows]
    return answers[:count]


def make_notes(rng: random.Random, count: int) -> list[tuple[list[str], list[str]]]:
    """Return different notes from trips: words, and a BIO tag per word."""
    notes = dict[str, tuple[list[str], list[str]]]()
    while len(notes) < count:
        words, tags = fill(rng, rng.choice(phrases.NOTES))
        notes[" ".join(words)] = (words, tags)
    return list(notes.values())


def make_requests(rng: random.Random, count: int, *, templates: int = 6) -> list[dict[str, Any]]:
    """Return different requests to the shop, from the first templates of each intent: words, intent, BIO tags."""
    rows = dict[str, dict[str, Any]]()
    while len(rows) < count:
        intent = rng.choice(list(phrases.REQUESTS))
        parts = [
            rng.choice(phrases.OPENINGS),
            rng.choice(phrases.REQUESTS[intent][:templates]),
            rng.choice(phrases.CLOSINGS),
        ]
        words, tags = fill(rng, " ".join(filter(None, parts)))
        rows[" ".join(words)] = {"words": words, "intent": intent, "tags": tags}
    return list(rows.values())


def fill(rng: random.Random, template: str) -> tuple[list[str], list[str]]:
    """Fill the slots of a template, and return its words and their BIO tags."""
    words, tags = list[str](), list[str]()
    for word in template.split():
        match = _SLOT.fullmatch(word)
        values = [word] if match is None else _value(rng, match[1]).split()
        words += values
        tags += ["O"] if match is None else [f"{'I' if i else 'B'}-{match[1]}" for i in range(len(values))]
    return words, tags


def _value(rng: random.Random, slot: str) -> str:
    if slot == "person":
        return f"{rng.choice(phrases.FIRST_NAMES)} {rng.choice(phrases.LAST_NAMES)}"
    if slot == "order":
        return f"{rng.choice('ABCDEFGH')}-{rng.randint(1000, 9999)}"
    return rng.choice(
        {"place": phrases.PLACES, "group": phrases.GROUPS, "product": phrases.PRODUCTS}.get(slot, phrases.DATES)
    )


def doccano(number: int, row: dict[str, Any]) -> dict[str, Any]:
    """Return a request as doccano exports it: a text with character spans."""
    text, spans = "", list[list[Any]]()
    for word, tag in zip(row["words"], row["tags"], strict=True):
        text += " " if text and not re.fullmatch(r"[.,:?!]", word) else ""
        if tag.startswith("I-"):
            spans[-1][1] = len(text) + len(word)
        elif tag != "O":
            spans.append([len(text), len(text) + len(word), tag[2:]])
        text += word
    return {"id": number, "text": text, "label": spans}


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _write_lines(path: Path, rows: Sequence[Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
