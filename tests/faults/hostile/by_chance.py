"""Bad rows by chance: values, lines, cells, types and files."""

from __future__ import annotations

import gzip
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from nlpmtl.errors import NlpmtlError
from tests.faults.harness import Count
from tests.faults.hostile.doors import (
    GOOD,
    GZIPPED,
    PARQUET,
    PATIENCE,
    Door,
    OnBadRow,
    Rows,
    csv,
    jsonl,
    name_of,
    parquet,
    quote,
    repeat,
    short,
    strings,
    told,
)


@dataclass(frozen=True)
class Chance:
    """Rows by chance.

    Args:
        shape: of the rows.
        ending: of the file.
        content: what is in it; rows are handed over as they are.
        row: the only one that anything can be wrong with; None: any.
        listed: whether the config lists the labels.
    """

    shape: str
    ending: str
    content: bytes | Rows
    row: int | None = None
    listed: bool = True


_CHARACTERS = st.characters(exclude_categories=())
"""Halves of characters too."""
STRINGS = st.text(_CHARACTERS, max_size=8) | st.sampled_from(["x", "y", "O", "B-z", "1", "-1", "", "\0", "\ufeff", " "])
_NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from([0, 1, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**308, 10**309, 10**4299, 1e308, 5e-324, -0.0])
)
_LEAVES = st.none() | st.booleans() | _NUMBERS | STRINGS
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(STRINGS, inner, max_size=3), max_leaves=8
)
_PLAUSIBLE = st.lists(st.sampled_from(["x", "y", "O", "B-z"]) | _LEAVES, max_size=3)
"""Lists that may be words, tags or sets."""
_PIECES = st.sampled_from(
    [
        *(b'{"text": "a"', b', "label": "x"', b', "label": 1', b"}", b"{", b"[", b"]", b'"', b":", b",", b"\\ud800"),
        *(
            b"\n",
            b"\r",
            b"\r\n",
            b"\x0b",
            b"\x85",
            b"\xe2\x80\xa8",
            b"\0",
            b"\xef\xbb\xbf",
            b"\xff\xfe",
            b"\xed\xa0\x80",
        ),
        *(
            b"NaN",
            b"Infinity",
            b"1e999",
            b"-",
            b"9" * 5000,
            b"\t",
            b'""',
            b"text,label\n",
            b"a,x\n",
            b"PAR1",
            b"\x1f\x8b",
        ),
        *(b"[" * 500, b'{"a":' * 500, b"[" * 100_000, b'"a" * 10000', b"\\u0000", b"\\"),
    ]
)
_BYTES = st.lists(_PIECES | st.binary(max_size=4), max_size=12).map(b"".join)
_COUNTS = st.integers(0, 3)
_CELLS = st.text(st.sampled_from("ab\"',\t\r\n\0\udcff\u2028x;") | _CHARACTERS, max_size=6)


@st.composite
def _objects(draw: st.DrawFn) -> Chance:
    """One row of arbitrary values between good ones, in a file or in memory."""
    shape = draw(st.sampled_from(sorted(GOOD)))
    row: Any = dict(GOOD[shape][0])
    for column in draw(st.lists(st.sampled_from([*row, "more"]), min_size=1, max_size=3)):
        row[column] = draw(_VALUES | _PLAUSIBLE)
    for column in draw(st.lists(st.sampled_from(sorted(row)), max_size=1)):
        del row[column]
    before = [*GOOD[shape], *GOOD[shape]][: 2 + draw(_COUNTS) // 2]
    after = GOOD[shape][: draw(_COUNTS)]
    ending = draw(st.sampled_from([".jsonl", ".jsonl", ".jsonl.gz", ""]))
    listed = draw(st.booleans()) or shape == "words"
    if not ending:
        row = draw(st.just(row) | _VALUES)
        return Chance(shape, ending, [*before, row, *after], len(before) + 1, listed)
    content = jsonl(*before, row, *after)
    return Chance(shape, ending, gzip.compress(content) if ending != ".jsonl" else content, len(before) + 1, listed)


@st.composite
def _lines(draw: st.DrawFn) -> Chance:
    """One line of arbitrary bytes between good ones."""
    shape = draw(st.sampled_from(sorted(GOOD)))
    line = draw(_BYTES).replace(b"\n", b"")
    end = draw(st.sampled_from([b"\n", b"\r\n"]))
    first, last = (jsonl(row).strip() for row in GOOD[shape])
    return Chance(shape, ".jsonl", end.join([first, line, last, b""]), 2)


@st.composite
def _cells(draw: st.DrawFn) -> Chance:
    """A csv or a tsv of arbitrary cells."""
    delimiter, ending = draw(st.sampled_from([(",", ".csv"), ("\t", ".tsv")]))
    records = draw(st.lists(st.lists(_CELLS, min_size=1, max_size=3), min_size=1, max_size=4))
    quote = draw(st.sampled_from(["", '"']))
    lines = [["text", "label"], ["a", "x"], ["b", "y"], *([f"{quote}{cell}{quote}" for cell in one] for one in records)]
    text = draw(st.sampled_from(["\n", "\r\n", "\r"])).join(delimiter.join(line) for line in lines)
    return Chance("class", ending, text.encode("utf-8", "surrogatepass"))


@st.composite
def _flipped(draw: st.DrawFn) -> Chance:
    """A good file of which some bytes are others."""
    ending, content = draw(
        st.sampled_from(
            [
                (".jsonl", jsonl(*GOOD["class"])),
                (".jsonl.gz", GZIPPED),
                (".csv", csv("a,x", "b,y")),
                (".parquet", PARQUET),
            ]
        )
    )
    return Chance("class", ending, draw(mutated(content)))


def mutated(content: bytes) -> st.SearchStrategy[bytes]:
    """Bytes of which a few are replaced, left out, or pushed in."""
    places = st.integers(0, len(content))
    changes = st.tuples(places, st.integers(0, 3), st.binary(max_size=3))

    def apply(found: list[tuple[int, int, bytes]]) -> bytes:
        changed = content
        for at, gone, new in found:
            changed = changed[:at] + new + changed[at + gone :]
        return changed

    return st.lists(changes, min_size=1, max_size=3).map(apply)


@st.composite
def _typed_columns(draw: st.DrawFn) -> Chance:
    """A parquet of columns of any type."""
    integers = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, -1, 2**40])

    def column(kind: pa.DataType) -> pa.Array:
        if pa.types.is_string(kind):
            return strings(*(draw(st.binary(max_size=3) | st.just(b"x")) for _ in range(3)))
        values = pa.array([draw(st.none() | integers) for _ in range(3)], pa.int64())
        if kind.bit_width == 32:
            values = pa.array([None if v is None else v % 2**31 for v in values.to_pylist()], pa.int32())
        return values.view(kind)

    kinds = [
        *(
            pa.string(),
            pa.string(),
            pa.int64(),
            pa.float64(),
            pa.timestamp("ns"),
            pa.timestamp("ms"),
            pa.duration("ns"),
        ),
        *(pa.timestamp("us", tz="UTC"), pa.timestamp("ms", tz="No/Where"), pa.date32(), pa.time32("ms")),
    ]
    columns = {name: column(draw(st.sampled_from(kinds))) for name in ("text", "label")}
    if draw(st.booleans()):
        columns["text"] = pa.array(["a", "b", "c"])
    if draw(st.booleans()):
        values = columns["label"]
        wrapped = [
            pa.ListArray.from_arrays([0, 1, 1, 3], values),
            pa.StructArray.from_arrays([values, values], ["a", "a"]),
            values.dictionary_encode(),
            pa.MapArray.from_arrays([0, 1, 2, 3], pa.array(["k", "k", "k"]), values),
        ]
        columns["label"] = wrapped[draw(st.integers(0, len(wrapped) - 1))]
    return Chance(draw(st.sampled_from(["class", "number", "set"])), ".parquet", parquet(**columns))


