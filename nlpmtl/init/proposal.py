"""Proposals: the input and the tasks of each dataset, from what its columns are and what the user chose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from nlpmtl.config import ColumnNames, flatten_columns
from nlpmtl.errors import ConfigError
from nlpmtl.init.finding import INPUTS, TAGS_OF_WORDS, Finding, not_used
from nlpmtl.init.inputs import CHOICE_KINDS, are_similar, find_inputs
from nlpmtl.init.overrides import TASK_KINDS, Override, apply_override, check_input, overrides_of
from nlpmtl.init.rules import classify
from nlpmtl.init.sample import Sample
from nlpmtl.init.scalar_rules import flags
from nlpmtl.init.sources import to_name
from nlpmtl.init.table import Table

_PARTS_OF_SPEECH = ("upos", "xpos")
_GENERIC_NAMES = {"label", "labels", "tag", "tags", "class", "classes", "target", "targets", "y", "gold"}
"""Names of columns that do not say what the task is; a task with such a column is named after its dataset."""


@dataclass(frozen=True)
class TaskProposal:
    """A task that is written to a dataset file.

    Args:
        kind: the task type.
        columns: its label column; several columns of 0 and 1 for one multilabel task, or those of `Finding.columns`;
            none for an embedding of similar texts and a masked language model.
        finding: what the columns are.
        has_flags: whether the columns have 0 and 1, one per label of a multilabel task.
        name: name that the user chose; None to derive one from the column and the dataset.
    """

    kind: str
    columns: tuple[str, ...]
    finding: Finding
    has_flags: bool = False
    name: str | None = None


@dataclass(frozen=True)
class Proposal:
    """The proposed inputs and tasks of one dataset.

    Args:
        sample: the columns of the dataset in its first rows.
        findings: column = what it is, in the order of the data.
        input: key of an input = its column, or the columns of the choices; empty if there is none.
        tasks: the tasks by name; empty if no column can be a label.
        separator: what separates the labels or words in a cell, for `data.separator`; None if no column needs it.
    """

    sample: Sample
    findings: Mapping[str, Finding]
    input: Mapping[str, ColumnNames]
    tasks: Mapping[str, TaskProposal]
    separator: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether there is an input and a task, so that a dataset file can be written."""
        return bool(self.input and self.tasks)


def propose(samples: Sequence[Sample], overrides: Sequence[Override] = ()) -> list[Proposal]:
    """Return what is proposed for each dataset.

    Args:
        samples: the columns of each dataset.
        overrides: kinds that the user chose; they replace the proposal for their columns.

    Raises:
        ConfigError: an override does not fit its column, or two tasks have the same name.
    """
    findings: dict[str, dict[str, Finding]] = {}
    inputs: dict[str, dict[str, ColumnNames]] = {}
    tasks: dict[str, list[TaskProposal]] = {}
    for sample in samples:
        name, table = sample.source.name, sample.table
        chosen = overrides_of(name, overrides, table)
        columns = _classify_all(sample, chosen)
        inputs[name] = find_inputs(columns, table)
        for override in chosen:
            check_input(override, inputs[name], table)
        findings[name] = _drop_unread(columns, inputs[name])
        labelled = _find_tasks(findings[name], chosen, table)
        tasks[name] = [*labelled, *_without_labels(inputs[name], chosen, has_labels=bool(labelled))]
    names = _name_tasks(tasks)
    proposals = []
    for sample in samples:
        name = sample.source.name
        named = dict(zip(names[name], tasks[name], strict=True))
        separator = _separator(findings[name].values())
        proposals.append(Proposal(sample, findings[name], inputs[name], named, separator))
    return proposals


def _classify_all(sample: Sample, overrides: Sequence[Override]) -> dict[str, Finding]:
    """Return what each column is. Of several chosen texts, pairs or words the last one counts."""
    table = sample.table
    findings = {name: classify(column, table) for name, column in table.columns.items()}
    if sample.type in ("conll", "conllu"):
        findings = _select_tags(findings, conllu=sample.type == "conllu")
    for override in overrides:
        chosen = {column: apply_override(override, table.columns[column], table) for column in override.columns}
        for kind in {finding.kind for finding in chosen.values()}.intersection(INPUTS):
            replaced = [name for name, finding in findings.items() if finding.kind == kind]
            findings |= {name: not_used(f"another column was chosen as {kind}") for name in replaced}
        findings |= chosen
    return findings


def _select_tags(findings: Mapping[str, Finding], *, conllu: bool) -> dict[str, Finding]:
    """Return the findings for a CoNLL file: of its tags the last column is proposed, of CoNLL-U the parts of speech."""
    tags = [column for column, finding in findings.items() if finding.kind == "labeling"]
    kept = [column for column in tags if column in _PARTS_OF_SPEECH] if conllu else tags[-1:]
    reasons = dict.fromkeys(tags, "of CoNLL-U only the parts of speech are proposed" if conllu else "not the last tags")
    return {
        column: not_used(reasons[column]) if column in reasons and column not in kept else finding
        for column, finding in findings.items()
    }


