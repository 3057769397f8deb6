"""Masked language modelling against the models of transformers, its masked tokens, and its runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

import nlpmtl
from benchmarks.identity_jobs import member_table
from nlpmtl import ConfigError, Predictor
from nlpmtl.config import parse_run
from nlpmtl.data import Collator
from nlpmtl.evaluation import Predictions
from nlpmtl.hub import load_model
from nlpmtl.model import MultiTaskModel, batch_losses, load_encoder
from nlpmtl.registry import SHARINGS
from nlpmtl.task_datasets import load_task_datasets
from nlpmtl.training import build_optimizer
from nlpmtl.training.fsdp import apply_fsdp
from tests.architectures import ARCHITECTURES, write_architecture
from tests.tasks.test_generation import write_seq2seq
from tests.tiny import make_rows, metrics, read_json, train_tiny, weights, write_encoder, write_rows

TEXTS = ["ada lives in turin.", "a good film, not a bad book.", "it", "the big cat sings in rome " * 3]


FAST = ("bert", "modernbert", "deberta-v2")
SLOW = tuple(name for name in ARCHITECTURES if name not in FAST)


def write_checkpoint(name: str, directory: Path) -> Path:
    """Write a random checkpoint with the architecture's own head of masked language modelling."""
    write_architecture(name, directory)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModelForMaskedLM.from_pretrained(directory)
        tied = set(model.all_tied_weights_keys)
        with torch.no_grad():
            for key, weight in model.named_parameters():
                if not key.startswith(f"{model.base_model_prefix}.") and key not in tied:
                    weight.add_(torch.randn_like(weight) * 0.2)
    model.save_pretrained(directory)
    return directory


def load_for_losses(directory: Path, **options: Any) -> tuple[MultiTaskModel, Any, Any]:
    """Return a model with masked_lm, its task, and a batch of changed copies."""
    encoder = load_encoder(str(directory))
    rows = [{"text": text} for text in TEXTS]
    dataset = {
        "data": {"files": {"train": rows}},
        "input": {"text": "text"},
        "tasks": {"mlm": {"kind": "masked_lm", "mask_rate": 0.4, **options}},
    }
    run = parse_run({"encoder": {"name": str(directory)}, "datasets": {"texts": dataset}}, where="run")
    loaded = load_task_datasets(run.datasets, tokenizer=encoder.tokenizer, max_length=40)
    model = MultiTaskModel.from_encoder(
        encoder, tasks=loaded.tasks.values(), sharing={"kind": "hard"}, input_length=40, seed=0
    )
    model.train(False)
    collate = Collator(
        list(loaded.splits["train"].values()),
        pad=encoder.tokenizer.pad_token_id,
        types="token_type_ids" in encoder.tokenizer.model_input_names,
        corrupt={"mlm": loaded.tasks["mlm"].corrupt},
        names=["texts"],
    )
    return model, loaded.tasks["mlm"], collate([(0, row) for row in range(len(TEXTS))])


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_losses_and_logits_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    directory = write_checkpoint(name, tmp_path)
    model, task, batch = load_for_losses(directory)
    stock = AutoModelForMaskedLM.from_pretrained(directory).eval()
    targets = batch.tasks["mlm"].targets
    labels = torch.full_like(batch.input_ids, -100)
    rows, places = (targets["place"] >= 0).nonzero(as_tuple=True)
    labels[rows, targets["place"][rows, places]] = targets["token"][rows, places]
    with torch.inference_mode():
        expected = stock(**batch.inputs, labels=labels)
        loss = batch_losses(model, batch, {"mlm": task})["mlm"].loss
        hidden = model.sharing(batch.inputs, {"mlm": torch.arange(len(TEXTS))})["mlm"]
        logits = model.head("mlm").logits(hidden[rows, targets["place"][rows, places]])
    assert float(loss) / len(rows) == pytest.approx(float(expected.loss), abs=1e-5)
    assert torch.allclose(logits, expected.logits[labels != -100], atol=1e-5)
    assert model.head("mlm").pretrained
    output = model.head("mlm").model.get_output_embeddings()
    if name != "albert" or output.weight.shape == model.sharing.encoder.get_input_embeddings().weight.shape:
        assert output.weight is model.sharing.encoder.get_input_embeddings().weight


