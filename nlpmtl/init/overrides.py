"""Overrides of proposals: ``name=column:kind``, as an option of the command or typed at its prompt."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from nlpmtl.config import NAME, ColumnNames
from nlpmtl.errors import ConfigError, did_you_mean, find_nearest
from nlpmtl.init import list_rules, scalar_rules
from nlpmtl.init.finding import INPUTS, NOT_USED, TAGS_OF_WORDS, Finding, not_used
from nlpmtl.init.profile import Profile
from nlpmtl.init.table import Table

TASK_KINDS = (
    *("classification", "sentiment", "regression", "multilabel", *TAGS_OF_WORDS, "spans"),
    *("question_answering", "multiple_choice", "ranking", "generation", "translation", "summarization"),
    *("embedding", "masked_lm"),
)
KINDS = (*TASK_KINDS, *INPUTS, NOT_USED)
SYNTAX = "NAME=COLUMN:KIND"
_CHOSEN = "chosen"


@dataclass(frozen=True)
class Override:
    """A kind that the user chose.

    Args:
        name: name of the task; ignored for the columns of an input and for the kind "none".
        dataset: name of the dataset, if the columns are written as ``dataset.column``.
        columns: one column; or the 0/1 columns of a multilabel task, or one column per choice or negative.
        kind: one of `KINDS`.
        text: the override as it was written, for error messages.
    """

    name: str
    dataset: str | None
    columns: tuple[str, ...]
    kind: str
    text: str


def parse_override(text: str, *, columns: Mapping[str, Collection[str]]) -> Override:
    """Parse ``name=column:kind``; the name may be omitted, and the column may be ``dataset.column``.

    Args:
        text: the override.
        columns: dataset → its columns.

    Raises:
        ConfigError: the syntax is wrong, or the kind, the column or the dataset does not exist; the message says what
            to write instead.

    Example:
        >>> parse_override("topic=category:classification", columns={"reviews": ["text", "category"]}).columns
        ('category',)
    """
    name, _, rest = text.partition("=") if "=" in text else ("", "", text)
    place, colon, kind = rest.rpartition(":")
    name, place, kind = name.strip(), place.strip(), kind.strip()
    if not colon or not place:
        raise ConfigError(f"--task {text}: write {SYNTAX}, such as topic=category:classification")
    if kind not in KINDS:
        raise ConfigError(f"--task {text}: unknown kind {kind!r}; {did_you_mean(kind, KINDS)}")
    if name and kind in TASK_KINDS and not re.match(NAME, name):
        rule = "letters, digits, `_` and `-`, not starting with a digit, at most 64 characters"
        raise ConfigError(f"--task {text}: {name!r} cannot be the name of a task: {rule}")
    dataset, names = _find_columns(place, text=text, columns=columns)
    if len(names) > 1 and kind not in ("multilabel", "choices", "negatives", NOT_USED):
        raise ConfigError(
            f"--task {text}: several columns are read only by multilabel (columns of 0 and 1), choices and negatives "
            "(one text per column); write one column"
        )
    repeated = next((column for column in names if names.count(column) > 1), None)
    if repeated is not None:
        raise ConfigError(f"--task {text}: write each column once, found {repeated!r} {names.count(repeated)} times")
    return Override(name, dataset, names, kind, text)


def _find_columns(
    place: str, *, text: str, columns: Mapping[str, Collection[str]]
) -> tuple[str | None, tuple[str, ...]]:
    """Return the dataset, if it is named, and the columns of ``column``, ``first,second`` or ``dataset.column``."""
    for dataset, rest in ((None, place), (place.partition(".")[0], place.partition(".")[2])):
        datasets = columns.values() if dataset is None else [columns.get(dataset, ())]
        for names in ((rest,), tuple(name.strip() for name in rest.split(","))):
            if any(set(names) <= set(known) for known in datasets):
                return dataset, names
    known = sorted({column for names in columns.values() for column in names})
    missing = next((name.strip() for name in place.split(",") if name.strip() not in known), place)
    nearest = find_nearest(missing, known)
    hint = f"did you mean {nearest!r}?" if nearest else f"columns: {', '.join(known)}"
    raise ConfigError(f"--task {text}: no column {missing!r}; {hint}")


def overrides_of(dataset: str, overrides: Sequence[Override], table: Table) -> list[Override]:
    """Return the overrides that apply to a dataset: those that name it, or name no dataset and have its columns.

    An override whose columns are chosen again by later ones does not apply.
    """
    applied: list[Override] = []
    later: set[str] = set()
    for override in reversed(overrides):
        columns = set(override.columns)
        if override.dataset in (None, dataset) and columns <= table.columns.keys() and not columns <= later:
            applied.insert(0, override)
            later |= columns
    return applied


def refuse_repeated(overrides: Sequence[Override]) -> None:
    """Check that no column is chosen twice, because only the last choice would be used.

    Raises:
        ConfigError: two overrides name the same column.
    """
    chosen: dict[tuple[str | None, str], Override] = {}
    for override in overrides:
        for column in override.columns:
            if (first := chosen.setdefault((override.dataset, column), override)) is not override:
                raise ConfigError(
                    f"--task {override.text}: {column!r} is already chosen by --task {first.text}: choose a column "
                    "once, and add a second task on it to the dataset file that is written"
                )


def apply_override(override: Override, column: Profile, table: Table) -> Finding:
    """Return the finding that an override sets for a column.

    Raises:
        ConfigError: the values of the column do not fit the kind.
    """
    kind = override.kind
    if kind == NOT_USED:
        return not_used(_CHOSEN)
    check = {
        "regression": _as_numbers,
        "labeling": _as_tags,
        "question_answering": _as_answers,
        "parsing": _as_tree,
        "spans": _as_spans,
        "multilabel": _as_sets,
        "words": _as_words,
        "choices": _as_choices,
        "multiple_choice": _as_choice,
        "ranking": _as_relevances,
        "text": _as_text,
        "pair": _as_text,
        "generation": _as_text,
        "translation": _as_text,
        "summarization": _as_text,
        "negatives": _as_choices,
        "embedding": _as_similarities,
        "masked_lm": _as_masked,
    }.get(kind, _as_classes)
    finding = check(kind, column, table)
    if isinstance(finding, str):
        raise _unreadable(override, column.name, finding)
    return finding


def check_input(override: Override, inputs: Mapping[str, ColumnNames], table: Table) -> None:
    """Refuse a chosen kind that does not fit the input of its dataset.

    Args:
        override: the kind that the user chose.
        inputs: key of an input → its column or columns.
        table: the profiles of the columns.

    Raises:
        ConfigError: the kind cannot read this form of input, or the values of the column do not fit the input.
    """
    kind, column = override.kind, override.columns[0]
    problem: str | None = None
    if kind == "embedding" and "words" in inputs:
        problem = f"an embedding is trained on texts, but the input is the words in {inputs['words']!r}"
    elif kind == "embedding" and inputs:
        read = _as_numbers if "pair" in inputs else _as_shared_classes
        finding = read(kind, table.columns[column], table)
        label = "pair of texts is a number" if "pair" in inputs else "single text is a class"
        problem = f"the label of a {label}, but {finding}" if isinstance(finding, str) else None
    elif kind == "masked_lm" and "pair" in inputs:
        problem = f"it is trained on single texts, but the input has the pair {inputs['pair']!r}"
    elif kind == "masked_lm" and column not in inputs.values():
        problem = f"the input is {inputs.get('text', inputs.get('words'))!r}"
    elif kind == "negatives" and "negatives" not in inputs:
        problem = "negatives need a column of the kind pair, the similar texts, and no label of the kind embedding"
    if problem is not None:
        raise _unreadable(override, column, problem)


def _unreadable(override: Override, column: str, problem: str) -> ConfigError:
    return ConfigError(f"--task {override.text}: {column!r} cannot be read as {override.kind}: {problem}")


def _as_numbers(kind: str, column: Profile, table: Table) -> Finding | str:
    if column.numbers is not None:
        return Finding(kind, _CHOSEN)
    other = next((value for value in column.values if Profile.of("", [value]).numbers is None), None)
    return f"not all of its values are numbers (found {str(other)[:40]!r})"


def _as_tags(kind: str, column: Profile, table: Table) -> Finding | str:
    for rule in (list_rules.character_spans, list_rules.word_tags, list_rules.spaced_tags):
        finding = rule(column, table)
        if finding is not None and finding.kind == kind:
            return finding
    return "it has neither one tag per word of another column nor character spans"


def _as_spans(kind: str, column: Profile, table: Table) -> Finding | str:
    finding = list_rules.character_spans(column, table)
    return "it has no lists of spans" if finding is None else Finding(kind, _CHOSEN, relations=finding.relations)


def _as_answers(kind: str, column: Profile, table: Table) -> Finding | str:
    finding = list_rules.answers(column, table)
    if finding is None:
        return 'its values are neither {"text": […], "answer_start": […]} nor lists of {"start": …, "end": …}'
    return finding if finding.kind == kind else finding.evidence


def _as_tree(kind: str, column: Profile, table: Table) -> Finding | str:
    for rule in (list_rules.heads, list_rules.relations):
        finding = rule(column, table)
        if finding is not None and finding.kind == kind:
            return finding
    return "there are no columns with the head of each word, 1-based with 0 for the root, and its relation to it"


def _as_sets(kind: str, column: Profile, table: Table) -> Finding | str:
    for rule in (
        list_rules.multi_hot,
        list_rules.label_sets,
        scalar_rules.separated_labels,
        scalar_rules.comma_separated_labels,
        scalar_rules.flags,
    ):
        finding = rule(column, table)
        if finding is not None:
            return Finding(kind, _CHOSEN, labels=finding.labels, separator=finding.separator)
    if column.type == "list" and column.item_type in ("string", "number"):
        return Finding(kind, _CHOSEN)
    return "it has neither lists of labels, nor labels separated by |, ; or a comma, nor 0 and 1"


def _as_words(kind: str, column: Profile, table: Table) -> Finding | str:
    if column.type == "list" and column.item_type == "string":
        return Finding(kind, _CHOSEN)
    if column.type == "string" and column.name in table.spaced_tags.values():
        return Finding(kind, _CHOSEN, separator=" ")
    return "it has no lists of strings"


def _as_choices(kind: str, column: Profile, table: Table) -> Finding | str:
    if column.type == "string" or (column.type == "list" and column.item_type == "string"):
        return Finding(kind, _CHOSEN)
    return "it has neither lists of texts nor texts"


def _as_choice(kind: str, column: Profile, table: Table) -> Finding | str:
    if column.type == "string" or column.whole_numbers is not None:
        return Finding(kind, _CHOSEN)
    return "the text, the index from 0 or the letter of a choice was expected"


def _as_relevances(kind: str, column: Profile, table: Table) -> Finding | str:
    finding = list_rules.relevances(column, table)
    if finding is not None:
        return finding
    return Finding(kind, _CHOSEN) if column.item_type == "number" else "it has no lists of numbers"


def _as_similarities(kind: str, column: Profile, table: Table) -> Finding | str:
    return Finding(kind, _CHOSEN)  # `check_input` reads numbers or classes, as the input requires


def _as_masked(kind: str, column: Profile, table: Table) -> Finding | str:
    """Return the finding for a column that is the input: words if another column has their tags, otherwise text."""
    if column.type == "list" and column.item_type == "string":
        return Finding("words", _CHOSEN)
    if column.type != "string":
        return "its values are neither strings nor lists of words"
    return list_rules.spaced_words(column, table) or Finding("text", _CHOSEN)


def _as_text(kind: str, column: Profile, table: Table) -> Finding | str:
    return Finding(kind, _CHOSEN) if column.type == "string" else "its values are not strings"


def _as_classes(kind: str, column: Profile, table: Table) -> Finding | str:
    if column.type not in ("string", "number", "boolean") or (column.numbers and column.whole_numbers is None):
        return "names or whole numbers were expected"
    if column.distinct < 2:
        return "it has fewer than two different values"
    if kind != "sentiment" or column.class_names:
        return Finding(kind, _CHOSEN, labels=column.class_names if kind == "sentiment" else ())
    finding = scalar_rules.ordered_names(column, table)
    return Finding(kind, _CHOSEN, labels=finding.labels if finding else scalar_rules.label_names(column))


def _as_shared_classes(kind: str, column: Profile, table: Table) -> Finding | str:
    if column.all_different:
        return "every value is different, so no two texts share one; pairs of similar texts need no label"
    return _as_classes(kind, column, table)
