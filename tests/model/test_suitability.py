"""Checks of an encoder when it is loaded: causal attention, tokenizer, maximum length, batch dependence."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModel,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    CLIPConfig,
    CLIPModel,
    DPRConfig,
    DPRQuestionEncoder,
    PreTrainedTokenizerFast,
    SiglipTextConfig,
    SiglipTextModel,
    T5Config,
    T5EncoderModel,
    ViTConfig,
    ViTModel,
)

from nlpmtl import MultiTaskModel, train
from nlpmtl.errors import ModelError
from nlpmtl.hub import load_model
from nlpmtl.model import load_encoder
from nlpmtl.model.probe import measure
from nlpmtl.preflight import check
from nlpmtl.tasks import task_from_config
from tests.architectures import ARCHITECTURES, LONGEST, write_architecture
from tests.every_architecture import (
    CAUSAL,
    DEPENDS_ON_BATCH,
    EVERY,
    NOT_BUILT,
    NOT_OF_TOKENS,
    WITHOUT_POSITION_TABLE,
    write_any_architecture,
)
from tests.slow import slow_except
from tests.tiny import make_run, write_encoder, write_tokenizer

# fmt: off
NO_TOKENIZER = (
    "bert", "roberta", "xlm-roberta", "mpnet", "albert", "deberta-v2", "xlnet", "t5-like", "splinter", "modernbert",
    "esm", "esmc", "markuplm",
)
# fmt: on


def hidden(encoder: Any, length: int) -> torch.Tensor:
    """Return the hidden states of a row of ordinary tokens."""
    with torch.no_grad():
        states: torch.Tensor = encoder.model.eval()(input_ids=torch.full((1, length), 9)).last_hidden_state
    return states


def without_limit(directory: Path) -> Path:
    """Remove the longest input from a tokenizer's config."""
    path = directory / "tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in config.items() if key != "model_max_length"}))
    return directory


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("gpt2", {}),
        ("llama", {}),
        ("opt", {}),
        ("bloom", {}),
        ("mixtral", {}),
        ("modernbert-decoder", {}),
        ("mamba", {"state_size": 4}),
        ("bert", {"is_decoder": True}),
        ("roberta", {"is_decoder": True}),
        ("xlm", {"causal": True}),
        ("gpt2", {"initializer_range": 1e-4}),
        ("bert", {"is_decoder": True, "num_hidden_layers": 8}),
    ],
)
@pytest.mark.slow
def test_causal_attention_is_refused(name: str, config: dict[str, Any], tmp_path: Path) -> None:
    write_any_architecture(name, tmp_path, **config)
    with pytest.raises(ModelError, match=rf"\({name}\) has causal attention.*Use an encoder"):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "config"),
    [
        pytest.param("xlnet", {}, marks=pytest.mark.slow),
        pytest.param("eurobert", {}, marks=pytest.mark.slow),
        ("llama", {"is_causal": False}),
        pytest.param("qwen2", {"is_causal": False}, marks=pytest.mark.slow),
        pytest.param("gemma3_text", {"use_bidirectional_attention": True}, marks=pytest.mark.slow),
        ("modernbert", {"local_attention": 2}),
        pytest.param("longformer", {"attention_window": 4}, marks=pytest.mark.slow),
        ("bert", {"initializer_range": 1e-6}),
        ("bert", {"num_hidden_layers": 12}),
    ],
)
def test_bidirectional_attention_is_accepted(name: str, config: dict[str, Any], tmp_path: Path) -> None:
    encoder = load_encoder(str(write_any_architecture(name, tmp_path, **config)))
    assert encoder.notes == ()


@pytest.mark.parametrize("name", slow_except(["llama", "qwen3", "gpt2", "mistral", "gemma3_text"], "llama"))
def test_a_decoder_only_model_can_attend_in_both_directions(name: str, tmp_path: Path) -> None:
    directory = write_any_architecture(name, tmp_path)
    with pytest.raises(ModelError, match='write direction = "both" in'):
        load_encoder(str(directory))
    encoder = load_encoder(str(directory), bidirectional=True)
    assert encoder.notes == ()
    assert encoder.default_pooling == "mean"


