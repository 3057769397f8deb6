"""Checks of a model directory before and after it is loaded: sizes, added tokens, and a short forward pass.

A config.json may be damaged or hostile. A size that is too large costs hours or all memory while the model is built,
and a value that is wrong fails in the first prediction, with an error that names neither the file nor the value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.hub import cached_file

from nlpmtl.errors import ModelError
from nlpmtl.model.probe import LENGTHS, Lookups, find_positions, twin

_MOST = (
    (re.compile(r"num_labels|(.*_)?experts"), 100_000),
    (re.compile(r"(.*_)?(n?layers?|groups|group_num|block_sizes|block_repeats)"), 1_000),
    (re.compile(r"(.*_)?(labels|id2label|label2id)"), 1_000_000),
)
"""Keys of config.json whose values are counted while a model is built, and the largest that is built."""
_LARGEST = 10**9
"""The largest of all other integers."""
_ADDED_TOKENS = 100_000
_LEAST_LENGTH = 4
"""Tokens that a pair needs: three special ones, and one of text."""


def check_files(name: str, *, failed: str, revision: str | None = None) -> None:
    """Check the config and the tokenizer's files of a model before anything is built from them.

    Args:
        name: a directory, or a Hub id.
        failed: how the message begins, such as ``"the model 'a/b' cannot be loaded"``.
        revision: a commit of the Hub's.

    Raises:
        ModelError: a size in config.json is too large, or too many tokens are added.
    """
    config, _ = PretrainedConfig.get_config_dict(name, revision=revision)
    check_config(config, failed=failed)
    inner = config.get("encoder_config", config)
    rows = inner.get("vocab_size") if isinstance(inner, Mapping) else None
    check_added_tokens(name, revision=revision, rows=rows, failed=failed)


def check_config(config: Mapping[str, Any], *, failed: str) -> None:
    """Check the sizes in a config.json, configs inside it too, before anything is built from it.

    Args:
        config: the content of the file.
        failed: how the message begins, such as ``"the model 'a/b' cannot be loaded"``.

    Raises:
        ModelError: a size is too large.
    """
    for path, key, value in _values(config):
        size = len(value) if isinstance(value, list | Mapping) else value
        if isinstance(size, bool) or not isinstance(size, int | float):
            continue
        most = next((most for pattern, most in _MOST if pattern.fullmatch(key)), _LARGEST)
        if most == _LARGEST and isinstance(size, float):
            continue
        if not (size <= most and size >= -_LARGEST):
            found = f"{size} entries" if size is not value else f"{size}"
            raise ModelError(
                f"{failed}: config.json: {path}: {found}, at most {most} were expected. The file is damaged"
            )


def _values(config: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield each value with its dotted key and the last part of it."""
    for key, value in config.items():
        place = f"{path}.{key}" if path else str(key)
        yield place, str(key), value
        if isinstance(value, Mapping):
            yield from _values(value, place)
        elif isinstance(value, list):
            yield from ((place, str(key), one) for one in value if isinstance(one, int))


def check_added_tokens(name: str, *, revision: str | None, rows: object, failed: str) -> None:
    """Check how many tokens are added to a tokenizer's vocabulary, before it is built: that takes time with the square.

    Args:
        name: a directory, or a Hub id.
        revision: a commit of the Hub's.
        rows: the size of the vocabulary by the model's config.
        failed: how the message begins.

    Raises:
        ModelError: there are more than the vocabulary has, or than 100,000.
    """
    most = min(_ADDED_TOKENS, rows) if isinstance(rows, int) and rows > 0 else _ADDED_TOKENS
    for file, keys in (
        ("tokenizer.json", ("added_tokens",)),
        ("tokenizer_config.json", ("added_tokens_decoder", "additional_special_tokens", "extra_special_tokens")),
        ("special_tokens_map.json", ("additional_special_tokens",)),
        ("added_tokens.json", ()),
    ):
        path = cached_file(
            name,
            file,
            revision=revision,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_connection_errors=False,
        )
        if path is None:
            continue
        with open(path, encoding="utf-8") as opened:  # noqa: PTH123
            content = json.load(opened)
        lists = [content.get(key) for key in keys] if keys and isinstance(content, Mapping) else [content]
        count = max((len(one) for one in lists if isinstance(one, list | Mapping)), default=0)
        if count > most:
            raise ModelError(f"{failed}: {file} adds {count} tokens, at most {most} were expected. The file is damaged")


def check_length(config: PretrainedConfig, *, positions: int | None, failed: str) -> None:
    """Check the longest input of a multi-task model.

    Args:
        config: of the model.
        positions: the longest input that its position tables allow; None if that is not known.
        failed: how the message begins.

    Raises:
        ModelError: it is not an integer that the model can read.
    """
    length = config.input_length
    if isinstance(length, bool) or not isinstance(length, int) or length < _LEAST_LENGTH:
        raise ModelError(
            f"{failed}: config.json: input_length: an integer of at least {_LEAST_LENGTH} was expected, "
            f"found {json.dumps(length)}"
        )
    declared = getattr(config.encoder_config, "max_position_embeddings", None)
    limits = [limit for limit in (declared, positions) if isinstance(limit, int) and limit > 0]
    if length > min(limits, default=_LARGEST):
        raise ModelError(
            f"{failed}: config.json: input_length is {length}, but the encoder reads at most "
            f"{min(limits, default=_LARGEST)} tokens"
        )


def check_loaded(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, failed: str) -> None:
    """Check that a multi-task model computes logits: that of short rows, with the largest token id of its tokenizer.

    Args:
        model: the model, in single precision on the CPU.
        tokenizer: its tokenizer.
        failed: how the message begins.

    Raises:
        ModelError: it fails, its logits are not finite, or its longest input is longer than its position tables.
    """
    check_length(model.config, positions=None, failed=failed)
    copied, recorder = twin(model), Lookups()

    def compute(ids: Tensor) -> Mapping[str, Tensor]:
        with recorder:
            logits: Mapping[str, Tensor] = copied(input_ids=ids)
        return logits

    lookups = []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for length in LENGTHS:
            check_logits(compute, tokenizer, length=length, failed=failed)
            lookups.append(recorder.take())
    check_length(model.config, positions=find_positions(lookups), failed=failed)


def check_logits(
    compute: Callable[[Tensor], Mapping[str, Tensor]], tokenizer: PreTrainedTokenizerBase, *, length: int, failed: str
) -> None:
    """Check that a model computes finite logits for a row of the largest token id.

    Args:
        compute: the logits of token ids, ``[1, length]``, by task.
        tokenizer: the model's tokenizer.
        length: of the row.
        failed: how the message begins.

    Raises:
        ModelError: it fails, or a logit is not finite.
    """
    largest = max(tokenizer.get_vocab().values(), default=0)
    try:
        logits = compute(torch.full((1, length), largest))
    except Exception as error:  # what models and onnxruntime raise has no base of its own
        text = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(
            f"{failed}: {length} tokens with the id {largest}, the largest of its tokenizer, cannot be computed: {text}"
            ". Its config.json or its tokenizer does not belong to its weights"
        ) from error
    for task, values in logits.items():
        if not bool(values.isfinite().all()):
            raise ModelError(
                f"{failed}: the logits of the task {task!r} are not finite. Its config.json or its weights are damaged"
            )
