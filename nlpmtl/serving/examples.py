"""Example inputs of the web page: those of the model card, else general English texts that fit the tasks.

Rows of the training data are never shown, because the server of a model may not be allowed to publish them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nlpmtl.card import widget
from nlpmtl.data import to_input
from nlpmtl.hub import CARD
from nlpmtl.tasks import Task

_LOG = logging.getLogger(__name__)
_MAX_EXAMPLES = 12
_MAX_CARD_CHARACTERS = 1_000_000
_GENERAL: tuple[dict[str, Any], ...] = (
    {"text": "Ada Lovelace was born in London in 1815 and wrote to Charles Babbage from Ockham Park."},
    {"text": "The parcel came two days late, but your driver was kind and nothing was broken."},
    {"text": "How do I change the address of my account?"},
    {"text": "The train to Leeds leaves at nine in the morning.", "pair": "The train departs before noon."},
    {"text": "Two children build a castle of sand.", "pair": "There is nobody on the beach."},
    {
        "text": "The water is boiling, so she",
        "choices": ["pours it over the tea.", "paints the door of the shed.", "sells her piano to a dentist."],
    },
)


def example_inputs(tasks: Iterable[Task], directory: Path | None) -> list[dict[str, Any]]:
    """Return example inputs, each with `text` and, for tasks that read them, `pair` or `choices`.

    The examples are those under `widget` in the front matter of the model card, or, if no task reads any of these,
    general English texts.

    Args:
        tasks: the tasks of the model.
        directory: directory of the model; None if it was not loaded from one.
    """
    tasks = list(tasks)
    masked = [{"text": f"Ada Lovelace was born in {task.required_text}."} for task in tasks if task.required_text]
    keys = [{"text", *["pair"] * task.takes_pairs, *(task.extra_inputs.keys() - task.optional)} for task in tasks]
    for examples in (_card_examples(directory), [*masked, *_GENERAL]):
        fitting = [example for example in examples if example.keys() in keys]
        if fitting:
            return fitting[:_MAX_EXAMPLES]
    return []


def _card_examples(directory: Path | None) -> list[dict[str, str]]:
    """Return the valid examples in the model card; none, with a warning in the log, if the card cannot be read."""
    if directory is None or not (directory / CARD).is_file():
        return []
    try:
        with (directory / CARD).open(encoding="utf-8", errors="replace") as file:
            entries = widget(file.read(_MAX_CARD_CHARACTERS))
    except (OSError, ValueError) as error:
        _LOG.warning("the examples in %s are not shown: %s", CARD, error)
        return []
    return list(_valid(entries if isinstance(entries, list) else []))


def _valid(entries: list[Any]) -> Iterator[dict[str, str]]:
    """Yield the entries that are texts or pairs of texts, with the keys `text` and `pair`."""
    for entry in entries:
        if not isinstance(entry, Mapping):
            continue
        texts = {"text": entry.get("text"), "pair": entry.get("text_pair")}
        example = {key: text for key, text in texts.items() if text is not None}
        with suppress(ValueError):  # no text, or not valid Unicode
            to_input(example)
            if all(isinstance(text, str) for text in example.values()):
                yield example
