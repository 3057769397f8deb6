"""How hostile rows come in, and what is said of them."""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import warnings
from collections.abc import Callable, Sequence
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

from nlpmtl.config import DatasetConfig
from nlpmtl.errors import NlpmtlError
from nlpmtl.task_datasets import load_task_datasets
from tests.tiny import write_encoder

OnBadRow = Literal["stop", "skip"]
Rows = Sequence[Any]
"""Rows that Python hands over."""

PATIENCE = 10.0
"""Seconds that a file of a few rows may take."""
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


def jsonl(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def csv(*lines: str, delimiter: str = ",") -> bytes:
    return "".join(line.replace(",", delimiter) + "\n" for line in ("text,label", *lines)).encode()


def parquet(**columns: pa.Array) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def strings(*values: bytes) -> pa.Array:
    """Strings that Arrow takes for UTF-8 without looking."""
    found = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(values), found.buffers())


GZIPPED = gzip.compress(jsonl(*GOOD["class"]), mtime=0)
PARQUET = parquet(text=pa.array(["a", "b"]), label=pa.array(["x", "y"]))
"""The good rows of one shape."""


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
            return load_task_datasets({"d": config}, tokenizer=self._tokenizer, max_length=32, splits=["train"]).notes


_version = remember(metadata.version)
"""Asked for each time, and slow to answer."""


def told(error: NlpmtlError) -> str | None:
    """What is wrong with how an error is told; None if it is fit to be printed and kept."""
    text = str(error)
    control = re.search(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]", text)
    return None if control is None else f"{control[0]!r} in the words of an error: {short(text)}"


def name_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {short(str(error))}"


def short(text: str) -> str:
    return ascii(text if len(text) < 300 else f"{text[:300]}…")


def quote(value: object) -> str:
    try:
        return short(repr(value))
    except ValueError:  # an integer of too many digits
        return f"something with a {type(value).__name__}"


def repeat(strategy: st.SearchStrategy[Any], attempt: Callable[[Any], None], *, many: int) -> None:
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
