"""The input of a dataset: which columns are its text, the second text of a pair, or its words."""

from __future__ import annotations

import re
from collections.abc import Mapping

from nlpmtl.config import ColumnNames
from nlpmtl.init.finding import TAGS_OF_WORDS, Finding
from nlpmtl.init.scalar_rules import TEXT_NAMES
from nlpmtl.init.table import SIMILAR_PAIRS, Table

_PAIRS = (
    ("premise", "hypothesis"),
    ("question", "sentence"),
    ("question", "context"),
    ("question", "passage"),
    ("article", "question"),
    ("paragraph", "question_answer"),
    *SIMILAR_PAIRS,
    ("context", "response"),
)
"""Names of columns that are a pair of texts, in this order."""
_QUESTION_NAMES = {"question", "query"}
"""Words in the names of columns of questions."""
CHOICE_KINDS = ("multiple_choice", "ranking")
"""Task types that read choices."""
_PARTS = (("1", "2"), ("a", "b"), ("first", "second"), ("left", "right"))
"""The part in which the names of two columns differ if they are a pair of texts."""


def find_inputs(findings: Mapping[str, Finding], table: Table) -> dict[str, ColumnNames]:
    """Return the columns of an input by their key in a dataset file: text, text and pair, or words; choices, negatives.

    Words are read if a task labels them, and from data without texts. Answers to questions need a question and the text
    that contains them. Among several texts, a pair is recognised by its names; otherwise the text is the column that is
    named like one, or the one with the longest values. Negatives belong to a pair without a number for its similarity.

    Args:
        findings: column = what it is.
        table: the profiles of the columns.

    Example:
        >>> table = Table.of({"question": ["who is ada", "who is bo"], "context": ["ada sings", "bo runs"]})
        >>> find_inputs({"question": Finding("text", ""), "context": Finding("text", "")}, table)
        {'text': 'question', 'pair': 'context'}
    """
    inputs: dict[str, ColumnNames] = {**_find_texts(findings, table)}
    kinds = {finding.kind for finding in findings.values()}
    if inputs and "choices" in kinds and kinds.intersection(CHOICE_KINDS):
        inputs["choices"] = _list_columns("choices", findings, table)
    if "pair" in inputs and "negatives" in kinds and "embedding" not in kinds:
        inputs["negatives"] = _list_columns("negatives", findings, table)
    return inputs


def _list_columns(kind: str, findings: Mapping[str, Finding], table: Table) -> ColumnNames:
    """Return the column of lists that is of a kind; without one the columns of single texts."""
    columns = [column for column, finding in findings.items() if finding.kind == kind]
    lists = [column for column in columns if table.columns[column].type == "list"]
    return (lists or columns)[0] if lists or len(columns) == 1 else tuple(columns)


def _find_texts(findings: Mapping[str, Finding], table: Table) -> dict[str, str]:
    """Return the columns of text, text and pair, or words."""
    by_kind: dict[str, list[str]] = {}
    for column, finding in findings.items():
        by_kind.setdefault(finding.kind, []).append(column)
    tags = [finding for finding in findings.values() if finding.kind in TAGS_OF_WORDS]
    texts, words = by_kind.get("text", []), by_kind.get("words", [])
    pair = by_kind.get("pair", [])[:1]
    if any(finding.spans for finding in tags):
        return {"words": _best_text(texts, table)} if texts else {}
    if words and (tags or not texts):
        return {"words": words[0]}
    if pair and texts:
        return {"text": _best_text(texts, table), "pair": pair[0]}
    contexts = [finding.context for finding in findings.values() if finding.context is not None]
    if contexts and (questions := [column for column in texts if column != contexts[0]]):
        return {"text": _find_question(questions, table), "pair": contexts[0]}
    if len(texts) > 1 and (names := _find_pair(texts)) is not None:
        return dict(zip(("text", "pair"), names, strict=True))
    if not texts:
        texts = _longest_strings(findings, table)
    return {"text": _best_text(texts, table)} if texts else {}


def are_similar(inputs: Mapping[str, ColumnNames]) -> bool:
    """Return whether the columns of an input are named like a pair of similar texts.

    >>> are_similar({"text": "Query", "pair": "passage"})
    True
    """
    return (str(inputs.get("text")).strip().casefold(), str(inputs.get("pair")).strip().casefold()) in SIMILAR_PAIRS


def _find_pair(columns: list[str]) -> tuple[str, str] | None:
    """Return the two columns whose names are those of a pair."""
    by_name = {column.strip().casefold(): column for column in columns}
    for first, second in _PAIRS:
        if first in by_name and second in by_name:
            return by_name[first], by_name[second]
    for name, column in by_name.items():
        for first, second in _PARTS:
            other = re.sub(rf"(?<![a-z]){first}(?![a-z])|{first}$", second, name)
            if other != name and other in by_name:
                return column, by_name[other]
    return None


def _find_question(columns: list[str], table: Table) -> str:
    """Return the column that is named like a question, and among several the one with the shortest values."""
    profiles = [table.columns[column] for column in columns]
    return min(profiles, key=lambda column: (not column.words_in_name & _QUESTION_NAMES, column.mean_words)).name


def _best_text(columns: list[str], table: Table) -> str:
    """Return the column that is named like a text, and among several the one with the longest values."""
    profiles = [table.columns[column] for column in columns]
    return max(profiles, key=lambda column: (bool(column.words_in_name & TEXT_NAMES), column.mean_words)).name


def _longest_strings(findings: Mapping[str, Finding], table: Table) -> list[str]:
    """Return the columns of strings of several words that repeat so often that they look like labels."""
    classes = [column for column, finding in findings.items() if finding.kind == "classification"]
    return [column for column in classes if table.columns[column].prose >= 0.5]
