"""Rows and configs that nobody should write: each is accepted, or refused in a few words that say where."""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache as remember
from importlib import metadata
from os import environ
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from nlpmtl.config import DatasetConfig, parse_dataset, parse_override, plain_config, read_dataset
from nlpmtl.config.find import shipped_configs
from nlpmtl.errors import NlpmtlError
from nlpmtl.run import load_config
from nlpmtl.workload import load_workload
from tests.faults.harness import Count
from tests.tiny import make_run, write_encoder

OnBadRow = Literal["stop", "skip"]
Rows = Sequence[Any]
"""Rows that Python hands over."""

PATIENCE = 10.0
"""Seconds that a file of a few rows may take."""
MOMENT = 1.0
"""Seconds that a config may take."""

INPUTS: dict[str, dict[str, str]] = {
    "class": {"text": "text"},
    "number": {"text": "text"},
    "pair": {"text": "text", "pair": "other"},
    "words": {"words": "tokens"},
    "set": {"text": "text"},
}
KINDS: dict[str, dict[str, Any]] = {
    "class": {"kind": "classification", "label": "label", "labels": ["x", "y"]},
    "number": {"kind": "regression", "label": "label"},
    "pair": {"kind": "classification", "label": "label", "labels": ["x", "y"]},
    "words": {"kind": "labeling", "label": "label", "labels": ["O", "B-z"]},
    "set": {"kind": "multilabel", "label": "label", "labels": ["x", "y"]},
}
"""What is read, and what is learned of it, by the shape of the rows."""
GOOD: dict[str, list[dict[str, Any]]] = {
    "class": [{"text": "a cat", "label": "x"}, {"text": "a dog", "label": "y"}],
    "number": [{"text": "a cat", "label": 1}, {"text": "a dog", "label": 2.5}],
    "pair": [{"text": "a cat", "other": "a dog", "label": "x"}, {"text": "a", "other": "b", "label": "y"}],
    "words": [{"tokens": ["a", "cat"], "label": ["O", "B-z"]}, {"tokens": ["a"], "label": ["O"]}],
    "set": [{"text": "a cat", "label": ["x", "y"]}, {"text": "a dog", "label": []}],
}


def to_toml(value: Mapping[str, Any]) -> str:
    """Plain values as TOML, each table inside its line."""
    return "".join(f"{_string(key)} = {_literal(one)}\n" for key, one in value.items())


