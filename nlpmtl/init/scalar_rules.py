"""Rules for columns with one value per row: classes, ordered classes, numbers and texts, and what none of them is.

Each rule is a function of a column's profile and the table, which returns a `Finding`, or None if it does not apply.
"""

from __future__ import annotations

import re
from collections import Counter

from nlpmtl.config.names import label_name
from nlpmtl.data import Spelling, sort_names
from nlpmtl.init.finding import Finding, not_used
from nlpmtl.init.profile import NUMBER, Profile
from nlpmtl.init.table import Table

TEXT_NAMES = frozenset(
    "text texts sentence sentences review reviews comment comments content body message messages question "  # noqa: SIM905
    "utterance utterances query tweet post document passage article title headline description abstract complaint "
    "feedback".split()
)
"""Words in the names of text columns."""
_ORDER_NAMES = frozenset("rating ratings star stars score scores grade grades level levels".split())  # noqa: SIM905
_ID_NAMES = frozenset("id ids uuid guid key hash url uri link email path filename".split())  # noqa: SIM905
_LABEL_NAMES = frozenset("label labels class category intent topic type tag".split())  # noqa: SIM905
_POSITION_NAMES = frozenset("start end begin offset position".split())  # noqa: SIM905
_TARGET_NAMES = {
    "generation": frozenset({"target", "targets"}),
    "translation": frozenset({"translation", "translations"}),
    "summarization": frozenset({"summary", "summaries", "highlights"}),
}
"""Words in the names of columns of texts that a model would write, by the kind of the task."""
_SPLIT_NAMES = {"train", "training", "validation", "valid", "val", "dev", "test", "eval"}
_SCALES = (
    ("very negative", "negative", "neutral", "positive", "very positive"),
    ("very bad", "bad", "neutral", "good", "very good"),
    ("very low", "low", "medium", "high", "very high"),
    ("strongly disagree", "disagree", "neutral", "agree", "strongly agree"),
)
_POLES = (("negative", "positive"), ("neg", "pos"), ("bad", "good"))
_FLAGS = ({"0", "1"}, {"true", "false"})
_MONTH = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[.]?"
_DATE = re.compile(
    r"(?=.)(?P<day>\d{4}-\d{1,2}-\d{1,2}|\d{4}/\d{1,2}/\d{1,2}|\d{1,2}(?P<mark>[/.])\d{1,2}(?P=mark)(\d{4}|\d{2})|"
    rf"([a-z]+,? )?({_MONTH} \d{{1,2}}|\d{{1,2}} {_MONTH}),?( \d{{4}})?)?"
    r"(?(day)([T ]|, )?)(?P<time>\d{1,2}:\d{2}(:\d{2})?([.,]\d+)?( ?[AP]M)?)?"
    r"(?(time)( ?(Z|[+-]\d{2}:?\d{2}|[A-Z]{2,4}))?( \d{4})?)",
    re.IGNORECASE,
)
"""A date, a time, or both, as in ISO 8601 and in exports of social networks."""
_TIME_NAMES = frozenset("date timestamp datetime year month created updated".split())  # noqa: SIM905
_FORMATTED = re.compile(r"[$€£]?\s?[+-]?\d+([.,]\d+)*\s?[%$€£]?")
"""A number with a unit, a decimal comma or separators of thousands."""
_PRINTED_LIST = re.compile(r"\[.*\]", re.DOTALL)
_MAX_WHOLE = 11
"""Maximum number of whole numbers that are labels; columns with more are numbers."""
_MAX_CLASSES = 1000
_MAX_NAMED_CLASSES = 100
"""Maximum number of different strings that are labels by the name of the column, however few rows there are."""
_FEW_CLASSES = 50
_LONG_NAME = 4
"""Mean number of words of a label above which more than 50 different values are texts."""
_PASSAGE = 30
"""Mean number of words above which values are texts, even a few that occur again and again."""
_MOSTLY = 0.9


def empty(column: Profile, table: Table) -> Finding | None:
    """A column without a value."""
    return None if column.values else not_used("no row has a value")


def constant(column: Profile, table: Table) -> Finding | None:
    """A column with the same value in every row; also of a single row, unless that can be a text."""
    same = column.distinct == 1 and (len(column.values) > 1 or column.type != "string")
    return not_used(f"every value is {column.examples}") if same else None


def mixed_types(column: Profile, table: Table) -> Finding | None:
    """A column of values of several types."""
    return not_used("its values are of several types") if column.type == "mixed" else None


