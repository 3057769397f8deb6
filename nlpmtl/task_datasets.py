"""The datasets of a run, tokenized and labelled, and its tasks, fitted on the train splits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from nlpmtl.config import DatasetConfig, Pooling, flatten_columns
from nlpmtl.data import DatasetLoader, Spelling, TokenizedSplit, WordCounts, fingerprint
from nlpmtl.errors import ConfigError, noting
from nlpmtl.metrics.scores import FOREIGN
from nlpmtl.plugins import HINT
from nlpmtl.registry import METRICS
from nlpmtl.tasks import (
    LabelColumns,
    Task,
    build_task,
    check_scoring,
    find_labels,
    label_shapes,
    parse_context,
    pooling_argument,
    read_columns,
    task_type,
)
from nlpmtl.tasks.split_checks import check_targets, check_validation, row_notes, target_notes, unscored_notes
from nlpmtl.tasks.split_labels import Splits, check_values, compute_targets, fitted_rows, label_splits, train_values


@dataclass(frozen=True)
class TaskDatasets:
    """The tasks and datasets to train or evaluate on.

    Args:
        tasks: the tasks by name, with their labels, fitted on the train splits.
        splits: the rows of every dataset, by split.
        notes: messages for the user: skipped rows, truncated rows, labels that are only in other splits than train.
    """

    tasks: dict[str, Task]
    splits: Splits
    notes: tuple[str, ...]

    def fingerprint(self) -> dict[str, Any]:
        """Return what a checkpoint records: the label list of each task, and a fingerprint of each dataset's splits."""
        splits: dict[str, dict[str, Any]] = {}
        for split, datasets in self.splits.items():
            for name, rows in datasets.items():
                splits.setdefault(name, {})[split] = fingerprint(rows)
        return {"labels": {name: list(task.labels) for name, task in self.tasks.items()}, "splits": splits}


def load_task_datasets(
    datasets: Mapping[str, DatasetConfig],
    *,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    earlier: Mapping[str, Task] | None = None,
    pooling: Pooling | None = None,
    encoder_config: PretrainedConfig | None = None,
    splits: Sequence[str] = ("train", "validation"),
    advance: Callable[[int], None] = lambda count: None,
) -> TaskDatasets:
    """Load the datasets of a run and build its tasks.

    Args:
        datasets: the datasets by name.
        tokenizer: the tokenizer of the encoder.
        max_length: the maximum number of tokens of a row.
        earlier: the tasks of the model that training continues from; those with the same name are continued.
        pooling: the default pooling of the encoder.
        encoder_config: the config of the encoder, for task types that depend on it.
        splits: the splits to load.
        advance: called with 1 after each dataset that is tokenized.

    Raises:
        ConfigError: a task has no labels in train, or its config contradicts its data or the earlier task.
        DataError: a row is invalid.
    """
    load = DatasetLoader(tokenizer, max_length=max_length)
    rows = {}
    for name, dataset in datasets.items():
        rows[name] = _load(name, dataset, splits, load=load)
        advance(1)
    if not any("train" in dataset_splits for dataset_splits in rows.values()):
        names = ", ".join(dict.fromkeys(split for dataset in datasets.values() for split in dataset.data.split_names))
        raise ConfigError(f"no dataset has a split `train`; splits found: {names}")
    earlier = earlier or {}
    columns = read_columns(datasets, rows)
    tasks = _build_tasks(datasets, rows, columns=columns, earlier=earlier, pooling=pooling)
    for task in tasks.values():
        task.tokenizer = load.tokenizer
        task.__dict__["encoder_config"] = encoder_config  # pydantic sets no class variable on an instance
    encoded = label_splits(datasets, rows, columns=columns, tasks=tasks, weighted=True)
    for task in tasks.values():
        _fit(task, datasets, encoded.get("train", {}), earlier=earlier)
    encoded = compute_targets(datasets, encoded, tasks=tasks, load=load)
    check_targets(tasks, encoded.get("train", {}))
    check_validation(tasks, encoded.get("validation", {}))
    notes = (
        *load.notes,
        *columns.notes,
        *row_notes(rows, encoded, tasks),
        *unscored_notes(tasks, encoded.get("validation", {})),
        *_segmented(tasks, datasets, rows),
        *target_notes(tasks, encoded.get("train", {})),
        *(note for task in tasks.values() for note in task.notes),
    )
    return TaskDatasets(tasks, encoded, notes)