def _literal(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_string(key)} = {_literal(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return _string(value)


def _string(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _json(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _csv(*lines: str, delimiter: str = ",") -> bytes:
    return "".join(line.replace(",", delimiter) + "\n" for line in ("text,label", *lines)).encode()


def _parquet(**columns: pa.Array) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


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
    content = _json(first) + line + b"\n" + _json(last)
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
    return Bad(name, ".parquet", _parquet(**columns), ": row 2: ", shape, "" if column == "label" else None)


def _deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


_TEXT = b'{"label": "x", "text": '
_LABEL = b'{"text": "a", "label": '
_GZ = gzip.compress(_json(*GOOD["class"]), mtime=0)
_PQ = _parquet(text=pa.array(["a", "b"]), label=pa.array(["x", "y"]))
_NO_ROW = ": no row is left"
_NOTHING = _parquet(text=pa.array([], pa.string()), label=pa.array([], pa.string()))


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
        _line("a tag is not in the list", b'{"tokens": ["a"], "label": ["I-q"]}', shape="words", skipped=":2: "),
        _value("a label stands twice in a set", ["x", "x"], shape="set"),
        _value("a set is a string", "x", shape="set"),
        _line("a key stands twice", b'{"text": "a", "text": "b", "label": "x"}'),
        _line("a line is cut off", b'{"text": "a", "lab'),
        _line("a line is a list", b'["a", "x"]'),
        _line("a line is empty", b""),
        _line("two objects on a line", b'{"text": "a", "label": "x"} {"text": "b", "label": "y"}'),
        _line("a line is no UTF-8", _TEXT + b'"\xff\xfe"}'),
        _line("a line is surrogates in UTF-8", _TEXT + b'"\xed\xa0\x80"}'),
        _line("a mark of byte order in the middle", b'\xef\xbb\xbf{"text": "a", "label": "x"}'),
        Bad("a mark of byte order at the start", ".jsonl", b"\xef\xbb\xbf" + _json(*GOOD["class"]), None),
        Bad("lines end as on Windows", ".jsonl", _json(*GOOD["class"]).replace(b"\n", b"\r\n"), None),
        Bad("lines end as on old Macs", ".jsonl", _json(*GOOD["class"]).replace(b"\n", b"\r"), ":1: ", skipped=_NO_ROW),
        Bad("no end of the last line", ".jsonl", _json(*GOOD["class"]).rstrip(), None),
        Bad("UTF-16", ".jsonl", _json(*GOOD["class"]).decode().encode("utf-16"), ":1: ", skipped=_NO_ROW),
        _whole("an empty file", ".jsonl", b""),
        _whole("ends of lines alone", ".jsonl", b"\n\r\n \n"),
        _whole("keys that show nothing", ".jsonl", b'{"\\u001b[2J\\ud800": 1}\n'),
        _whole("a gz that is none", ".jsonl.gz", b'{"text": "a", "label": "x"}\n'),
        _whole("a gz that is cut off", ".jsonl.gz", _GZ[:-12]),
        _whole("a gz with a wrong sum", ".jsonl.gz", _GZ[:-8] + b"\0" * 8),
        _whole("a gz with something behind it", ".jsonl.gz", _GZ + b"behind"),
        Bad("a gz of two parts", ".jsonl.gz", _GZ + _GZ, None),
        Bad("a csv with too many fields", ".csv", _csv("a,x", "b,y,z", "c,y"), ":3: "),
        Bad("a csv with too few fields", ".csv", _csv("a,x", "b", "c,y"), ":3: "),
        Bad("a quote that is never closed", ".csv", _csv("a,x", "c,y", '"b,y'), ":4: "),
        Bad("a quote in the middle", ".csv", _csv("a,x", '"b"b,y', "c,y"), ":3: "),
        Bad("a csv with a NUL", ".csv", _csv("a,x", "b\0,y", "c,y"), ":3: "),
        Bad("a csv that is no UTF-8", ".csv", _csv("a,x", "?,y", "c,y").replace(b"?", b"\xe9"), ":3: "),
        Bad("a csv with an empty line", ".csv", _csv("a,x", "", "c,y"), ":3: "),
        Bad("a csv with a bare carriage return", ".csv", _csv("a,x", "b\rb,y", "c,y"), ":3: "),
        Bad("a csv with a mark of byte order", ".csv", b"\xef\xbb\xbf" + _csv("a,x", "c,y"), None),
        _whole("a header with one name twice", ".csv", b"text,text,label\na,b,x\n"),
        _whole("a header that is no UTF-8", ".csv", b"text,l\xe4bel\na,x\n"),
        _whole("a csv without rows", ".csv", _csv()),
        _whole("a csv with the columns of another", ".csv", b"one,two\na,x\n"),
        Bad("a tsv with commas", ".tsv", _csv("a,x", "c,y"), ": ", skipped=": "),
        Bad("a tsv with a field of a million letters", ".tsv", _csv("a" * 10**6 + ",x", "c,y", delimiter="\t"), None),
        _whole("a parquet that is none", ".parquet", b"PAR1 and nothing else PAR1"),
        _whole("a parquet that is cut off", ".parquet", _PQ[:-20]),
        _whole("a parquet without rows", ".parquet", _NOTHING),
        _typed("a parquet with a null", pa.array(["a", None, "b"]), column="text"),
        _typed("a parquet of bytes that are no UTF-8", _strings(b"a", b"\xff", b"b"), column="text"),
        _typed("a parquet of times to the nanosecond", pa.array([None, 1, None], pa.timestamp("ns"))),
        _typed("a parquet of times past all calendars", pa.array([None, 2**62, None], pa.timestamp("ms"))),
        _typed("a parquet of times nowhere", pa.array([None, 1, None], pa.timestamp("us", tz="No/Where"))),
        _typed("a parquet of days past all calendars", pa.array([None, 2**30, None], pa.int32()).cast(pa.date32())),
        _typed("a parquet of decimals", pa.array([None, "2", None]).cast(pa.decimal128(9, 2)), shape="number"),
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


def _strings(*values: bytes) -> pa.Array:
    """Strings that Arrow takes for UTF-8 without looking."""
    found = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(values), found.buffers())


class Door:
    """Reads rows as a run does: checked, tokenised, labelled.

    Args:
        scratch: where to write files.
    """

    def __init__(self, scratch: Path) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self._scratch = scratch
        self._tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(write_encoder(scratch / "encoder"))

    def write(self, ending: str, content: bytes | Rows) -> tuple[Any, str]:
        """A source, and what errors call it."""
        if not isinstance(content, bytes):
            return content, "d: train"
        path = self._scratch / f"rows{ending}"
        path.write_bytes(content)
        return str(path), str(path)

    def __call__(self, source: Any, *, shape: str, on_bad_row: OnBadRow, listed: bool = True) -> tuple[str, ...]:
        """Go through it; what there is to tell comes back."""
        task = {key: value for key, value in KINDS[shape].items() if listed or key != "labels"}
        raw = {"data": {"files": {"train": source}, "on_bad_row": on_bad_row}, "input": INPUTS[shape]}
        config = DatasetConfig.model_validate({**raw, "tasks": {"task": task}})
        # What was prepared is of no use to the next.
        cache = self._scratch / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        once = patch.object(metadata, "version", _version)
        with patch.dict(environ, NLPMTL_CACHE=str(cache)), once, warnings.catch_warnings():
            warnings.simplefilter("error")
            return load_workload({"d": config}, tokenizer=self._tokenizer, max_length=32, splits=["train"]).notes


_version = remember(metadata.version)
"""Asked for each time, and slow to answer."""


def rows_by_hand(scratch: Path) -> Count:
    """Every kind of `bad_rows`: stopped at, and left out."""
    count = Count("kinds of bad rows, by hand: accepted, or refused with the file and the line; again with skip")
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
                wrong = _told(error) or _misplaced(error, None if expected is None else f"{where}{expected}")
            except Exception as error:
                wrong = _name(error)
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
        return f"it was refused: {_short(str(error))}"
    return None if expected in str(error) else f"no {expected!r} in {_short(str(error))}"


def _told(error: NlpmtlError) -> str | None:
    """What is wrong with how an error is told; None if it is fit to be printed and kept."""
    text = str(error)
    control = re.search(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]", text)
    return None if control is None else f"{control[0]!r} in the words of an error: {_short(text)}"


def _name(error: BaseException) -> str:
    return f"{type(error).__name__}: {_short(str(error))}"


def _short(text: str) -> str:
    return ascii(text if len(text) < 300 else f"{text[:300]}…")


def _quote(value: object) -> str:
    try:
        return _short(repr(value))
    except ValueError:  # an integer of too many digits
        return f"something with a {type(value).__name__}"


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
_STRINGS = st.text(_CHARACTERS, max_size=8) | st.sampled_from(
    ["x", "y", "O", "B-z", "1", "-1", "", "\0", "\ufeff", " "]
)
_NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from([0, 1, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**308, 10**309, 10**4299, 1e308, 5e-324, -0.0])
)
_LEAVES = st.none() | st.booleans() | _NUMBERS | _STRINGS
_VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_STRINGS, inner, max_size=3), max_leaves=8
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
    content = _json(*before, row, *after)
    return Chance(shape, ending, gzip.compress(content) if ending != ".jsonl" else content, len(before) + 1, listed)


@st.composite
def _lines(draw: st.DrawFn) -> Chance:
    """One line of arbitrary bytes between good ones."""
    shape = draw(st.sampled_from(sorted(GOOD)))
    line = draw(_BYTES).replace(b"\n", b"")
    end = draw(st.sampled_from([b"\n", b"\r\n"]))
    first, last = (_json(row).strip() for row in GOOD[shape])
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
            [(".jsonl", _json(*GOOD["class"])), (".jsonl.gz", _GZ), (".csv", _csv("a,x", "b,y")), (".parquet", _PQ)]
        )
    )
    return Chance("class", ending, draw(_mutated(content)))


