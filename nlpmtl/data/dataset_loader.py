"""Loading a dataset: tokenized splits from the cache, else read, validated, tokenized and cached."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nlpmtl.config.dataset import FORMAT_KEYS, DataConfig, InputConfig
from nlpmtl.data.column_types import column_type
from nlpmtl.data.dataset_cache import Cache, cache_directory
from nlpmtl.data.dataset_reader import DatasetReader, open_reader
from nlpmtl.data.labels import LabelType
from nlpmtl.data.split_tokenization import tokenize_split
from nlpmtl.data.task_tokenization import TaskMethods, compute_targets, read_targets_of_tasks
from nlpmtl.data.tokenization import without_truncation
from nlpmtl.data.tokenized_split import TokenizedSplit, read_tokenized_split
from nlpmtl.data.validation import ParseContext
from nlpmtl.errors import DataError
from nlpmtl.plugins import digest_module

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

T = TypeVar("T")
_FORMAT = 17
"""The version of the cache format; increase it when files or the processing of rows change."""
_PACKAGES = ("nlpmtl", "tokenizers", "transformers")
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""Exceptions that a damaged cache entry raises."""


class DatasetLoader:
    """A loader of datasets for one encoder.

    Args:
        tokenizer: a fast tokenizer.
        max_length: the maximum number of tokens of a row.

    Attributes:
        notes: messages for the user: the cache cannot be written.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, max_length: int) -> None:
        self.notes: list[str] = []
        self.tokenizer = without_truncation(tokenizer)
        self._max_length = max_length
        self._cache = Cache(cache_directory())
        self._common_key = {
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
        context: ParseContext | None = None,
    ) -> dict[str, TokenizedSplit]:
        """Return the tokenized splits of a dataset. See `open_reader` and `DatasetReader` for arguments and errors."""
        reader = open_reader(data, input=input, columns=columns, limit=limit, name=name, splits=splits, context=context)
        keys = self._keys(reader, reader.splits)
        loaded = self._read_cached(keys)
        missing = {split: key for split, key in keys.items() if split not in loaded}
        missing_keys = sorted(filter(None, missing.values()))
        with self._cache.locked(_digest(missing_keys)) if missing_keys else nullcontext():
            loaded |= self._read_cached(missing)  # another process may have written them while this one waited
            missing = {split: key for split, key in missing.items() if split not in loaded}
            loaded |= self._tokenize(reader, missing) if missing else {}
        return {split: replace(loaded[split], key=keys[split]) for split in reader.splits}

    def compute_targets(
        self, split: TokenizedSplit, methods: Mapping[str, TaskMethods], *, depends_on: Any
    ) -> TokenizedSplit:
        """Return a split with the sequences and targets that task types define, from the cache or computed.

        Args:
            split: the rows, whose `labels` of these tasks are those of `parse_columns`.
            methods: task -> the methods that its type defines.
            depends_on: all that the result depends on besides the split, as plain values; None if it is not cached.

        Raises:
            DataError: see `nlpmtl.data.task_tokenization.compute_targets`.
        """
        key = None if split.key is None or depends_on is None else _digest([split.key, list(methods), depends_on])
        with self._cache.locked(key) if key is not None else nullcontext():
            entry = None if key is None else self._cache.find(key)
            if entry is not None:
                with suppress(*_UNREADABLE):
                    return read_targets_of_tasks(split, entry)

            def compute(directory: Path | None) -> TokenizedSplit:
                return compute_targets(
                    split, methods, tokenizer=self.tokenizer, max_length=self._max_length, directory=directory
                )

            what = f"{split.where}: the targets of {', '.join(methods)} are"
            if key is not None:
                try:
                    with self._cache.add(key) as directory:
                        return compute(directory)
                except OSError as error:
                    self.notes.append(f"{what} not cached: {error}")
            return self._without_cache(compute, what=what)

    def _without_cache(self, compute: Callable[[Path | None], T], *, what: str) -> T:
        """Return what a function computes with temporary files in a directory, or in memory if there can be none."""
        try:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
                return compute(Path(scratch))
        except OSError as error:
            self.notes.append(f"{what} kept in memory: {error}")
            return compute(None)

    def _read_cached(self, keys: Mapping[str, str | None]) -> dict[str, TokenizedSplit]:
        cached = {}
        for split, key in keys.items():
            entry = None if key is None else self._cache.find(key)
            if entry is not None:
                with suppress(*_UNREADABLE):  # removed by another process meanwhile, or written by another program
                    cached[split] = read_tokenized_split(entry)
        return cached

    def _tokenize(self, reader: DatasetReader, keys: Mapping[str, str | None]) -> dict[str, TokenizedSplit]:
        """Tokenize splits into the cache; if it is not writable, into temporary files, else into memory."""
        what = f"{reader.name}: tokenized data is"
        if any(keys.values()):
            try:
                with self._cache.scratch() as scratch:
                    return self._tokenize_into(reader, keys, scratch=scratch)
            except OSError as error:
                self.notes.append(f"{what} not cached: {error}")
        return self._without_cache(
            lambda directory: self._tokenize_into(reader, dict.fromkeys(keys), scratch=directory), what=what
        )

    def _tokenize_into(
        self, reader: DatasetReader, keys: Mapping[str, str | None], *, scratch: Path | None
    ) -> dict[str, TokenizedSplit]:
        """Read and tokenize splits. Their memory maps stay valid when the files are moved or removed."""
        examples = reader.read(keys, directory=scratch)
        tokenized = {}
        for split, key in keys.items():
            with self._directory(key, scratch=scratch) as directory:
                tokenized[split] = tokenize_split(
                    examples[split],
                    columns=reader.columns,
                    extra=reader.context.extra,
                    tokenizer=self.tokenizer,
                    max_length=self._max_length,
                    directory=directory,
                )
                if key is not None and self._keys(reader, [split])[split] != key:
                    where = examples[split].where
                    raise DataError(f"{where}: changed while it was read; start again when it is complete")
        return tokenized

    @contextmanager
    def _directory(self, key: str | None, *, scratch: Path | None) -> Iterator[Path | None]:
        if key is not None:
            with self._cache.add(key) as directory:
                yield directory
        else:
            yield None if scratch is None else Path(tempfile.mkdtemp(dir=scratch))

    def _keys(self, reader: DatasetReader, splits: Collection[str]) -> dict[str, str | None]:
        """Return the cache key of each split: a digest of everything that its tokenized rows depend on."""
        fingerprints: dict[int, str | None] = {}
        keys: dict[str, str | None] = {}
        types = _digest_types({*reader.columns.values(), *reader.context.extra.values()})
        for split in splits:
            source = reader.source_of(split)
            if id(source) not in fingerprints:
                fingerprints[id(source)] = source.fingerprint()
            key_parts = {
                "split": split,
                "source": fingerprints[id(source)],
                "share": reader.validation_fraction,
                "limit": reader.limit.get(split),
                "input": reader.input.model_dump(),
                "columns": list(reader.columns.items()),
                "context": _describe_context(reader.context),
                "types": types,
                "on_bad_row": reader.data.on_bad_row,
                "text_format": reader.data.model_dump(include=FORMAT_KEYS, mode="json"),
            }
            unknown = key_parts["source"] is None or types is None
            keys[split] = None if unknown else _digest({**self._common_key, **key_parts})
        return keys


def _describe_context(context: ParseContext) -> list[Any]:
    needed = {column: sorted(names) for column, names in context.needed.items()}
    return [list(context.extra.items()), context.earlier, needed]


def _digest_types(types: Collection[LabelType]) -> list[str] | None:
    """Return digests of the source code of the column types; None if it is unknown."""
    digests = [digest_module(module) for module in sorted({column_type(name).__module__ for name in types})]
    return None if None in digests else [digest for digest in digests if digest is not None]


def _describe(tokenizer: PreTrainedTokenizerBase) -> list[Any]:
    """Return everything that the tokens depend on; truncation and padding are settings of each call."""
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    rest = {key: value for key, value in backend.items() if key not in ("truncation", "padding")}
    settings = [sorted(tokenizer.model_input_names), tokenizer.truncation_side, tokenizer.split_special_tokens]
    return [type(tokenizer).__qualname__, *settings, tokenizer.special_tokens_map, rest]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