@pytest.mark.slow
def test_layers_that_share_their_parameters_are_loaded(tmp_path: Path) -> None:
    """All hybrid layers of Zamba have the transformer block of the first one, which is saved once."""
    encoder = load_encoder(str(write_any_architecture("zamba", tmp_path / "encoder")), bidirectional=True)
    spec = {"kind": "classification", "labels": ["a", "b"], "metrics": None, "input": "text"}
    task = task_from_config("topic", spec)
    model = MultiTaskModel.from_encoder(encoder, tasks=[task], sharing={"kind": "hard"}, input_length=16, seed=0)
    model.train(False)
    model.save_pretrained(tmp_path / "model")
    encoder.tokenizer.save_pretrained(tmp_path / "model")
    loaded, _ = load_model(str(tmp_path / "model"))
    ids = torch.arange(5, 15).unsqueeze(0)
    with torch.no_grad():
        assert torch.equal(loaded(input_ids=ids)["topic"], model(input_ids=ids)["topic"])


def test_a_model_without_attention_remains_causal(tmp_path: Path) -> None:
    directory = write_any_architecture("mamba", tmp_path, state_size=4)
    with pytest.raises(ModelError, match='direction = "both" has no effect on this architecture'):
        load_encoder(str(directory), bidirectional=True)


@pytest.mark.parametrize(
    "name", slow_except(["t5", "bart", "mbart", "led", "pegasus", "marian", "m2m_100"], "t5", "bart")
)
def test_the_encoder_of_an_encoder_decoder_is_used(name: str, tmp_path: Path) -> None:
    write_any_architecture(name, tmp_path)
    encoder = load_encoder(str(tmp_path))
    assert encoder.notes == ()
    assert not any("decoder" in key for key in encoder.model.state_dict())
    assert encoder.default_pooling == "mean"


@pytest.mark.slow
def test_an_encoder_with_global_tokens_of_long_rows_only(tmp_path: Path) -> None:
    encoder = load_encoder(str(write_any_architecture("longt5", tmp_path, encoder_attention_type="transient-global")))
    assert encoder.position_limit is None
    assert hidden(encoder, 50).isfinite().all()


def test_an_encoder_decoder_without_a_model_of_its_encoder_is_refused(tmp_path: Path) -> None:
    write_any_architecture("fsmt", tmp_path, langs=["en", "de"], src_vocab_size=120, tgt_vocab_size=120)
    with pytest.raises(ModelError, match="the encoder of a 'fsmt' model cannot be used without its decoder"):
        load_encoder(str(tmp_path))


def test_an_encoder_that_was_saved_without_its_decoder_is_used(tmp_path: Path) -> None:
    """AutoModel builds a decoder with random weights for it, of which no note is made."""
    config = T5Config(vocab_size=120, d_model=32, d_ff=48, d_kv=16, num_layers=1, num_heads=2)
    saved = T5EncoderModel(config)
    saved.save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    encoder = load_encoder(str(tmp_path))
    assert encoder.notes == ()
    loaded = encoder.model.get_parameter("embed_tokens.weight")
    assert torch.equal(loaded, saved.get_parameter("encoder.embed_tokens.weight"))


def test_models_of_other_inputs_or_outputs_are_refused(tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes["intermediate_size"] = 48
    images: dict[str, Any] = {**sizes, "image_size": 28, "patch_size": 14}
    texts: dict[str, Any] = {**sizes, "vocab_size": 120}
    made: dict[str, Any] = {
        "takes pixel_values, not token ids": ViTModel(ViTConfig(**images)),
        r"\(clip\) cannot be used: a batch of token ids cannot be computed": CLIPModel(
            CLIPConfig(text_config=texts, vision_config=images)
        ),
        "has the type 'siglip_text_model', for which AutoModel has no model": SiglipTextModel(
            SiglipTextConfig(**texts)
        ),
        "it does not return one hidden state per token": DPRQuestionEncoder(DPRConfig(**texts)),
    }
    for number, (message, model) in enumerate(made.items()):
        directory = tmp_path / str(number)
        model.save_pretrained(directory)
        write_tokenizer(directory)
        with pytest.raises(ModelError, match=message):
            load_encoder(str(directory))


@pytest.mark.parametrize("positions", [3, 15, 16])
def test_an_encoder_must_read_16_tokens(positions: int, tmp_path: Path) -> None:
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 48,
    }
    BertModel(BertConfig(vocab_size=120, max_position_embeddings=positions, **sizes)).save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    if positions == 16:
        assert load_encoder(str(tmp_path)).position_limit == 16
        return
    match = "at least 16 tokens; this one computes 11 tokens, but not 16" if positions == 15 else "cannot be computed"
    with pytest.raises(ModelError, match=match):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize("name", slow_except(NO_TOKENIZER, "bert", "roberta", "t5-like"))
