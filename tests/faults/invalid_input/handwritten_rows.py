"""Invalid rows written by hand."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

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
    short,
    strings,
)


@dataclass(frozen=True)
class BadFile:
    """A file with a possible problem.

    Args:
        name: description of the problem.
        extension: extension of the file; empty: rows in memory.
        content: content of the file, or the rows.
        location: expected text after the file name in the error; None: the file is accepted.
        shape: row format, a key of `GOOD`.
        skipped: the same as `location` with `on_bad_row = "skip"`, which skips most bad rows.
    """

    name: str
    extension: str
    content: bytes | Rows
    location: str | None
    shape: str = "class"
    skipped: str | None = None


def _jsonl(
    name: str, line: bytes, *, shape: str = "class", accepted: bool = False, skipped: str | None = None
) -> BadFile:
    """Return a JSON Lines file with a line between two valid ones."""
    first, last = GOOD[shape]
    content = jsonl(first) + line + b"\n" + jsonl(last)
    return BadFile(name, ".jsonl", content, None if accepted else ":2: ", shape, skipped)


def _value(name: str, value: Any, *, shape: str = "class", column: str = "label", accepted: bool = False) -> BadFile:
    """Return a JSON Lines file with a value between two valid rows."""
    return _jsonl(name, json.dumps({**GOOD[shape][0], column: value}).encode(), shape=shape, accepted=accepted)


def _whole(name: str, extension: str, content: bytes, *, location: str = ": ") -> BadFile:
    """Return a file of which no row can be read."""
    return BadFile(name, extension, content, location, skipped=": ")


def _parquet(name: str, values: pa.Array, *, column: str = "label", shape: str = "class") -> BadFile:
    """Return a parquet file whose second row is invalid; for labels, the only labelled one."""
    columns = {"text": pa.array(["a cat", "a dog", "a film"]), "label": pa.array(["x", "y", "x"]), column: values}
    return BadFile(name, ".parquet", parquet(**columns), ": row 2: ", shape, "" if column == "label" else None)


def _deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


_TEXT = b'{"label": "x", "text": '
_LABEL = b'{"text": "a", "label": '
_NO_ROW = ": no valid rows: all"
_NOTHING = parquet(text=pa.array([], pa.string()), label=pa.array([], pa.string()))


def bad_files() -> list[BadFile]:
    """Return all handwritten files."""
    return [
        _value("text is null", None, column="text"),
        _value("text is a number", 3, column="text"),
        _value("text is a list", ["a"], column="text"),
        _value("text is empty", "", column="text", accepted=True),
        _value("text is only blanks", " \t\u2003", column="text", accepted=True),
        _value("text is a million letters", "ab " * 333_334, column="text", accepted=True),
        _value("text has a NUL and a line end inside", "a\0b\nc\u2028d", column="text", accepted=True),
        _jsonl("text has a lone surrogate", _TEXT + rb'"\ud800"}'),
        _jsonl("text is missing", b'{"label": "x"}'),
        _jsonl("text is nested 900 deep", _TEXT + _deep(900) + b"}"),
        _jsonl("text is nested 975 deep", _TEXT + _deep(975) + b"}"),
        _jsonl("text is nested 100,000 deep", _TEXT + _deep(100_000) + b"}"),
        _value("label is null", None, accepted=True),
        _jsonl("label is a fraction that is not in the list", _LABEL + b"0.5}", skipped=":2: "),
        _value("label is a table", {"a": 1}),
        _jsonl("label is not in the list", _LABEL + b'"z"}', skipped=":2: "),
        _jsonl("label is an integer that is not in the list", _LABEL + b"7}", skipped=":2: "),
        _jsonl("label has a lone surrogate", _LABEL + rb'"\udfff"}'),
        _jsonl("label is an integer of 5,000 digits", _LABEL + b"9" * 5000 + b"}"),
        _jsonl("number is NaN", _LABEL + b"NaN}", shape="number"),
        _jsonl("number is infinite", _LABEL + b"-Infinity}", shape="number"),
        _jsonl("number is too large", _LABEL + b"1e999}", shape="number"),
        _jsonl("number is an integer of 400 digits", _LABEL + b"9" * 400 + b"}", shape="number"),
        _value("number is true", True, shape="number"),
        _value("number is a string", " 2.5e0 ", shape="number", accepted=True),
        _value("number is 100,000 digits and a letter", "1" * 100_000 + "x", shape="number"),
        _value("the pair is null", None, shape="pair", column="other"),
        _value("words are empty", [], shape="words", column="tokens"),
        _value("words are a string", "a cat", shape="words", column="tokens"),
        _value("a word is null", ["a", None], shape="words", column="tokens"),
        _value("a word is empty", ["a", ""], shape="words", column="tokens", accepted=True),
        _value("fewer tags than words", ["O"], shape="words"),
        _value("a tag is a number", ["O", 1], shape="words"),
        _jsonl("a tag is not in the list", b'{"tokens": ["a"], "label": ["B-q"]}', shape="words", skipped=":2: "),
        _value("duplicate label in a set", ["x", "x"], shape="set"),
        _value("a set is a string", "x", shape="set"),
        _jsonl("duplicate key in object", b'{"text": "a", "text": "b", "label": "x"}'),
        _jsonl("a line is truncated", b'{"text": "a", "lab'),
        _jsonl("a line is a list", b'["a", "x"]'),
        _jsonl("a line is empty", b""),
        _jsonl("two objects on a line", b'{"text": "a", "label": "x"} {"text": "b", "label": "y"}'),
        _jsonl("a line is not UTF-8", _TEXT + b'"\xff\xfe"}'),
        _jsonl("a line has surrogates in UTF-8", _TEXT + b'"\xed\xa0\x80"}'),
        _jsonl("a byte order mark in the middle", b'\xef\xbb\xbf{"text": "a", "label": "x"}'),
        BadFile("a byte order mark at the start", ".jsonl", b"\xef\xbb\xbf" + jsonl(*GOOD["class"]), None),
        BadFile("lines end as on Windows", ".jsonl", jsonl(*GOOD["class"]).replace(b"\n", b"\r\n"), None),
        BadFile("lines end as on old Macs", ".jsonl", jsonl(*GOOD["class"]).replace(b"\n", b"\r"), None),
        BadFile("no newline at the end", ".jsonl", jsonl(*GOOD["class"]).rstrip(), None),
        BadFile("UTF-16", ".jsonl", jsonl(*GOOD["class"]).decode().encode("utf-16"), ":1: ", skipped=_NO_ROW),
        _whole("an empty file", ".jsonl", b""),
        _whole("only newlines", ".jsonl", b"\n\r\n \n"),
        _whole("keys that are not printable", ".jsonl", b'{"\\u001b[2J\\ud800": 1}\n'),
        _whole("a gz file that is not gzip", ".jsonl.gz", b'{"text": "a", "label": "x"}\n'),
        _whole("a truncated gz file", ".jsonl.gz", GZIPPED[:-12]),
        _whole("a gz file with a wrong checksum", ".jsonl.gz", GZIPPED[:-8] + b"\0" * 8),
        _whole("a gz file with trailing bytes", ".jsonl.gz", GZIPPED + b"behind"),
        BadFile("a gz file of two members", ".jsonl.gz", GZIPPED + GZIPPED, None),
        BadFile("a csv with too many fields", ".csv", csv("a,x", "b,y,z", "c,y"), ":3: "),
        BadFile("a csv with too few fields", ".csv", csv("a,x", "b", "c,y"), ":3: "),
        BadFile("a quote that is never closed", ".csv", csv("a,x", "c,y", '"b,y'), ":4: "),
        BadFile("a quote in the middle", ".csv", csv("a,x", '"b"b,y', "c,y"), ":3: "),
        BadFile("a csv with a NUL", ".csv", csv("a,x", "b\0,y", "c,y"), ":3: "),
        BadFile("a csv that is not UTF-8", ".csv", csv("a,x", "?,y", "c,y").replace(b"?", b"\xe9"), ":3: "),
        BadFile("a csv with an empty line", ".csv", csv("a,x", "", "c,y"), ":3: "),
        BadFile("a csv with a bare carriage return", ".csv", csv("a,x", "b\rb,y", "c,y"), ":3: "),
        BadFile("a csv with a byte order mark", ".csv", b"\xef\xbb\xbf" + csv("a,x", "c,y"), None),
        _whole("a header with a duplicate name", ".csv", b"text,text,label\na,b,x\n"),
        _whole("a header that is not UTF-8", ".csv", b"text,l\xe4bel\na,x\n"),
        _whole("a csv without rows", ".csv", csv()),
        _whole("a csv with other columns", ".csv", b"one,two\na,x\n"),
        BadFile("a tsv with commas", ".tsv", csv("a,x", "c,y"), ": ", skipped=": "),
        BadFile("a tsv with a very long field", ".tsv", csv("a" * 10**6 + ",x", "c,y", delimiter="\t"), None),
        _whole("a file that is not parquet", ".parquet", b"PAR1 and nothing else PAR1"),
        _whole("a truncated parquet file", ".parquet", PARQUET[:-20]),
        _whole("a parquet without rows", ".parquet", _NOTHING),
        _parquet("a parquet with a null", pa.array(["a", None, "b"]), column="text"),
        _parquet("a parquet with bytes that are not UTF-8", strings(b"a", b"\xff", b"b"), column="text"),
        _parquet("a parquet of nanosecond timestamps", pa.array([None, 1, None], pa.timestamp("ns"))),
        _parquet("a parquet of timestamps out of range", pa.array([None, 2**62, None], pa.timestamp("ms"))),
        _parquet("a parquet of an unknown time zone", pa.array([None, 1, None], pa.timestamp("us", tz="No/Where"))),
        _parquet("a parquet of dates out of range", pa.array([None, 2**30, None], pa.int32()).cast(pa.date32())),
        BadFile(
            "a parquet of decimals",
            ".parquet",
            parquet(text=pa.array(["a cat", "a dog"]), label=pa.array(["1.5", "2"]).cast(pa.decimal128(9, 2))),
            None,
            "number",
        ),
        BadFile("a row in memory is a number", "", [*GOOD["class"], 3], ", row 3: "),
        BadFile("a label of 10,000 digits", "", [*GOOD["class"], {"text": "a", "label": 10**10_000}], ", row 3: "),
        BadFile("a text of 10,000 digits", "", [*GOOD["class"], {"text": 10**10_000, "label": "x"}], ", row 3: "),
        BadFile("a text in memory is bytes", "", [*GOOD["class"], {"text": b"a", "label": "x"}], ", row 3: "),
        BadFile("a label contains itself", "", [*GOOD["class"], {"text": "a", "label": _cycle()}], ", row 3: "),
        BadFile("a label in memory has no repr", "", [*GOOD["class"], {"text": "a", "label": NoRepr()}], ", row 3: "),
    ]  # fmt: skip


class NoRepr:
    """An object whose repr raises an error."""

    def __repr__(self) -> str:
        raise ValueError("not to be shown")


def _cycle() -> list[Any]:
    values: list[Any] = []
    values.append(values)
    return values


def handwritten_rows(scratch: Path) -> FaultCount:
    """Load every file of `bad_files` with both values of `on_bad_row`."""
    count = FaultCount("hand-written bad rows: accepted, or refused with file and line; again with skip")
    loader = RowLoader(scratch)
    modes: tuple[OnBadRow, ...] = ("stop", "skip")
    for file in bad_files():
        source, source_name = loader.write(file.extension, file.content)
        for on_bad_row in modes:
            expected = file.skipped if on_bad_row == "skip" else file.location
            start = time.perf_counter()
            try:
                notes = loader(source, shape=file.shape, on_bad_row=on_bad_row)
            except NlpmtlError as error:
                problem = check_message(error) or _check_location(
                    error, None if expected is None else f"{source_name}{expected}"
                )
            except Exception as error:
                problem = describe_error(error)
            else:
                skipped = "d, train: 1 bad rows were skipped" in notes
                problem = None if expected is None else "accepted"
                if problem is None and skipped is (file.location is None):
                    problem = f"wrong notes: {notes}"
            seconds = time.perf_counter() - start
            if problem is None and seconds > PATIENCE:
                problem = f"it took {seconds:.0f} s"
            count.add(f"{file.name}, {on_bad_row}", problem is None, problem or "")
    return count


def _check_location(error: NlpmtlError, expected: str | None) -> str | None:
    if expected is None:
        return f"refused: {short(str(error))}"
    return None if expected in str(error) else f"no {expected!r} in {short(str(error))}"
