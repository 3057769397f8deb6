"""Checks of a model directory before and after it is loaded: sizes, added tokens, and a short forward pass.

A config.json may be damaged or hostile. Too large a size costs hours or all memory while the model is built, and a
wrong value fails in the first prediction, with an error that names neither the file nor the value.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from transformers import CONFIG_MAPPING, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.hub import cached_file, is_offline_mode  # type: ignore[attr-defined]  # from huggingface_hub

from nlpmtl.errors import ModelError
from nlpmtl.heads import Outputs, named_outputs
from nlpmtl.model.probe import LENGTHS, EmbeddingLookups, eval_copy, find_position_limit
from nlpmtl.saved_config import OWN_TYPE, check_config, check_min_length, check_own_config, is_size, read_table

_UNLIMITED = 10**9
_ADDED_TOKENS = 100_000


def check_files(name: str, *, error_prefix: str, revision: str | None = None) -> None:
    """Check the config and the tokenizer's files of a model before anything is built from them.

    Args:
        name: directory or Hub id.
        error_prefix: start of the error message, such as ``"the model 'a/b' cannot be loaded"``.
        revision: commit on the Hub.

    Raises:
        ModelError: a size in config.json is too large, or too many tokens are added.
    """
    path = find_file(name, "config.json", revision)
    config = {} if path is None else read_table(path, error_prefix=error_prefix)
    if config.get("model_type") == OWN_TYPE:
        check_own_config(config, error_prefix=error_prefix, is_read=partial(_is_read, config))
    else:
        config, _ = PretrainedConfig.get_config_dict(name, revision=revision)
        check_config(config, error_prefix=error_prefix, is_read=partial(_is_read, config))
    inner = config.get("encoder_config", config)
    rows = inner.get("vocab_size") if isinstance(inner, Mapping) else None
    check_added_tokens(name, revision=revision, rows=rows, error_prefix=error_prefix)


def _is_read(config: Mapping[str, Any], path: str) -> bool:
    """Return whether the value at a dotted key may be used to build the model.

    True for values that the config class of the model type declares, and for those named like a size, because some
    classes read values that they don't declare.
    """
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        return True
    key, _, rest = path.partition(".")
    if key not in _declared(kind):
        return is_size(path)
    value = config.get(key)
    return not (rest and isinstance(value, Mapping)) or _is_read(value, rest)


@cache
def _declared(model_type: str) -> frozenset[str]:
    """Return the names of the values that a model type's config class accepts, including aliases."""
    kind = CONFIG_MAPPING[model_type]
    names = set(kind.attribute_map)
    for base in kind.__mro__:
        names |= {*vars(base).get("__annotations__", {})}
        if isinstance(create := vars(base).get("__init__"), FunctionType):
            names |= {*inspect.signature(create).parameters}
    return frozenset(names)


def explain_load_error(error: Exception) -> str:
    """Return why transformers could not load a model, without its advice to run the code of the repository."""
    text = str(error)
    if is_offline_mode() and "couldn't find them in the cached files" in text:
        return (
            "HF_HUB_OFFLINE is set, and the Hub cache does not contain it. Load it once online (unset HF_HUB_OFFLINE)"
        )
    if "trust_remote_code" not in text:
        return text
    return (
        "it needs its own Python code (auto_map in its config.json or tokenizer_config.json), and code from a "
        "repository is never run. Use an encoder of an architecture that transformers includes"
    )


def check_added_tokens(name: str, *, revision: str | None, rows: object, error_prefix: str) -> None:
    """Check the number of added tokens before a tokenizer is built, which takes quadratic time in it.

    Args:
        name: directory or Hub id.
        revision: commit on the Hub.
        rows: size of the vocabulary in the model's config.
        error_prefix: start of the error message.

    Raises:
        ModelError: there are more added tokens than rows in the vocabulary, or more than 100,000.
    """
    limit = min(_ADDED_TOKENS, rows) if isinstance(rows, int) and rows > 0 else _ADDED_TOKENS
    for file, keys in (
        ("tokenizer.json", ("added_tokens",)),
        ("tokenizer_config.json", ("added_tokens_decoder", "additional_special_tokens", "extra_special_tokens")),
        ("special_tokens_map.json", ("additional_special_tokens",)),
        ("added_tokens.json", ()),
    ):
        path = find_file(name, file, revision)
        if path is None:
            continue
        content = read_table(path, error_prefix=error_prefix)
        lists = [content.get(key) for key in keys] if keys else [content]
        count = max((len(tokens) for tokens in lists if isinstance(tokens, list | Mapping)), default=0)
        if count > limit:
            raise ModelError(
                f"{error_prefix}: {file} adds {count} tokens, at most {limit} were expected. The file is damaged"
            )


