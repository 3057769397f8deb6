"""Datasets that consist of the texts of other datasets of a run: the key `from` of a dataset in a run file.

A run file writes ``[datasets.texts] from = ["reviews", "news"]``. `expand_texts` replaces it with the sources of these
datasets, so that the dataset can be read without them, as in a single-task run of a comparison.

>>> reviews = {"data": {"files": {"train": "reviews.jsonl"}}, "input": {"text": "review"}}
>>> expand_texts({"reviews": reviews, "texts": {"from": ["reviews"]}})["texts"]["input"]
{'text': 'text'}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from nlpmtl.config.dataset import DataConfig, InputConfig
from nlpmtl.errors import did_you_mean, quote
from nlpmtl.strict_model import Place, StrictModel, broken_rules

FROM = "from"
"""Key of a dataset in a run file: names of the datasets whose texts it has."""
_TEXT = "text"
"""Column of the texts."""


class TextsOfDataset(StrictModel):
    """A dataset whose texts are read: its source, and its columns of texts."""

    dataset: str
    """Its name in the run."""
    data: DataConfig
    """Its source."""
    input: InputConfig
    """Its columns of `text`, of `text` and `pair`, or of `words`."""
    limit: dict[str, int] = {}  # noqa: RUF012 - a field
    """Its limits of rows, by split."""


class TextsConfig(DataConfig):
    """The texts of other datasets as a source of rows; each text of a pair is a row."""

    texts: tuple[TextsOfDataset, ...]
    """The datasets."""

    @property
    def split_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(split for texts in self.texts for split in texts.data.split_names))


def expand_texts(datasets: Mapping[str, Any]) -> dict[str, Any]:
    """Return the datasets of a run with `from` replaced by `data` and `input`.

    Args:
        datasets: the tables of the datasets by name, not validated.

    Raises:
        ValidationError: `from` is invalid; the error has its place.
    """
    tables = {name: table.model_dump() if isinstance(table, StrictModel) else table for name, table in datasets.items()}
    expanded = dict(datasets)
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            continue
        data = table.get("data")
        if FROM in table:
            problem = _find_problem(name, tables)
            if problem is not None:
                place: Place = ("datasets", name, FROM)
                raise broken_rules({place: problem}, {place: table[FROM]})
            sources = [_source(other, tables[other]) for other in table[FROM]]
            rest = {key: value for key, value in table.items() if key != FROM}
            expanded[name] = {**rest, "data": _texts(sources), "input": {"text": _TEXT}}
        elif isinstance(data, Mapping) and "texts" in data:  # expanded before
            expanded[name] = {**table, "data": TextsConfig.model_validate(data)}
    return expanded


def _find_problem(name: str, datasets: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the key `from` of a dataset."""
    table = datasets[name]
    others = table[FROM]
    if not isinstance(others, list | tuple) or not others or not all(isinstance(other, str) for other in others):
        return 'a list of names of datasets of this run was expected, such as ["reviews"]'
    if both := sorted({"data", "input"} & table.keys()):
        return f"the texts are those of other datasets: remove `{both[0]}` or `{FROM}`"
    candidates = [other for other, given in datasets.items() if isinstance(given, Mapping) and FROM not in given]
    for other in others:
        if other == name or (other in datasets and other not in candidates):
            return f"{quote(other, limit=80)} takes its texts from other datasets: list datasets with `data`"
        if other not in datasets:
            return f"no dataset {quote(other, limit=80)}; {did_you_mean(other, candidates)}"
    if len(set(others)) < len(others):
        return "each dataset must be named once"
    return None


def _source(name: str, table: Mapping[str, Any]) -> dict[str, Any]:
    columns = table.get("input")
    keys = ("text", "pair", "words")
    inputs = {key: columns[key] for key in keys if key in columns} if isinstance(columns, Mapping) else columns
    return {"dataset": name, "data": table.get("data"), "input": inputs, "limit": table.get("limit", {})}


def _texts(sources: Sequence[Mapping[str, Any]]) -> TextsConfig:
    """Return the source; it is empty if one of the datasets is invalid, for which that dataset has an error."""
    try:
        return TextsConfig.model_validate({"texts": sources})
    except ValidationError:
        return TextsConfig.model_construct(texts=())
