"""Loading of tokenizers, also from directories without a ``tokenizer_config.json``."""

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

from nlpmtl.model.checks import find_file
from nlpmtl.model.suitability import model_class

_SPECIAL_TOKENS = {
    "pad_token": ("[PAD]", "<pad>", "<|padding|>"),
    "unk_token": ("[UNK]", "<unk>"),
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "mask_token": ("[MASK]", "<mask>"),
}
"""Common names of the special tokens of encoders."""
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "spm.model", "tokenizer.model")
"""Common names of the files with a tokenizer's vocabulary."""
_TYPES = "token_type_ids"


def load_tokenizer(name: str, *, config: PretrainedConfig, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Load a tokenizer; without a ``tokenizer_config.json``, exactly as ``tokenizer.json`` describes it.

    In that case transformers would use the architecture's tokenizer class with its defaults, such as lower case for
    BERT, instead of the settings in ``tokenizer.json``. Here special tokens are recognised by their common names, and
    ``token_type_ids`` are created if the architecture's tokenizer class does so and the encoder accepts them. An
    encoder with one token type gets none: some tokenizers give the second text of a pair the type 1.

    Args:
        name: directory or Hub id.
        config: config of the encoder.
        revision: commit, tag or branch on the Hub.

    Raises:
        ValueError: the vocabulary file is missing.
    """
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    if _has(name, "tokenizer_config.json", revision) or not _has(name, "tokenizer.json", revision):
        try:
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(name, config=config, **options)
        except Exception:  # errors of tokenizers have no common base class
            _check_vocabulary(name, PreTrainedTokenizerFast, revision)
            raise
        if tokenizer.is_fast:
            _check_vocabulary(name, type(tokenizer), revision)
        if getattr(config, "type_vocab_size", None) == 1:
            _set_types(tokenizer, used=False)
        return tokenizer
    fast: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(name, **options)
    _name_special_tokens(fast, pad=getattr(config, "pad_token_id", None))
    encoder, tokenizer_class = model_class(config), TOKENIZER_MAPPING.get(type(config), PreTrainedTokenizerFast)
    takes_types = encoder is not None and _TYPES in inspect.signature(encoder.forward).parameters
    makes_types = _TYPES in getattr(tokenizer_class, "model_input_names", ())
    _set_types(fast, used=takes_types and makes_types and getattr(config, "type_vocab_size", None) != 1)
    return fast


def _set_types(tokenizer: PreTrainedTokenizerBase, *, used: bool) -> None:
    """Set whether the encoder gets ``token_type_ids``."""
    names = [key for key in tokenizer.model_input_names if key != _TYPES]
    tokenizer.model_input_names = [*names, _TYPES] if used else names
    tokenizer.init_kwargs["model_input_names"] = tokenizer.model_input_names  # these are saved


def _check_vocabulary(name: str, kind: type[PreTrainedTokenizerBase], revision: str | None) -> None:
    """Check that there is a vocabulary file: without one, some tokenizer classes build a tiny vocabulary or fail."""
    files = dict.fromkeys((*_VOCABULARIES, *kind.vocab_files_names.values()))
    if not any(_has(name, file, revision) for file in files):
        raise ValueError(  # callers add the name of the model or encoder
            "it has no tokenizer, no vocabulary file such as tokenizer.json: without one "
            "transformers builds a tokenizer with little more than special tokens. Save the checkpoint's tokenizer "
            "next to its weights: AutoTokenizer.from_pretrained(…).save_pretrained(directory)"
        )


def _has(name: str, file: str, revision: str | None) -> bool:
    """Return whether a directory or a Hub repository has a file."""
    return find_file(name, file, revision) is not None


def _name_special_tokens(tokenizer: PreTrainedTokenizerFast, *, pad: int | None) -> None:
    """Set special tokens that are not set to added tokens with a common name."""
    added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    padding = None if pad is None else tokenizer.convert_ids_to_tokens(pad)
    for key, names in _SPECIAL_TOKENS.items():
        candidates = (padding, *names) if key == "pad_token" else names
        token = next((candidate for candidate in candidates if candidate in added), None)
        if token is not None and getattr(tokenizer, key) is None:
            setattr(tokenizer, key, token)