def test_an_encoder_without_a_tokenizer_is_refused(name: str, tmp_path: Path) -> None:
    """Transformers builds a tokenizer of only special tokens (for T5 also the space marker), or fails."""
    write_any_architecture("bert" if name == "t5-like" else name, tmp_path)
    for path in tmp_path.glob("tokenizer*"):
        path.unlink()
    if name == "t5-like":
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5Tokenizer"}))
    with pytest.raises(ModelError, match=r"has no tokenizer[:,] .* special tokens.*save_pretrained"):
        load_encoder(str(tmp_path))


def test_check_and_train_refuse_before_anything_is_written(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_any_architecture("gpt2", tmp_path / "encoder")
    with pytest.raises(ModelError, match="has causal attention"):
        check(run)
    for path in (tmp_path / "encoder").glob("tokenizer*"):
        path.unlink()
    write_encoder(tmp_path / "encoder")
    for path in (tmp_path / "encoder").glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match="has no tokenizer"):
        check(run)


@pytest.mark.parametrize("added", slow_except([0, 3], 3))
def test_a_tokenizer_with_more_ids_than_embeddings_is_refused(added: int, tmp_path: Path) -> None:
    size = len(write_tokenizer(tmp_path / "words"))
    write_any_architecture("bert", tmp_path, vocab_size=size - (not added))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    tokenizer.add_tokens([f"added{i}" for i in range(added)])
    tokenizer.save_pretrained(tmp_path)
    message = f"{added or 1} of its tokens, such as .* id {size + added - 1}, have no row in the table of"
    with pytest.raises(ModelError, match=rf"{message}.*resize_token_embeddings\({size + added}\)"):
        load_encoder(str(tmp_path))
    model = AutoModel.from_pretrained(tmp_path)
    model.resize_token_embeddings(size + added)
    model.save_pretrained(tmp_path)
    assert load_encoder(str(tmp_path)).notes == ()


def test_weights_that_a_checkpoint_lacks_are_reported(tmp_path: Path) -> None:
    write_any_architecture("bert", tmp_path / "shallow")
    write_any_architecture("bert", tmp_path, num_hidden_layers=3)
    (tmp_path / "model.safetensors").write_bytes((tmp_path / "shallow" / "model.safetensors").read_bytes())
    (note,) = load_encoder(str(tmp_path)).notes
    assert "has no values for 16 of its" in note
    assert "encoder.layer.2.attention" in note
    write_any_architecture("gpt2", tmp_path / "other")
    (tmp_path / "model.safetensors").write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match="has none of the weights of a 'bert' encoder"):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize("name", slow_except(ARCHITECTURES, "bert", "roberta", "modernbert"))
def test_max_positions_is_the_longest_input_that_works(name: str, tmp_path: Path) -> None:
    encoder = load_encoder(str(without_limit(write_architecture(name, tmp_path))))
    assert encoder.max_positions == LONGEST
    assert hidden(encoder, LONGEST).isfinite().all()
    if name not in ("deberta-v2", "modernbert"):  # relative positions
        with pytest.raises((IndexError, RuntimeError)):
            hidden(encoder, LONGEST + 1)


