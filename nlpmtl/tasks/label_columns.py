"""The label columns of a run's tasks: read from prepared rows, with one name for each label and one tag scheme."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nlpmtl.config import DatasetConfig, TaskOptions, flatten_columns
from nlpmtl.data import (
    ColumnType,
    LabelColumn,
    LabelType,
    ParseContext,
    Scheme,
    Spelling,
    TokenizedSplit,
    column_type,
    drop_names,
    equal_codes,
    fill_gaps,
    find_contradiction,
    is_coded,
    is_multi_hot,
    names_to_bio,
    resolve_labels,
    sort_names,
    to_bio,
)
from nlpmtl.errors import ConfigError
from nlpmtl.tasks.base import Task
from nlpmtl.tasks.fields import task_type
from nlpmtl.tasks.further_names import check_indices, names_of_further_columns, soft_names
from nlpmtl.tasks.label_notes import label_notes, missing_names

SplitsByDataset = Mapping[str, Mapping[str, TokenizedSplit]]
"""Dataset → split → its rows."""


@dataclass(frozen=True)
class LabelColumns:
    """The labels of every task.

    Args:
        columns: dataset → split → task → its labels.
        spellings: for each task how the names of its labels are written.
        notes: messages about them for the user.
    """

    columns: Mapping[str, Mapping[str, Mapping[str, LabelColumn]]]
    spellings: Mapping[str, Spelling]
    notes: tuple[str, ...]

    def of(self, task: str) -> Iterator[tuple[str, str, LabelColumn]]:
        """The columns of one task: dataset, split, labels."""
        for dataset, splits in self.columns.items():
            for split, columns in splits.items():
                if task in columns:
                    yield dataset, split, columns[task]


def label_shapes(name: str, dataset: DatasetConfig) -> dict[str, LabelType]:
    """Return the label columns of the tasks of a dataset, and the type of each.

    Raises:
        ConfigError: two tasks read one column in different shapes.
    """
    shapes: dict[str, LabelType] = {}
    for task, options in dataset.tasks.items():
        types = task_type(options.kind).column_types(options)
        pairs = [(types[key], column) for key, columns in options.label_columns.items() for column in columns]
        pairs += [("weight", options.weight)] if options.weight is not None else []
        for type_name, column in pairs:
            flag = column_type(type_name).flag_type if options.has_column_per_label else None
            shape: LabelType = type_name if flag is None else flag
            if shapes.setdefault(column, shape) != shape:
                raise ConfigError(
                    f"datasets.{name}: the column {column!r} is read in two ways, as {shapes[column]} and "
                    f"as {shape} (task {task!r}): give one of them a column of its own"
                )
    return shapes


def parse_context(name: str, dataset: DatasetConfig) -> ParseContext:
    """Return what the columns of a dataset are parsed with, besides the types of `label_shapes`.

    Raises:
        ConfigError: two tasks read one further input by different column types.
    """
    extra: dict[str, LabelType] = {}
    earlier: dict[str, dict[str, str]] = {}
    before: dict[str, frozenset[str]] = {}
    optional: set[str] = set()
    needed: set[str] = set()
    for task, options in dataset.tasks.items():
        type_ = task_type(options.kind)
        for key, type_name in type_.extra_inputs.items():
            if extra.setdefault(key, type_name) != type_name:
                raise ConfigError(
                    f"datasets.{name}.input.{key}: task {task!r} reads it as {type_name}, another task as {extra[key]}"
                )
            columns_of_key = flatten_columns(filter(None, [dataset.input.extra.get(key)]))
            (optional if key in type_.optional else needed).update(columns_of_key)
        columns_before: dict[str, str] = {}
        names = {f"input:{key}" for key in type_.extra_inputs if key not in type_.optional}
        for key, columns in options.label_columns.items():
            (optional if key in type_.optional else needed).update(columns)
            may_be_null = key in type_.optional | type_.any_of
            if not is_coded(type_.column_types(options)[key]):
                earlier.setdefault(columns[0], dict(columns_before))
                before[columns[0]] = before.get(columns[0], frozenset(names)) & names
            columns_before[key] = columns[0]
            names = names if may_be_null else names | {f"label:{columns[0]}"}
    return ParseContext(extra, earlier, before, frozenset(optional - needed))


def read_columns(
    datasets: Mapping[str, DatasetConfig], rows: SplitsByDataset, *, model: Mapping[str, Task] | None = None
) -> LabelColumns:
    """Read the label columns of every task.

    Args:
        datasets: the datasets by name.
        rows: their prepared rows.
        model: the tasks of the model that is evaluated; None where one is trained.

    Raises:
        ConfigError: the tags of a split contradict their scheme.
        DataError: a value does not go with the labels that a task declares.
    """
    tasks = dict.fromkeys(task for dataset in datasets.values() for task in dataset.tasks)
    declared = {task: _declared(task, datasets) or (model[task].labels if model else None) for task in tasks}
    named = {name: _with_label_names(datasets, name, splits, known=declared) for name, splits in rows.items()}
    raw = LabelColumns(named, {}, ())
    soft = {task: soft_names(task, datasets, rows) for task in tasks}
    spellings = {task: _spelling(raw, task, soft=soft[task], declared=declared[task], model=model) for task in tasks}
    columns = {
        dataset: {
            split: {
                task: _convert_tags(
                    column.rename([spellings[task](name) for name in column.names])
                    if is_coded(column.type)
                    else column,
                    scheme=_scheme(datasets[dataset].tasks[task], None if model is None else model[task]),
                    task=task,
                    prepared=rows[dataset][split],
                    train=split == "train",
                )
                for task, column in by_task.items()
            }
            for split, by_task in splits.items()
        }
        for dataset, splits in raw.columns.items()
    }
    return LabelColumns(
        columns, spellings, label_notes(datasets, rows, replace(raw, spellings=spellings), known=declared)
    )


def _with_label_names(
    datasets: Mapping[str, DatasetConfig],
    dataset: str,
    splits: Mapping[str, TokenizedSplit],
    *,
    known: Mapping[str, Sequence[str] | None],
) -> dict[str, dict[str, LabelColumn]]:
    """Return the label columns of a dataset with the names of labels: split → task → labels.

    Args:
        datasets: the datasets by name.
        dataset: the name of the dataset.
        splits: its splits.
        known: the labels of each task, declared or of the model.
    """
    by_split: dict[str, dict[str, LabelColumn]] = {split: {} for split in splits}
    for task, options in datasets[dataset].tasks.items():
        columns = options.label_columns.get("label")
        if columns is None:  # the task type reads other columns, or none
            continue
        missing, _ = missing_names(options, splits, known=known[task])
        declared = options.labels or _declared(task, datasets)
        multi_hot = is_multi_hot(list(splits.values()), columns[0], declared=declared)
        for split, prepared in splits.items():
            if missing:
                column = drop_names(prepared.columns[columns[0]], missing)
                prepared = replace(prepared, columns={**prepared.columns, columns[0]: column})
            by_split[split][task] = resolve_labels(prepared, columns, declared=declared, multi_hot=multi_hot)
    return by_split


def _declared(task: str, datasets: Mapping[str, DatasetConfig]) -> tuple[str, ...] | None:
    """Return the labels of the first dataset that lists those of a task; None without one."""
    lists = (dataset.tasks[task].labels for dataset in datasets.values() if task in dataset.tasks)
    return next((labels for labels in lists if labels), None)


def _spelling(
    columns: LabelColumns,
    task: str,
    *,
    soft: Collection[str],
    declared: Sequence[str] | None,
    model: Mapping[str, Task] | None,
) -> Spelling:
    """Return the spelling of the label names in the data; in an evaluation, that of the model's or the data's names.

    Args:
        columns: the label columns.
        task: the name of the task.
        soft: the names in soft labels, in the train splits.
        declared: the labels that are declared.
        model: the tasks of the model that is evaluated; None where one is trained.
    """
    coded = [(split, column) for _, split, column in columns.of(task) if is_coded(column.type)]
    further = [tuple(soft)] if soft else []
    train = [*(column.names for split, column in coded if split == "train"), *further]
    every = [*(column.names for _, column in coded), *further]
    spelling = Spelling.of(*(train if any(train) else every), others={name for names in every for name in names})
    if model is None:
        return replace(spelling, number=spelling.number and not equal_codes(declared or ()))
    known = Spelling.of(model[task].labels)
    number = (spelling.number or known.number) and not equal_codes(model[task].labels)
    return Spelling(number=number, boolean=spelling.boolean or known.boolean)


def _scheme(options: TaskOptions, task: Task | None) -> Scheme:
    """Return the scheme of the tags in the data; "plain" for a task type without one, and for a model of plain tags."""
    if getattr(task, "scheme", None) == "plain":
        return "plain"
    scheme: Scheme = getattr(options, "scheme", "plain")
    return scheme


def _convert_tags(
    column: LabelColumn, *, scheme: Scheme, task: str, prepared: TokenizedSplit, train: bool
) -> LabelColumn:
    """Return the tags of spans as BIO tags, and other labels unchanged.

    Raises:
        ConfigError: the tags contradict their scheme.
    """
    type_ = column_type(column.type)
    if not type_.per_word or scheme == "plain":
        return column
    contradiction = find_contradiction(fill_gaps(column) if type_.has_gaps else column, scheme, train=train)
    if contradiction is None:
        return column if type_.has_gaps else to_bio(column, scheme)
    if all(name.isdecimal() for name in column.names):
        advice = f'The tags are integers: write their names, in order, as labels = ["O", "B-…", …] in [tasks.{task}]'
    elif contradiction.notation:
        advice = contradiction.notation
    elif contradiction.fitting == "plain" and "O" in column.names:
        advice = (
            "No tag has the prefix of a span: write the tags of spans as B-x and I-x. For tags without spans, such as "
            f'parts of speech, write scheme = "plain" in [tasks.{task}]'
        )
    elif contradiction.fitting and type_.has_gaps:
        advice = f'The tags fit scheme = "{contradiction.fitting}": convert them, so that every span begins with B-x'
    elif contradiction.fitting:
        advice = f'The tags fit scheme = "{contradiction.fitting}": write that in [tasks.{task}]'
    else:
        advice = (
            f'No scheme fits the tags: correct them. scheme = "plain" in [tasks.{task}] reads each tag as a class, '
            "without spans"
        )
    raise ConfigError(
        f"task {task!r}: the tags of {contradiction.wrong:,} of {contradiction.spans:,} spans contradict scheme = "
        f'"{scheme}" in {prepared.where}, for example {prepared.place(contradiction.row)}, word {contradiction.word}: '
        f"{contradiction.tag!r}. {advice}"
    )


def find_labels(
    task: str,
    datasets: Mapping[str, DatasetConfig],
    rows: SplitsByDataset,
    *,
    columns: LabelColumns,
    earlier: Task | None,
    options: TaskOptions,
) -> tuple[str, ...]:
    """Return the labels of a task to train, in order.

    They are the declared ones, else those of the model that training continues from, else those of a ClassLabel
    feature, else the names in train, sorted. If the config declares the labels of that model in another order, the
    order of the model is kept, because the outputs of its head have it; except for a task type whose order has a
    meaning.

    Args:
        task: its name.
        datasets: the datasets by name.
        rows: their prepared rows.
        columns: the label columns.
        earlier: the task of this name in the model that training continues from.
        options: the table that describes the task.

    Raises:
        ConfigError: two declared labels are the same label.
    """
    spell = columns.spellings[task]
    declared = options.labels or (options.label_columns["label"] if options.has_column_per_label else None)
    known = earlier.labels if earlier is not None else ()
    if declared:
        labels = names_to_bio([spell(name) for name in declared], _scheme(options, None))
        if len(set(labels)) < len(labels):
            raise ConfigError(f"task {task!r}: `labels` lists a label twice: {list(declared)}")
        same = tuple(map(spell, known))
        if earlier is not None and (same == labels or (sorted(same) == sorted(labels) and not earlier.ordered)):
            return known
        return labels
    return known or _labels_in_data(task, datasets, rows, columns=columns, options=options)


def _labels_in_data(
    task: str,
    datasets: Mapping[str, DatasetConfig],
    rows: SplitsByDataset,
    *,
    columns: LabelColumns,
    options: TaskOptions,
) -> tuple[str, ...]:
    """Return the labels of a ClassLabel feature, else the names in train, sorted; see `find_labels`."""
    spell = columns.spellings[task]
    train_names: set[str] = set()
    for dataset, split, column in columns.of(task):
        dataset_options = datasets[dataset].tasks[task]
        kind = column_type(column.type)
        if kind.coding == "number":
            return ()
        if kind.coding == "parsed":
            if split == "train" and kind.names is not ColumnType.names:
                values = rows[dataset][split].stored_values(dataset_options.label_columns["label"][0])
                train_names |= {name for value in values for name in kind.names(value)}
            continue
        names = rows[dataset][split].class_names.get(dataset_options.label_columns["label"][0])
        if names is not None and not dataset_options.has_column_per_label:
            return names_to_bio(list(dict.fromkeys(map(spell, names))), _scheme(dataset_options, None))
        if split == "train":
            train_names.update(column.names)
    further = names_of_further_columns(task, datasets, rows)
    if not task_type(options.kind).any_of:
        return sort_names(train_names or further)
    further = {spell(name) for name in further}
    check_indices(task, train_names, further)
    return sort_names(train_names | further)
