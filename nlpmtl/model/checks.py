"""Checks of a model directory before and after it is loaded: sizes, added tokens, and a short forward pass.

A config.json may be damaged or hostile. A size that is too large costs hours or all memory while the model is built,
and a value that is wrong fails in the first prediction, with an error that names neither the file nor the value.
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
from transformers.utils.hub import cached_file

from nlpmtl.errors import ModelError
from nlpmtl.heads import Outputs, named_outputs
from nlpmtl.model.probe import LENGTHS, Lookups, find_positions, twin
from nlpmtl.saved_config import OWN_TYPE, check_config, check_least_length, check_own_config, is_size, read_table

_UNLIMITED = 10**9
_ADDED_TOKENS = 100_000


def check_files(name: str, *, failed: str, revision: str | None = None) -> None:
    """Check the config and the tokenizer's files of a model before anything is built from them.

    Args:
        name: a directory, or a Hub id.
        failed: how the message begins, such as ``"the model 'a/b' cannot be loaded"``.
        revision: a commit of the Hub's.

    Raises:
        ModelError: a size in config.json is too large, or too many tokens are added.
    """
    path = _find(name, "config.json", revision)
    config = {} if path is None else read_table(path, failed=failed)
    if config.get("model_type") == OWN_TYPE:
        check_own_config(config, failed=failed, is_read=partial(_is_read, config))
    else:
        config, _ = PretrainedConfig.get_config_dict(name, revision=revision)
        check_config(config, failed=failed, is_read=partial(_is_read, config))
    inner = config.get("encoder_config", config)
    rows = inner.get("vocab_size") if isinstance(inner, Mapping) else None
    check_added_tokens(name, revision=revision, rows=rows, failed=failed)


def _is_read(config: Mapping[str, Any], path: str) -> bool:
    """Return whether a model may be built from the value at a dotted key.

    That is what the config class of its type declares, and what has the name of a size: some classes read values that
    they don't declare.
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
    """Return the names of the values that a model type's config class takes, other names for them included."""
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
    if "trust_remote_code" not in text:
        return text
    return (
        "it has Python code of its own (auto_map in its config.json or tokenizer_config.json), and the code of a "
        "repository is never run. Use an encoder of an architecture that transformers has"
    )


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
        path = _find(name, file, revision)
        if path is None:
            continue
        content = read_table(path, failed=failed)
        lists = [content.get(key) for key in keys] if keys else [content]
        count = max((len(one) for one in lists if isinstance(one, list | Mapping)), default=0)
        if count > most:
            raise ModelError(f"{failed}: {file} adds {count} tokens, at most {most} were expected. The file is damaged")


def _find(name: str, file: str, revision: str | None) -> Path | None:
    """The path of a file of a directory or a repository; None if there is none."""
    missing: dict[str, Any] = {
        "_raise_exceptions_for_missing_entries": False,
        "_raise_exceptions_for_gated_repo": False,
        "_raise_exceptions_for_connection_errors": False,
    }
    path = cached_file(name, file, revision=revision, **missing)
    return None if path is None else Path(path)


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
    check_least_length(length, failed=failed)
    declared = getattr(config.encoder_config, "max_position_embeddings", None)
    limits = [limit for limit in (declared, positions) if isinstance(limit, int) and limit > 0]
    if length > min(limits, default=_UNLIMITED):
        raise ModelError(
            f"{failed}: config.json: input_length is {length}, but the encoder reads at most "
            f"{min(limits, default=_UNLIMITED)} tokens"
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

    def compute(ids: Tensor) -> Mapping[str, Tensor | Outputs]:
        with recorder:
            logits: Mapping[str, Tensor | Outputs] = copied(input_ids=ids)
        return logits

    lookups = []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for length in LENGTHS:
            check_logits(compute, tokenizer, length=length, failed=failed)
            lookups.append(recorder.take())
    check_length(model.config, positions=find_positions(lookups), failed=failed)


def check_logits(
    compute: Callable[[Tensor], Mapping[str, Tensor | Outputs]],
    tokenizer: PreTrainedTokenizerBase,
    *,
    length: int,
    failed: str,
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
    for task, outputs in logits.items():
        if not all(bool(values.isfinite().all()) for values in named_outputs(outputs).values()):
            raise ModelError(
                f"{failed}: the logits of the task {task!r} are not finite. Its config.json or its weights are damaged"
            )