@pytest.mark.parametrize(
    ("name", "longest"),
    [
        ("camembert", 39),
        pytest.param("longformer", 39, marks=pytest.mark.slow),
        pytest.param("data2vec-text", 39, marks=pytest.mark.slow),
        pytest.param("esm", 39, marks=pytest.mark.slow),
        ("xlm", 40),
    ],
)
def test_positions_may_start_after_the_padding_index(name: str, longest: int, tmp_path: Path) -> None:
    encoder = load_encoder(str(write_any_architecture(name, tmp_path)))
    assert encoder.max_positions == longest
    assert hidden(encoder, longest).isfinite().all()


@pytest.mark.parametrize(
    ("window", "rows", "longest"),
    [
        pytest.param(8, 40, 40, marks=pytest.mark.slow),
        (16, 44, 32),
        pytest.param(32, 40, 32, marks=pytest.mark.slow),
    ],
)
def test_positions_of_an_encoder_that_pads_to_its_attention_window(
    window: int, rows: int, longest: int, tmp_path: Path
) -> None:
    sizes = {"attention_window": window, "max_encoder_position_embeddings": rows}
    encoder = load_encoder(str(write_any_architecture("led", tmp_path, **sizes)))
    assert encoder.max_positions == longest
    assert hidden(encoder, longest).isfinite().all()
    with pytest.raises(IndexError):
        hidden(encoder, longest + 1)


@pytest.mark.parametrize("pad", [7, 8])
def test_the_padding_token_of_the_config_may_not_be_that_of_the_tokenizer(pad: int, tmp_path: Path) -> None:
    encoder = load_encoder(str(write_any_architecture("roberta", tmp_path, pad_token_id=pad)))
    assert encoder.max_positions == 39 - pad
    assert hidden(encoder, 39 - pad).isfinite().all()


def test_the_tokenizer_may_state_less_than_the_model_reads(tmp_path: Path) -> None:
    write_any_architecture("roberta", tmp_path)
    write_tokenizer(tmp_path, longest=20)
    assert load_encoder(str(tmp_path)).max_positions == 20
    write_tokenizer(tmp_path, longest=512)
    assert load_encoder(str(tmp_path)).max_positions == 39


@pytest.mark.parametrize(("name", "limit"), [("xlnet", None), ("esmc", -1), ("gte", 0)])
def test_a_model_without_a_position_limit_reads_what_the_tokenizer_allows(
    name: str, limit: int | None, tmp_path: Path
) -> None:
    write_any_architecture(name, tmp_path)
    write_tokenizer(tmp_path, longest=300)
    if name != "xlnet":
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**config, "max_position_embeddings": limit}))
    encoder = load_encoder(str(tmp_path))
    assert encoder.max_positions == 300
    assert hidden(encoder, 300).isfinite().all()


@pytest.mark.parametrize("name", slow_except(ARCHITECTURES, "bert", "roberta", "modernbert"))
def test_hidden_states_do_not_depend_on_the_batch(name: str, tmp_path: Path) -> None:
    from nlpmtl.model.probe import measure

    encoder = load_encoder(str(write_architecture(name, tmp_path)))
    assert encoder.notes == ()
    assert measure(encoder.model, pad=1, special=()).batch_difference < 1e-5


@pytest.mark.parametrize("name", slow_except(sorted(DEPENDS_ON_BATCH), "canine"))
def test_an_encoder_whose_padding_leaks_is_refused_with_the_number(name: str, tmp_path: Path) -> None:
    write_any_architecture(name, tmp_path)
    with pytest.raises(ModelError, match=rf"\({name}\): hidden states depend on .* a relative \d.\de[+-]\d\d, more"):
        load_encoder(str(tmp_path))


def test_an_encoder_whose_padding_leaks_a_little_is_reported(tmp_path: Path) -> None:
    """ConvBERT leaks through its convolutions: with small weights the difference is between the limits."""
    write_any_architecture("convbert", tmp_path, seed=1)
    model = AutoModel.from_pretrained(tmp_path)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "conv_out_layer" in name:
                weight.mul_(0.03)
    model.save_pretrained(tmp_path)
    run = make_run(tmp_path / "run", rows=6)
    run["datasets"] = {"texts": run["datasets"]["texts"]}
    run["encoder"] = {"name": str(tmp_path), "max_length": 32}
    (note,) = [note for note in check(run).notes if "depend" in note]
    number = re.search(r"a relative (\S+): predictions may change", note)
    assert number
    assert 1e-4 < float(number[1]) <= 1e-2