def dates(column: Profile, table: Table) -> Finding | None:
    """Dates and times."""
    if column.type == "other":
        names = sorted({type(value).__name__ for value in column.values})
        return not_used(f"values of the type {', '.join(names)}")
    strings = column.type == "string" and all(_DATE.fullmatch(value.strip()) for value in column.values)
    numbers = column.whole_numbers is not None and column.words_in_name & _TIME_NAMES
    return not_used("dates") if strings or numbers else None


def declared_classes(column: Profile, table: Table) -> Finding | None:
    """A ClassLabel column, whose names the data declare."""
    if not column.class_names or column.type not in ("number", "string"):
        return None
    return Finding("classification", f"{len(column.class_names)} labels, declared in the data")


def split_names(column: Profile, table: Table) -> Finding | None:
    """A column that names the split of each row."""
    names = {str(value).strip().casefold() for value in column.counts}
    return not_used("names of splits") if names <= _SPLIT_NAMES and len(names) > 1 else None


def flags(column: Profile, table: Table) -> Finding | None:
    """A column of 0 and 1, or of true and false."""
    values = {str(value).strip().casefold() for value in column.counts}
    if values not in _FLAGS:
        return None
    return Finding("classification", "0 and 1" if "0" in values else "true and false")


def identifiers(column: Profile, table: Table) -> Finding | None:
    """Ids: strings without spaces, or whole numbers, that are all different, or are ids by the name of the column."""
    single = column.whole_numbers is not None or (column.type == "string" and not column.numbers and not column.prose)
    if not single:
        return None
    if column.words_in_name & _ID_NAMES and not column.words_in_name & _LABEL_NAMES:
        return not_used("its name says that it identifies something")
    return not_used("every value is different: an id") if column.all_different and len(column.values) > 1 else None


def positions(column: Profile, table: Table) -> Finding | None:
    """Positions in a text, such as the start of an answer."""
    if column.whole_numbers is None or not column.words_in_name & _POSITION_NAMES:
        return None
    return not_used("positions in a text")


def ordered_names(column: Profile, table: Table) -> Finding | None:
    """At least three labels of an ordered scale, such as negative, neutral and positive."""
    names = {_plain(value): str(value) for value in column.counts}
    for scale in _SCALES:
        if len(names) >= 3 and set(names) <= set(scale):
            labels = tuple(names[name] for name in scale if name in names)
            return Finding("sentiment", f"{len(labels)} labels of an ordered scale", labels=labels)
    return None


def ordered_numbers(column: Profile, table: Table) -> Finding | None:
    """Whole numbers without a gap, from 0 or 1, in a column whose name says that they are a rating."""
    if column.whole_numbers is None or not column.words_in_name & _ORDER_NAMES:
        return None
    low, high = min(column.whole_numbers), max(column.whole_numbers)
    if low not in (0, 1) or not 3 <= column.distinct <= _MAX_WHOLE or high - low + 1 != column.distinct:
        return None
    labels = label_names(column)
    if len(labels) > column.distinct:  # such as 1 and 01
        return None
    return Finding("sentiment", f"from {low} to {high}, and named like a rating", labels=labels)


def few_whole_numbers(column: Profile, table: Table) -> Finding | None:
    """Up to 11 different whole numbers."""
    if column.whole_numbers is None or column.distinct > _MAX_WHOLE:
        return None
    low, high = min(column.whole_numbers), max(column.whole_numbers)
    return Finding("classification", f"{column.distinct} whole numbers from {low} to {high}")


def many_numbers(column: Profile, table: Table) -> Finding | None:
    """Numbers with fractions, or many different numbers."""
    if column.numbers is None:
        return None
    low, high = min(column.numbers), max(column.numbers)
    evidence = f"{column.distinct:,} numbers from {low:g} to {high:g}"
    if column.whole_numbers is not None and column.words_in_name & _LABEL_NAMES:
        evidence += "; if they are ids of classes, choose classification"
    return Finding("regression", evidence)


def almost_numbers(column: Profile, table: Table) -> Finding | None:
    """Numbers, except in a few rows, where a word stands for a missing value."""
    if column.type != "string":
        return None
    others = [value for value in column.values if not NUMBER.fullmatch(value.strip())]
    if not others or len(column.values) - len(others) < _MOSTLY * len(column.values):
        return None
    example = f"{others[0][:20]!r} in {len(others):,} of them"
    return not_used(f"numbers, but not in all rows ({example}): leave the cells without a number empty")