def _drop_unread(findings: Mapping[str, Finding], inputs: Mapping[str, ColumnNames]) -> dict[str, Finding]:
    """Return the findings with the key of each column of the input as its kind; other texts and words are not used."""
    keys = {column: key for key, columns in inputs.items() for column in flatten_columns([columns])}
    separator = _separator(findings.values())
    kept: dict[str, Finding] = {}
    for column, finding in findings.items():
        if column in keys:
            evidence = finding.evidence if finding.kind in INPUTS else f"the longest strings ({finding.evidence})"
            finding = replace(finding, kind=keys[column], evidence=evidence, labels=())
        elif finding.kind in INPUTS:
            finding = not_used(f"{finding.evidence}; the input is {' and '.join(map(repr, keys)) or 'missing'}")
        elif finding.kind in TAGS_OF_WORDS and "words" not in inputs:
            finding = not_used(f"{finding.evidence}, but a column of words is missing")
        elif finding.context is not None and inputs.get("pair") != finding.context:
            finding = not_used(f"{finding.evidence}, but a column of questions is missing")
        elif finding.kind in CHOICE_KINDS and "choices" not in inputs:
            finding = not_used(f"{finding.evidence}, but a text or a column of choices is missing")
        elif finding.separator not in (None, separator):
            finding = not_used(
                f"{finding.evidence}; only one separator can be set, and another column has {separator!r}"
            )
        kept[column] = finding
    return kept


def _separator(findings: Iterable[Finding]) -> str | None:
    """Return the first separator; a space, which separates words, comes before the others."""
    separators = [finding.separator for finding in findings if finding.separator]
    return " " if " " in separators else next(iter(separators), None)


def _find_tasks(findings: Mapping[str, Finding], overrides: Sequence[Override], table: Table) -> list[TaskProposal]:
    """Return the tasks of the label columns, in the order of the data; columns of 0 and 1 together are one task."""
    chosen = {column: override for override in overrides for column in override.columns}
    labels = [column for column, finding in findings.items() if finding.kind in TASK_KINDS]
    together = [
        column
        for column in labels
        if column not in chosen
        and findings[column].kind == "classification"
        and not table.columns[column].class_names
        and flags(table.columns[column], table)
    ]
    tasks: list[TaskProposal] = []
    done: set[str] = set()
    for column in labels:
        override = chosen.get(column)
        finding = findings[column]
        columns = (column,) if override is None else override.columns
        if finding.columns:
            columns = tuple(finding.columns.values())
            override = next((chosen[name] for name in columns if name in chosen), None)
            if any(findings[name].kind != finding.kind for name in columns):  # the user chose another kind for one
                continue
        if override is None and len(together) > 1 and column in together:
            columns = tuple(together)
        if column in done:
            continue
        done.update(columns)
        is_flag = flags(table.columns[column], table) is not None
        has_flags = is_flag and (len(columns) > 1 or finding.kind == "multilabel")
        if has_flags:
            finding = replace(
                finding, kind="multilabel", evidence=f"{len(columns)} column(s) of 0 and 1, one per label"
            )
        tasks.append(
            TaskProposal(finding.kind, columns, finding, has_flags, override.name or None if override else None)
        )
    return tasks


def _without_labels(
    inputs: Mapping[str, ColumnNames], overrides: Sequence[Override], *, has_labels: bool
) -> list[TaskProposal]:
    """Return the tasks that need no label column: the chosen masked language models, and an embedding of similar texts.

    Args:
        inputs: key of an input = its column.
        overrides: kinds that the user chose.
        has_labels: whether the dataset has tasks with label columns; then only negatives show that pairs are similar.
    """
    finding = Finding("masked_lm", "masked language modelling on the texts")
    chosen = [override for override in overrides if override.kind == "masked_lm"]
    tasks = [TaskProposal("masked_lm", (), finding, name=override.name or None) for override in chosen]
    if "negatives" in inputs or (not has_labels and are_similar(inputs)):
        tasks.append(TaskProposal("embedding", (), Finding("embedding", "pairs of similar texts, without labels")))
    return tasks


def _name_tasks(tasks: Mapping[str, Sequence[TaskProposal]]) -> dict[str, list[str]]:
    """Return the names of the tasks of each dataset.

    The name is that of the column. If the column does not say what the task is (such as "label"), it is the name of the
    dataset; if several tasks would get the same name, it is the names of both.
    """
    bases = {dataset: [_base_name(task) for task in members] for dataset, members in tasks.items()}
    counts = Counter(base.casefold() for members in bases.values() for base in set(members))
    names: dict[str, list[str]] = {}
    used: set[str] = set()
    for dataset, members in tasks.items():
        generic = [base for base in bases[dataset] if base.casefold() in _GENERIC_NAMES]
        names[dataset] = []
        for task, base in zip(members, bases[dataset], strict=True):
            name = task.name
            if name is None:
                if base.casefold() in _GENERIC_NAMES:
                    candidates = [dataset, f"{dataset}_{base}"] if len(generic) == 1 else [f"{dataset}_{base}"]
                else:
                    candidates = [base, f"{dataset}_{base}"] if counts[base.casefold()] == 1 else [f"{dataset}_{base}"]
                candidates += [f"{candidates[-1]}_{number}" for number in range(2, len(members) + 2)]
                name = next(candidate for candidate in candidates if candidate.casefold() not in used)
            elif name in names[dataset]:
                raise ConfigError(
                    f"--task: two tasks of the dataset {dataset!r} have the name {name!r}: rename one of them"
                )
            used.add(name.casefold())
            names[dataset].append(name)
    return names


def _base_name(task: TaskProposal) -> str:
    if task.finding.columns or not task.columns:
        return task.kind
    name = "labels" if len(task.columns) > 1 else to_name(task.columns[0])
    return name if any(map(str.isalpha, name)) else "label"
