"""Rows read and tokenised directly, into memory: what comes from the cache is compared with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from transformers import PreTrainedTokenizerBase

from nlpmtl.config.dataset import DataConfig, InputConfig
from nlpmtl.data.dataset_reader import open_reader
from nlpmtl.data.encode import Encoded, Target, label
from nlpmtl.data.examples import Examples
from nlpmtl.data.labels import LabelType
from nlpmtl.data.tokenized_split import tokenize_split


def load_rows(
    data: DataConfig,
    *,
    input: InputConfig,
    columns: Mapping[str, LabelType],
    limit: Mapping[str, int] | None = None,
    splits: Collection[str] | None = None,
) -> dict[str, Examples]:
    """The checked rows of each split of a dataset called d."""
    reader = open_reader(data, input=input, columns=columns, limit=limit or {}, name="d", splits=splits)
    return reader.read(reader.splits)


def encode(
    rows: Examples,
    *,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    targets: Mapping[str, Target],
    train: bool,
) -> Encoded:
    columns = {target.column: target.shape for target in targets.values()}
    return label(
        tokenize_split(rows, columns=columns, tokenizer=tokenizer, max_length=max_length), targets=targets, train=train
    )
