"""The label columns of a run's tasks: read from prepared rows, with one name for each label and one tag scheme."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nlpmtl.config import DatasetConfig, TaskOptions, flatten_columns
from nlpmtl.data import (
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
    resolve_labels,
    to_bio,
)
from nlpmtl.errors import ConfigError
from nlpmtl.tasks.base import Task
from nlpmtl.tasks.fields import task_type
from nlpmtl.tasks.further_names import soft_names
from nlpmtl.tasks.label_notes import label_notes, missing_names

SplitsByDataset = Mapping[str, Mapping[str, TokenizedSplit]]
"""Dataset → split → its rows."""


@dataclass(frozen=True)
class LabelColumns:
    """The labels of every task.

    Args:
        columns: dataset → split → task → key in `Task.columns` → its labels: the column `label`, and others that have
            label names, except those of soft labels.
        spellings: for each task how the names of its labels are written.
        notes: messages about them for the user.
    """

    columns: Mapping[str, Mapping[str, Mapping[str, Mapping[str, LabelColumn]]]]
    spellings: Mapping[str, Spelling]
    notes: tuple[str, ...]

    def of(self, task: str, key: str = "label") -> Iterator[tuple[str, str, LabelColumn]]:
        """Yield the dataset, the split and the labels of each column of a task with the given key."""
        for dataset, splits in self.columns.items():
            for split, columns in splits.items():
                if key in columns.get(task, ()):
                    yield dataset, split, columns[task][key]

    def keys(self, task: str) -> list[str]:
        """Return the keys of the columns of a task."""
        by_split = (columns.get(task, {}) for splits in self.columns.values() for columns in splits.values())
        return list(dict.fromkeys(key for columns in by_split for key in columns))


def label_shapes(name: str, dataset: DatasetConfig) -> dict[str, LabelType]:
    """Return the label columns of the tasks of a dataset, and the type of each.

    Raises:
        ConfigError: two tasks read one column by different types.
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
                    f"as {shape} (task {task!r}): use separate columns, or another dataset for the task that reads "
                    "the same files"
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
    named = {name: _read_names(datasets, name, splits, known=declared) for name, splits in rows.items()}
    raw = LabelColumns(named, {}, ())
    soft = {task: soft_names(task, datasets, rows) for task in tasks}
    vocabularies = {
        task: _spellings(raw, task, soft=soft[task], declared=declared[task], model=model) for task in tasks
    }
    spellings = {task: spelling for task, (spelling, _) in vocabularies.items()}

    def convert(column: LabelColumn, *, dataset: str, split: str, task: str, key: str) -> LabelColumn:
        spelling, others = vocabularies[task]
        column = column.rename(list(map(others.get(key, spelling), column.names)))
        if key != "label":
            return column
        scheme = tag_scheme(datasets[dataset].tasks[task], None if model is None else model[task])
        return _convert_tags(column, scheme=scheme, task=task, prepared=rows[dataset][split], train=split == "train")

    columns = {
        dataset: {
            split: {
                task: {
                    key: convert(column, dataset=dataset, split=split, task=task, key=key)
                    for key, column in by_key.items()
                }
                for task, by_key in by_task.items()
            }
            for split, by_task in splits.items()
        }
        for dataset, splits in raw.columns.items()
    }
    notes = label_notes(datasets, rows, replace(raw, spellings=spellings), known=declared, soft=soft)
    return LabelColumns(columns, spellings, notes)


def _read_names(
    datasets: Mapping[str, DatasetConfig],
    dataset: str,
    splits: Mapping[str, TokenizedSplit],
    *,
    known: Mapping[str, Sequence[str] | None],
) -> dict[str, dict[str, dict[str, LabelColumn]]]:
    """Return the label columns of a dataset with the names of labels: split → task → key → labels.

    Args:
        datasets: the datasets by name.
        dataset: the name of the dataset.
        splits: its splits.
        known: the labels of each task, declared or of the model.
    """
    by_split: dict[str, dict[str, dict[str, LabelColumn]]] = {split: {} for split in splits}
    for task, options in datasets[dataset].tasks.items():
        for split, prepared in splits.items():
            by_split[split][task] = _read_further(prepared, options)
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
            labels = resolve_labels(prepared, columns, declared=declared, multi_hot=multi_hot)
            by_split[split][task]["label"] = labels
    return by_split


def _read_further(split: TokenizedSplit, options: TaskOptions) -> dict[str, LabelColumn]:
    """Return the columns of a task other than `label` that have label names; those of soft labels have none."""
    columns = {key: split.named_column(names[0]) for key, names in options.label_columns.items() if key != "label"}
    return {key: column for key, column in columns.items() if column.names}


def _declared(task: str, datasets: Mapping[str, DatasetConfig]) -> tuple[str, ...] | None:
    """Return the labels of the first dataset that lists those of a task; None without one."""
    lists = (dataset.tasks[task].labels for dataset in datasets.values() if task in dataset.tasks)
    return next((labels for labels in lists if labels), None)


def _spellings(
    columns: LabelColumns,
    task: str,
    *,
    soft: Collection[str],
    declared: Sequence[str] | None,
    model: Mapping[str, Task] | None,
) -> tuple[Spelling, dict[str, Spelling]]:
    """Return the spelling of the labels of a task, and those of columns that have names of another kind.

    In a task type with a column `label`, other columns have names of their own, such as those of relations.

    Args:
        columns: the label columns.
        task: the name of the task.
        soft: the names in soft labels, in the train splits.
        declared: the labels that are declared.
        model: the tasks of the model that is evaluated; None where one is trained.
    """
    keys = columns.keys(task)
    shared = ["label"] if "label" in keys else keys
    further = [tuple(soft)] if soft else []
    spelling = _spelling([column for key in shared for column in columns.of(task, key)], further=further)
    others = {key: _spelling(columns.of(task, key)) for key in keys if key not in shared}
    if model is None:
        return replace(spelling, number=spelling.number and not equal_codes(declared or ())), others
    known = Spelling.of(model[task].labels)
    number = (spelling.number or known.number) and not equal_codes(model[task].labels)
    return Spelling(number=number, boolean=spelling.boolean or known.boolean), others


def _spelling(columns: Iterable[tuple[str, str, LabelColumn]], *, further: Sequence[Collection[str]] = ()) -> Spelling:
    """Return the spelling of the names in the train splits of columns, if there are any, otherwise of all names.

    Args:
        columns: dataset, split and labels of each column.
        further: names of train that are in none of them.
    """
    named = [(split, column.names) for _, split, column in columns]
    train = [*(names for split, names in named if split == "train"), *further]
    every = [*(names for _, names in named), *further]
    return Spelling.of(*(train if any(train) else every), others={name for names in every for name in names})


def tag_scheme(options: TaskOptions, task: Task | None) -> Scheme:
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
