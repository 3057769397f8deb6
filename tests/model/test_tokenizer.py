"""Tokenizers of checkpoints without a complete configuration."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from transformers import AutoConfig, AutoTokenizer, BertTokenizer

from nlpmtl import Predictor
from nlpmtl.model import load_encoder
from tests.architectures import ARCHITECTURES, write_architecture
from tests.tiny import Trained

TEXTS = ["Ada lives in Turin.", "No!", " a  b", ""]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_tokenizer_json_suffices(architecture: str, tmp_path: Path) -> None:
    """Equal ids and encoder inputs, and special tokens for padding and unknown words."""
    write_architecture(architecture, tmp_path)
    expected = AutoTokenizer.from_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    tokenizer = load_encoder(str(tmp_path)).tokenizer
    for text in TEXTS:
        assert tokenizer(text).data == expected(text).data
        assert tokenizer(text, "the film").data == expected(text, "the film").data
    for token in ("pad_token_id", "cls_token_id", "sep_token_id", "mask_token_id"):
        assert getattr(tokenizer, token) == getattr(expected, token)
    assert tokenizer.unk_token_id is not None


def test_a_tokenizer_json_is_read_as_it_is(tmp_path: Path) -> None:
    """transformers would lowercase the text, the default of BERT's class."""
    from nlpmtl.model import load_tokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Ada", "ada", "É", "é"]
    BertTokenizer(vocab={word: i for i, word in enumerate(words)}, do_lower_case=False).save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    tokenizer = load_tokenizer(str(tmp_path), config=AutoConfig.for_model("bert"))
    assert tokenizer("Ada ada É").input_ids == [2, 5, 6, 7, 3]


def test_a_saved_tokenizer_needs_no_encoder(tmp_path: Path) -> None:
    write_architecture("distilbert", tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    load_encoder(str(tmp_path)).tokenizer.save_pretrained(tmp_path)
    assert set(AutoTokenizer.from_pretrained(tmp_path)("a", "b")) == {"input_ids", "attention_mask"}


def test_a_model_predicts_without_a_tokenizer_config(trained: Trained, tmp_path: Path) -> None:
    model = Path(shutil.copytree(trained.model_dir, tmp_path / "model"))
    (model / "tokenizer_config.json").unlink()
    texts = ["Ada lives in Turin.", "xyzzy", "", ("a film", "a book"), "the lamp " * 100]
    expected = Predictor.from_pretrained(trained.model_dir, device="cpu").predict_all(texts)
    assert Predictor.from_pretrained(model, device="cpu").predict_all(texts) == expected
