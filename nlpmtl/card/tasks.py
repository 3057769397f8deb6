"""Sections of a model card: tasks, usage and limitations."""

from __future__ import annotations

from collections.abc import Sequence

from nlpmtl.card.card_data import CardData, CardTask
from nlpmtl.card.markdown import code, escape, table
from nlpmtl.card.metadata import LOAD_FROM_DIRECTORY

_INPUTS = {"text": "a text", "pair": "a pair of texts", "words": "a text, split into words"}
_MAX_LABELS = 10


def tasks(card: CardData) -> list[str]:
    """Return a description of the model, and a table with one row per task."""
    heads = f"{len(card.tasks)} heads, one per task" if len(card.tasks) > 1 else "one head"
    return [
        f"A text encoder ({code(card.encoder)}) with {heads}, fine-tuned with nlpmtl.",
        "",
        *table(
            ("task", "type", "input", "output", "train rows"),
            (
                (code(name), code(task.kind), _input(task), _output(task), f"{_train_rows(card, name):,}")
                for name, task in card.tasks.items()
            ),
        ),
    ]


def usage(card: CardData) -> list[str]:
    """Return the section with an example of a prediction."""
    return [
        "## Usage",
        "",
        "```python",
        "import nlpmtl",
        "",
        f"model = nlpmtl.Predictor.{LOAD_FROM_DIRECTORY}  # the directory of this card, or the id of its repository",
        f"model.{card.example_call}  # {{task: prediction}}",
        "```",
        "",
        *_plugins(card),
    ]


def _plugins(card: CardData) -> list[str]:
    """Return the instructions for loading a model with task types from plugins."""
    names = [name for name, task in card.tasks.items() if task.plugin is not None]
    if not names:
        return []
    modules = ", ".join(f'"{module}"' for module in sorted({card.tasks[name].plugin or "" for name in names}))
    load = code(f"Predictor.from_pretrained(…, plugins=[{modules}])")
    types = "types" if len(names) > 1 else "type"
    return [f"The task {types} of {_names(names)} {'are' if len(names) > 1 else 'is'} from a plugin: {load}.", ""]


def _input(task: CardTask) -> str:
    """Return a short description of the input of a task."""
    return ", ".join([_INPUTS[task.input], *map(code, task.extra_inputs)])


def limitations(card: CardData) -> list[str]:
    """Return the section on what the model cannot do and what was not measured."""
    lines = [
        "The scores hold for data from the datasets listed here. Other domains, time periods and styles were not "
        "tested.",
        "Languages, class balance and fairness of the data were not assessed.",
        f"The maximum input length is {card.input_length} tokens. {_long_texts(card)}",
    ]
    if names := [name for name, task in card.tasks.items() if task.single_label and task.labels]:
        lines.append(
            f"{_names(names)} can only predict the labels listed above, and always return{'s' * (len(names) == 1)} one "
            "of them, even for unrelated text."
        )
    if names := [name for name in card.tasks if name not in (card.scores or {"tasks": {}})["tasks"]]:
        lines.append(f"Not evaluated in this run: {_names(names)}.")
    return ["## Limitations", "", *(f"- {line}" for line in lines), *(f"- {escape(note)}." for note in card.notes), ""]


def _long_texts(card: CardData) -> str:
    windowed = [name for name, task in card.tasks.items() if task.windowed]
    truncated = [name for name in card.tasks if name not in windowed]
    sentences = []
    if truncated:
        sentences.append(
            f"{_names(truncated)} read{'s' * (len(truncated) == 1)} only the beginning of a longer text; a prediction "
            "that is a JSON object then has `truncated`; a list does not."
        )
    if windowed:
        sentences.append(f"{_names(windowed)} read{'s' * (len(windowed) == 1)} longer texts in overlapping windows.")
    return " ".join(sentences)


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(code, names))


def _train_rows(card: CardData, task: str) -> int:
    return sum(dataset.label_counts.get("train", {}).get(task, 0) for dataset in card.datasets)


def _output(task: CardTask) -> str:
    labels = _names(task.labels[:_MAX_LABELS])
    more = f", … ({len(task.labels)}, all in config.json)" if len(task.labels) > _MAX_LABELS else ""
    return "; ".join(filter(None, [labels + more, escape(task.output)]))
