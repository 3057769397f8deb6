"""Tokenizers of encoders and of models, also of directories without a ``tokenizer_config.json``."""

from __future__ import annotations

import inspect
from typing import Any

from transformers import (
    TOKENIZER_MAPPING,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.utils.hub import cached_file

from nlpmtl.model.suitability import model_class

_SPECIAL_TOKENS = {
    "pad_token": ("[PAD]", "<pad>", "<|padding|>"),
    "unk_token": ("[UNK]", "<unk>"),
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "mask_token": ("[MASK]", "<mask>"),
}
"""The usual names of the special tokens that encoders use."""
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "spm.model", "tokenizer.model")
"""The usual names of the files that a tokenizer's vocabulary is in."""
_TYPES = "token_type_ids"


def load_tokenizer(name: str, *, config: PretrainedConfig, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Load a tokenizer; without a ``tokenizer_config.json`` it is what ``tokenizer.json`` says.

    transformers would then take the class of the architecture with its defaults, such as lower case for BERT, in place
    of what is in ``tokenizer.json``. Here special tokens are those in the file with the usual names, and
    ``token_type_ids`` are made if the architecture's class of tokenizers makes them, and the encoder takes them.

    Args:
        name: a directory or a Hub id.
        config: the encoder's config.
        revision: a commit, tag or branch on the Hub.

    Raises:
        ValueError: there is no file with a vocabulary.
    """
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    if _has(name, "tokenizer_config.json", revision) or not _has(name, "tokenizer.json", revision):
        try:
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(name, config=config, **options)
        except Exception:  # it has no base of its own
            _check_vocabulary(name, PreTrainedTokenizerFast, revision)
            raise
        if tokenizer.is_fast:
            _check_vocabulary(name, type(tokenizer), revision)
        return tokenizer
    fast: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(name, **options)
    _name_special_tokens(fast, pad=getattr(config, "pad_token_id", None))
    encoder, usual = model_class(config), TOKENIZER_MAPPING.get(type(config), PreTrainedTokenizerFast)
    takes_types = encoder is not None and _TYPES in inspect.signature(encoder.forward).parameters
    makes_types = _TYPES in getattr(usual, "model_input_names", ())
    names = [key for key in fast.model_input_names if key != _TYPES]
    fast.model_input_names = [*names, _TYPES] if takes_types and makes_types else names
    fast.init_kwargs["model_input_names"] = fast.model_input_names  # which are saved with it
    return fast


def _check_vocabulary(name: str, kind: type[PreTrainedTokenizerBase], revision: str | None) -> None:
    """Check that a tokenizer has a file: without any, some classes build one of a few tokens, and others fail."""
    files = dict.fromkeys((*_VOCABULARIES, *kind.vocab_files_names.values()))
    if not any(_has(name, file, revision) for file in files):
        raise ValueError(  # callers say which model or encoder it is
            "it has no tokenizer: there is no file with a vocabulary, such as tokenizer.json, and one that "
            "transformers builds without it knows little more than special tokens. Save the checkpoint's tokenizer "
            "next to its weights: AutoTokenizer.from_pretrained(…).save_pretrained(directory)"
        )


def _has(name: str, file: str, revision: str | None) -> bool:
    """Whether a directory or a repository has a file."""
    missing: dict[str, Any] = {
        "_raise_exceptions_for_missing_entries": False,
        "_raise_exceptions_for_connection_errors": False,
        "_raise_exceptions_for_gated_repo": False,
    }
    return cached_file(name, file, revision=revision, **missing) is not None


def _name_special_tokens(tokenizer: PreTrainedTokenizerFast, *, pad: int | None) -> None:
    """Set the special tokens that are not set to those among the added tokens that have a usual name."""
    added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    padding = None if pad is None else tokenizer.convert_ids_to_tokens(pad)
    for key, names in _SPECIAL_TOKENS.items():
        candidates = (padding, *names) if key == "pad_token" else names
        token = next((candidate for candidate in candidates if candidate in added), None)
        if token is not None and getattr(tokenizer, key) is None:
            setattr(tokenizer, key, token)
