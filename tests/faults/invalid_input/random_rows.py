"""Randomly generated rows: values, lines, cells, types and files."""

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
from tests.faults.harness import FaultCount
from tests.faults.invalid_input.entry_points import (
    GOOD,
    GZIPPED,
    PARQUET,
    PATIENCE,
    OnBadRow,
    RowLoader,
    Rows,
    check_message,
    csv,
    describe_error,
    jsonl,
    parquet,
    quote,
    repeat,
    short,
    strings,
)


@dataclass(frozen=True)
class RandomFile:
    """A randomly generated file, or rows in memory.

    Args:
        shape: row format, a key of `GOOD`.
        extension: extension of the file; empty: rows in memory.
        content: content of the file, or the rows.
        row: the only row that may be invalid; None: any.
        listed: whether the config lists the labels.
    """

    shape: str
    extension: str
    content: bytes | Rows
    row: int | None = None
    listed: bool = True


_CHARACTERS = st.characters(exclude_categories=())
"""Includes lone surrogates."""
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
"""Lists that may be words, tags or label sets."""
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
def _objects(draw: st.DrawFn) -> RandomFile:
    """A row of arbitrary values between valid ones, in a file or in memory."""
    shape = draw(st.sampled_from(sorted(GOOD)))
    row: Any = dict(GOOD[shape][0])
    for column in draw(st.lists(st.sampled_from([*row, "more"]), min_size=1, max_size=3)):
        row[column] = draw(_VALUES | _PLAUSIBLE)
    for column in draw(st.lists(st.sampled_from(sorted(row)), max_size=1)):
        del row[column]
    before = [*GOOD[shape], *GOOD[shape]][: 2 + draw(_COUNTS) // 2]
    after = GOOD[shape][: draw(_COUNTS)]
    extension = draw(st.sampled_from([".jsonl", ".jsonl", ".jsonl.gz", ""]))
    listed = draw(st.booleans()) or shape == "words"
    if not extension:
        row = draw(st.just(row) | _VALUES)
        return RandomFile(shape, extension, [*before, row, *after], len(before) + 1, listed)
    content = jsonl(*before, row, *after)
    return RandomFile(
        shape, extension, gzip.compress(content) if extension != ".jsonl" else content, len(before) + 1, listed
    )


@st.composite
def _lines(draw: st.DrawFn) -> RandomFile:
    """A line of arbitrary bytes between valid ones."""
    shape = draw(st.sampled_from(sorted(GOOD)))
    line = draw(_BYTES).replace(b"\n", b"")
    end = draw(st.sampled_from([b"\n", b"\r\n"]))
    first, last = (jsonl(row).strip() for row in GOOD[shape])
    return RandomFile(shape, ".jsonl", end.join([first, line, last, b""]), 2)


@st.composite
def _cells(draw: st.DrawFn) -> RandomFile:
    """A CSV or TSV file of arbitrary cells."""
    delimiter, extension = draw(st.sampled_from([(",", ".csv"), ("\t", ".tsv")]))
    records = draw(st.lists(st.lists(_CELLS, min_size=1, max_size=3), min_size=1, max_size=4))
    quotes = draw(st.sampled_from(["", '"']))
    lines = [
        ["text", "label"],
        ["a", "x"],
        ["b", "y"],
        *([f"{quotes}{cell}{quotes}" for cell in record] for record in records),
    ]
    text = draw(st.sampled_from(["\n", "\r\n", "\r"])).join(delimiter.join(line) for line in lines)
    return RandomFile("class", extension, text.encode("utf-8", "surrogatepass"))


@st.composite
def _flipped(draw: st.DrawFn) -> RandomFile:
    """A valid file with some bytes changed."""
    extension, content = draw(
        st.sampled_from(
            [
                (".jsonl", jsonl(*GOOD["class"])),
                (".jsonl.gz", GZIPPED),
                (".csv", csv("a,x", "b,y")),
                (".parquet", PARQUET),
            ]
        )
    )
    return RandomFile("class", extension, draw(mutated_bytes(content)))


def mutated_bytes(content: bytes) -> st.SearchStrategy[bytes]:
    """Return a strategy that replaces, removes or inserts a few bytes."""
    positions = st.integers(0, len(content))
    changes = st.tuples(positions, st.integers(0, 3), st.binary(max_size=3))

    def apply(edits: list[tuple[int, int, bytes]]) -> bytes:
        changed = content
        for position, removed, inserted in edits:
            changed = changed[:position] + inserted + changed[position + removed :]
        return changed

    return st.lists(changes, min_size=1, max_size=3).map(apply)


@st.composite
def _typed_columns(draw: st.DrawFn) -> RandomFile:
    """A parquet file with columns of any type."""
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
    return RandomFile(draw(st.sampled_from(["class", "number", "set"])), ".parquet", parquet(**columns))


_FILES = st.builds(
    RandomFile,
    shape=st.sampled_from(sorted(GOOD)),
    extension=st.sampled_from([".jsonl", ".jsonl.gz", ".csv", ".tsv", ".parquet"]),
    content=_BYTES | st.binary(max_size=40) | _BYTES.map(gzip.compress),
)
"""Files of arbitrary bytes."""


def random_rows(scratch: Path, *, repetitions: int) -> FaultCount:
    """Load random values, lines, cells, types and files, the same on every run."""
    count = FaultCount("randomly generated bad rows: accepted, or refused with file and line; again with skip")
    loader = RowLoader(scratch)

    def attempt(file: RandomFile) -> None:
        source, source_name = loader.write(file.extension, file.content)
        problem = _attempt(loader, file, source, source_name)
        name = "" if problem is None else f"{file.shape}{file.extension} {quote(file.content)}"
        count.add(name, problem is None, problem or "")

    repeat(
        st.one_of(_objects(), _lines(), _cells(), _flipped(), _typed_columns(), _FILES),
        attempt,
        repetitions=repetitions,
    )
    return count


def _attempt(loader: RowLoader, file: RandomFile, source: Any, source_name: str) -> str | None:
    refusals: dict[str, str | None] = {}
    modes: tuple[OnBadRow, ...] = ("stop", "skip")
    for on_bad_row in modes:
        start = time.perf_counter()
        try:
            notes = loader(source, shape=file.shape, on_bad_row=on_bad_row, listed=file.listed)
        except NlpmtlError as error:
            refusals[on_bad_row] = str(error)
            problem = check_message(error) or _check_location(str(error), source_name=source_name, row=file.row)
            if problem is not None:
                return f"{on_bad_row}: {problem}"
        except Exception as error:
            return f"{on_bad_row}: {describe_error(error)}"
        else:
            refusals[on_bad_row] = None
            skipped = any("bad rows were skipped" in note for note in notes)
            if skipped != (on_bad_row == "skip" and refusals["stop"] is not None):
                return f"{on_bad_row}: wrong notes: {notes}"
        if time.perf_counter() - start > PATIENCE:
            return f"{on_bad_row}: took {time.perf_counter() - start:.0f} s"
    if refusals["stop"] is None and refusals["skip"] is not None:
        return f"skip refuses a valid file: {short(refusals['skip'])}"
    whole_column_errors = ("is not in the list of labels", "spans contradict scheme", "Write all lists in one way")
    if (
        file.row is not None
        and refusals["skip"] is not None
        and not any(i in refusals["skip"] for i in whole_column_errors)
    ):
        return f"a bad row is not skipped: {short(refusals['skip'])}"
    return None


def _check_location(text: str, *, source_name: str, row: int | None) -> str | None:
    """Return what is missing in an error message for finding the row, or None."""
    if source_name not in text:
        return f"no {source_name!r} in {short(text)}"
    match = re.search(re.escape(source_name) + r"(?::|: row |, row )(\d+)(?:, word \d+)?: ", text)
    if match is None and ("problem(s) in" in text or row is not None):
        return f"no row in {short(text)}"
    if match is not None and row is not None and int(match[1]) != row:
        return f"row {row} is invalid, and another is reported: {short(text)}"
    return None
