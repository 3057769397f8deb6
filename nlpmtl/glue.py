"""GLUE's test sets, answered in the files that its server takes (Wang et al. 2018; gluebenchmark.com)."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nlpmtl.config import DatasetConfig, check_output, parse_dataset, read_dataset, shipped_configs
from nlpmtl.data import LabelType
from nlpmtl.data.raw_rows import RawRow, RawRows
from nlpmtl.data.source import find_splits
from nlpmtl.errors import ConfigError, DataError
from nlpmtl.inference.predictor import Predictor
from nlpmtl.tasks import Task

Fill = Literal["majority", "zeros"]
_SCALE = (0.0, 5.0)
"""Of STS-B's ratings."""
_NEVER_CHANGES = (1980, 1, 1, 0, 0, 0)
"""The time that the zip says: equal answers make equal files."""


@dataclass(frozen=True)
class _Sheet:
    """One file of a submission.

    Args:
        file: its name.
        dataset: the shipped dataset file that describes its rows.
        split: the Hub's name of them.
        digits: whether labels are written as their place in GLUE's order, not as their names.
    """

    file: str
    dataset: str
    split: str = "test"
    digits: bool = False


_SHEETS = (
    _Sheet("CoLA.tsv", "cola", digits=True),
    _Sheet("SST-2.tsv", "sst2", digits=True),
    _Sheet("MRPC.tsv", "mrpc", digits=True),
    _Sheet("STS-B.tsv", "stsb"),
    _Sheet("QQP.tsv", "qqp", digits=True),
    _Sheet("MNLI-m.tsv", "mnli", split="test_matched"),
    _Sheet("MNLI-mm.tsv", "mnli", split="test_mismatched"),
    _Sheet("QNLI.tsv", "qnli"),
    _Sheet("RTE.tsv", "rte"),
    _Sheet("WNLI.tsv", "wnli", digits=True),
    _Sheet("AX.tsv", "ax"),
)


@dataclass(frozen=True)
class Answered:
    """One file of a submission, written.

    Args:
        file: its name.
        task: the task that it is of.
        rows: how many it answers.
        filled: what stands in every row where the model lacks the task; None where it has answered.
    """

    file: str
    task: str
    rows: int
    filled: str | None


def submit(model: Predictor, output: Path, *, fill: Fill | None = None) -> Iterator[Answered]:
    """Answer GLUE's eleven test sets, from the Hub, and write the zip that its server takes.

    Args:
        model: its tasks have the names and the labels of the shipped dataset files (`cola`, `sst2`, …).
        output: the zip; it is there only when it is whole, which is when the iterator ends.
        fill: what stands in the files of tasks that the model lacks: the most frequent label of train (of ratings the
            mean), or the first label (0); left out, they are an error.

    Yields:
        Each file as it is done.

    Raises:
        ConfigError: the model lacks tasks, or has other labels than GLUE; or the name is not that of a zip.
        DataError: the Hub cannot be reached, or a row breaks a rule.
    """
    check_output(output, key="--output")
    if output.suffix != ".zip":
        raise ConfigError(f"--output {output}: GLUE's server takes a zip, so the name ends in .zip")
    described = {sheet.dataset: _describe(sheet.dataset) for sheet in _SHEETS}
    lacking = _check(model.tasks, described)
    if lacking and fill is None:
        raise ConfigError(
            f"this model lacks {', '.join(lacking)}: GLUE's server wants all eleven files. With --fill majority or "
            "--fill zeros those of the tasks that it lacks hold one answer for every row"
        )
    tests = {sheet: _open(described[sheet.dataset], sheet.split, name=sheet.file) for sheet in _SHEETS}
    with _writing(output) as archive:
        for sheet in _SHEETS:
            data = described[sheet.dataset]
            name, labels = _task_of(data)
            rows = tests[sheet]().rows
            filled = None
            if name in lacking:
                filled = _most_frequent(described[name]) if fill == "majority" else (labels or (0.0,))[0]
                answers: Iterable[Any] = (filled for _ in rows)
            else:
                key = "label" if labels else "value"
                asked = (_read(row, number, data, where=sheet.file) for number, row in rows)
                answers = (one[key] for one in model.predict(asked, task=name))
            written = _write(archive, sheet.file, (_word(one, labels, digits=sheet.digits) for one in answers))
            yield Answered(sheet.file, name, written, None if filled is None else str(filled))