def _mutated(content: bytes) -> st.SearchStrategy[bytes]:
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
            return _strings(*(draw(st.binary(max_size=3) | st.just(b"x")) for _ in range(3)))
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
    return Chance(draw(st.sampled_from(["class", "number", "set"])), ".parquet", _parquet(**columns))


_FILES = st.builds(
    Chance,
    shape=st.sampled_from(sorted(GOOD)),
    ending=st.sampled_from([".jsonl", ".jsonl.gz", ".csv", ".tsv", ".parquet"]),
    content=_BYTES | st.binary(max_size=40) | _BYTES.map(gzip.compress),
)
"""Files of arbitrary bytes."""


def rows_by_chance(scratch: Path, *, many: int) -> Count:
    """Arbitrary values, lines, cells, types and files; the same each time."""
    count = Count("bad rows by chance: accepted, or refused with the file and the line; again with skip")
    door = Door(scratch)

    def attempt(chance: Chance) -> None:
        source, where = door.write(chance.ending, chance.content)
        wrong = _attempt(door, chance, source, where)
        shown = "" if wrong is None else f"{chance.shape}{chance.ending} {_quote(chance.content)}"
        count.add(shown, wrong is None, wrong or "")

    _repeat(st.one_of(_objects(), _lines(), _cells(), _flipped(), _typed_columns(), _FILES), attempt, many=many)
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
            wrong = _told(error) or _lost(str(error), where=where, row=chance.row)
            if wrong is not None:
                return f"{on_bad_row}: {wrong}"
        except Exception as error:
            return f"{on_bad_row}: {_name(error)}"
        else:
            refused[on_bad_row] = None
            left_out = any("bad rows were left out" in note for note in notes)
            if left_out != (on_bad_row == "skip" and refused["stop"] is not None):
                return f"{on_bad_row}: what is told of it: {notes}"
        if time.perf_counter() - began > PATIENCE:
            return f"{on_bad_row}: it took {time.perf_counter() - began:.0f} s"
    if refused["stop"] is None and refused["skip"] is not None:
        return f"skip refuses what is good: {_short(refused['skip'])}"
    if chance.row is not None and refused["skip"] is not None and "is not in the list of labels" not in refused["skip"]:
        return f"one bad row is not left out: {_short(refused['skip'])}"
    return None