def find_file(name: str, file: str, revision: str | None) -> Path | None:
    """Return the path of a file of a directory or a Hub repository; None if it is missing."""
    missing: dict[str, Any] = {
        "_raise_exceptions_for_missing_entries": False,
        "_raise_exceptions_for_gated_repo": False,
        "_raise_exceptions_for_connection_errors": False,
    }
    path = cached_file(name, file, revision=revision, **missing)
    return None if path is None else Path(path)


def check_length(config: PretrainedConfig, *, positions: int | None, error_prefix: str) -> None:
    """Check the maximum input length of a multi-task model.

    Args:
        config: config of the model.
        positions: maximum input length that its position tables allow; None if unknown.
        error_prefix: start of the error message.

    Raises:
        ModelError: the length is not an integer, or is outside the range that the encoder supports.
    """
    length = config.input_length
    check_min_length(length, error_prefix=error_prefix)
    declared = getattr(config.encoder_config, "max_position_embeddings", None)
    limits = [limit for limit in (declared, positions) if isinstance(limit, int) and limit > 0]
    if length > min(limits, default=_UNLIMITED):
        raise ModelError(
            f"{error_prefix}: config.json: input_length is {length}, but the encoder reads at most "
            f"{min(limits, default=_UNLIMITED)} tokens"
        )


def check_loaded(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, error_prefix: str) -> None:
    """Check that a multi-task model computes finite logits for short rows of the largest token id.

    Args:
        model: the model, in single precision on the CPU.
        tokenizer: its tokenizer.
        error_prefix: start of the error message.

    Raises:
        ModelError: the model fails, its logits are not finite, or its input length exceeds its position tables.
    """
    check_length(model.config, positions=None, error_prefix=error_prefix)
    copied, recorder = eval_copy(model), EmbeddingLookups()

    def compute(ids: Tensor) -> Mapping[str, Tensor | Outputs]:
        with recorder:
            words = torch.arange(ids.shape[1]).unsqueeze(0)  # each token is a word, for heads that read words
            logits: Mapping[str, Tensor | Outputs] = copied(input_ids=ids, words=words)
        return logits

    lookups = []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for length in LENGTHS:
            check_logits(compute, tokenizer, length=length, error_prefix=error_prefix)
            lookups.append(recorder.take())
    check_length(model.config, positions=find_position_limit(lookups), error_prefix=error_prefix)


def check_logits(
    compute: Callable[[Tensor], Mapping[str, Tensor | Outputs]],
    tokenizer: PreTrainedTokenizerBase,
    *,
    length: int,
    error_prefix: str,
) -> None:
    """Check that a model computes finite logits for a row of the largest token id.

    Args:
        compute: returns the logits of token ids, ``[1, length]``, by task.
        tokenizer: tokenizer of the model.
        length: number of tokens in the row.
        error_prefix: start of the error message.

    Raises:
        ModelError: the model fails, or a logit is not finite.
    """
    largest = max(tokenizer.get_vocab().values(), default=0)
    try:
        logits = compute(torch.full((1, length), largest))
    except Exception as error:  # errors of models and onnxruntime have no common base class
        text = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(
            f"{error_prefix}: {length} tokens with the id {largest}, the largest of its tokenizer, cannot be computed: "
            f"{text}. Its config.json or its tokenizer does not match its weights"
        ) from error
    for task, outputs in logits.items():
        if not all(bool(values.isfinite().all()) for values in named_outputs(outputs).values()):
            raise ModelError(
                f"{error_prefix}: the logits of the task {task!r} are not finite. Its config.json or its "
                "weights are damaged"
            )