_FILES = st.builds(
    Chance,
    shape=st.sampled_from(sorted(GOOD)),
    ending=st.sampled_from([".jsonl", ".jsonl.gz", ".csv", ".tsv", ".parquet"]),
    content=_BYTES | st.binary(max_size=40) | _BYTES.map(gzip.compress),
)
"""Files of arbitrary bytes."""


def rows_by_chance(scratch: Path, *, many: int) -> Count:
    """Arbitrary values, lines, cells, types and files; the same each time."""
    count = Count("randomly generated bad rows: accepted, or refused with file and line; again with skip")
    door = Door(scratch)

    def attempt(chance: Chance) -> None:
        source, where = door.write(chance.ending, chance.content)
        wrong = _attempt(door, chance, source, where)
        shown = "" if wrong is None else f"{chance.shape}{chance.ending} {quote(chance.content)}"
        count.add(shown, wrong is None, wrong or "")

    repeat(st.one_of(_objects(), _lines(), _cells(), _flipped(), _typed_columns(), _FILES), attempt, many=many)
    return count


def _attempt(door: Door, chance: Chance, source: Any, where: str) -> str | None:
    refused: dict[str, str | None] = {}
    ways: tuple[OnBadRow, ...] = ("stop", "skip")
    for on_bad_row in ways:
        began = time.perf_counter()
        try:
            notes = door(source, shape=chance.shape, on_bad_row=on_bad_row, listed=chance.listed)
        except NlpmtlError as error:
            refused[on_bad_row] = str(error)
            wrong = told(error) or _lost(str(error), where=where, row=chance.row)
            if wrong is not None:
                return f"{on_bad_row}: {wrong}"
        except Exception as error:
            return f"{on_bad_row}: {name_of(error)}"
        else:
            refused[on_bad_row] = None
            left_out = any("bad rows were left out" in note for note in notes)
            if left_out != (on_bad_row == "skip" and refused["stop"] is not None):
                return f"{on_bad_row}: what is told of it: {notes}"
        if time.perf_counter() - began > PATIENCE:
            return f"{on_bad_row}: it took {time.perf_counter() - began:.0f} s"
    if refused["stop"] is None and refused["skip"] is not None:
        return f"skip refuses what is good: {short(refused['skip'])}"
    of_all_rows = ("is not in the list of labels", "spans contradict scheme")
    if chance.row is not None and refused["skip"] is not None and not any(i in refused["skip"] for i in of_all_rows):
        return f"one bad row is not left out: {short(refused['skip'])}"
    return None


def _lost(text: str, *, where: str, row: int | None) -> str | None:
    """What is missing in the words of an error; None if a person finds the place."""
    if where not in text:
        return f"no {where!r} in {short(text)}"
    place = re.search(re.escape(where) + r"(?::|: row |, row )(\d+)(?:, word \d+)?: ", text)
    if place is None and ("problem(s) in" in text or row is not None):
        return f"no row in {short(text)}"
    if place is not None and row is not None and int(place[1]) != row:
        return f"row {row} is wrong, and another is blamed: {short(text)}"
    return None
