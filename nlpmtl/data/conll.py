"""CoNLL files: a word per line with its tags in columns, an empty line after each sentence. CoNLL-U is also written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, groupby, islice, pairwise
from typing import Any, NamedTuple

from nlpmtl.data.lines import MOST_EMPTY_LINES, strip_line_end, undecodable
from nlpmtl.data.raw_rows import MalformedRow, NumberedRows
from nlpmtl.errors import ConfigError, DataError
from nlpmtl.strict_json import has_surrogate

WORDS, TAGS = "words", "tags"
"""Default names of the first column, or of the second one if the first one counts the words, and of the last one."""
CONLLU_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""Columns of CoNLL-U (https://universaldependencies.org/format.html)."""
HEAD_LINES = 1000
"""Number of lines from which the layout of a file is read."""
MOST_WORDS = 100_000
"""Maximum number of words of a sentence: a file without empty lines would be one sentence."""

_DOCUMENT = "-DOCSTART-"
_ID = re.compile(r"[0-9]+(-[0-9]+|\.[0-9]+)?")
_SETTING = re.compile(r"#\s+\S+\s*=\s")
"""A comment of CoNLL-U, such as ``# sent_id = 3``; a word such as ``#tag`` is not one."""
_SPAN_TAG = re.compile(r"O|[BIESLUMW]-\S+")
_MOST_COLUMNS = 64
_MOSTLY = 0.9


class Layout(NamedTuple):
    """The columns of a CoNLL file.

    Args:
        width: number of columns.
        conllu: whether it is CoNLL-U, with its comments, and ids of multiword tokens and empty nodes.
        tabs: whether the columns are separated by tabs.
        has_span_tags: whether the last column has only tags such as O and B-PER.
        counted: whether the first column counts the words of each sentence, and the second one has the words.
    """

    width: int
    conllu: bool
    tabs: bool
    has_span_tags: bool
    counted: bool

    @property
    def columns(self) -> dict[str, int]:
        """Default index of each column, by name."""
        if self.conllu:
            return {name: index for index, name in enumerate(CONLLU_COLUMNS[: self.width])}
        names = [str(index) for index in range(self.width)]
        names[-1], names[1 if self.counted else 0] = TAGS, WORDS
        return {name: index for index, name in enumerate(names)}

    def is_comment(self, line: str, fields: Sequence[str]) -> bool:
        """Return whether a line that starts with # is a comment, not a word with its tags."""
        if not line.startswith("#"):
            return False
        if self.conllu or len(fields) != self.width or _SETTING.match(line):
            return True
        if self.tabs and "\t" not in line:
            return True
        return self.has_span_tags and fields[0] == "#" and _SPAN_TAG.fullmatch(fields[-1]) is None


def find_layout(head: Sequence[str], *, conllu: bool) -> Layout | None:
    """Return the layout that the first word shows; None without any word.

    Args:
        head: the first lines.
        conllu: whether the file is CoNLL-U by its name. Otherwise it is if it has ten columns with ids.
    """
    lines = [line for line in head if not line.startswith(("#", _DOCUMENT))]
    words = [fields for fields in map(_split, lines) if fields]
    if not words:
        return None
    width = len(words[0])
    if not conllu:
        conllu = width == len(CONLLU_COLUMNS) and _ID.fullmatch(words[0][0]) is not None
    has_span_tags = all(_SPAN_TAG.fullmatch(fields[-1]) for fields in words)
    tabs, counted = any("\t" in line for line in lines), width > 2 and _counts_words(head)
    return Layout(width, conllu, tabs=tabs, has_span_tags=has_span_tags, counted=counted)


