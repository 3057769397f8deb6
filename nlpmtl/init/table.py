"""Tables: the profiles of the columns of a dataset, and how columns of lists relate to each other."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nlpmtl.init.profile import Profile, is_missing, to_float, word_count

_WORD_NAMES = frozenset(["token", "tokens", "word", "words", "form", "forms"])
_MAX_TAGS = 1000
_MOSTLY, _SOME = 0.95, 0.2
_CHOICE_NAME = re.compile(r"(choice|option|ending|alternative|answer)s?[ _-]?([0-9]|[a-e])", re.IGNORECASE)
SIMILAR_PAIRS = (
    ("anchor", "positive"),
    ("query", "positive"),
    ("query", "passage"),
    ("query", "document"),
    ("query", "answer"),
    ("question", "answer"),
)
"""Names of columns that are a pair of similar texts, which an embedding is trained on without labels."""
_NEGATIVE_NAME = re.compile(r"(hard[ _-]?)?neg(ative)?s?([ _-]?[0-9]+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """The profiles of the columns of a dataset.

    Args:
        columns: column = its profile.
        rows: number of rows that were looked at.
        values: column = one value per row, parsed as in `Profile.of`; None for a missing one.
        complete: whether these are all rows of the train split.
    """

    columns: Mapping[str, Profile]
    rows: int
    values: Mapping[str, Sequence[Any]]
    complete: bool = True

    @classmethod
    def of(
        cls,
        columns: Mapping[str, Sequence[Any]],
        *,
        class_names: Mapping[str, Sequence[str]] | None = None,
        complete: bool = True,
    ) -> Table:
        """Return the profiles of columns with one value per row.

        Args:
            columns: column = one value per row.
            class_names: column = names of its labels, if the data declare them.
            complete: whether these are all rows.
        """
        names = class_names or {}
        profiles = {name: Profile.of(name, values, class_names=names.get(name, ())) for name, values in columns.items()}
        parsed = {name: _place(values, profiles[name]) for name, values in columns.items()}
        return cls(profiles, max(map(len, columns.values()), default=0), parsed, complete)

    @cached_property
    def words(self) -> str | None:
        """The column of lists of words: one that is named so, unless its items are numbers (the first column of some
        CoNLL files counts the words); otherwise the one with the most different items among those whose lists have as
        many items as those of another column.
        """
        lists = [column for column in self._lists if column.item_type == "string" and not _are_texts(column)]
        named = [column.name for column in lists if column.words_in_name & _WORD_NAMES and not _are_numbers(column)]
        partners = [column for column in lists if any(self._same_lengths(column, other) for other in self._lists)]
        largest = max(partners, key=lambda column: len(set(column.items)), default=None)
        return named[0] if named else None if largest is None else largest.name

    @cached_property
    def per_word(self) -> frozenset[str]:
        """The columns whose lists have one item per word."""
        if self.words is None:
            return frozenset()
        words = self.columns[self.words]
        return frozenset(column.name for column in self._lists if self._same_lengths(column, words))

    @cached_property
    def heads(self) -> str | None:
        """The column with the head of each word in a dependency tree: its number from 1, or 0 for one word per row."""
        return next((name for name in sorted(self.per_word) if _are_heads(self.columns[name])), None)

    @cached_property
    def choices(self) -> Mapping[str, str]:
        """Column of indices, letters or texts = the column of lists of texts of which they are the right one."""
        pairs: dict[str, str] = {}
        for lists in self._lists_of_choices:
            pairs |= {column.name: lists.name for column in self.columns.values() if self._indexes(column, lists)}
        return pairs

    @cached_property
    def ranked(self) -> Mapping[str, str]:
        """Column of lists of numbers = the column of lists of texts whose relevances they are, or which they index."""
        numbers = [
            column for column in self._lists if column.item_type == "number" and column.name not in self.per_word
        ]
        return {
            column.name: texts.name
            for texts in self._lists_of_choices
            for column in numbers
            if self._rates(column, texts) or self._selects(column, texts)
        }

    @property
    def _lists_of_choices(self) -> list[Profile]:
        """The columns of lists of at least two texts, which differ from row to row."""
        return [
            column
            for column in self._lists
            if column.item_type == "string"
            and min(column.lengths, default=0) >= 2
            and 2 * len(set(map(str, column.items))) > len(column.items)
            and column.name not in (self.words, *self.per_word, *self.negatives)
        ]

    @cached_property
    def negatives(self) -> Sequence[str]:
        """The columns that are named like texts that are not similar to a pair of similar texts: negative,
        hard_negatives, negative_1, …
        """
        names = {name.strip().casefold() for name in self.columns}
        if not any(names.issuperset(pair) for pair in SIMILAR_PAIRS):
            return ()
        return [name for name in self.columns if _NEGATIVE_NAME.fullmatch(name.strip())]

    @cached_property
    def choice_columns(self) -> Sequence[str]:
        """The columns of texts that are the choices of a question: choice1, choice2, …, or A, B, … with a column of
        these letters.
        """
        texts = [column.name for column in self.columns.values() if column.prose >= _SOME]
        numbered = [name for name in texts if _CHOICE_NAME.fullmatch(name)]
        if len(numbered) > 1:
            return numbered
        letters = [name for name in texts if len(name) == 1]
        return letters if len(letters) > 1 and any(self._names(column, letters) for column in self._strings) else ()

    def picks_choice(self, column: Profile) -> bool:
        """Return whether each value of a column is the letter, or the number from 0 or 1, of a column of choices."""
        if column.whole_numbers is not None:
            low, high = min(column.whole_numbers), max(column.whole_numbers)
            return low >= 0 and high - min(low, 1) < len(self.choice_columns)
        return bool(self.choice_columns) and self._names(column, [name[-1] for name in self.choice_columns])

    @cached_property
    def spaced_tags(self) -> Mapping[str, str]:
        """Column of tags that are separated by spaces = the column of the text, which has as many words in each row."""
        strings = [column for column in self.columns.values() if column.prose > 0]
        vocabularies = {column.name: {word for text in column.values for word in text.split()} for column in strings}
        pairs: dict[str, str] = {}
        for text in sorted(strings, key=lambda column: len(vocabularies[column.name])):  # the text has the largest one
            for tags in strings:
                few = len(vocabularies[tags.name]) <= min(_MAX_TAGS, len(vocabularies[text.name]) / 2)
                if few and self._same_word_counts(tags, text):
                    pairs[tags.name] = text.name
        return pairs

    def rows_of(self, first: str, second: str) -> Iterator[tuple[Any, Any]]:
        """Yield the values of two columns in the rows that have both."""
        pairs = zip(self.values[first], self.values[second], strict=True)
        return ((left, right) for left, right in pairs if left is not None and right is not None)

    @property
    def _strings(self) -> list[Profile]:
        return [column for column in self.columns.values() if column.type == "string"]

    @staticmethod
    def _names(column: Profile, letters: Sequence[str]) -> bool:
        """Return whether all values of a column are among some letters, in upper or lower case."""
        return {str(value).strip().casefold() for value in column.counts} <= {letter.casefold() for letter in letters}

    @cached_property
    def _lists(self) -> list[Profile]:
        return [column for column in self.columns.values() if column.type == "list"]

    def _same_lengths(self, first: Profile, second: Profile) -> bool:
        """Return whether the lists of two columns have the same length, except in a few rows, which are invalid."""
        if first.name == second.name:
            return False
        lengths = Counter((len(left), len(right)) for left, right in self.rows_of(first.name, second.name))
        equal = {pair: count for pair, count in lengths.items() if pair[0] == pair[1]}
        few_differ = sum(equal.values()) >= _MOSTLY * lengths.total()
        return _are_equal(equal if few_differ else lengths, first, second)

    def has_same_lengths(self, first: str, second: str) -> bool:
        """Return whether the lists of two columns have the same length in every row."""
        return all(len(left) == len(right) for left, right in self.rows_of(first, second))

    def _rates(self, column: Profile, texts: Profile) -> bool:
        """Return whether the lists of a column have a number of at least 0 for each text of the same row."""
        several = len(set(column.items)) > 1 and min(column.items) >= 0
        return several and _are_texts(texts) and self.has_same_lengths(column.name, texts.name)

    def _selects(self, column: Profile, texts: Profile) -> bool:
        """Return whether the lists of a column are different indices, from 0, of texts of the same row."""
        if not all(isinstance(item, int) for item in column.items):
            return False
        rows = self.rows_of(column.name, texts.name)
        return 0 in column.items and all(
            len(set(indices)) == len(indices) and all(0 <= index < len(items) for index in indices)
            for indices, items in rows
        )

    def _same_word_counts(self, first: Profile, second: Profile) -> bool:
        """Return whether the strings of two columns have as many words in every row."""
        counts = {(len(left.split()), len(right.split())) for left, right in self.rows_of(first.name, second.name)}
        return first.name != second.name and _are_equal(counts, first, second)

    def _indexes(self, column: Profile, lists: Profile) -> bool:
        """Return whether each value of a column is an index, from 0 or 1, into the list of its row, or the letter or
        the text of one of its items, and not always of the same one.
        """
        if column.whole_numbers is None:
            values = list(self.rows_of(column.name, lists.name)) if column.type == "string" else []
            picked = {_place_of(str(value).strip(), items) for value, items in values}
            return None not in picked and len(picked) > 1
        pairs = [(int(float(index)), len(items)) for index, items in self.rows_of(column.name, lists.name)]
        start = 0 if any(index == 0 for index, _ in pairs) else 1
        return bool(pairs) and all(0 <= index - start < length for index, length in pairs)


def _are_equal(lengths: Collection[tuple[int, int]], first: Profile, second: Profile) -> bool:
    """Return whether the lengths of two columns are equal in every row; if all rows have the same length, that shows
    something only if one of the columns is named like words.
    """
    named = bool((first.words_in_name | second.words_in_name) & _WORD_NAMES)
    return len(lengths) > (0 if named else 1) and all(left == right for left, right in lengths)


def _place_of(value: str, items: Sequence[Any]) -> int | None:
    """Return the index of the item that a text is, or whose letter it is; None if there is none."""
    if value in items:
        return items.index(value)
    place = string.ascii_uppercase.find(value.upper()) if len(value) == 1 else -1
    return place if 0 <= place < len(items) else None


def _are_texts(column: Profile) -> bool:
    """Return whether most strings in the lists of a column have several words."""
    return 2 * sum(isinstance(item, str) and word_count(item) > 1 for item in column.items) > len(column.items)


def _are_numbers(column: Profile) -> bool:
    return all(isinstance(item, str) and item.isdecimal() for item in column.items)


def _are_heads(column: Profile) -> bool:
    if not (column.item_type == "number" or _are_numbers(column)):
        return False
    values = [[to_float(head) for head in value] for value in column.values]
    in_range = all(0 <= head <= len(value) for value in values for head in value)
    return in_range and sum(value.count(0) == 1 for value in values) >= _MOSTLY * len(values)


def _place(values: Sequence[Any], profile: Profile) -> list[Any]:
    """Return the parsed values of a profile in their rows, with None in the others."""
    parsed = iter(profile.values)
    return [None if is_missing(value) else next(parsed) for value in values]