def load_split(
    datasets: Mapping[str, DatasetConfig],
    *,
    tasks: Mapping[str, Task],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    split: str,
) -> TaskDatasets:
    """Load one split of every dataset that has it, labelled for the tasks of an existing model.

    Raises:
        ConfigError: the model has no task of this name and kind, a metric of the model runs code that the dataset's
            config does not name, or no dataset has the split.
    """
    for dataset in datasets.values():
        for name, options in dataset.tasks.items():
            if name not in tasks or tasks[name].kind != options.kind:
                available = ", ".join(f"{task.name} ({task.kind})" for task in tasks.values())
                raise ConfigError(f"task {name!r} ({options.kind}) is not in this model, which has: {available}")
            _check_foreign(tasks[name], options.metrics or ())
            _check_known(tasks[name])
            shape, trained_shape = dataset.input.shape, tasks[name].input
            if (shape == "pair") != (trained_shape == "pair") or shape not in tasks[name].inputs:
                raise ConfigError(f"task {name!r} of this model reads {trained_shape}, the dataset has {shape}")
            tasks[name].check_evaluated(options)
    load = DatasetLoader(tokenizer, max_length=max_length)
    rows = {name: _load(name, dataset, [split], load=load) for name, dataset in datasets.items()}
    columns = read_columns(datasets, rows, model=tasks)
    encoded = label_splits(datasets, rows, columns=columns, tasks=tasks, weighted=False)
    if split not in encoded:
        raise ConfigError(f"no dataset has a split {split!r}")
    encoded = compute_targets(datasets, encoded, tasks=tasks, load=load)
    notes = _check_label_columns(datasets, {name: splits[split] for name, splits in rows.items() if splits})
    return TaskDatasets(dict(tasks), encoded, (*load.notes, *columns.notes, *notes, *row_notes(rows, encoded, tasks)))


def _check_label_columns(datasets: Mapping[str, DatasetConfig], rows: Mapping[str, TokenizedSplit]) -> list[str]:
    """Return notes about label columns that are missing in a split.

    Raises:
        ConfigError: some columns of a list are missing, or an existing column that no task reads has a similar name, so
            the missing name may be misspelt.
    """
    notes: list[str] = []
    errors: list[str] = []
    for name, prepared in rows.items():
        tasks = datasets[name].tasks
        columns = {*datasets[name].input.columns, *(column for options in tasks.values() for column in options.columns)}
        for task, options in tasks.items():
            kind, given = task_type(options.kind), options.label_columns
            present = {
                key for key in kind.any_of & given.keys() if not set(given[key]) & prepared.missing_columns.keys()
            }
            optional = kind.optional | {key for key in kind.any_of if present - {key}}
            needed = [names for key, names in given.items() if key not in optional]
            absent = [[column for column in names if column in prepared.missing_columns] for names in needed]
            is_partial = any(0 < len(part) < len(names) for part, names in zip(absent, needed, strict=True))
            missing = [prepared.missing_columns[column] for part in absent for column in part]
            if not is_partial and all(column.nearest is None or column.nearest in columns for column in missing):
                notes.extend(f"task {task!r} is not scored: {column.message}" for column in missing)
            else:
                errors.extend(column.message for column in missing)
    if errors:
        raise ConfigError("\n".join([*errors, *notes]))
    return notes


def _check_known(task: Task) -> None:
    """Check the metrics of a loaded task: loading a model does not check that it has any, and that they are known."""
    try:
        check_scoring(type(task), task.metrics, task=task.name, pos_label=task._positive)
    except ConfigError as error:
        unknown = any(not metric.startswith(FOREIGN) and metric not in METRICS.names() for metric in task.metrics)
        raise ConfigError(f"{error}; {HINT}" if unknown else str(error)) from None


def _check_foreign(task: Task, named: Sequence[str]) -> None:
    """Refuse metrics of `evaluate`, which run third-party code, unless the user's own config names them."""
    for metric in task.metrics:
        if metric.startswith(FOREIGN) and metric not in named:
            raise ConfigError(
                f"task {task.name!r} of this model is scored by {metric!r}, which runs third-party code. If you trust "
                f'it, write metrics = ["{metric}"] in [tasks.{task.name}] of the data to evaluate on'
            )


def _load(
    name: str, dataset: DatasetConfig, splits: Sequence[str], *, load: DatasetLoader
) -> dict[str, TokenizedSplit]:
    columns = label_shapes(name, dataset)
    context = parse_context(name, dataset)
    return load(
        dataset.data,
        input=dataset.input,
        columns=columns,
        limit=dataset.limit,
        name=name,
        splits=splits,
        context=context,
    )


