"""Rows read and tokenised without the cache, as the reference for cached rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from transformers import PreTrainedTokenizerBase

from nlpmtl.config.dataset import DataConfig, InputConfig
from nlpmtl.data.dataset_reader import open_reader
from nlpmtl.data.examples import Examples
from nlpmtl.data.labels import LabelType
from nlpmtl.data.split_tokenization import tokenize_split
from nlpmtl.data.targets import LabelMapping
from nlpmtl.data.tokenized_split import TokenizedSplit, attach_labels


def load_rows(
    data: DataConfig,
    *,
    input: InputConfig,
    columns: Mapping[str, LabelType],
    limit: Mapping[str, int] | None = None,
    splits: Collection[str] | None = None,
) -> dict[str, Examples]:
    """Return the validated rows of each split of a dataset called d."""
    reader = open_reader(data, input=input, columns=columns, limit=limit or {}, name="d", splits=splits)
    return reader.read(reader.splits)


def encode(
    rows: Examples,
    *,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    mappings: Mapping[str, LabelMapping],
    train: bool,
) -> TokenizedSplit:
    columns = {mapping.column: mapping.type for mapping in mappings.values()}
    split = tokenize_split(rows, columns=columns, tokenizer=tokenizer, max_length=max_length)
    return attach_labels(split, mappings=mappings, train=train)
