"""The table of rules: the first rule that applies to a column says what it is."""

from __future__ import annotations

from collections.abc import Callable

from nlpmtl.init import list_rules, scalar_rules
from nlpmtl.init.finding import Finding, not_used
from nlpmtl.init.profile import Profile
from nlpmtl.init.table import Table

Rule = Callable[[Profile, Table], Finding | None]

RULES: tuple[Rule, ...] = (
    scalar_rules.empty,
    list_rules.character_spans,
    list_rules.span_relations,
    list_rules.answers,
    list_rules.negatives,
    list_rules.words,
    list_rules.heads,
    list_rules.relations,
    list_rules.word_tags,
    list_rules.choices,
    list_rules.relevances,
    list_rules.choice_columns,
    scalar_rules.constant,
    scalar_rules.mixed_types,
    scalar_rules.dates,
    list_rules.multi_hot,
    list_rules.label_sets,
    list_rules.other_lists,
    scalar_rules.declared_classes,
    scalar_rules.split_names,
    list_rules.choice_index,
    scalar_rules.flags,
    scalar_rules.ordered_names,
    scalar_rules.ordered_numbers,
    scalar_rules.positions,
    scalar_rules.separated_labels,
    scalar_rules.identifiers,
    scalar_rules.few_whole_numbers,
    scalar_rules.many_numbers,
    scalar_rules.almost_numbers,
    scalar_rules.formatted_numbers,
    scalar_rules.printed_lists,
    list_rules.spaced_words,
    list_rules.spaced_tags,
    scalar_rules.target_texts,
    scalar_rules.texts_by_name,
    scalar_rules.comma_separated_labels,
    scalar_rules.class_names,
    scalar_rules.texts,
    scalar_rules.other_strings,
)
"""All rules, in the order in which they are tried."""


def classify(column: Profile, table: Table) -> Finding:
    """Return what a column is: the finding of the first rule that applies.

    Example:
        >>> table = Table.of({"text": ["a good film", "a bad film"], "label": ["pos", "neg"]})
        >>> classify(table.columns["text"], table).kind
        'text'
    """
    for rule in RULES:
        finding = rule(column, table)
        if finding is not None:
            return finding
    return not_used("no rule applies")