def _counts_words(head: Sequence[str]) -> bool:
    """Return whether the first column has the number of each word in its sentence, from 0 or from 1.

    A few sentences, which may be invalid, have other numbers.
    """
    lines = [[] if line.startswith(_DOCUMENT) else _split(line) for line in head if not line.startswith("#")]
    sentences = [[fields[0] for fields in words] for has_words, words in groupby(lines, key=bool) if has_words]
    if max(map(len, sentences)) < 2:
        return False
    counts = [[words == [str(i + first) for i in range(len(words))] for words in sentences] for first in (0, 1)]
    return max(map(sum, counts)) >= _MOSTLY * len(sentences)


def name_columns(columns: Mapping[str, int], named: Mapping[str, int], *, where: str) -> dict[str, int]:
    """Return the index of each column of a file, by name, where some columns have other names than by default.

    Args:
        columns: the default index of each column (`Layout.columns`).
        named: the indices with other names. In a file with one column, a single name is the name of that column.
        where: the file's name in errors.

    Raises:
        ConfigError: the file does not have a column.

    Example:
        >>> name_columns({"words": 0, "1": 1, "tags": 2}, {"words": -1}, where="a.conll")
        {'0': 0, '1': 1, 'words': 2}
    """
    width = len(columns)
    if len(named) == width == 1:
        return dict.fromkeys(named, 0)
    _check_columns(named, width, where=where)
    names = {index % width: name for name, index in named.items()}
    for name, index in columns.items():
        names.setdefault(index, str(index) if name in named else name)
    return {names[index]: index for index in sorted(names)}


def looks_like_conll(head: Sequence[str]) -> bool:
    """Return whether the first lines of a text file are those of a CoNLL file.

    All words have the same number of columns, at least two; and empty lines separate sentences of several words, or
    every last column is O or a tag such as B-PER.
    """
    layout = find_layout(head, conllu=False)
    if layout is None or not 2 <= layout.width <= _MOST_COLUMNS:
        return False
    lines = [(line, _split(line)) for line in head if not line.startswith(_DOCUMENT)]
    words = [fields for line, fields in lines if fields and not layout.is_comment(line, fields)]
    if not all(len(fields) == layout.width for fields in words):
        return False
    indices = [i for i, (_, fields) in enumerate(lines) if fields]
    adjacent = [second - first == 1 for first, second in pairwise(indices)]
    return (any(adjacent) and not all(adjacent)) or all(_SPAN_TAG.fullmatch(fields[-1]) for fields in words)


def read_conll(
    lines: Iterator[str],
    *,
    columns: Mapping[str, int] | None,
    conllu: bool,
    encoding: str,
    where: str,
) -> NumberedRows:
    """Yield the sentences as rows of lists; the number of a row is the line of its first word.

    A line that starts with -DOCSTART- is read as an empty line. Comments, and the lines ``1-2`` and ``1.1`` of CoNLL-U,
    are skipped. A sentence with an invalid line is a `MalformedRow` with the number of that line.

    Args:
        lines: the lines.
        columns: index of each column, by name; a negative index counts from the end. Default: `Layout.columns`.
        conllu: whether the file is CoNLL-U by its name.
        encoding: the name of the codec, for messages.
        where: the file's name in errors.

    Raises:
        ConfigError: the file does not have a column.
        DataError: a sentence has more than `MOST_WORDS` words.
    """
    head = list(islice(lines, HEAD_LINES))
    layout = find_layout(head, conllu=conllu)
    if layout is None:
        return
    columns = columns or layout.columns
    _check_columns(columns, layout.width, where=where)
    for number, words in _sentences(chain(head, lines), layout, encoding=encoding, where=where):
        if isinstance(words, MalformedRow):
            yield number, words
        else:
            yield number, {name: [fields[index] for fields in words] for name, index in columns.items()}


