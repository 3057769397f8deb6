"""Loading of the labels of a task from every kind of source, without training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from nlpmtl.run import load_config
from nlpmtl.task_datasets import TaskDatasets, load_split, load_task_datasets
from nlpmtl.tasks import Task

CLASSES: dict[str, Any] = {"kind": "classification", "label": "y"}
SETS: dict[str, Any] = {"kind": "multilabel", "label": "y"}
TAGS: dict[str, Any] = {"kind": "labeling", "label": "y"}
COLUMNS: dict[str, Any] = {"kind": "multilabel", "label": ["toxic", "threat"]}


class Loader:
    """Loader of the data of a task called t."""

    def __init__(self, encoder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
        self._encoder, self._tokenizer = encoder, tokenizer

    def __call__(self, task: dict[str, Any], *, earlier: dict[str, Task] | None = None, **files: Any) -> TaskDatasets:
        datasets = self.datasets(task, **files)
        return load_task_datasets(datasets, tokenizer=self._tokenizer, max_length=16, earlier=earlier)

    def evaluated(self, task: dict[str, Any], *, model: dict[str, Task], **files: Any) -> TaskDatasets:
        (split,) = files
        datasets = self.datasets(task, **files)
        return load_split(datasets, tasks=model, tokenizer=self._tokenizer, max_length=16, split=split)

    def datasets(self, task: dict[str, Any], **files: Any) -> Any:
        words = task["kind"] in ("labeling", "parsing")
        read = {"words": "w"} if words else {"text": "text"}
        table = {"data": {"files": files}, "input": read, "tasks": {"t": task}}
        return load_config({"encoder": {"name": str(self._encoder)}, "datasets": {"one": table}}).datasets


def rows(values: Sequence[Any], *, column: str = "y") -> list[dict[str, Any]]:
    return [{"text": "a cat", column: value} for value in values]


def tagged(*tags: Sequence[Any]) -> list[dict[str, Any]]:
    return [{"w": ["a"] * len(row_tags), "y": list(row_tags)} for row_tags in tags]


def labels(work: TaskDatasets, split: str = "train") -> list[Any]:
    """Return the labels of each row by name, None for unlabelled rows."""
    column = work.splits[split]["one"].labels["t"]
    return [column.values([row])[0] if column.labelled[row] else None for row in range(len(column.labelled))]


def write(path: Path, values: Sequence[Any]) -> str:
    """Write a file with one column of labels in the format of the extension."""
    frame = pd.DataFrame({"text": ["a cat"] * len(values), "y": values})
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows(values)), encoding="utf-8")
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return str(path)


SOURCES = ("csv", "tsv", "jsonl", "parquet", "Dataset", "DataFrame", "list")


def source(kind: str, directory: Path, values: Sequence[Any]) -> Any:
    if kind == "Dataset":
        return Dataset.from_dict({"text": ["a cat"] * len(values), "y": list(values)})
    if kind == "DataFrame":
        return pd.DataFrame({"text": ["a cat"] * len(values), "y": list(values)})
    return rows(values) if kind == "list" else write(directory / f"x.{kind}", values)
