"""The splits of a dataset, prepared: from the cache where they are there, else read, checked, tokenised and kept."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from nlpmtl.config.dataset import FORMAT_KEYS, DataConfig, InputConfig
from nlpmtl.data.dataset_cache import Cache, cache_directory
from nlpmtl.data.dataset_reader import DatasetReader, open_reader
from nlpmtl.data.labels import LabelType
from nlpmtl.data.tokenized_split import TokenizedSplit, read_tokenized_split, tokenize_split
from nlpmtl.data.tokenizer import without_truncation
from nlpmtl.errors import DataError

_FORMAT = 7
"""Changes with what is written, and with what becomes of a row."""
_PACKAGES = ("nlpmtl", "tokenizers", "transformers")
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""What reading an entry raises."""


class DatasetLoader:
    """Prepares datasets for one encoder.

    Args:
        tokenizer: a fast one.
        max_length: of a row, in tokens.

    Attributes:
        notes: what to tell a person: the cache could not be written.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, max_length: int) -> None:
        self.notes: list[str] = []
        self._tokenizer = without_truncation(tokenizer)
        self._max_length = max_length
        self._cache = Cache(cache_directory())
        self._recipe = {
            "format": _FORMAT,
            "versions": {name: metadata.version(name) for name in _PACKAGES},
            "tokenizer": _digest(_describe(tokenizer)),
            "max_length": max_length,
        }

    def __call__(
        self,
        data: DataConfig,
        *,
        input: InputConfig,
        columns: Mapping[str, LabelType],
        limit: Mapping[str, int],
        name: str,
        splits: Collection[str] | None = None,
    ) -> dict[str, TokenizedSplit]:
        """The splits of a dataset; arguments and errors as of `open_reader` and `DatasetReader.read`.

        Returns:
            Our split name = its rows.
        """
        sources = open_reader(data, input=input, columns=columns, limit=limit, name=name, splits=splits)
        keys = self._keys(sources, sources.splits)
        found = self._find(keys)
        missing = {split: key for split, key in keys.items() if split not in found}
        kept = sorted(filter(None, missing.values()))
        with self._cache.alone(_digest(kept)) if kept else nullcontext():
            found |= self._find(missing)
            missing = {split: key for split, key in missing.items() if split not in found}
            found |= self._make(sources, missing) if missing else {}
        return {split: found[split] for split in sources.splits}

    def _find(self, keys: Mapping[str, str | None]) -> dict[str, TokenizedSplit]:
        found = {}
        for split, key in keys.items():
            entry = None if key is None else self._cache.find(key)
            if entry is not None:
                with suppress(*_UNREADABLE):  # removed by another process since, or not of our making: it is not there
                    found[split] = read_tokenized_split(entry)
        return found

    def _make(self, sources: DatasetReader, keys: Mapping[str, str | None]) -> dict[str, TokenizedSplit]:
        """In the cache; where that cannot be written, in temporary files; where those cannot either, in memory."""
        if any(keys.values()):
            try:
                with self._cache.scratch() as scratch:
                    return self._prepare(sources, keys, scratch=scratch)
            except OSError as error:
                self.notes.append(f"{sources.name}: prepared rows are not kept: {error}")
        unkept = dict.fromkeys(keys)
        try:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
                return self._prepare(sources, unkept, scratch=Path(scratch))
        except OSError as error:
            self.notes.append(f"{sources.name}: prepared rows are held in memory: {error}")
            return self._prepare(sources, unkept, scratch=None)

    def _prepare(
        self, sources: DatasetReader, keys: Mapping[str, str | None], *, scratch: Path | None
    ) -> dict[str, TokenizedSplit]:
        """What is mapped into memory stays there, also when its files have been moved or removed."""
        rows = sources.read(keys, directory=scratch)
        found = {}
        for split, key in keys.items():
            with self._directory(key, scratch=scratch) as directory:
                found[split] = tokenize_split(
                    rows[split],
                    columns=sources.columns,
                    tokenizer=self._tokenizer,
                    max_length=self._max_length,
                    directory=directory,
                )
                if key is not None and directory is not None:
                    found[split].write_metadata(directory)
                    if self._keys(sources, [split])[split] != key:
                        raise DataError(f"{rows[split].where}: changed while it was read; start again when it is whole")
        return found

    @contextmanager
    def _directory(self, key: str | None, *, scratch: Path | None) -> Iterator[Path | None]:
        if key is not None:
            with self._cache.add(key) as directory:
                yield directory
        else:
            yield None if scratch is None else Path(tempfile.mkdtemp(dir=scratch))

    def _keys(self, sources: DatasetReader, splits: Collection[str]) -> dict[str, str | None]:
        """What each split's entry is called: another where anything is different that its rows depend on."""
        fingerprints: dict[int, str | None] = {}
        keys: dict[str, str | None] = {}
        for split in splits:
            source = sources.source_of(split)
            if id(source) not in fingerprints:
                fingerprints[id(source)] = source.fingerprint()
            own = {
                "split": split,
                "source": fingerprints[id(source)],
                "share": sources.held_out,
                "limit": sources.limit.get(split),
                "input": sources.input.model_dump(),
                "columns": list(sources.columns.items()),
                "on_bad_row": sources.data.on_bad_row,
                "text_format": sources.data.model_dump(include=FORMAT_KEYS, mode="json"),
            }
            keys[split] = None if own["source"] is None else _digest({**self._recipe, **own})
        return keys


def _describe(tokenizer: PreTrainedTokenizerBase) -> list[Any]:
    """All that its tokens depend on; how it cuts and pads is set anew in each call."""
    whole = json.loads(tokenizer.backend_tokenizer.to_str())
    rest = {key: value for key, value in whole.items() if key not in ("truncation", "padding")}
    names = sorted(tokenizer.model_input_names)
    return [type(tokenizer).__qualname__, names, tokenizer.truncation_side, tokenizer.split_special_tokens, rest]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
