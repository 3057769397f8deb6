"""Rows read and tokenised directly, into memory: what comes from the cache is compared with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from transformers import PreTrainedTokenizerBase

from nlpmtl.config.dataset import DataConfig, InputConfig
from nlpmtl.data.encode import Encoded, Target, label
from nlpmtl.data.examples import Rows, find_sources
from nlpmtl.data.labels import Shape
from nlpmtl.data.prepare import prepare


def load_rows(
    data: DataConfig,
    *,
    input: InputConfig,
    columns: Mapping[str, Shape],
    limit: Mapping[str, int] | None = None,
    splits: Collection[str] | None = None,
) -> dict[str, Rows]:
    """The checked rows of each split of a dataset called d."""
    found = find_sources(data, input=input, columns=columns, limit=limit or {}, name="d", splits=splits)
    return found.read(found.wanted)


def encode(
    rows: Rows,
    *,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    targets: Mapping[str, Target],
    train: bool,
) -> Encoded:
    columns = {target.column: target.shape for target in targets.values()}
    return label(
        prepare(rows, columns=columns, tokenizer=tokenizer, max_length=max_length), targets=targets, train=train
    )
