"""Gold spans and relations of rows: by characters, as text, and compared with predicted ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpmtl.data import Example
from nlpmtl.tasks.error_analysis import LabelCounts


def gold_items(example: Example) -> tuple[list[list[Any]], list[list[Any]] | None]:
    """Return the spans of a row, in characters and each once, and its relations; None if they are not annotated.

    >>> from nlpmtl.data import to_input
    >>> spans = [[0, 1, "person"], [3, 4, "place"], [0, 1, "person"]]
    >>> labels = {"label": spans, "relations": [[2, 1, "lives_in"]]}
    >>> gold_items(Example(to_input({"words": ["Ada", "lives", "in", "Turin"]}), labels=labels))
    ([[0, 3, 'person'], [13, 18, 'place']], [[0, 1, 'lives_in']])
    """
    spans, relations = example.labels["label"], example.labels.get("relations")
    if example.input is not None and example.input.given is not None:
        words = example.words
        spans = [[words[start][0], words[end - 1][1], label] for start, end, label in spans]
    order = {span: index for index, span in enumerate(dict.fromkeys(map(tuple, spans)))}
    if relations is not None:
        numbers = [order[tuple(span)] for span in spans]
        distinct = {(numbers[head], numbers[tail], label) for head, tail, label in relations}
        relations = [list(relation) for relation in sorted(distinct)]
    return [list(span) for span in order], relations


def sort_items(entities: list[list[Any]], relations: list[list[Any]] | None) -> dict[str, Any]:
    """Return spans and relations in order, where relations have the indices of the sorted spans.

    >>> sort_items([[13, 18, "place"], [0, 3, "person"]], [[1, 0, "lives_in"]])
    {'entities': [[0, 3, 'person'], [13, 18, 'place']], 'relations': [[0, 1, 'lives_in']]}
    """
    order = {tuple(entity): index for index, entity in enumerate(sorted(entities))}
    if relations is not None:
        numbers = [order[tuple(entity)] for entity in entities]
        relations = sorted([numbers[head], numbers[tail], label] for head, tail, label in relations)
    return {"entities": sorted(entities), "relations": relations}


def describe_spans(value: Mapping[str, Any], text: str) -> str:
    """Return spans and relations as text.

    >>> entities = [[0, 3, "person"], [13, 18, "place"]]
    >>> describe_spans({"entities": entities, "relations": [[0, 1, "lives_in"]]}, "Ada lives in Turin")
    'Ada/person, Turin/place; Ada lives_in Turin'
    """
    words = [text[start:end] for start, end, _ in value["entities"]]
    spans = [f"{word}/{label}" for word, (_, _, label) in zip(words, value["entities"], strict=True)]
    relations = [f"{words[head]} {label} {words[tail]}" for head, tail, label in value["relations"] or ()]
    return "; ".join([", ".join(spans) or "(none)", *relations])


def count_spans(
    predicted: Sequence[Sequence[Sequence[Any]]], gold: Sequence[Sequence[Sequence[Any]]], *, labels: Sequence[str]
) -> LabelCounts:
    """Return counts of spans by label, those of the task and those that only gold spans have.

    Args:
        predicted: predicted spans of each row, ``[start, end, label]``.
        gold: its gold spans.
        labels: the labels of the task.
    """
    predicted_spans, gold_spans = (
        {(row, *span) for row, spans in enumerate(rows) for span in spans} for rows in (predicted, gold)
    )
    names = tuple(dict.fromkeys([*labels, *sorted(str(span[-1]) for span in gold_spans)]))

    def count(spans: set[tuple[Any, ...]]) -> NDArray[np.int64]:
        counts = Counter(span[-1] for span in spans)
        return np.array([counts[name] for name in names], dtype=np.int64)

    return LabelCounts(
        names,
        count(predicted_spans & gold_spans),
        count(gold_spans - predicted_spans),
        count(predicted_spans - gold_spans),
        unit="spans",
    )