def format_conllu(words: Sequence[Mapping[str, Any]], *, number: int) -> str:
    """Return a sentence as ten columns of CoNLL-U, with its comments and an empty line at the end.

    Args:
        words: for each word its "form", its "start" and "end" in the text, and values of other columns by their names
            in `CONLLU_COLUMNS`; a missing one is ``_``. Without words there is no sentence.
        number: number of the sentence.

    Example:
        >>> word = {"form": "Go", "start": 0, "end": 2, "head": 0, "deprel": "root"}
        >>> format_conllu([word], number=1).splitlines()[2].split()
        ['1', 'Go', '_', '_', '_', '_', '0', 'root', '_', '_']
    """
    lines, text = [], ""
    for index, word in enumerate(words, 1):
        follows = index < len(words)
        spaced = follows and words[index]["start"] > word["end"]
        fields = {"id": index, "misc": "SpaceAfter=No" if follows and not spaced else "_", **word}
        lines.append("\t".join(_to_field(fields.get(column)) for column in CONLLU_COLUMNS))
        text += _to_field(word["form"]) + " " * spaced
    return "\n".join([f"# sent_id = {number}", f"# text = {text}", *lines, "", ""]) if lines else ""


def _to_field(value: Any) -> str:
    """Return a field; white space in it becomes single spaces, without those at its ends, and a missing value ``_``."""
    text = "" if value is None else re.sub(r"[ \t\n\r\x0b\x0c\x1c-\x1f\x85\u2028\u2029]+", " ", str(value)).strip()
    return text or "_"


def _check_columns(columns: Mapping[str, int], width: int, *, where: str) -> None:
    for name, index in columns.items():
        if not -width <= index < width:
            raise ConfigError(
                f"{where}: data.columns: {name} = {index}, but the file has {width} column(s): write an index from 0 "
                f"to {width - 1}, or from -1, the last column, to -{width}"
            )


def _sentences(
    lines: Iterator[str], layout: Layout, *, encoding: str, where: str
) -> Iterator[tuple[int, list[list[str]] | MalformedRow]]:
    """Yield the words of each sentence, as the fields of their lines."""
    first = empty = 0
    words: list[list[str]] = []
    bad: tuple[int, MalformedRow] | None = None
    for number, line in enumerate(lines, 1):
        fields = [] if line.startswith(_DOCUMENT) else _split(line)
        if layout.is_comment(line, fields):
            continue
        if not fields:
            if words:
                yield bad or (first, words)
            words, bad, empty = [], None, empty + 1
            if empty > MOST_EMPTY_LINES:
                raise DataError(f"{where}:{number}: more than {MOST_EMPTY_LINES:,} consecutive empty lines")
        elif not (layout.conllu and _is_extra(fields[0])):
            first, empty = (first if words else number), 0
            words.append(fields)
            rule = _find_problem(line, fields, layout, encoding=encoding)
            if rule and bad is None:
                bad = (number, MalformedRow(strip_line_end(line), rule))
            if len(words) > MOST_WORDS:
                raise DataError(
                    f"{where}:{first}: a sentence of more than {MOST_WORDS:,} words; "
                    "an empty line after each sentence was expected"
                )
    if words:
        yield bad or (first, words)


def _is_extra(id_: str) -> bool:
    """Return whether an id of CoNLL-U is that of a multiword token (``1-2``) or an empty node (``1.1``)."""
    match = _ID.fullmatch(id_)
    return match is not None and match[1] is not None


def _find_problem(line: str, fields: Sequence[str], layout: Layout, *, encoding: str) -> str | None:
    """Return the rule that a line breaks; None for a valid line."""
    if has_surrogate(line):
        return undecodable(encoding, line)
    if len(fields) != layout.width:
        return f"{len(fields)} column(s), but the first word of the file has {layout.width}"
    return None


def _split(line: str) -> list[str]:
    """Return the fields of a line: separated by tabs, or else by spaces; none of an empty line.

    The first field may be white space, such as the ideographic space as a word of a text in Chinese.
    """
    text = strip_line_end(line)
    if not text.strip():
        return []
    if "\t" in text:
        return text.split("\t")
    first, *others = text.split(" ")
    return [*filter(None, [first]), *filter(str.strip, others)]
