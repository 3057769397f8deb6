"""Tiny random encoders of nine architectures, each with a tokenizer of the kind that its checkpoints have.

    encoder = load_encoder(str(write_architecture("roberta", directory)))

All weights are random and large enough that logits differ clearly from each other and from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    AlbertTokenizer,
    AutoConfig,
    AutoModel,
    BertTokenizer,
    DebertaV2Tokenizer,
    DistilBertTokenizer,
    MPNetTokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)

from tests.tiny import WORDS

LONGEST = 64
"""Maximum input length in tokens."""
_BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_MARKS = ".,;:!?'\"()-£"
_STD = 0.2
_COMMON: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": LONGEST,
    "initializer_range": _STD,
}
_AFTER_PADDING = {"max_position_embeddings": LONGEST + 2}
"""Architectures whose positions start after the id of the padding token."""
_OWN: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"type_vocab_size": 1, **_AFTER_PADDING},
    "xlm-roberta": {"type_vocab_size": 1, **_AFTER_PADDING},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48},
    "electra": {"embedding_size": 16},
    "deberta-v2": {
        "type_vocab_size": 0,
        "relative_attention": True,
        "position_buckets": 8,
        "pos_att_type": ["p2c", "c2p"],
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "position_biased_input": False,
        "pooler_hidden_size": 32,
        "pooler_dropout": 0.0,
    },
    "mpnet": dict(_AFTER_PADDING),
    "albert": {"embedding_size": 16},
    "modernbert": {"local_attention": 8, "global_attn_every_n_layers": 2, "classifier_pooling": "mean"},
}
ARCHITECTURES: tuple[str, ...] = tuple(_OWN)
"""By `model_type`."""


def write_architecture(name: str, directory: Path, *, seed: int = 0, **config: Any) -> Path:
    """Write config, weights and tokenizer; the same seed gives the same weights.

    Args:
        name: one of `ARCHITECTURES`.
        directory: output directory.
        seed: random seed of the weights.
        config: values of the architecture's config to override.
    """
    tokenizer = _TOKENIZERS[name]()
    sizes = {} if name == "distilbert" else _COMMON
    first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
    ids = {"bos_token_id": first, "cls_token_id": first, "eos_token_id": last, "sep_token_id": last}
    ids["pad_token_id"] = tokenizer.pad_token_id
    values = {"vocab_size": len(tokenizer), "max_position_embeddings": LONGEST, "initializer_range": _STD, **ids}
    architecture_config = AutoConfig.for_model(name, **{**values, **sizes, **_OWN[name], **config})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModel.from_config(architecture_config)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight) * (_STD if weight.dim() == 1 else _STD / 10))
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def _pieces(special: Sequence[str], *groups: Sequence[str]) -> dict[str, int]:
    """Return token ids, special tokens first."""
    return {
        piece: i for i, piece in enumerate(dict.fromkeys([*special, *(piece for group in groups for piece in group)]))
    }


def _tokens(kind: Any, special: Sequence[str]) -> PreTrainedTokenizerBase:
    """WordPiece as in BERT: words, and letters that continue a word."""
    vocabulary = _pieces(special, WORDS, _LETTERS, [f"##{letter}" for letter in _LETTERS], _MARKS)
    tokenizer = kind(vocab=vocabulary, model_max_length=LONGEST)
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    return tokenizer


def _bytes(special: Sequence[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return byte-level tokens and the merges that build words, with and without a leading space."""
    merges: dict[tuple[str, str], None] = {}
    for word in WORDS:
        for letters in (f"Ġ{word}", word):
            merges |= {(letters[:position], letters[position]): None for position in range(1, len(letters))}
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    return _pieces(special, alphabet, ["".join(merge) for merge in merges]), list(merges)


def _roberta() -> PreTrainedTokenizerBase:
    vocabulary, merges = _bytes(_ROBERTA)
    kind: Any = RobertaTokenizer  # the types declare merges only as strings
    tokenizer = kind(vocab=vocabulary, merges=merges, model_max_length=LONGEST)
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    return tokenizer


def _modernbert() -> PreTrainedTokenizerBase:
    """Byte-level BPE as in GPT-NeoX with the special tokens of BERT, in the generic class."""
    vocabulary, merges = _bytes(_BERT)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token=AddedToken("[MASK]", lstrip=True),
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=LONGEST,
    )


def _unigrams(kind: Any, special: Sequence[str]) -> PreTrainedTokenizerBase:
    """A unigram model as in SentencePiece: tokens with log-probabilities; the first of a word starts with ▁."""
    pieces = _pieces(special, [f"▁{word}" for word in WORDS], ["▁"], _LETTERS, _LETTERS[:26].upper(), _MARKS)
    scored = [(piece, 0.0 if piece in special else -2.0 - i / 100) for piece, i in pieces.items()]
    tokenizer = kind(vocab=scored, model_max_length=LONGEST)
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    return tokenizer


_TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerBase]] = {
    "bert": lambda: _tokens(BertTokenizer, _BERT),
    "roberta": _roberta,
    "xlm-roberta": lambda: _unigrams(XLMRobertaTokenizer, _ROBERTA),
    "distilbert": lambda: _tokens(DistilBertTokenizer, _BERT),
    "electra": lambda: _tokens(BertTokenizer, _BERT),
    "deberta-v2": lambda: _unigrams(DebertaV2Tokenizer, _BERT),
    "mpnet": lambda: _tokens(MPNetTokenizer, ("<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>")),
    "albert": lambda: _unigrams(AlbertTokenizer, ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")),
    "modernbert": _modernbert,
}