@pytest.mark.parametrize("name", ["bert", "modernbert"])
def test_predictions_are_those_of_fill_mask(name: str, tmp_path: Path) -> None:
    directory = write_checkpoint(name, tmp_path / "checkpoint")
    model, _, _ = load_for_losses(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    predictor, fill = Predictor(model, tokenizer), pipeline("fill-mask", model=str(directory))
    mask = tokenizer.mask_token
    for text in (f"ada lives in {mask}.", f"the {mask} sings in {mask} today"):
        ours, theirs = predictor.predict(text, task="mlm"), fill(text)
        flat = [item for row in ours for item in (row if isinstance(row, list) else [row])]
        expected = [item for row in theirs for item in (row if isinstance(row, list) else [row])]
        assert len(flat) == len(expected)
        for one, other in zip(flat, expected, strict=True):
            assert {**one, "score": 0} == {**other, "score": 0}
            assert one["score"] == pytest.approx(other["score"], abs=1e-5)


def test_a_head_without_weights_in_the_checkpoint_is_new_and_has_head_lr(tmp_path: Path) -> None:
    new, _, _ = load_for_losses(write_encoder(tmp_path / "new"))
    assert not new.head("mlm").pretrained
    trained, _, _ = load_for_losses(write_checkpoint("bert", tmp_path / "trained"))
    rates = {}
    for name, model in (("new", new), ("trained", trained)):
        options = nlpmtl.RunConfig.model_validate({"encoder": {"name": "x"}, "datasets": RUN_DATASETS}).optimizer
        groups = build_optimizer(model, options, lr=1e-3, head_lr=1e-2, weight_decay=0.0).param_groups
        rate_of = {id(p): group["lr"] for group in groups for p in group["params"]}
        head = model.head("mlm").model
        assert rate_of[id(model.sharing.encoder.get_input_embeddings().weight)] == 1e-3, "the tied weight"
        rates[name] = rate_of[id(head.get_parameter("cls.predictions.bias"))]
    assert rates == {"new": 1e-2, "trained": 1e-3}


RUN_DATASETS = {
    "t": {"data": {"files": {"train": []}}, "input": {"text": "t"}, "tasks": {"mlm": {"kind": "masked_lm"}}}
}


def make_run(directory: Path, **tables: Any) -> dict[str, Any]:
    """Return a run with a classification, and masked_lm on its texts."""
    files = {
        split: str(write_rows(directory / f"{split}.jsonl", make_rows(count, seed=count)))
        for split, count in (("train", 40), ("validation", 12))
    }
    return {
        "output": str(directory / "out"),
        "encoder": {"name": str(write_encoder(directory / "encoder", dropout=0.0)), "max_length": 24},
        "datasets": {
            "messages": {
                "data": {"files": files},
                "input": {"text": "text"},
                "tasks": {"topic": {"kind": "classification", "label": "topic"}},
            },
            "texts": {"from": ["messages"], "tasks": {"mlm": {"kind": "masked_lm"}}},
        },
        "train": {"steps": 8, "batch_size": 8, "lr": 1e-3, "save_every": 4, "precision": "fp32"},
        "eval": {"every": 4},
        **tables,
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    phases = [{"datasets": ["texts"], "until": 0.5}, {"datasets": ["messages"], "until": 1.0}]
    directory = tmp_path_factory.mktemp("mlm")
    return train_tiny(make_run(directory, sampling={"kind": "phases", "phases": phases}))


@pytest.mark.slow
def test_domain_adaptive_pretraining_runs_in_phases(trained: Any) -> None:
    losses = [step["losses"] for step in metrics(trained.output)]
    assert [set(step) for step in losses] == [{"mlm"}] * 4 + [{"topic"}] * 4
    scores = trained.result.scores
    assert set(scores["mlm"]) == {"perplexity", "score", "rows"}
    assert scores["mlm"]["rows"] == 12
    assert scores.mean == scores["topic"]["score"], "masked_lm is not in the mean"
    model, _ = load_model(str(trained.model_dir))
    assert model.head("mlm").model.get_output_embeddings().weight is model.sharing.encoder.get_input_embeddings().weight


def test_tied_weights_are_saved_once(trained: Any) -> None:
    saved = weights(trained.model_dir)
    assert "sharing.encoder.embeddings.word_embeddings.weight" in saved
    assert not any(name.endswith("decoder.weight") for name in saved)
    checkpoints = sorted((trained.output / "checkpoints").glob("step-*"))
    assert not any(name.endswith("decoder.weight") for name in weights(checkpoints[-1]))


def test_only_texts_with_the_mask_token_are_predicted(trained: Any) -> None:
    predictor = Predictor.from_pretrained(trained.model_dir)
    assert set(predictor.predict_all("ada lives in turin")) == {"topic"}
    both = predictor.predict_all("ada lives in [MASK]")
    assert set(both) == {"topic", "mlm"}
    assert [set(item) for item in both["mlm"]] == [{"score", "token", "token_str", "sequence"}] * 5
    with pytest.raises(ConfigError, match=r"task 'mlm' cannot predict for this input: it needs a text with the mask"):
        predictor.predict("ada lives in turin", task="mlm")


def test_files_are_predicted(trained: Any, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "new.jsonl", [{"text": "ada lives in turin"}, {"text": "ada lives in [MASK]"}])
    nlpmtl.predict_files(str(trained.model_dir), str(rows), tmp_path / "predicted.jsonl")
    predicted = [json.loads(line) for line in (tmp_path / "predicted.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [set(row["predictions"]) for row in predicted] == [{"topic"}, {"topic", "mlm"}]


def test_a_run_with_masked_lm_only_is_selected_by_it(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    rows = run["datasets"]["messages"]
    run["datasets"] = {"messages": {**rows, "tasks": {"mlm": {"kind": "masked_lm"}}}}
    result = train_tiny(run).result
    assert result.scores is not None
    assert result.scores.mean == result.scores["mlm"]["score"]
    assert result.scores.mean < 0


def test_an_export_is_the_stock_model(trained: Any, tmp_path: Path) -> None:
    predictor = Predictor.from_pretrained(trained.model_dir)
    assert predictor.export(tmp_path / "stock", task="mlm") < 1e-5
    assert read_json(tmp_path / "stock" / "config.json")["architectures"] == ["BertForMaskedLM"]
    fill = pipeline("fill-mask", model=str(tmp_path / "stock"))
    text = "ada lives in [MASK]"
    for one, other in zip(predictor.predict(text, task="mlm"), fill(text), strict=True):
        assert (one["token"], one["sequence"]) == (other["token"], other["sequence"])
    with pytest.raises(ConfigError, match="task 'mlm' cannot be exported to ONNX"):
        predictor.export(tmp_path / "onnx", to="onnx", task="mlm")


def test_a_label_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    mlm = run["datasets"]["texts"]["tasks"]["mlm"]
    for key, value, message in (("label", "topic", "label: unknown key"), ("labels", ["a"], "has no `labels`")):
        run["datasets"]["texts"]["tasks"]["mlm"] = {**mlm, key: value}
        with pytest.raises(ConfigError, match=rf"datasets\.texts\.tasks\.mlm.*{message}"):
            parse_run(run, where="run")


def test_a_frozen_head_does_not_freeze_the_encoder(trained: Any, tmp_path: Path) -> None:
    """A run that continues without masked_lm keeps its head, whose tied weight belongs to the encoder."""
    encoder = load_encoder(str(trained.model_dir))
    topic = encoder.pretrained_tasks["topic"]
    model = MultiTaskModel.from_encoder(encoder, tasks=[topic], sharing={"kind": "hard"}, input_length=24, seed=0)
    assert model.sharing.encoder.get_input_embeddings().weight.requires_grad
    assert not model.head("mlm").model.get_parameter("cls.predictions.bias").requires_grad


def test_a_head_that_shares_parameters_with_the_encoder_is_refused_with_fsdp(trained: Any) -> None:
    model, _ = load_model(str(trained.model_dir))
    with pytest.raises(ConfigError, match="the head of its type, 'masked_lm', shares parameters with it"):
        apply_fsdp(model, device=torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SHARINGS.names())
def test_the_tied_weight_is_saved_once_with_every_sharing_scheme(scheme: str, tmp_path: Path) -> None:
    run = make_run(tmp_path, sharing=member_table("sharing", scheme))
    run["train"] |= {"steps": 2, "save_every": 2}
    trained = train_tiny(run)
    assert not any(name.startswith("heads.") and name.endswith("decoder.weight") for name in weights(trained.model_dir))
    model, _ = load_model(str(trained.model_dir))
    embeddings = model.sharing.encoder.get_input_embeddings().weight
    assert model.head("mlm").model.get_output_embeddings().weight is embeddings


def test_losses_without_predictions_go_through_json() -> None:
    predictions = Predictions([], predicted=[None, None], gold=[None, None], losses=[1.5, 2.0], items=[1.0, 2.0])
    assert Predictions.from_json(predictions.to_json()) == predictions


def test_an_architecture_without_masked_lm_in_transformers_is_refused(tmp_path: Path) -> None:
    config = transformers.XLNetConfig(vocab_size=30, d_model=16, n_layer=1, n_head=2, d_inner=16)
    encoder = transformers.XLNetModel(config)
    from nlpmtl.heads import HeadContext, stock_part

    with pytest.raises(nlpmtl.ModelError, match="has no AutoModelForMaskedLM for the architecture 'xlnet'"):
        stock_part(HeadContext(config, encoder=encoder), "AutoModelForMaskedLM")


def test_an_encoder_decoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(nlpmtl.ModelError, match="AutoModelForMaskedLM of the architecture 'bart' reads its decoder"):
        load_for_losses(write_seq2seq("bart", tmp_path))
