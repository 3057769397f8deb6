"""Tokenizers of checkpoints without a complete configuration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoConfig, AutoTokenizer, BertTokenizer

from nlpmtl import ModelError, Predictor
from nlpmtl.model import load_encoder
from tests.architectures import ARCHITECTURES, write_architecture
from tests.every_architecture import write_any_architecture
from tests.slow import slow_except
from tests.tiny import Trained, make_run, train_tiny

TEXTS = ["Ada lives in Turin.", "No!", " a  b", ""]


@pytest.mark.parametrize("architecture", slow_except(ARCHITECTURES, "bert", "roberta", "modernbert"))
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


@pytest.mark.parametrize("architecture", slow_except(["bert", "roberta", "big_bird"], "roberta"))
def test_an_encoder_with_one_token_type_reads_pairs(architecture: str, tmp_path: Path) -> None:
    """The generic tokenizer class gives the second text of a pair the type 1."""
    run = make_run(tmp_path, rows=20, train={"steps": 1, "batch_size": 8, "precision": "fp32"})
    write_any_architecture(architecture, tmp_path / "encoder", type_vocab_size=1)
    run["encoder"]["max_length"] = 30
    run["datasets"] = {"pairs": run["datasets"]["pairs"]}
    model_dir = train_tiny(run).model_dir
    assert set(AutoTokenizer.from_pretrained(model_dir)("a", "b")) == {"input_ids", "attention_mask"}
    assert isinstance(Predictor.from_pretrained(model_dir).predict(("a film", "a book"), task="grade")["value"], float)


def test_a_special_token_without_an_embedding_is_refused(tmp_path: Path) -> None:
    """The post-processor has ids of its own, which need not be those of the vocabulary."""
    path = write_any_architecture("bert", tmp_path) / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["post_processor"]["special_tokens"]["[SEP]"]["ids"] = [120]
    path.write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match="adds a special token with the id 120 to each text, and the table has 120"):
        load_encoder(str(tmp_path))


def test_a_model_predicts_without_a_tokenizer_config(trained: Trained, tmp_path: Path) -> None:
    model = Path(shutil.copytree(trained.model_dir, tmp_path / "model"))
    (model / "tokenizer_config.json").unlink()
    texts = ["Ada lives in Turin.", "xyzzy", "", ("a film", "a book"), "the lamp " * 100]
    expected = Predictor.from_pretrained(trained.model_dir, device="cpu").predict_all(texts)
    assert Predictor.from_pretrained(model, device="cpu").predict_all(texts) == expected
