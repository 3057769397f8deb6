"""Bad rows of every kind that somebody thought of."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

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
    short,
    strings,
    told,
)


@dataclass(frozen=True)
class Bad:
    """A file that something may be wrong with.

    Args:
        name: what is wrong.
        ending: of the file.
        content: what is written in it; rows are handed over as they are.
        place: what stands after the file's name in the error; None: it is accepted.
        shape: of the rows.
        skipped: the same under `on_bad_row = "skip"`, which leaves most bad rows out.
    """

    name: str
    ending: str
    content: bytes | Rows
    place: str | None
    shape: str = "class"
    skipped: str | None = None


def _line(name: str, line: bytes, *, shape: str = "class", accepted: bool = False, skipped: str | None = None) -> Bad:
    """A line of a jsonl between two good ones."""
    first, last = GOOD[shape]
    content = jsonl(first) + line + b"\n" + jsonl(last)
    return Bad(name, ".jsonl", content, None if accepted else ":2: ", shape, skipped)


def _value(name: str, value: Any, *, shape: str = "class", column: str = "label", accepted: bool = False) -> Bad:
    """A value in a jsonl."""
    return _line(name, json.dumps({**GOOD[shape][0], column: value}).encode(), shape=shape, accepted=accepted)


def _whole(name: str, ending: str, content: bytes, *, place: str = ": ") -> Bad:
    """A file of which no row can be read."""
    return Bad(name, ending, content, place, skipped=": ")


def _typed(name: str, values: pa.Array, *, column: str = "label", shape: str = "class") -> Bad:
    """A parquet file whose second row is wrong, and the only one with a label if it is the label that is wrong."""
    columns = {"text": pa.array(["a cat", "a dog", "a film"]), "label": pa.array(["x", "y", "x"]), column: values}
    return Bad(name, ".parquet", parquet(**columns), ": row 2: ", shape, "" if column == "label" else None)


def _deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


_TEXT = b'{"label": "x", "text": '
_LABEL = b'{"text": "a", "label": '
_NO_ROW = ": no rows: all"
_NOTHING = parquet(text=pa.array([], pa.string()), label=pa.array([], pa.string()))


def bad_rows() -> list[Bad]:
    """All kinds that were thought of."""
    return [
        _value("text is null", None, column="text"),
        _value("text is a number", 3, column="text"),
        _value("text is a list", ["a"], column="text"),
        _value("text is empty", "", column="text", accepted=True),
        _value("text is blanks alone", " \t\u2003", column="text", accepted=True),
        _value("text is a million letters", "ab " * 333_334, column="text", accepted=True),
        _value("text has a NUL and a line end inside", "a\0b\nc\u2028d", column="text", accepted=True),
        _line("text has half of a character", _TEXT + rb'"\ud800"}'),
        _line("text is not there", b'{"label": "x"}'),
        _line("text is nested 900 deep", _TEXT + _deep(900) + b"}"),
        _line("text is nested 975 deep", _TEXT + _deep(975) + b"}"),
        _line("text is nested 100,000 deep", _TEXT + _deep(100_000) + b"}"),
        _value("label is null", None, accepted=True),
        _value("label is a fraction", 0.5),
        _value("label is a table", {"a": 1}),
        _line("label is not in the list", _LABEL + b'"z"}', skipped=":2: "),
        _line("label is a whole number that is not in the list", _LABEL + b"7}", skipped=":2: "),
        _line("label has half of a character", _LABEL + rb'"\udfff"}'),
        _line("label is an integer of 5,000 digits", _LABEL + b"9" * 5000 + b"}"),
        _line("number is NaN", _LABEL + b"NaN}", shape="number"),
        _line("number is infinite", _LABEL + b"-Infinity}", shape="number"),
        _line("number is too large", _LABEL + b"1e999}", shape="number"),
        _line("number is a whole one of 400 digits", _LABEL + b"9" * 400 + b"}", shape="number"),
        _value("number is true", True, shape="number"),
        _value("number is a string", " 2.5e0 ", shape="number", accepted=True),
        _value("number is 100,000 digits and a letter", "1" * 100_000 + "x", shape="number"),
        _value("the pair is null", None, shape="pair", column="other"),
        _value("words are none", [], shape="words", column="tokens"),
        _value("words are a string", "a cat", shape="words", column="tokens"),
        _value("a word is null", ["a", None], shape="words", column="tokens"),
        _value("a word is empty", ["a", ""], shape="words", column="tokens", accepted=True),
        _value("fewer tags than words", ["O"], shape="words"),
        _value("a tag is a number", ["O", 1], shape="words"),
        _line("a tag is not in the list", b'{"tokens": ["a"], "label": ["B-q"]}', shape="words", skipped=":2: "),
        _value("duplicate label in a set", ["x", "x"], shape="set"),
        _value("a set is a string", "x", shape="set"),
        _line("duplicate key in object", b'{"text": "a", "text": "b", "label": "x"}'),
        _line("a line is cut off", b'{"text": "a", "lab'),
        _line("a line is a list", b'["a", "x"]'),
        _line("a line is empty", b""),
        _line("two objects on a line", b'{"text": "a", "label": "x"} {"text": "b", "label": "y"}'),
        _line("a line is no UTF-8", _TEXT + b'"\xff\xfe"}'),
        _line("a line is surrogates in UTF-8", _TEXT + b'"\xed\xa0\x80"}'),
        _line("a mark of byte order in the middle", b'\xef\xbb\xbf{"text": "a", "label": "x"}'),
        Bad("a mark of byte order at the start", ".jsonl", b"\xef\xbb\xbf" + jsonl(*GOOD["class"]), None),
        Bad("lines end as on Windows", ".jsonl", jsonl(*GOOD["class"]).replace(b"\n", b"\r\n"), None),
        Bad("lines end as on old Macs", ".jsonl", jsonl(*GOOD["class"]).replace(b"\n", b"\r"), None),
        Bad("no end of the last line", ".jsonl", jsonl(*GOOD["class"]).rstrip(), None),
        Bad("UTF-16", ".jsonl", jsonl(*GOOD["class"]).decode().encode("utf-16"), ":1: ", skipped=_NO_ROW),
        _whole("an empty file", ".jsonl", b""),
        _whole("ends of lines alone", ".jsonl", b"\n\r\n \n"),
        _whole("keys that show nothing", ".jsonl", b'{"\\u001b[2J\\ud800": 1}\n'),
        _whole("a gz that is none", ".jsonl.gz", b'{"text": "a", "label": "x"}\n'),
        _whole("a gz that is cut off", ".jsonl.gz", GZIPPED[:-12]),
        _whole("a gz with a wrong sum", ".jsonl.gz", GZIPPED[:-8] + b"\0" * 8),
        _whole("a gz with something behind it", ".jsonl.gz", GZIPPED + b"behind"),
        Bad("a gz of two parts", ".jsonl.gz", GZIPPED + GZIPPED, None),
        Bad("a csv with too many fields", ".csv", csv("a,x", "b,y,z", "c,y"), ":3: "),
        Bad("a csv with too few fields", ".csv", csv("a,x", "b", "c,y"), ":3: "),
        Bad("a quote that is never closed", ".csv", csv("a,x", "c,y", '"b,y'), ":4: "),
        Bad("a quote in the middle", ".csv", csv("a,x", '"b"b,y', "c,y"), ":3: "),
        Bad("a csv with a NUL", ".csv", csv("a,x", "b\0,y", "c,y"), ":3: "),
        Bad("a csv that is no UTF-8", ".csv", csv("a,x", "?,y", "c,y").replace(b"?", b"\xe9"), ":3: "),
        Bad("a csv with an empty line", ".csv", csv("a,x", "", "c,y"), ":3: "),
        Bad("a csv with a bare carriage return", ".csv", csv("a,x", "b\rb,y", "c,y"), ":3: "),
        Bad("a csv with a mark of byte order", ".csv", b"\xef\xbb\xbf" + csv("a,x", "c,y"), None),
        _whole("a header with one name twice", ".csv", b"text,text,label\na,b,x\n"),
        _whole("a header that is no UTF-8", ".csv", b"text,l\xe4bel\na,x\n"),
        _whole("a csv without rows", ".csv", csv()),
        _whole("a csv with the columns of another", ".csv", b"one,two\na,x\n"),
        Bad("a tsv with commas", ".tsv", csv("a,x", "c,y"), ": ", skipped=": "),
        Bad("a tsv with a field of a million letters", ".tsv", csv("a" * 10**6 + ",x", "c,y", delimiter="\t"), None),
        _whole("a parquet that is none", ".parquet", b"PAR1 and nothing else PAR1"),
        _whole("a parquet that is cut off", ".parquet", PARQUET[:-20]),
        _whole("a parquet without rows", ".parquet", _NOTHING),
        _typed("a parquet with a null", pa.array(["a", None, "b"]), column="text"),
        _typed("a parquet of bytes that are no UTF-8", strings(b"a", b"\xff", b"b"), column="text"),
        _typed("a parquet of times to the nanosecond", pa.array([None, 1, None], pa.timestamp("ns"))),
        _typed("a parquet of times past all calendars", pa.array([None, 2**62, None], pa.timestamp("ms"))),
        _typed("a parquet of times nowhere", pa.array([None, 1, None], pa.timestamp("us", tz="No/Where"))),
        _typed("a parquet of days past all calendars", pa.array([None, 2**30, None], pa.int32()).cast(pa.date32())),
        Bad(
            "a parquet of decimals",
            ".parquet",
            parquet(text=pa.array(["a cat", "a dog"]), label=pa.array(["1.5", "2"]).cast(pa.decimal128(9, 2))),
            None,
            "number",
        ),
        Bad("a row in memory is a number", "", [*GOOD["class"], 3], ", row 3: "),
        Bad("a label in memory of many digits", "", [*GOOD["class"], {"text": "a", "label": 10**10_000}], ", row 3: "),
        Bad("a text in memory of 10,000 digits", "", [*GOOD["class"], {"text": 10**10_000, "label": "x"}], ", row 3: "),
        Bad("a text in memory is bytes", "", [*GOOD["class"], {"text": b"a", "label": "x"}], ", row 3: "),
        Bad("a label in memory holds itself", "", [*GOOD["class"], {"text": "a", "label": _ring()}], ", row 3: "),
        Bad("a label in memory cannot be shown", "", [*GOOD["class"], {"text": "a", "label": Shy()}], ", row 3: "),
    ]  # fmt: skip


class Shy:
    """Something that cannot be shown."""

    def __repr__(self) -> str:
        raise ValueError("not to be shown")


def _ring() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


def rows_by_hand(scratch: Path) -> Count:
    """Every kind of `bad_rows`: stopped at, and left out."""
    count = Count("hand-written bad rows: accepted, or refused with file and line; again with skip")
    door = Door(scratch)
    ways: tuple[OnBadRow, ...] = ("stop", "skip")
    for bad in bad_rows():
        source, where = door.write(bad.ending, bad.content)
        for on_bad_row in ways:
            expected = bad.skipped if on_bad_row == "skip" else bad.place
            began = time.perf_counter()
            try:
                notes = door(source, shape=bad.shape, on_bad_row=on_bad_row)
            except NlpmtlError as error:
                wrong = told(error) or _misplaced(error, None if expected is None else f"{where}{expected}")
            except Exception as error:
                wrong = name_of(error)
            else:
                left_out = "d, train: 1 bad rows were left out" in notes
                wrong = None if expected is None else "it was accepted"
                if wrong is None and left_out is (bad.place is None):
                    wrong = f"what is told of it: {notes}"
            seconds = time.perf_counter() - began
            if wrong is None and seconds > PATIENCE:
                wrong = f"it took {seconds:.0f} s"
            count.add(f"{bad.name}, {on_bad_row}", wrong is None, wrong or "")
    return count


def _misplaced(error: NlpmtlError, expected: str | None) -> str | None:
    if expected is None:
        return f"it was refused: {short(str(error))}"
    return None if expected in str(error) else f"no {expected!r} in {short(str(error))}"