def formatted_numbers(column: Profile, table: Table) -> Finding | None:
    """Numbers with a unit, a decimal comma or separators of thousands."""
    if column.type != "string" or not all(_FORMATTED.fullmatch(value.strip()) for value in column.values):
        return None
    return not_used(f"numbers such as {str(column.values[0])[:20]!r}: write them as 1234.5")


def printed_lists(column: Profile, table: Table) -> Finding | None:
    """Lists as Python and NumPy print them, which pandas writes to CSV files."""
    if column.type != "string" or not all(_PRINTED_LIST.fullmatch(value.strip()) for value in column.values):
        return None
    return not_used('lists as Python prints them: write them as JSON, such as ["a", "b"], or write .jsonl')


def texts_by_name(column: Profile, table: Table) -> Finding | None:
    """Strings of several words in a column that is named like a text."""
    if column.prose < 0.5 or not column.words_in_name & TEXT_NAMES or column.mean_words < 2:
        return None
    return Finding("text", _describe_text(column))


def target_texts(column: Profile, table: Table) -> Finding | None:
    """Texts in a column that is named like the output of a model; a summary only if there are other texts to read."""
    kind = next((kind for kind, names in _TARGET_NAMES.items() if column.words_in_name & names), None)
    others = (other for name, other in table.columns.items() if name != column.name)
    if column.prose < 0.5 or (kind == "summarization" and not any(other.prose >= 0.5 for other in others)):
        return None
    return None if kind is None else Finding(kind, f"{_describe_text(column)}, named like texts that a model writes")


def separated_labels(column: Profile, table: Table) -> Finding | None:
    """Cells with several labels, such as ``a|b`` or ``a;b``."""
    return _separated(column, "|") or _separated(column, ";")


def comma_separated_labels(column: Profile, table: Table) -> Finding | None:
    """Cells with several labels, such as ``a, b``, most of which occur in different combinations.

    The parts of a label with a comma, such as ``Portland, OR``, occur in one combination.
    """
    finding = _separated(column, ",")
    if finding is None:
        return None
    combinations = Counter(part for value in column.counts for part in _split(str(value), ","))
    combined = sum(count > 1 for count in combinations.values())
    return finding if 2 * combined > len(combinations) else None


def class_names(column: Profile, table: Table) -> Finding | None:
    """Strings that occur again and again."""
    named = bool(column.words_in_name & _LABEL_NAMES) and not column.all_different and column.mean_words <= _LONG_NAME
    limit = max(len(column.values) / 2, _MAX_NAMED_CLASSES if named else 0)
    if column.type != "string" or column.distinct > min(_MAX_CLASSES, limit):
        return None
    if column.mean_words > (_LONG_NAME if column.distinct > _FEW_CLASSES else _PASSAGE):
        return None
    names = {_plain(value) for value in column.counts}
    polar = "; or sentiment, as they are opposites" if any(names == set(poles) for poles in _POLES) else ""
    return Finding("classification", f"{column.distinct} labels{polar}")


def texts(column: Profile, table: Table) -> Finding | None:
    """Strings of several words that differ from row to row."""
    return Finding("text", _describe_text(column)) if column.prose >= 0.5 else None


def other_strings(column: Profile, table: Table) -> Finding | None:
    """Strings that are neither texts nor repeated often enough to be labels."""
    if column.type != "string":
        return None
    return not_used(f"{column.distinct:,} different values in {len(column.values):,} rows: too many for labels")


def label_names(column: Profile) -> tuple[str, ...]:
    """Return the names of the labels in a column of strings, whole numbers or booleans, as training spells them."""
    names = column.values if column.type == "string" else [label_name(value) for value in column.counts]
    spelling = Spelling.of(set(names))
    return sort_names({spelling(name) for name in names})


def _separated(column: Profile, separator: str) -> Finding | None:
    """Return that the cells of a column have several labels each, unless it has as many labels as different cells."""
    if column.type != "string":
        return None
    cells = [_split(value, separator) for value in column.values]
    items = {item for cell in cells for item in cell}
    several = any(len(cell) > 1 for cell in cells)
    unique = all(len(set(cell)) == len(cell) for cell in cells)
    if several and unique and len(items) <= column.distinct and 2 * len(items) <= sum(map(len, cells)):
        return Finding("multilabel", f"{len(items)} labels, separated by {separator!r}", separator=separator)
    return None


def _split(cell: str, separator: str) -> list[str]:
    return [part.strip() for part in cell.split(separator)]


def _plain(value: object) -> str:
    return " ".join(re.split(r"[\s_-]+", str(value).strip().casefold()))


def _describe_text(column: Profile) -> str:
    return f"texts of {column.mean_words:.0f} words on average"
