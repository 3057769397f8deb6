"""Tokenizers of different families, built in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from tests.tiny import WORDS, write_encoder

_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
_CORPUS = [" ".join(WORDS), " ".join(reversed(WORDS)), "Ada's lamp, in Turin: good!"] * 3


def _wrap(tokenizer: Tokenizer) -> PreTrainedTokenizerBase:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        cls_token="<s>",
        sep_token="</s>",
        mask_token="<mask>",
        model_input_names=["input_ids", "attention_mask"],
    )


@cache
def token() -> PreTrainedTokenizerBase:
    """BERT: the tiny tokenizer of the tests."""
    with TemporaryDirectory() as directory:
        tokenizer = AutoTokenizer.from_pretrained(write_encoder(Path(directory)))
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    return tokenizer


@cache
def byte_level(*, prefix: bool, trim: bool) -> PreTrainedTokenizerBase:
    """RoBERTa: byte-level BPE; the space before a word is part of its span, or trimmed."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.train_from_iterator(
        [*_CORPUS, *(["a" + " " * 9 + "b"] * 40)],  # runs of spaces are tokens, as in RoBERTa's vocabulary
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=_SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=trim, add_prefix_space=prefix
    )
    return _wrap(tokenizer)


@cache
def metaspace(*, split: bool) -> PreTrainedTokenizerBase:
    """XLM-R: a unigram model over words that start with ▁, after normalisation."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    meta = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), meta]) if split else meta
    tokenizer.train_from_iterator(
        _CORPUS,
        trainers.UnigramTrainer(vocab_size=120, special_tokens=_SPECIAL, unk_token="<unk>", show_progress=False),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return _wrap(tokenizer)


TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerBase]] = {
    "token": token,
    "byte-level": partial(byte_level, prefix=False, trim=True),
    "byte-level, prefix": partial(byte_level, prefix=True, trim=True),
    "byte-level, spaces": partial(byte_level, prefix=False, trim=False),
    "byte-level, prefix, spaces": partial(byte_level, prefix=True, trim=False),
    "metaspace": partial(metaspace, split=False),
    "metaspace, split": partial(metaspace, split=True),
}
