"""Submissions to GLUE (Wang et al., 2018; gluebenchmark.com): predictions for its test sets, zipped for its server."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nlpmtl.config import DatasetConfig, builtin_configs, check_output, parse_dataset, read_dataset
from nlpmtl.data import LabelType
from nlpmtl.data.raw_rows import RawRow, RawRows
from nlpmtl.data.source import find_splits
from nlpmtl.errors import ConfigError, DataError
from nlpmtl.inference.predictor import Predictor
from nlpmtl.tasks import Task, task_type

Fill = Literal["majority", "zeros"]
_RATING_RANGE = (0.0, 5.0)
"""Range of the ratings of STS-B."""
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
"""Timestamp of the files in the zip: equal predictions give equal zips."""


@dataclass(frozen=True)
class _SubmissionFile:
    """One file of a submission.

    Args:
        file: file name.
        dataset: name of the built-in dataset file that describes the rows.
        split: name of the split on the Hub.
        digits: whether labels are written as indices in GLUE's order instead of names.
    """

    file: str
    dataset: str
    split: str = "test"
    digits: bool = False


_FILES = (
    _SubmissionFile("CoLA.tsv", "cola", digits=True),
    _SubmissionFile("SST-2.tsv", "sst2", digits=True),
    _SubmissionFile("MRPC.tsv", "mrpc", digits=True),
    _SubmissionFile("STS-B.tsv", "stsb"),
    _SubmissionFile("QQP.tsv", "qqp", digits=True),
    _SubmissionFile("MNLI-m.tsv", "mnli", split="test_matched"),
    _SubmissionFile("MNLI-mm.tsv", "mnli", split="test_mismatched"),
    _SubmissionFile("QNLI.tsv", "qnli"),
    _SubmissionFile("RTE.tsv", "rte"),
    _SubmissionFile("WNLI.tsv", "wnli", digits=True),
    _SubmissionFile("AX.tsv", "ax"),
)


@dataclass(frozen=True)
class WrittenFile:
    """Summary of a written file of a submission.

    Args:
        file: file name.
        task: name of the task.
        rows: number of predictions.
        filled: the constant prediction if the model lacks the task; None for predictions of the model.
    """

    file: str
    task: str
    rows: int
    filled: str | None


def submit(model: Predictor, output: Path, *, fill: Fill | None = None) -> Iterator[WrittenFile]:
    """Predict GLUE's eleven test sets, which are loaded from the Hub, and write the zip for its server.

    Args:
        model: a model whose tasks have the names and labels of the built-in dataset files (`cola`, `sst2`, …).
        output: path of the zip file, which is created when the iterator ends.
        fill: constant prediction for tasks that the model lacks: "majority", the most frequent label of train (the mean
            of ratings), or "zeros", the first label (0 for ratings); default: a missing task is an error.

    Yields:
        A summary of each file in the zip, once it is written.

    Raises:
        ConfigError: the model lacks tasks, its labels differ from GLUE's, or the output is not named .zip.
        DataError: the Hub cannot be reached, or a row is invalid.
    """
    output = check_output(output, key="--output")
    if output.suffix != ".zip":
        raise ConfigError(f"--output {output}: GLUE's server takes a zip file: the name must end in .zip")
    configs = {file.dataset: _read_config(file.dataset) for file in _FILES}
    missing = _missing_tasks(model.tasks, configs)
    if missing and fill is None:
        raise ConfigError(
            f"the model lacks the tasks {', '.join(missing)}: GLUE's server needs all eleven files. --fill majority or "
            "--fill zeros writes a constant prediction for missing tasks"
        )
    test_sets = {file: _open(configs[file.dataset], file.split, name=file.file) for file in _FILES}
    with _open_zip(output) as archive:
        for file in _FILES:
            config = configs[file.dataset]
            name, labels = _task_and_labels(config)
            rows = test_sets[file]().rows
            filled = None
            if name in missing:
                filled = _most_frequent(configs[name]) if fill == "majority" else (labels or (0.0,))[0]
                predictions: Iterable[Any] = (filled for _ in rows)
            else:
                key = "label" if labels else "value"
                inputs = (_to_input(row, number, config, where=file.file) for number, row in rows)
                predictions = (prediction[key] for prediction in model.predict(inputs, task=name))
            cells = (_format(prediction, labels, digits=file.digits) for prediction in predictions)
            count = _write(archive, file.file, cells)
            yield WrittenFile(file.file, name, count, None if filled is None else str(filled))


def _read_config(name: str) -> DatasetConfig:
    path = builtin_configs() / f"{name}.toml"
    return parse_dataset(read_dataset(path), where=str(path))


def _task_and_labels(data: DatasetConfig) -> tuple[str, tuple[str, ...]]:
    """Return the name of the only task of a GLUE dataset, and its labels (empty for ratings)."""
    ((name, options),) = data.tasks.items()
    return name, options.labels or ()


def _missing_tasks(tasks: Mapping[str, Task], configs: Mapping[str, DatasetConfig]) -> list[str]:
    """Return the GLUE tasks that a model lacks.

    Raises:
        ConfigError: a task of the model has the name of a GLUE task, but other labels.
    """
    missing = []
    for data in configs.values():
        name, labels = _task_and_labels(data)
        if name not in tasks:
            missing.append(name)
        elif (
            sorted(tasks[name].labels) != sorted(labels)
            or tasks[name].columns != task_type(data.tasks[name].kind).columns
        ):
            raise ConfigError(
                f"task {name!r} of the model predicts {', '.join(tasks[name].labels) or 'numbers'}, GLUE expects "
                f"{', '.join(labels) or 'numbers'}: train it with the built-in {name}.toml"
            )
    return list(dict.fromkeys(missing))


def _open(data: DatasetConfig, split: str, *, name: str) -> Callable[[], RawRows]:
    """Return a function that opens a split on the Hub."""
    ((_, options),) = data.tasks.items()
    label_type: LabelType = task_type(options.kind).columns["label"]
    source = data.data.model_copy(update={"splits": {split: split}})
    return find_splits(source, inputs=data.input, columns={options.columns[0]: label_type}, name=name)[split].open


def _to_input(row: RawRow, number: int, data: DatasetConfig, *, where: str) -> Any:
    """Return a row as an input of the Predictor."""
    if not isinstance(row, Mapping):
        raise DataError(f"{where}, row {number}: {row.rule}")
    texts = tuple(row.get(column) for column in data.input.columns)
    if not all(isinstance(text, str) for text in texts):
        raise DataError(f"{where}, row {number}: {', '.join(data.input.columns)}: a string was expected, found {texts}")
    return texts if len(texts) == 2 else texts[0]


def _most_frequent(data: DatasetConfig) -> str | float:
    """Return the most frequent label of train (the first of equally frequent ones), or the mean of ratings.

    The rows have indices of labels, in the order of the dataset file.
    """
    ((name, options),) = data.tasks.items()
    train = _open(data, "train", name=name)
    values = [row[options.columns[0]] for _, row in train().rows if isinstance(row, Mapping)]
    if options.labels is None:
        return float(sum(values) / len(values))
    counts = Counter(values)
    return max(enumerate(options.labels), key=lambda item: counts[item[0]])[1]


def _format(prediction: Any, labels: tuple[str, ...], *, digits: bool) -> str:
    """Format a prediction for GLUE's server."""
    if not labels:
        low, high = _RATING_RANGE
        return f"{min(max(float(prediction), low), high):.3f}"
    return str(labels.index(prediction)) if digits else str(prediction)


@contextmanager
def _open_zip(output: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip file that appears only when it is complete."""
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f".{output.name}.part")
    try:
        with zipfile.ZipFile(part, "w") as archive:
            yield archive
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


def _write(archive: zipfile.ZipFile, name: str, cells: Iterable[str]) -> int:
    """Write one file; return its number of rows."""
    number = -1
    info = zipfile.ZipInfo(name, date_time=_FIXED_TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(info, "w") as raw, io.TextIOWrapper(raw, encoding="ascii", newline="\n") as file:
        file.write("index\tprediction\n")
        for number, cell in enumerate(cells):
            file.write(f"{number}\t{cell}\n")
    return number + 1
