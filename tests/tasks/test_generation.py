"""Generation: losses against the models of transformers, decoders of checkpoints, new decoders, vocabularies."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    MBartConfig,
    MBartForConditionalGeneration,
    MBartTokenizer,
    PreTrainedModel,
)

import nlpmtl
from nlpmtl import ConfigError, Predictor
from nlpmtl.config import parse_run
from nlpmtl.data import Collator, Example
from nlpmtl.heads import HeadInputs
from nlpmtl.hub import load_model
from nlpmtl.model import MultiTaskModel, RowLosses, batch_losses, load_encoder
from nlpmtl.task_datasets import TaskDatasets, load_task_datasets
from nlpmtl.tasks import Generation, Prediction, task_from_config
from nlpmtl.tasks.target_vocabulary import MAX_SIZE, TargetVocabulary, learn_vocabulary
from nlpmtl.training import build_optimizer
from tests.tiny import (
    WORDS,
    interrupt,
    make_rows,
    max_weight_difference,
    read_json,
    train_tiny,
    weights,
    write_encoder,
    write_rows,
    write_tokenizer,
)

CHECKPOINTS = ("t5", "bart", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("mbart", "m2m_100", "marian")))
ROWS = [{"text": row["text"], "target": row["other"], "topic": row["topic"]} for row in make_rows(12, seed=1)]


def write_seq2seq(kind: str, directory: Path, *, dropout: float = 0.0) -> Path:
    """Write a tiny random encoder-decoder of an architecture, with a fast tokenizer."""
    tokenizer = write_tokenizer(directory)
    tokenizer.bos_token, tokenizer.eos_token = "[CLS]", "[SEP]"
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.save_pretrained(directory)
    ids = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 3}
    sizes: dict[str, Any] = {"vocab_size": len(tokenizer), "d_model": 32, "initializer_range": 0.2, **ids}
    if kind == "t5":
        layers = {"d_ff": 48, "d_kv": 16, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 2}
        sizes |= {**layers, "dropout_rate": dropout}
    else:
        sides = [
            {f"{side}_layers": 2, f"{side}_attention_heads": 2, f"{side}_ffn_dim": 48}
            for side in ("encoder", "decoder")
        ]
        sizes |= {**sides[0], **sides[1], "max_position_embeddings": 128, "forced_eos_token_id": None}
        sizes |= {"dropout": dropout, "attention_dropout": 0.0, "init_std": 0.2}
    config = transformers.AutoConfig.for_model(kind, **sizes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForSeq2SeqLM.from_config(config)
        model.save_pretrained(directory)
    return directory


def write_mbart(directory: Path) -> Path:
    """Write a tiny random mBART, whose tokenizer writes a language code after the end token."""
    words = ["<s>", "<pad>", "</s>", "<unk>", *(f"▁{word}" for word in WORDS), "▁"]
    tokenizer: Any = MBartTokenizer(vocab=[(word, 0.0) for word in words], src_lang="en_XX", tgt_lang="ro_RO")
    tokenizer.save_pretrained(directory)
    config = MBartConfig(
        vocab_size=len(tokenizer), d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=128, init_std=0.2,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        MBartForConditionalGeneration(config).save_pretrained(directory)
    return directory


def load(
    directory: Path, rows: Sequence[dict[str, Any]] = ROWS, **options: Any
) -> tuple[MultiTaskModel, TaskDatasets, Any]:
    """Return a model with a generation, its datasets, and a batch of its rows."""
    encoder = load_encoder(str(directory))
    dataset = {
        "data": {"files": {"train": list(rows)}},
        "input": {"text": "text"},
        "tasks": {"gen": {"kind": "generation", "target": "target", **options}},
    }
    run = parse_run({"encoder": {"name": str(directory)}, "datasets": {"rows": dataset}}, where="run")
    loaded = load_task_datasets(
        run.datasets, tokenizer=encoder.tokenizer, max_length=40, encoder_config=encoder.model.config
    )
    model = MultiTaskModel.from_encoder(
        encoder, tasks=loaded.tasks.values(), sharing={"kind": "hard"}, input_length=40, seed=0
    )
    model.train(False)
    types = "token_type_ids" in encoder.tokenizer.model_input_names
    collate = Collator(list(loaded.splits["train"].values()), pad=encoder.tokenizer.pad_token_id, types=types)
    return model, loaded, collate([(0, row) for row in range(len(rows))])


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_losses_logits_and_texts_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    directory = write_seq2seq(kind, tmp_path)
    model, loaded, batch = load(directory, num_beams=3, max_target=12)
    stock: Any = AutoModelForSeq2SeqLM.from_pretrained(directory).eval()
    labels = batch.tasks["gen"].targets["tokens"]
    head = model.head("gen")
    with torch.inference_mode():
        expected = stock(**batch.inputs, labels=labels)
        loss = batch_losses(model, batch, {"gen": loaded.tasks["gen"]})["gen"].loss
    assert float(loss) / int((labels >= 0).sum()) == pytest.approx(float(expected.loss), abs=1e-5)
    hidden = model.sharing(batch.inputs, {"gen": torch.arange(len(ROWS))})["gen"]
    inputs = HeadInputs(hidden, batch.attention_mask)
    present = labels >= 0
    assert torch.allclose(head.logits(inputs, labels)[present], expected.logits[present], atol=1e-5)
    options = GenerationConfig(
        max_new_tokens=12, num_beams=3, decoder_start_token_id=3, eos_token_id=3, pad_token_id=0, suppress_tokens=[0]
    )
    with torch.inference_mode():
        texts = stock.generate(**batch.inputs, generation_config=options)[:, 1:]
        assert torch.equal(head.generate(inputs), texts)
    assert head.pretrained


SETTINGS = {"num_beams": 4, "min_length": 9, "no_repeat_ngram_size": 2, "length_penalty": 2.0, "forced_eos_token_id": 3}


@pytest.mark.parametrize("kind", ["t5", pytest.param("bart", marks=pytest.mark.slow)])
def test_texts_do_not_depend_on_settings_of_the_checkpoint(kind: str, tmp_path: Path) -> None:
    """The run sets how texts are generated; a saved model does not have the `generation_config.json` of its encoder."""
    generated = []
    for settings in ({}, SETTINGS):
        directory = write_seq2seq(kind, tmp_path / f"{len(settings)}")
        GenerationConfig(decoder_start_token_id=3, eos_token_id=3, pad_token_id=0, **settings).save_pretrained(
            directory
        )
        model, _, batch = load(directory, num_beams=2, max_target=12)
        with torch.inference_mode():
            hidden = model.sharing(batch.inputs, {"gen": torch.arange(len(ROWS))})["gen"]
            generated.append(model.head("gen").generate(HeadInputs(hidden, batch.attention_mask)))
    assert torch.equal(*generated)


@pytest.mark.slow
def test_an_export_generates_the_same_texts_whatever_the_defaults_of_its_architecture(tmp_path: Path) -> None:
    encoder = write_seq2seq("mbart", tmp_path / "encoder")
    config = read_json(encoder / "config.json")
    (encoder / "config.json").write_text(json.dumps({**config, "forced_eos_token_id": 3}))
    (encoder / "generation_config.json").unlink(missing_ok=True)
    predictor = Predictor.from_pretrained(train_tiny(make_run(tmp_path, encoder)).model_dir)
    predictor.export(tmp_path / "stock", task="reverse")
    model: Any = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "stock")
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "stock")
    texts = [row["text"] for row in make_rows(12, seed=3)]
    tokens = model.generate(**tokenizer(texts, return_tensors="pt", padding=True))
    expected = [row["translation_text"] for row in predictor.predict(texts, task="reverse")]
    assert tokenizer.batch_decode(tokens, skip_special_tokens=True) == expected


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_label_smoothing_is_that_of_torch(kind: str, tmp_path: Path) -> None:
    model, loaded, batch = load(write_seq2seq(kind, tmp_path), label_smoothing=0.2)
    labels = batch.tasks["gen"].targets["tokens"]
    with torch.inference_mode():
        loss = batch_losses(model, batch, {"gen": loaded.tasks["gen"]})["gen"].loss
        stock: Any = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
        logits = stock(**batch.inputs, labels=labels).logits
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), reduction="sum", label_smoothing=0.2
    )
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_the_loss_of_rows_is_without_label_smoothing(tmp_path: Path) -> None:
    model, loaded, _ = load(write_seq2seq("t5", tmp_path), kind="translation")
    assert loaded.tasks["gen"].label_smoothing == 0.1  # type: ignore[attr-defined]
    batch = next(iter(loaded.splits["train"].values()))
    rows = RowLosses(model, loaded.tasks, pad=0, types=False, tokens=1000).run(batch, ["gen"])
    losses = {row: loss for row, _, loss in rows}
    plain, plain_loaded, whole = load(tmp_path)
    with torch.inference_mode():
        expected = batch_losses(plain, whole, {"gen": plain_loaded.tasks["gen"]})["gen"].loss
    assert sum(losses.values()) == pytest.approx(float(expected), rel=1e-5)


def test_the_severity_of_a_wrong_text_falls_with_its_chrf() -> None:
    task = task_from_config(
        "t", {"kind": "generation", "labels": [], "metrics": None, "input": "text", "decoder": "new"}
    )
    near, far, equal = (task.row_error(Prediction(text), "a cat", Example()) for text in ("a car", "dogs", "a cat"))
    assert near is not None
    assert far is not None
    assert 0 < near.severity < far.severity == 1
    assert equal is None


def make_run(directory: Path, encoder: Path, **options: Any) -> dict[str, Any]:
    """Return a run with a translation, a classification and a labeling, over one encoder."""
    files = {
        split: str(write_rows(directory / f"{split}.jsonl", make_rows(count, seed=count)))
        for split, count in (("train", 32), ("validation", 8))
    }
    source = {"data": {"files": files}}
    translation = {"kind": "translation", "target": "other", "max_target": 8, "num_beams": 2, **options}
    return {
        "output": str(directory / "out"),
        "encoder": {"name": str(encoder), "max_length": 32},
        "datasets": {
            "texts": {
                **source,
                "input": {"text": "text"},
                "tasks": {"reverse": translation, "topic": {"kind": "classification", "label": "topic"}},
            },
            "words": {
                **source,
                "input": {"words": "tokens"},
                "tasks": {"places": {"kind": "labeling", "label": "tags"}},
            },
        },
        "train": {"steps": 6, "batch_size": 16, "lr": 1e-3, "save_every": 2, "precision": "fp32"},
        "eval": {"every": 3},
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory = tmp_path_factory.mktemp("t5")
    return train_tiny(make_run(directory, write_seq2seq("t5", directory / "encoder", dropout=0.1)))


def test_the_encoder_of_a_checkpoint_feeds_all_heads_in_one_pass(trained: Any) -> None:
    predictor = Predictor.from_pretrained(trained.model_dir)
    assert isinstance(predictor.model, MultiTaskModel)
    passes = []
    predictor.model.sharing.encoder.register_forward_hook(lambda *_: passes.append(1))
    predictions = predictor.predict_all("ada lives in turin", tasks=["reverse", "topic", "places"])
    assert set(predictions) == {"reverse", "topic", "places"}
    assert set(predictions["reverse"]) == {"translation_text"}
    assert set(predictor.predict_all("ada lives in turin")) == {"topic", "places"}
    # The words of the labeling are a text input of their own.
    assert len(passes) <= 3
    passes.clear()
    predictor.predict_all("ada lives in turin", tasks=["reverse", "topic"])
    assert len(passes) == 1
    assert trained.result.scores is not None
    assert set(trained.result.scores["reverse"]) == {"chrf", "bleu", "score", "rows"}


def test_parameters_that_are_shared_with_the_encoder_are_saved_once_and_loaded_tied(trained: Any) -> None:
    saved = weights(trained.model_dir)
    size = saved["sharing.encoder.embed_tokens.weight"].shape
    assert [name for name, weight in saved.items() if weight.shape == size] == ["sharing.encoder.embed_tokens.weight"]
    model, _ = load_model(str(trained.model_dir))
    embeddings = model.sharing.encoder.get_input_embeddings().weight
    head = model.head("reverse").model
    for name in ("shared.weight", "decoder.embed_tokens.weight", "lm_head.weight"):
        assert head.get_parameter(name) is embeddings
    assert model.head("topic").config.pooling == "mean", "T5 has no first token for texts"


def test_an_export_is_the_stock_model(trained: Any, tmp_path: Path) -> None:
    predictor = Predictor.from_pretrained(trained.model_dir)
    assert predictor.export(tmp_path / "stock", task="reverse") < 1e-5
    model: Any = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "stock")
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "stock")
    texts = ["ada lives in turin", "a good film"]
    tokens = model.generate(**tokenizer(texts, return_tensors="pt", padding=True))
    expected = [row["translation_text"] for row in predictor.predict(texts, task="reverse")]
    assert tokenizer.batch_decode(tokens, skip_special_tokens=True) == expected
    assert "model.generate" in (tmp_path / "stock" / "README.md").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match="task 'reverse' cannot be exported to ONNX"):
        predictor.export(tmp_path / "onnx", to="onnx", task="reverse")


@pytest.mark.slow
def test_a_resumed_run_is_equal_bit_for_bit(trained: Any, tmp_path: Path) -> None:
    interrupt(trained.run, tmp_path / "out", step=3)
    again = train_tiny(trained.run, tmp_path / "out", resume=True)
    assert max_weight_difference(trained.model_dir, again.model_dir) == 0.0


def test_the_decoder_of_a_checkpoint_has_the_learning_rate_of_the_encoder(tmp_path: Path) -> None:
    """Shared parameters belong to the encoder whatever their name, a new decoder has that of the heads."""
    options = nlpmtl.RunConfig.model_validate(
        {"encoder": {"name": "x"}, "datasets": make_run(tmp_path, tmp_path)["datasets"]}
    ).optimizer
    rates = {}
    for name, directory in (("t5", write_seq2seq("t5", tmp_path / "t5")), ("bert", write_encoder(tmp_path / "bert"))):
        model, _, _ = load(directory)
        groups = build_optimizer(model, options, lr=1e-3, head_lr=1e-2, weight_decay=0.0).param_groups
        rate_of = {id(p): group["lr"] for group in groups for p in group["params"]}
        head = model.head("gen").model
        assert head.get_parameter("lm_head.weight") is model.sharing.encoder.get_input_embeddings().weight
        assert rate_of[id(head.get_parameter("lm_head.weight"))] == 1e-3
        others = {rate_of[id(p)] for n, p in head.named_parameters() if p is not head.get_parameter("lm_head.weight")}
        (rates[name],) = others
    assert rates == {"t5": 1e-3, "bert": 1e-2}


def test_a_new_decoder_has_the_vocabulary_of_the_encoder_unless_targets_are_unknown(tmp_path: Path) -> None:
    directory = write_encoder(tmp_path)
    model, loaded, _ = load(directory, decoder_layers=1)
    task = loaded.tasks["gen"]
    assert isinstance(task, Generation)
    assert (task.decoder, task.vocabulary, task.target_vocabulary) == ("new", "encoder", None)
    chinese = [{**row, "target": "今天天气很好"} for row in ROWS]
    model, loaded, _ = load(directory, chinese, decoder_layers=1)
    task = loaded.tasks["gen"]
    assert isinstance(task, Generation)
    assert task.vocabulary == "targets"
    assert task.target_vocabulary is not None
    assert any("of the target tokens are unknown to the encoder's tokenizer" in note for note in loaded.notes)
    assert model.head("gen").model.get_parameter("lm_head.weight").shape[0] == len(
        TargetVocabulary(task.target_vocabulary)
    )
    again = task_from_config("gen", task.to_config())
    assert again.to_config() == task.to_config()


@pytest.mark.parametrize(("kind", "hint"), [("new", ': vocabulary = "targets" keeps them'), ("checkpoint", "")])
def test_targets_that_a_tokenizer_changes_are_reported(kind: str, hint: str, tmp_path: Path) -> None:
    directory = write_encoder(tmp_path) if kind == "new" else write_seq2seq("bart", tmp_path)
    capitals = [{**row, "target": f"The big Cat, and {row['target']}."} for row in ROWS]
    _, loaded, _ = load(directory, [*capitals, ROWS[0]], decoder=kind, max_target=64)
    (note,) = [note for note in loaded.notes if "tokenizer changes" in note]
    share = len(capitals) / (len(capitals) + 1)
    expected = (
        f"tokenizer changes {share:.0%} of the train targets, such as 'The' to 'the', and so generated texts{hint}"
    )
    assert expected in note
    _, loaded, _ = load(directory, [ROWS[0]] * 40 + capitals[:1], decoder=kind, max_target=64)
    assert not any("tokenizer changes" in note for note in loaded.notes), (
        "a few such targets are not worth a message, and spaces do not count"
    )


def test_long_targets_are_truncated_and_counted(tmp_path: Path) -> None:
    _, loaded, batch = load(write_encoder(tmp_path), max_target=4)
    tokens = batch.tasks["gen"].targets["tokens"]
    assert tokens.shape[1] == 4
    long = sum(len(row["target"].split()) > 3 for row in ROWS)
    assert any(f"{long} of {len(ROWS)} train targets are longer than max_target" in note for note in loaded.notes)
    counts = loaded.splits["train"]["rows"].labels["gen"].counts
    assert counts.tolist() == [min(4, len(row["target"].split()) + 1) for row in ROWS]
    ends = [row[count - 1] for row, count in zip(tokens.tolist(), counts.tolist(), strict=True)]
    assert set(ends) == {3}, "the end token is kept"


def test_a_learned_vocabulary_gives_back_its_texts() -> None:
    texts = ["今天下雨。", "Ada  lives in Turin", "", "a\tb\n😀", "<s>old</s> <pad><unk>", *("今天 是 Monday",) * 3]
    content = learn_vocabulary(texts)
    assert content == learn_vocabulary(texts)
    vocabulary = TargetVocabulary(content)
    assert len(vocabulary) <= MAX_SIZE
    for text in texts:
        assert vocabulary.decode(vocabulary.encode(text)) == text
    with pytest.raises(ValueError, match="the vocabulary of the targets cannot be read"):
        TargetVocabulary("{}")


@pytest.mark.parametrize(
    ("encoder", "options", "message"),
    [
        ("bert", {"decoder": "checkpoint"}, 'decoder = "checkpoint", but the encoder has no decoder'),
        ("t5", {"decoder_layers": 2}, '`decoder_layers` is an option of decoder = "new", found 2'),
        ("t5", {"vocabulary": "targets"}, "`vocabulary` is an option of decoder"),
        ("t5", {"target_language": "zho_Hans"}, "has no language code 'zho_Hans'"),
        ("t5", {"target_language": "ada"}, "has no language code 'ada'"),
        ("mbart", {"target_language": "▁ada"}, "has no language code '▁ada'"),
        ("bart", {"max_target": 200}, "`max_target`: the decoder of the checkpoint has 128 positions, found 200"),
        ("bert", {"labels": ["a", "b"]}, "a task of the type generation has no `labels`"),
        ("bert", {"target_language": "zho_Hans"}, "`target_language` is for the decoder of a checkpoint"),
    ],
)
def test_options_that_do_not_suit_the_encoder_are_refused(
    encoder: str, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    write: Any = {"bert": write_encoder, "mbart": write_mbart}.get(encoder, partial(write_seq2seq, encoder))
    with pytest.raises(ConfigError, match=message):
        load(write(tmp_path), **options)


@pytest.mark.parametrize("language", ["ro_RO", "de_DE"])
def test_the_decoder_of_mbart_starts_with_the_language_code_that_ends_a_target(language: str, tmp_path: Path) -> None:
    model, loaded, batch = load(write_mbart(tmp_path), target_language=language, max_target=6)
    labels = batch.tasks["gen"].targets["tokens"]
    tokenizer: Any = loaded.tasks["gen"].tokenizer
    code, end = tokenizer.convert_tokens_to_ids([language, "</s>"])
    ends = [row[row >= 0][-2:].tolist() for row in labels]
    assert ends == [[end, code]] * len(ROWS), "also of targets that are truncated"
    stock: Any = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    with torch.inference_mode():
        expected = stock(**batch.inputs, labels=labels).loss
        loss = batch_losses(model, batch, {"gen": loaded.tasks["gen"]})["gen"].loss
    assert float(loss) / int((labels >= 0).sum()) == pytest.approx(float(expected), abs=1e-5)
    assert model.head("gen").generation_config().decoder_start_token_id == code


def test_a_target_ends_with_the_end_token_if_the_tokenizer_adds_none(tmp_path: Path) -> None:
    path = write_seq2seq("t5", tmp_path) / "tokenizer.json"
    path.write_text(json.dumps({**read_json(path), "post_processor": None}), encoding="utf-8")
    labels = load(tmp_path)[2].tasks["gen"].targets["tokens"]
    assert [row[row >= 0][-1].item() for row in labels] == [3] * len(ROWS)


def test_the_padding_token_is_never_generated(tmp_path: Path) -> None:
    """Marian starts with it, and gives it a high probability before it is trained further."""
    model, _, batch = load(write_seq2seq("bart", tmp_path), max_target=4)
    head = model.head("gen")
    head.model.get_buffer("final_logits_bias")[0, 0] = 1e4
    hidden = model.sharing(batch.inputs, {"gen": torch.arange(len(ROWS))})["gen"]
    tokens = head(HeadInputs(hidden, batch.attention_mask))["tokens"]
    assert (tokens[:, 0] != 0).all()


def test_generated_tokens_are_exact_in_low_precision(tmp_path: Path) -> None:
    rows = [{**row, "target": "".join(chr(0x4E00 + 40 * i + j) for j in range(40))} for i, row in enumerate(ROWS)]
    model, _, batch = load(write_encoder(tmp_path), rows, vocabulary="targets", decoder_layers=1, max_target=4)
    module: torch.nn.Module = model
    module.to(torch.bfloat16)
    model.head("gen").model.get_buffer("final_logits_bias")[0, 301] = 1e4
    with torch.inference_mode():
        tokens = model(**batch.inputs, rows={"gen": torch.arange(len(rows))})["gen"]["tokens"]
    assert (tokens.long() == 301).all(), "bfloat16 has 8 bits, so 301 would be rounded"


def test_an_encoder_decoder_can_have_a_new_decoder(tmp_path: Path) -> None:
    model, loaded, _ = load(write_seq2seq("bart", tmp_path), decoder="new", decoder_layers=1)
    assert not model.head("gen").pretrained
    assert type(model.head("gen").model).__name__ == "MBartForConditionalGeneration"
    task = loaded.tasks["gen"]
    assert task.format(Prediction("x"), Example()) == {"generated_text": "x"}


@pytest.mark.slow
def test_training_continues_with_the_learned_vocabulary(tmp_path: Path) -> None:
    run = make_run(tmp_path / "first", write_encoder(tmp_path / "encoder"), vocabulary="targets", decoder_layers=1)
    run["datasets"].pop("words")
    first = train_tiny(run)
    again = make_run(tmp_path / "second", first.model_dir, vocabulary="targets", decoder_layers=1)
    again["datasets"].pop("words")
    again["datasets"]["texts"]["tasks"].pop("topic")
    again["train"]["steps"] = 1
    second = train_tiny(again)
    tasks = [load_model(str(result.model_dir))[0].tasks["reverse"] for result in (first, second)]
    assert isinstance(tasks[0], Generation)
    assert isinstance(tasks[1], Generation)
    assert tasks[0].target_vocabulary == tasks[1].target_vocabulary is not None


def test_the_head_is_a_model_of_transformers_without_its_encoder(tmp_path: Path) -> None:
    model, _, _ = load(write_seq2seq("marian", tmp_path))
    head = model.head("gen").model
    assert isinstance(head, PreTrainedModel)
    assert not list(head.get_encoder().parameters())


@pytest.mark.slow
def test_a_new_decoder_learns_to_reverse(tmp_path: Path) -> None:
    """At least 0.9 of the texts that were not trained on are right."""
    rng = random.Random(0)
    words = [word for word in WORDS if len(word) > 2][:20]
    texts = [[rng.choice(words) for _ in range(rng.randint(2, 3))] for _ in range(1500)]
    rows = [{"text": " ".join(text), "target": " ".join(reversed(text))} for text in texts]
    run = {
        "encoder": {"name": str(write_encoder(tmp_path / "encoder", dropout=0.0)), "max_length": 16},
        "datasets": {
            "rows": {
                "data": {"files": {"train": rows[100:], "validation": rows[:100]}},
                "input": {"text": "text"},
                "tasks": {"reverse": {"kind": "generation", "target": "target", "decoder_layers": 2, "max_target": 8}},
            }
        },
        "train": {"epochs": 8, "batch_size": 64, "lr": 3e-3, "precision": "fp32"},
        "eval": {"every": 200},
        "output": str(tmp_path / "run"),
    }
    result = nlpmtl.train(run, progress=False)
    predicted = result.predictor.predict([row["text"] for row in rows[:100]], task="reverse")
    right = sum(one["generated_text"] == row["target"] for one, row in zip(predicted, rows, strict=False))
    assert right >= 90
