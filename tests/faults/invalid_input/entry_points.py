"""Loading of invalid rows as in a run, and checks of error messages."""

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
"""Rows in memory."""

PATIENCE = 10.0
"""Limit in seconds for a file of a few rows."""
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
"""Input and task by the name of the row format."""
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
    """Return a string array with unchecked UTF-8."""
    binary = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(values), binary.buffers())


GZIPPED = gzip.compress(jsonl(*GOOD["class"]), mtime=0)
PARQUET = parquet(text=pa.array(["a", "b"]), label=pa.array(["x", "y"]))
"""Valid rows as files."""


class RowLoader:
    """Loads rows like a run: validated, tokenised and with labels.

    Args:
        scratch: directory for the files.
    """

    def __init__(self, scratch: Path) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self._scratch = scratch
        self._tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(write_encoder(scratch / "encoder"))

    def write(self, extension: str, content: bytes | Rows) -> tuple[Any, str]:
        """Write a source, and return it with its name in errors."""
        if not isinstance(content, bytes):
            return content, "d: train"
        path = self._scratch / f"rows{extension}"
        path.write_bytes(content)
        return str(path), str(path)

    def __call__(self, source: Any, *, shape: str, on_bad_row: OnBadRow, listed: bool = True) -> tuple[str, ...]:
        """Load a source, and return the notes."""
        task = {key: value for key, value in KINDS[shape].items() if listed or key != "labels"}
        raw = {"data": {"files": {"train": source}, "on_bad_row": on_bad_row}, "input": INPUTS[shape]}
        config = DatasetConfig.model_validate({**raw, "tasks": {"task": task}})
        # Every call starts with an empty cache.
        cache = self._scratch / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        cached_version = patch.object(metadata, "version", _version)
        with patch.dict(environ, NLPMTL_CACHE=str(cache)), cached_version, warnings.catch_warnings():
            warnings.simplefilter("error")
            return load_task_datasets({"d": config}, tokenizer=self._tokenizer, max_length=32, splits=["train"]).notes


_version = remember(metadata.version)
"""Called on every load, and slow."""


def check_message(error: NlpmtlError) -> str | None:
    """Return a problem of an error message, a control character or a lone surrogate, or None."""
    text = str(error)
    control = re.search(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]", text)
    return None if control is None else f"{control[0]!r} in an error message: {short(text)}"


def describe_error(error: BaseException) -> str:
    return f"{type(error).__name__}: {short(str(error))}"


def short(text: str) -> str:
    return ascii(text if len(text) < 300 else f"{text[:300]}…")


def quote(value: object) -> str:
    try:
        return short(repr(value))
    except ValueError:  # an integer with too many digits
        return f"a value with a {type(value).__name__}"


def repeat(strategy: st.SearchStrategy[Any], attempt: Callable[[Any], None], *, repetitions: int) -> None:
    """Call `attempt` with random examples, the same on every run."""

    @settings(
        max_examples=repetitions,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run_example(example: Any) -> None:
        attempt(example)

    run_example()