def _describe(name: str) -> DatasetConfig:
    path = shipped_configs() / f"{name}.toml"
    return parse_dataset(read_dataset(path), where=str(path))


def _task_of(data: DatasetConfig) -> tuple[str, tuple[str, ...]]:
    """The one task of a dataset of GLUE, and its labels; none where it is a number."""
    ((name, options),) = data.tasks.items()
    return name, options.labels or ()


def _check(tasks: Mapping[str, Task], described: Mapping[str, DatasetConfig]) -> list[str]:
    """The tasks that a model lacks; ConfigError where it has one of the name that is another."""
    lacking = []
    for data in described.values():
        name, labels = _task_of(data)
        if name not in tasks:
            lacking.append(name)
        elif sorted(tasks[name].labels) != sorted(labels) or (tasks[name].columns["label"] == "number") != (not labels):
            raise ConfigError(
                f"task {name!r} of this model has the labels {', '.join(tasks[name].labels) or 'of a number'}; "
                f"GLUE's are {', '.join(labels) or 'numbers'}: train it with the shipped {name}.toml"
            )
    return list(dict.fromkeys(lacking))


def _open(data: DatasetConfig, split: str, *, name: str) -> Callable[[], RawRows]:
    """The rows of one of the Hub's splits."""
    ((_, options),) = data.tasks.items()
    shape: LabelType = "class" if options.labels else "number"
    source = data.data.model_copy(update={"splits": {split: split}})
    return find_splits(source, inputs=data.input, columns={options.columns[0]: shape}, name=name)[split].open


def _read(row: RawRow, number: int, data: DatasetConfig, *, where: str) -> Any:
    """A row as the predictor takes it."""
    if not isinstance(row, Mapping):
        raise DataError(f"{where}, row {number}: {row.rule}")
    texts = tuple(row.get(column) for column in data.input.columns)
    if not all(isinstance(text, str) for text in texts):
        raise DataError(f"{where}, row {number}: {', '.join(data.input.columns)}: a string was expected, found {texts}")
    return texts if len(texts) == 2 else texts[0]


def _most_frequent(data: DatasetConfig) -> str | float:
    """The most frequent label of train, the first of several; of numbers the mean."""
    ((name, options),) = data.tasks.items()
    train = _open(data, "train", name=name)
    values = [row[options.columns[0]] for _, row in train().rows if isinstance(row, Mapping)]
    if options.labels is None:
        return float(sum(values) / len(values))
    counts = Counter(values)
    return max(enumerate(options.labels), key=lambda at: counts[at[0]])[1]


def _word(answer: Any, labels: tuple[str, ...], *, digits: bool) -> str:
    """An answer as GLUE's server reads it."""
    if not labels:
        low, high = _SCALE
        return f"{min(max(float(answer), low), high):.3f}"
    return str(labels.index(answer)) if digits else str(answer)


@contextmanager
def _writing(output: Path) -> Iterator[zipfile.ZipFile]:
    """A zip that is there only when it is whole."""
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f".{output.name}.part")
    try:
        with zipfile.ZipFile(part, "w") as archive:
            yield archive
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


def _write(archive: zipfile.ZipFile, name: str, words: Iterable[str]) -> int:
    """Write one file; how many rows it has."""
    number = -1
    info = zipfile.ZipInfo(name, date_time=_NEVER_CHANGES)
    info.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(info, "w") as raw, io.TextIOWrapper(raw, encoding="ascii", newline="\n") as file:
        file.write("index\tprediction\n")
        for number, word in enumerate(words):
            file.write(f"{number}\t{word}\n")
    return number + 1
