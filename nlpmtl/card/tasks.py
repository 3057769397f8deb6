"""The parts of a card that tell what a model does, how to ask it, and where its knowledge ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nlpmtl.card.card_data import CardData
from nlpmtl.card.markdown import code, escape, table
from nlpmtl.card.metadata import HERE

_READS = {"text": "a text", "pair": "two texts", "words": "words"}
_MOST_LABELS = 10


def tasks(card: CardData) -> list[str]:
    """What it does: one line a task."""
    many = f"{len(card.tasks)} heads, one a task" if len(card.tasks) > 1 else "one head"
    return [
        f"One text encoder ({code(card.encoder)}) with {many}, trained with nlpmtl.",
        "",
        *table(
            ("task", "kind", "reads", "answers", "train rows"),
            (
                (code(name), code(spec["kind"]), _READS[spec["input"]], _answers(spec), f"{_learned(card, name):,}")
                for name, spec in card.tasks.items()
            ),
        ),
    ]


def use(card: CardData) -> list[str]:
    """How to ask it."""
    single = any(spec["input"] != "pair" for spec in card.tasks.values())
    asked = '"A text."' if single else '("A text.", "And another.")'
    return [
        "## Use",
        "",
        "```python",
        "import nlpmtl",
        "",
        f"model = nlpmtl.Predictor.{HERE}  # the directory of this card, or the id of its repository",
        f"model.predict_all({asked})  # {{task: answer}}",
        "```",
        "",
    ]


def limits(card: CardData) -> list[str]:
    """What was not measured, and what it cannot do."""
    levels = {spec["level"] for spec in card.tasks.values()}
    chooses = [
        name for name, spec in card.tasks.items() if spec["labels"] and spec["kind"] in ("classification", "sentiment")
    ]
    found = [
        "The scores are of rows from the sources named here: other sources, times and ways of writing were not tried.",
        "Nothing here says which languages the texts are in, or what is unbalanced or unfair in them.",
        f"It reads {card.input_length} tokens at most. {_long(levels)}",
    ]
    if chooses:
        names = ", ".join(map(code, chooses))
        found.append(f"It knows no labels but those above: {names} give one of them for any text whatever.")
    unmeasured = [name for name in card.tasks if name not in (card.scores or {"tasks": {}})["tasks"]]
    if unmeasured:
        found.append(f"Not measured in this run: {', '.join(map(code, unmeasured))}.")
    return ["## Limits", "", *(f"- {line}" for line in found), *(f"- {escape(note)}." for note in card.notes), ""]


def _long(levels: set[str]) -> str:
    said = {
        "sequence": "Of a longer text, tasks that answer for the whole of it read the beginning, and say so "
        "(`truncated`).",
        "token": "Words of a longer text are labelled in overlapping windows.",
    }
    return " ".join(said[level] for level in sorted(levels))


def _learned(card: CardData, task: str) -> int:
    return sum(one.label_counts.get("train", {}).get(task, 0) for one in card.datasets)


def _answers(spec: Mapping[str, Any]) -> str:
    if "target" in spec:
        return f"a number (in train {spec['target']['mean']:.3g} ± {spec['target']['std']:.3g})"
    names = spec["labels"]
    if not names:
        return "a number"
    shown = ", ".join(map(code, names[:_MOST_LABELS]))
    return f"{shown}, … ({len(names)}, all in config.json)" if len(names) > _MOST_LABELS else shown