def test_an_encoder_that_changes_its_attention_at_short_rows_is_reported(tmp_path: Path) -> None:
    """BigBird has sparse attention until its first short row, and full attention from then on."""
    sparse: dict[str, Any] = {"attention_type": "block_sparse", "block_size": 4, "num_random_blocks": 1}
    (note,) = load_encoder(str(write_any_architecture("big_bird", tmp_path, **sparse))).notes
    assert "changes its attention_type from 'block_sparse' to 'original_full'" in note
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "attention_type": "original_full"}))
    assert load_encoder(str(tmp_path)).notes == ()


def test_checks_leave_the_model_and_random_state_unchanged(tmp_path: Path) -> None:
    """BigBird switches to full attention at its first short row, and keeps it."""
    from nlpmtl.model.probe import measure

    write_any_architecture("big_bird", tmp_path, attention_type="block_sparse", block_size=4, num_random_blocks=1)
    model = AutoModel.from_pretrained(tmp_path).train()
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    measure(model, pad=0, special=())
    assert torch.equal(torch.rand(3), expected)
    assert model.training
    assert model.attention_type == "block_sparse"
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


def test_checks_do_not_need_the_configured_attention(tmp_path: Path) -> None:
    from nlpmtl.model.probe import measure

    write_any_architecture("bert", tmp_path)
    model = AutoModel.from_pretrained(tmp_path)
    model.config._attn_implementation = "flash_attention_2"  # cannot be set without the package
    assert not measure(model, pad=0, special=()).causal
    assert model.config._attn_implementation == "flash_attention_2"


def test_a_classifier_checkpoint_is_checked_without_its_head(tmp_path: Path) -> None:
    write_any_architecture("bert", tmp_path)
    BertForSequenceClassification.from_pretrained(tmp_path).save_pretrained(tmp_path)
    assert load_encoder(str(tmp_path)).max_positions == 40


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_every_architecture_works_at_its_longest_input_or_is_refused(name: str, tmp_path: Path) -> None:
    """Every architecture of this version of transformers."""
    if name in NOT_BUILT:
        pytest.skip(NOT_BUILT[name])
    write_any_architecture(name, tmp_path)
    refusals = dict.fromkeys(CAUSAL, "has causal attention")
    refusals |= dict.fromkeys(DEPENDS_ON_BATCH, "depend on the other rows of the batch") | NOT_OF_TOKENS
    if name in refusals:
        with pytest.raises(ModelError, match=refusals[name]):
            load_encoder(str(tmp_path))
        return
    encoder = load_encoder(str(tmp_path))
    assert [note for note in encoder.notes if "changes its attention_type" not in note] == []
    assert bool(encoder.notes) == (name in ("big_bird", "bigbird_pegasus"))
    if name in WITHOUT_POSITION_TABLE:
        assert encoder.max_positions > 1_000_000
        return
    assert hidden(encoder, encoder.max_positions).isfinite().all()
    if encoder.position_limit is not None and name != "tapas":  # all later positions equal the last one
        with pytest.raises((IndexError, RuntimeError)):
            hidden(encoder, encoder.position_limit + 1)


@pytest.mark.slow
def test_a_decoder_only_model_is_trained_in_both_directions_and_reloaded(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run["encoder"] = {
        "name": str(write_any_architecture("qwen3", tmp_path / "qwen3")),
        "direction": "both",
        "max_length": 16,
    }
    result = train({**run, "train": {"steps": 1}}, output=tmp_path / "run")
    saved = json.loads((result.model_dir / "config.json").read_text())
    assert saved["encoder_config"]["is_causal"] is False
    assert saved["pooling"] == "mean"
    model, tokenizer = load_model(str(result.model_dir))
    assert not measure(model.sharing.encoder, pad=tokenizer.pad_token_id, special=tokenizer.all_special_ids).causal