def _fit(
    task: Task,
    datasets: Mapping[str, DatasetConfig],
    train: Mapping[str, TokenizedSplit],
    *,
    earlier: Mapping[str, Task],
) -> None:
    """Compute what a task learns from its train rows; a task of the model that training continues from keeps its own.

    Raises:
        ConfigError: no train row has a label for the task, or its labels do not fit it.
    """
    labelled = {dataset: split for dataset, split in train.items() if task.name in split.labels}
    if not any(split.labels[task.name].counts.any() for split in labelled.values()):
        places = ", ".join(split.where for split in labelled.values())
        needed = [f"`{key}`" for key in task.extra_inputs if key not in task.optional]
        both = f" and its further inputs {', '.join(needed)}" if needed else ""
        raise ConfigError(f"task {task.name!r}: no train row has a label for it{both}{places and f' in {places}'}")
    if not any(fitted_rows(split, task.name).any() for split in labelled.values()):
        raise ConfigError(
            f"task {task.name!r}: no labelled train row in {', '.join(split.where for split in labelled.values())} is "
            "trained on: all of them have the weight 0"
        )
    values = train_values(task.name, train)
    with noting(f"task {task.name!r}: fit()"):
        task.fit(values)
    if task.name in earlier:
        task.continue_from(earlier[task.name])
    check_values(task, values, datasets=datasets, train=train)


def _build_tasks(
    datasets: Mapping[str, DatasetConfig],
    rows: Mapping[str, dict[str, TokenizedSplit]],
    *,
    columns: LabelColumns,
    earlier: Mapping[str, Task],
    pooling: Pooling | None,
) -> dict[str, Task]:
    tasks: dict[str, Task] = {}
    for name, dataset in datasets.items():
        for task, options in dataset.tasks.items():
            if task in tasks:
                if tasks[task].input != dataset.input.shape:
                    raise ConfigError(
                        f"task {task!r} reads {tasks[task].input} in one dataset, {dataset.input.shape} in {name!r}"
                    )
                continue
            labels = find_labels(task, datasets, rows, columns=columns, earlier=earlier.get(task), options=options)
            known = {columns.spellings[task](label): label for label in labels}
            tasks[task] = build_task(
                options,
                name=task,
                labels=labels,
                input=dataset.input.shape,
                **_input_fields(task, datasets),
                spell=partial(_spell, columns.spellings[task], known),
                **_word_splitting(task, datasets, rows),
                **pooling_argument(options, earlier=earlier.get(task), default=pooling),
            )
    return tasks


def _word_splitting(
    task: str, datasets: Mapping[str, DatasetConfig], rows: Mapping[str, dict[str, TokenizedSplit]]
) -> dict[str, Any]:
    """Return how the words of a task's train rows are split, as arguments of the task; empty without words."""
    counted = _count_words(task, datasets, rows)
    if not counted.counts:
        return {}
    splitting = counted.splitting()
    return {
        "word_splitting": splitting.method,
        "split_marks": splitting.marks,
        "whole_words": splitting.whole,
    }


def _count_words(
    task: str, datasets: Mapping[str, DatasetConfig], rows: Mapping[str, dict[str, TokenizedSplit]]
) -> WordCounts:
    counted = WordCounts()
    for name, dataset in datasets.items():
        train = rows[name].get("train") if task in dataset.tasks else None
        counted.counts.update((train and train.word_counts) or {})
    return counted


def _segmented(
    tasks: Mapping[str, Task], datasets: Mapping[str, DatasetConfig], rows: Mapping[str, dict[str, TokenizedSplit]]
) -> Iterator[str]:
    for name, task in tasks.items():
        if task.inputs == {"words"} and _count_words(name, datasets, rows).segmented:
            yield (
                f"task {name!r} learns words of several characters in a script without spaces: raw text cannot be "
                'split into them, so predict for {"words": [...]} from the same word segmenter'
            )


def _input_fields(task: str, datasets: Mapping[str, DatasetConfig]) -> dict[str, Any]:
    """Return how a task reads its input in its datasets, as arguments of the task.

    They are the different columns by key; and their indices in CoNLL files and the separator of words, if the datasets
    that have them agree.
    """
    inputs, indices, separators = [], [], set()
    for dataset in datasets.values():
        if task in dataset.tasks:
            type_ = dataset.tasks[task].task_type
            others = dataset.input.extra.keys() - type_.extra_inputs.keys()
            if type_.embeds:  # it predicts for single texts
                others |= {"pair", *type_.extra_inputs}
            columns = dataset.input.model_dump(exclude_none=True)
            inputs.append({key: column for key, column in columns.items() if key not in others})
            read, data = flatten_columns(inputs[-1].values()), dataset.data
            if data.columns is not None:
                indices.append({name: index for name, index in data.columns.items() if name in read})
            if data.separator is not None and "words" in columns:
                separators.add(data.separator)
    return {
        "input_columns": [columns for i, columns in enumerate(inputs) if columns not in inputs[:i]],
        "conll_columns": indices[0] if indices and all(named == indices[0] for named in indices) else {},
        "word_separator": separators.pop() if len(separators) == 1 else None,
    }


def _spell(spelling: Spelling, known: Mapping[str, str], name: str) -> str:
    """Return the task's label for a name."""
    name = spelling(name)
    return known.get(name, name)
