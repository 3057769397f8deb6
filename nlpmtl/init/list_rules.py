"""Rules for columns of lists and objects: words, tags, label sets, character spans, answers, trees and choices.

Each rule is a function of a column's profile and the table, which returns a `Finding`, or None if it does not apply.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from nlpmtl.data import Answers, Example, Input, Spelling
from nlpmtl.init.finding import Finding, not_used
from nlpmtl.init.profile import Profile, to_float
from nlpmtl.init.table import Table
from nlpmtl.init.tags import find_scheme

_MAX_LABELS = 1000
_MOSTLY = 0.95
_MAX_WORD_TAGS = 500
_FROM_ONE = ", counted from 1; multiple choice counts from 0"


def character_spans(column: Profile, table: Table) -> Finding | None:
    """Lists of ``[start, end, label]``, or of objects with start, end and label.

    Spans that overlap, or have relations, cannot be tags of words.
    """
    names = _span_labels(column)
    if not names:
        return None
    evidence = f"spans of {len(names)} types"
    links = next((name for name, other in table.columns.items() if _are_relations(other)), None)
    if links is not None:
        return Finding("spans", f"{evidence}, with relations in {links!r}", relations=links)
    if any(_overlap(value) for value in column.values):
        return Finding("spans", f"{evidence}, some of which overlap")
    return Finding("labeling", f"character {evidence}", scheme="bio", spans=True)


def span_relations(column: Profile, table: Table) -> Finding | None:
    """Lists of objects with head, tail and label, where another column has spans."""
    spans = next((name for name, other in table.columns.items() if _span_labels(other)), None)
    if spans is None or not _are_relations(column):
        return None
    return Finding("relations", f"relations between the spans in {spans!r}")


def answers(column: Profile, table: Table) -> Finding | None:
    """Answers with their position in a text of another column: as in SQuAD, or lists of start and end."""
    if not all(map(_are_answers, column.values)) or not any(column.values):
        return None
    contexts = [other for other in table.columns.values() if _contains_answers(column, other, table)]
    if not contexts:
        return not_used("answers, but no column has texts with these answers at these positions")
    context = max(contexts, key=lambda other: other.mean_words).name
    return Finding("question_answering", f"answers in the texts of {context!r}", context=context)


def negatives(column: Profile, table: Table) -> Finding | None:
    """Texts in a column that is named like negatives, in a table with a pair of similar texts."""
    if column.name not in table.negatives:
        return None
    if column.type == "list" and column.item_type == "string":
        return Finding("negatives", f"lists of {column.mean_words:.1f} texts on average, which are not similar")
    if column.type == "string" and column.numbers is None:
        return Finding("negatives", f"texts of {column.mean_words:.0f} words on average, which are not similar")
    return None


def words(column: Profile, table: Table) -> Finding | None:
    """Lists of words: named so, or with as many items as another column has tags."""
    if column.name != table.words:
        return None
    return Finding("words", f"lists of {column.mean_words:.0f} words on average")


def heads(column: Profile, table: Table) -> Finding | None:
    """For each word the number of its head in a dependency tree, 0 for the root."""
    if column.name != table.heads:
        return None
    return _tree(table) or not_used("the head of each word in a tree, but no column has the relations to the heads")


def relations(column: Profile, table: Table) -> Finding | None:
    """For each word its relation to its head: the words whose head is 0 share one label, which no other word has."""
    if column.name not in _relations(table):
        return None
    tree = _tree(table)
    assert tree is not None, "there are heads and relations"
    return tree if column.name in tree.columns.values() else not_used(f"relations to the heads in {table.heads!r}")


def _tree(table: Table) -> Finding | None:
    """Return the finding of the columns of a dependency tree; None without heads or relations."""
    names = _relations(table)
    if table.heads is None or not names:
        return None
    columns = {"heads": table.heads, "deprels": names[0]}
    return Finding("parsing", "the head of each word in a tree, and its relation to it", columns=columns)


def _relations(table: Table) -> list[str]:
    """Return the columns with the relation of each word to its head."""
    if table.heads is None:
        return []
    return [name for name in sorted(table.per_word - {table.heads}) if _marks_roots(table.columns[name], table)]


def word_tags(column: Profile, table: Table) -> Finding | None:
    """Lists with one tag per word."""
    if column.name not in table.per_word or column.item_type not in ("string", "number"):
        return None
    tags = sorted({str(item) for item in column.items})
    if column.item_type == "number" and not all(to_float(item).is_integer() for item in column.items):
        return None
    if len(tags) < 2:
        return not_used(f"every tag is {tags[0]!r}" if tags else "no tags")
    assert table.words is not None
    scheme = find_scheme([_tag_names(value, column) for value in column.values])
    words = len(set(table.columns[table.words].items))
    if len(tags) > min(_MAX_WORD_TAGS, words / 2 if scheme == "plain" else words):
        return not_used(f"one value per word, but {len(tags):,} different ones: too many for tags")
    described = f"one of {len(column.class_names or tags)} tags per word"
    return Finding("labeling", f"{described}, without spans" if scheme == "plain" else described, scheme=scheme)


def spaced_words(column: Profile, table: Table) -> Finding | None:
    """Texts whose words, separated by spaces, have a tag each in another column."""
    if column.name not in table.spaced_tags.values():
        return None
    return Finding("words", f"texts of {column.mean_words:.0f} words on average, separated by spaces", separator=" ")


def spaced_tags(column: Profile, table: Table) -> Finding | None:
    """Tags that are separated by spaces, one per word of another column."""
    if column.name not in table.spaced_tags:
        return None
    rows = [value.split() for value in column.values]
    count = len({tag for row in rows for tag in row})
    return Finding(
        "labeling", f"one of {count} tags per word, separated by spaces", separator=" ", scheme=find_scheme(rows)
    )


def choices(column: Profile, table: Table) -> Finding | None:
    """Lists of texts of which another column says which one is right, or has the relevances."""
    index = next((name for name, lists in table.choices.items() if lists == column.name), None)
    if index is None:
        ranked = next((name for name, lists in table.ranked.items() if lists == column.name), None)
        return None if ranked is None else Finding("choices", f"texts that {ranked!r} ranks")
    evidence = f"choices, of which {index!r} says which one is right"
    return (
        not_used(f"{evidence}{_FROM_ONE}") if _counts_from_one(table.columns[index]) else Finding("choices", evidence)
    )


def relevances(column: Profile, table: Table) -> Finding | None:
    """Lists with the relevance of each of the texts of another column, or with the indices of those that fit."""
    texts = table.ranked.get(column.name)
    if texts is None:
        return None
    if table.has_same_lengths(column.name, texts):
        return Finding("ranking", f"the relevance of each of the texts in {texts!r}")
    return Finding("ranking", f"indices into {texts!r}", columns={"clicks": column.name})


def choice_index(column: Profile, table: Table) -> Finding | None:
    """Indices into the lists of another column, or the letters or the texts of their items."""
    lists = table.choices.get(column.name)
    if lists is None:
        return None
    evidence = f"{'the right one of' if column.whole_numbers is None else 'an index into'} {lists!r}"
    return not_used(f"{evidence}{_FROM_ONE}") if _counts_from_one(column) else Finding("multiple_choice", evidence)


def choice_columns(column: Profile, table: Table) -> Finding | None:
    """Columns with a choice each, and the letter or the number of the right one."""
    if not table.choice_columns:
        return None
    if column.name not in table.choice_columns:
        if not table.picks_choice(column):
            return None
        evidence = f"the right one of the choices {', '.join(table.choice_columns)}"
        return not_used(f"{evidence}{_FROM_ONE}") if _counts_from_one(column) else Finding("multiple_choice", evidence)
    others = [other for other in table.columns.values() if other.name not in table.choice_columns]
    picking = [other for other in others if table.picks_choice(other)]
    if not picking:
        return not_used("a choice, but no column says which one is right")
    return not_used(f"a choice{_FROM_ONE}") if all(map(_counts_from_one, picking)) else Finding("choices", "a choice")


def _counts_from_one(column: Profile) -> bool:
    return column.whole_numbers is not None and min(column.whole_numbers) > 0


def multi_hot(column: Profile, table: Table) -> Finding | None:
    """Lists of 0 and 1, with an entry for every label."""
    values = {str(item).lower() for item in column.items}
    if not values or not values <= {"0", "1", "0.0", "1.0", "true", "false"} or len(set(column.lengths)) != 1:
        return None
    count = column.lengths[0]
    if count < 2:
        return None
    labels = tuple(f"label_{number}" for number in range(count))
    return Finding(
        "multilabel", f"lists with 0 or 1 for each of {count} labels, whose names are missing", labels=labels
    )


def label_sets(column: Profile, table: Table) -> Finding | None:
    """Lists of labels that occur again and again."""
    if column.type != "list" or column.item_type not in ("string", "number"):
        return None
    items = {str(item) for item in column.items}
    if column.item_type == "number" and not all(to_float(item).is_integer() for item in column.items):
        return None
    repeats = any(len({str(item) for item in value}) < len(value) for value in column.values)
    if repeats or len(items) > _MAX_LABELS or 2 * len(items) > len(column.items):
        return None
    return Finding("multilabel", f"lists of {len(items)} labels")


def other_lists(column: Profile, table: Table) -> Finding | None:
    """Other lists and objects."""
    if column.type == "list":
        return not_used("lists that are neither words, tags nor labels that occur again and again")
    return not_used("objects") if column.type == "object" else None


def _are_answers(value: Any) -> bool:
    """Return whether a value has the form of answers: that of SQuAD, or a list of positions, which may be empty."""
    in_squad, of_span = {"text", "answer_start"}, {"start", "end"}
    if isinstance(value, dict):
        return in_squad <= value.keys()
    items = value if isinstance(value, list) else [value]
    return all(
        isinstance(item, dict)
        and (in_squad <= item.keys() or (of_span <= item.keys() and item.keys().isdisjoint({"label", "labels"})))
        for item in items
    )


def _contains_answers(column: Profile, texts: Profile, table: Table) -> bool:
    """Return whether nearly all answers of a column are in the texts of another one."""
    if texts.type != "string":
        return False
    rows = list(table.rows_of(column.name, texts.name))
    return bool(rows) and sum(_are_in(answers, text) for answers, text in rows) >= _MOSTLY * len(rows)


def _are_in(answers: Any, text: str) -> bool:
    try:
        Answers.parse(answers, Example(Input("", text)))
    except ValueError:
        return False
    return True


def _marks_roots(column: Profile, table: Table) -> bool:
    """Return whether the words whose head is 0 share one label, which no other word has."""
    assert table.heads is not None
    roots: set[str] = set()
    others: set[str] = set()
    for names, row_heads in table.rows_of(column.name, table.heads):
        for name, head in zip(names, row_heads, strict=False):  # a few rows may have lists of different lengths
            (others if int(head) else roots).add(str(name))
    return len(roots) == 1 and not roots & others


def _tag_names(value: list[Any], column: Profile) -> list[str]:
    names = column.class_names
    return [names[item] if names and isinstance(item, int) and 0 <= item < len(names) else str(item) for item in value]


def _span_labels(column: Profile) -> set[str]:
    """Return the labels of a column of character spans; empty for another column."""
    names = {_span_label(item) for item in column.items}
    return set() if None in names else {name for name in names if name is not None}


def _overlap(spans: list[Any]) -> bool:
    """Return whether two spans of a row share a character; spans that are equal, with their labels, are one."""
    spelling = Spelling()
    bounds = [(item["start"], item["end"]) if isinstance(item, dict) else tuple(item[:2]) for item in spans]
    labels = [spelling(_span_label(item) or "") for item in spans]
    distinct = sorted(set(zip(bounds, labels, strict=True)))
    return any(end > start for ((_, end), _), ((start, _), _) in pairwise(distinct))


def _are_relations(column: Profile) -> bool:
    items = column.items
    return bool(items) and all(isinstance(item, dict) and {"head", "tail", "label"} == item.keys() for item in items)


def _span_label(item: Any) -> str | None:
    """Return the label of a character span; None for another value."""
    if isinstance(item, dict):
        labels = item.get("labels")  # in the table of Label Studio
        label = labels[0] if isinstance(labels, list) and len(labels) == 1 else item.get("label")
        item = [item.get("start"), item.get("end"), label]
    if not isinstance(item, list) or len(item) != 3 or not isinstance(item[2], str):
        return None
    return item[2] if all(isinstance(part, int) and not isinstance(part, bool) for part in item[:2]) else None
