"""Conversion of tag schemes to BIO, and detection of other schemes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from nlpmtl.data.label_columns import LabelColumn
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.tag_schemes import Scheme, find_contradiction, names_to_bio, to_bio
from nlpmtl.metrics import spans

Examples = Sequence[Sequence[str]]


def column(rows: Examples) -> LabelColumn:
    names = list(dict.fromkeys(tag for row in rows for tag in row))
    codes = Ragged.pack([[names.index(tag) for tag in row] for row in rows])
    return LabelColumn("tags", tuple(names), np.ones(len(rows), dtype=np.bool_), codes)


def rows_of(labels: LabelColumn) -> list[list[str]]:
    assert isinstance(labels.values, Ragged)
    return [[labels.names[code] for code in labels.values[row]] for row in range(len(labels.values))]


def random_rows(count: int, *, seed: int = 0) -> list[list[str]]:
    """Return valid `bio` tags with spans of every length, many of them adjacent."""
    source = random.Random(seed)
    rows = []
    for _ in range(count):
        row: list[str] = []
        while len(row) < 12:
            kind = source.choice(["PER", "LOC", "a-b", ""])
            length = source.randint(1, 4)
            row += [f"B-{kind}", *[f"I-{kind}"] * (length - 1)] if kind else ["O"]
        rows.append(row)
    return rows


def iob1(row: Sequence[str]) -> list[str]:
    tags = ["O"] * len(row)
    for kind, start, end in spans(row):
        tags[start:end] = [f"I-{kind}"] * (end - start)
        if any((other, stop) == (kind, start) for other, _, stop in spans(row)):
            tags[start] = f"B-{kind}"
    return tags


def lettered(row: Sequence[str], *, inside: str, last: str, single: str) -> list[str]:
    tags = ["O"] * len(row)
    for kind, start, end in spans(row):
        letters = single if end - start == 1 else "B" + inside * (end - start - 2) + last
        tags[start:end] = [f"{letter}-{kind}" for letter in letters]
    return tags


WRITTEN: dict[str, tuple[Scheme, Callable[[Sequence[str]], list[str]]]] = {
    "bio": ("bio", list),
    "iob1": ("iob1", iob1),
    "bioes": ("bioes", lambda row: lettered(row, inside="I", last="E", single="S")),
    "bilou": ("bioes", lambda row: lettered(row, inside="I", last="L", single="U")),
    "bmes": ("bioes", lambda row: lettered(row, inside="M", last="E", single="S")),
    "bmewo": ("bioes", lambda row: lettered(row, inside="M", last="E", single="W")),
    "plain": ("plain", lambda row: [tag[2:] or tag for tag in row]),
}


@pytest.mark.parametrize("name", [name for name in WRITTEN if name != "plain"])
def test_every_scheme_is_read_as_the_same_valid_bio_tags(name: str) -> None:
    rows = [*random_rows(200), []]
    scheme, write = WRITTEN[name]
    assert rows_of(to_bio(column([write(row) for row in rows]), scheme)) == rows


def test_plain_tags_stay_as_they_are() -> None:
    tags = column([["I-x", "O"], ["NOUN"]])
    assert to_bio(tags, "plain") is tags


def test_a_stray_inside_tag_starts_a_span() -> None:
    assert rows_of(to_bio(column([["I-x", "I-x", "O"], ["I-y", "I-x"]]), "bio")) == [
        ["B-x", "I-x", "O"],
        ["B-y", "B-x"],
    ]
    stray = [["E-x", "I-x", "E-x", "S-x", "I-x", "S-x", "E-y"]]
    assert rows_of(to_bio(column(stray), "bioes")) == [["B-x", "B-x", "I-x", "B-x", "B-x", "B-x", "B-y"]]
    assert rows_of(to_bio(column([["MISC", "I-x"]]), "iob1")) == [["MISC", "B-x"]]


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("declared", ["bio", "iob1", "bioes"])
def test_another_scheme_than_the_declared_one_is_found(written: str, declared: Scheme) -> None:
    scheme, write = WRITTEN[written]
    contradiction = find_contradiction(column([write(row) for row in random_rows(300)]), declared, train=True)
    if scheme == declared:
        assert contradiction is None
    else:
        assert contradiction is not None
        assert contradiction.fitting == scheme


def test_one_percent_of_the_spans_may_contradict() -> None:
    right, stray = ["B-x", "I-x", "O"], ["I-x", "O", "O"]
    assert find_contradiction(column([right] * 99 + [stray]), "bio", train=True) is None
    result = find_contradiction(column([right] * 98 + [stray, stray]), "bio", train=True)
    assert result is not None
    assert (result.spans, result.wrong, result.row, result.word, result.tag) == (
        100,
        2,
        98,
        1,
        "I-x",
    )
    assert result.fitting is None


def test_rows_that_are_valid_in_several_schemes_contradict_none_of_them() -> None:
    for scheme in ("bio", "iob1", "bioes", "plain"):
        assert find_contradiction(column([["O", "O"], []]), scheme, train=True) is None
    # In IOB1, B- is used only directly after a span of the same type.
    assert find_contradiction(column([["I-x", "B-x", "I-x"]]), "iob1", train=True) is None
    assert find_contradiction(column([["I-x", "B-y"]]), "iob1", train=True) is not None
    assert find_contradiction(column([["I-x"], ["B-x"]]), "iob1", train=True) is not None


def test_a_tag_without_a_prefix_is_an_error_only_in_train() -> None:
    tags = column([["B-x", "MISC"]])
    assert find_contradiction(tags, "bio", train=True) is not None
    assert find_contradiction(tags, "bio", train=False) is None


def test_lists_of_tags() -> None:
    assert names_to_bio(["O", "I-PER", "B-PER", "I-LOC"], "iob1") == ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    assert names_to_bio(["S-x", "B-x", "E-x", "O", "U-y"], "bioes") == ("B-x", "I-x", "O", "B-y", "I-y")
    assert names_to_bio(["O", "B-x"], "bio") == ("O", "B-x")
    assert names_to_bio(["B-x", "N"], "plain") == ("B-x", "N")