def _lost(text: str, *, where: str, row: int | None) -> str | None:
    """What is missing in the words of an error; None if a person finds the place."""
    if where not in text:
        return f"no {where!r} in {_short(text)}"
    place = re.search(re.escape(where) + r"(?::|: row |, row )(\d+): ", text)
    if place is None and ("problem(s) in" in text or row is not None):
        return f"no row in {_short(text)}"
    if place is not None and row is not None and int(place[1]) != row:
        return f"row {row} is wrong, and another is blamed: {_short(text)}"
    return None


def _repeat(strategy: st.SearchStrategy[Any], attempt: Callable[[Any], None], *, many: int) -> None:
    """Try so many, the same each time, and go on whatever happens."""

    @settings(
        max_examples=many,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def each(one: Any) -> None:
        attempt(one)

    each()


_LITERALS = (
    *(
        "0",
        "-1",
        "1",
        "true",
        "1e999",
        "-1e999",
        "nan",
        "inf",
        "-inf",
        "1e-400",
        "9" * 400,
        "9" * 5000,
        "0x" + "f" * 5000,
    ),
    *("[]", "{}", "[[]]", "[{}]", '[""]', '["a", "a"]', '["a", 1]', "1979-05-27", "1979-05-27T07:32:00Z", "07:32:00"),
    *(
        '""',
        '"a"',
        '"\\u0000"',
        '"a\\u0000b"',
        "'..'",
        "'../../x'",
        "'/'",
        "'/etc/passwd'",
        "'/dev/null'",
        "'~nobody_/x'",
    ),
    *("'con'", "'C:\\x'", "'package:'", "'package:__main__/x'", "'package:nlpmtl/../..'", "'package:nlpmtl/\x7f'"),
    *('"package:nlpmtl/\\u0000"', f"'{'a' * 5000}'", f"'{'a/' * 3000}'", f"'package:nlpmtl/{'a' * 5000}'", "'\u202e'"),
    *("[" * depth + "]" * depth for depth in (50, 300, 2000)),
    *("{ a = " * depth + "1" + " }" * depth for depth in (50, 300)),
    "{ kind = 'uniform' }",
    "{ train = 1, validation = [1] }",
)
_KEYS = (
    *(
        '""',
        '"../x"',
        '"\\u0000"',
        "'\u043a\u043b\u044e\u0447'",
        '"a.b"',
        "use",
        "kind",
        "files",
        "hub",
        "label",
        "labels",
    ),
    *("a" * 5000, ".".join("a" * 300), ".".join("a" * 1200), '"\\u001b[2J"', "train", "__class__", "model_config"),
    *("output", "plugins", "seed", "name", "data.files", "'[key]'"),
)
_TABLES = (
    *("[data]", "[[data]]", "[data.files]", "[input]", "[tasks]", "[tasks.'../x']", '[tasks."a b"]', "[tasks.type]"),
    *(
        "[datasets]",
        "[datasets.'/etc/x']",
        "[datasets.x]",
        "[datasets.x.data.files]",
        "[encoder]",
        "[[encoder]]",
        "[train]",
    ),
    *("[sampling]", "[weighting]", "[sharing]", "[eval]", "[limit]", f"[{'.'.join('a' * 300)}]", f"[tasks.{'a' * 65}]"),
    *("[", "[]", "['']", "[data", f"[datasets.x.{'.'.join('a' * 1200)}]"),
)
_PLUGINS = (
    "[]",
    "['']",
    "['..']",
    "['.x']",
    "['../x']",
    '["a\\u0000b"]',
    "['a b']",
    "['json']",
    "['nlpmtl.none']",
    "[1]",
)


@dataclass(frozen=True)
class Changed:
    """A config that was changed.

    Args:
        run: whether it is a run file, else one of a dataset.
        content: what is in it.
        overrides: what `--set` says beside it.
    """

    run: bool
    content: bytes
    overrides: tuple[str, ...] = ()


def _change(draw: st.DrawFn, lines: list[str], others: Sequence[str]) -> list[str]:
    """One change of a few lines."""
    at = draw(st.integers(0, len(lines) - 1))
    what = draw(
        st.sampled_from(["value", "value", "value", "key", "table", "drop", "double", "swap", "splice", "plugins"])
    )
    key, _, value = lines[at].partition("=")
    changed = list(lines)
    if what == "value" and value:
        changed[at] = f"{key}= {draw(st.sampled_from(_LITERALS))}"
    elif what == "value" or what == "table":
        changed.insert(at, draw(st.sampled_from(_TABLES)))
    elif what == "key":
        changed[at] = f"{draw(st.sampled_from(_KEYS))} = {value.strip() or draw(st.sampled_from(_LITERALS))}"
    elif what == "drop":
        del changed[at]
    elif what == "double":
        changed.insert(at, lines[at])
    elif what == "swap":
        other = draw(st.integers(0, len(lines) - 1))
        changed[at], changed[other] = changed[other], changed[at]
    elif what == "splice":
        changed.insert(at, draw(st.sampled_from(others)))
    else:
        changed.insert(0, f"plugins = {draw(st.sampled_from(_PLUGINS))}")
    return changed or [""]


@st.composite
def _changed(draw: st.DrawFn, files: Sequence[tuple[bool, str]]) -> Changed:
    run, text = draw(st.sampled_from(files))
    lines = text.splitlines()
    others = [line for _, other in files for line in other.splitlines() if line.strip()]
    for _ in range(draw(st.integers(0, 3))):
        lines = _change(draw, lines, others)
    content = "\n".join(lines).encode()
    if draw(st.integers(0, 3)) == 0:
        content = draw(_mutated(content))
    said = st.builds("{}={}".format, st.sampled_from([*_KEYS, *_DOTTED]), st.sampled_from(_LITERALS) | _STRINGS)
    overrides = draw(st.just(()) | st.just(()) | st.lists(said, max_size=2).map(tuple)) if run else ()
    return Changed(run, content, overrides)


_DOTTED = (
    *(
        "seed",
        "train.lr",
        "train.steps",
        "encoder",
        "encoder.name",
        "encoder.name.x",
        "datasets",
        "datasets.x.use",
        ".use",
    ),
    *("use", "a..b", ".", "sampling.kind", "datasets.support.limit.train", "output", "plugins", "eval.select"),
)


def _shipped(directory: Path) -> list[tuple[bool, str]]:
    """The configs to begin with, which are written where they find each other: whether it is a run, and its text."""
    shutil.copytree(shipped_configs(), directory, ignore=shutil.ignore_patterns("*.jsonl", "schemas"))
    run = make_run(directory / "own")
    own = to_toml(run)
    runs = [path.read_text(encoding="utf-8") for path in sorted((directory / "runs").glob("*.toml"))]
    datasets = [path.read_text(encoding="utf-8") for path in sorted(directory.glob("*.toml"))]
    tables = to_toml(run["datasets"]["words"])
    return [*((True, text) for text in [own, own, *runs]), *((False, text) for text in [tables, *datasets])]


def configs(scratch: Path, *, many: int) -> Count:
    """Shipped configs and one of our own, changed; the same each time."""
    count = Count("changed configs: accepted, or refused in our words, within a second")
    directory = scratch / "configs"
    files = _shipped(directory)
    (directory / "uses.toml").write_text(
        "encoder.name = 'me/encoder'\ndatasets.x.use = 'changed.toml'\ndatasets.x.limit.train = 3\n", encoding="utf-8"
    )

    def attempt(changed: Changed) -> None:
        path = directory / ("runs/changed.toml" if changed.run else "changed.toml")
        path.write_bytes(changed.content)
        began = time.process_time()
        wrong = None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for read in _readers(directory, path, changed):
                try:
                    read()
                except NlpmtlError as error:
                    wrong = wrong or (None if str(error) else "an error without words")
                except Exception as error:
                    wrong = wrong or _name(error)
        seconds = time.process_time() - began
        if seconds > MOMENT:
            wrong = wrong or f"it took {seconds:.1f} s"
        shown = f"{changed.content[-1500:].decode('utf-8', 'replace')!a} {_short(str(changed.overrides))}"
        count.add("" if wrong is None else shown, wrong is None, wrong or "")

    _repeat(_changed(files), attempt, many=many)
    return count


def _readers(directory: Path, path: Path, changed: Changed) -> Iterator[Callable[[], object]]:
    def run() -> None:
        config = load_config(path, overrides=dict(map(parse_override, changed.overrides)))
        plain_config(config, output=directory / "out")

    if changed.run:
        yield run
    else:
        yield lambda: parse_dataset(read_dataset(path), where=str(path))
        yield lambda: load_config(directory / "uses.toml")
