"""Exported tasks give the same predictions with `transformers.pipeline()` in a process without nlpmtl."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from nlpmtl import ConfigError, ModelError, MultiTaskModel, Predictor
from nlpmtl.export import export_task
from nlpmtl.fs import write_json
from nlpmtl.model import Sharing, load_encoder
from nlpmtl.registry import SHARINGS, TASKS
from nlpmtl.tasks import Classification, ExampleOutputs, Prediction, task_from_config
from tests.architectures import ARCHITECTURES, write_architecture
from tests.tiny import make_rows, read_json, write_encoder
from tests.transformers_pipelines import PipelineRequest, PipelineResult, run_pipelines

Stock = dict[tuple[str, str], PipelineResult]
"""Results of `pipeline()` by architecture and task."""
LENGTH = 24
LABELS = ["one", "two", "three"]
TAGS = ["O", "B-place", "I-place"]
SPECS: dict[str, dict[str, Any]] = {
    "topic": {"kind": "classification", "labels": LABELS, "metrics": None, "input": "words", "temperature": 1.7},
    "mood": {"kind": "sentiment", "labels": LABELS, "metrics": None, "input": "text", "temperature": 0.6},
    "grade": {
        "kind": "regression",
        "labels": [],
        "metrics": None,
        "input": "text",
        "target": {"mean": -7.0, "std": 3.0},
    },
    "kinds": {
        "kind": "multilabel",
        "labels": LABELS,
        "metrics": None,
        "input": "text",
        "temperature": 1.4,
        "thresholds": [0.3, 0.5, 0.7],
    },
    "parts": {
        "kind": "labeling",
        "labels": LABELS,
        "metrics": None,
        "input": "words",
        "temperature": 1.3,
        "scheme": "plain",
    },
    "places": {"kind": "labeling", "labels": TAGS, "metrics": None, "input": "words", "scheme": "bio"},
    "same": {"kind": "classification", "labels": LABELS[:2], "metrics": None, "input": "pair", "temperature": 2.5},
    "near": {
        "kind": "regression",
        "labels": [],
        "metrics": None,
        "input": "pair",
        "target": {"mean": 2.5, "std": 0.4},
    },
}
TEXTS = ["Ada lives in Turin.", "a cat", "É, ¿qué?", *(row["text"] for row in make_rows(3)), "the old red lamp, " * 20]


@dataclass(frozen=True)
class Exports:
    """A model, the directory of its exported tasks, and the reported differences."""

    predictor: Predictor
    root: Path
    max_logit_difference: dict[str, float]


def assemble(directory: Path, specs: dict[str, dict[str, Any]], sharing: str = "hard") -> Predictor:
    """Return an untrained model with random heads."""
    encoder = load_encoder(str(directory))
    tasks = [task_from_config(name, spec) for name, spec in specs.items()]
    model = MultiTaskModel.from_encoder(encoder, tasks=tasks, sharing={"kind": sharing}, input_length=LENGTH, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.heads.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.2)
    model.train(False)
    return Predictor(model, encoder.tokenizer)


def model_of(predictor: Predictor) -> MultiTaskModel:
    assert isinstance(predictor.model, MultiTaskModel)
    return predictor.model


def export_all(predictor: Predictor, root: Path) -> Exports:
    predictor.predict_all("a cat")  # changes the settings of the tokenizer
    exported = {task: predictor.export(root / task, task=task) for task in predictor.tasks}
    return Exports(predictor, root, exported)


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exports]:
    by_architecture = {}
    for name in ARCHITECTURES:
        root = tmp_path_factory.mktemp(name)
        by_architecture[name] = export_all(assemble(write_architecture(name, root / "encoder"), SPECS), root)
    return by_architecture


def inputs_of(task: str) -> list[Any]:
    if SPECS[task]["input"] == "pair":
        return [{"text": first, "text_pair": second} for first, second in zip(TEXTS, TEXTS[::-1], strict=True)]
    return list(TEXTS)


def options_of(task: str) -> dict[str, Any]:
    if SPECS[task]["kind"] == "labeling":
        return {"ignore_labels": []}
    return {"truncation": True, "top_k": None}


@pytest.fixture(scope="module")
def stock(exports: dict[str, Exports], tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """Predictions of `pipeline()` for all exports, in one process that cannot import nlpmtl."""
    keys = list(product(ARCHITECTURES, SPECS))
    requests = [
        PipelineRequest(
            str(exports[name].root / task),
            "token-classification" if SPECS[task]["kind"] == "labeling" else "text-classification",
            inputs_of(task),
            options_of(task),
        )
        for name, task in keys
    ]
    return dict(zip(keys, run_pipelines(requests, tmp_path_factory.mktemp("stock")), strict=True))


def logits_of(predictor: Predictor, task: str, given: Any) -> np.ndarray:
    """Return the logits of nlpmtl on the scale of the predictions."""
    texts = list(given.values()) if isinstance(given, dict) else [given]
    inputs = predictor.tokenizer(*texts, truncation=True, max_length=LENGTH, return_tensors="pt")
    with torch.inference_mode():
        logits = model_of(predictor)(**inputs, rows={task: torch.tensor([0])})[task][0].double().numpy()
    target = SPECS[task].get("target", {"mean": 0.0, "std": 1.0})
    scaled: np.ndarray = logits / SPECS[task].get("temperature", 1.0) * target["std"] + target["mean"]
    return scaled


@pytest.mark.slow
@pytest.mark.parametrize("task", list(SPECS))
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_stock_model_gives_the_same_logits(name: str, task: str, exports: dict[str, Exports], stock: Stock) -> None:
    expected = [logits_of(exports[name].predictor, task, given) for given in inputs_of(task)]
    logits = [np.array(row) for row in stock[name, task].logits]
    assert [row.shape for row in logits] == [row.shape for row in expected]
    assert max(np.abs(row - expected_row).max() for row, expected_row in zip(logits, expected, strict=True)) < 1e-5
    together = np.stack([row.mean(axis=0) if row.ndim > 1 else row for row in expected])
    assert together.std(axis=0).max() > 0.03  # so that the comparison is meaningful
    assert exports[name].max_logit_difference[task] < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_pipeline_gives_the_predictions_of_the_predictor(
    name: str, exports: dict[str, Exports], stock: Stock
) -> None:
    predictor = exports[name].predictor
    for task in ("topic", "mood", "same"):
        pairs = [tuple(item.values()) if isinstance(item, dict) else item for item in inputs_of(task)]
        expected = predictor.predict(pairs, task=task, all_scores=True)
        for result, prediction in zip(stock[name, task].predictions, expected, strict=True):
            assert result[0]["label"] == prediction["label"]
            assert {part["label"]: part["score"] for part in result} == pytest.approx(prediction["scores"], abs=1e-5)
    for task in ("grade", "near"):
        pairs = [tuple(item.values()) if isinstance(item, dict) else item for item in inputs_of(task)]
        for result, prediction in zip(stock[name, task].predictions, predictor.predict(pairs, task=task), strict=True):
            assert result == [{"label": task, "score": pytest.approx(prediction["value"], abs=1e-5)}]
    thresholds = read_json(exports[name].root / "kinds" / "config.json")["thresholds"]
    predictions = predictor.predict(TEXTS, task="kinds")
    for result, prediction in zip(stock[name, "kinds"].predictions, predictions, strict=True):
        chosen = [part for part in result if part["score"] > thresholds[part["label"]]]
        assert [part["label"] for part in chosen] == [part["label"] for part in prediction["labels"]]
        assert [part["score"] for part in chosen] == pytest.approx(
            [part["score"] for part in prediction["labels"]], abs=1e-5
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_words_are_tagged_by_their_first_token(name: str, exports: dict[str, Exports], stock: Stock) -> None:
    words = 0
    for pieces, text in zip(stock[name, "parts"].predictions, TEXTS[:-1], strict=False):  # the last one is truncated
        for prediction in exports[name].predictor.predict(text, task="parts"):
            inside = (
                piece for piece in pieces if piece["end"] > prediction["start"] and piece["start"] < prediction["end"]
            )
            first = next(inside)
            assert first["entity"] == prediction["entity"]
            assert first["score"] == pytest.approx(prediction["score"], abs=1e-5)
            words += 1
    assert words > 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "model", "problem"),
    [
        ("topic", "BertForSequenceClassification", "single_label_classification"),
        ("grade", "BertForSequenceClassification", "regression"),
        ("kinds", "BertForSequenceClassification", "multi_label_classification"),
        ("places", "BertForTokenClassification", None),
    ],
)
def test_files_of_the_result(
    task: str,
    model: str,
    problem: str | None,
    exports: dict[str, Exports],
    stock: Stock,
) -> None:
    directory = exports["bert"].root / task
    names = {path.name for path in directory.iterdir()}
    assert names == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"}
    config = read_json(directory / "config.json")
    labels = SPECS[task]["labels"] or [task]
    assert config["architectures"] == [model] == [stock["bert", task].model]
    assert config["id2label"] == {str(i): label for i, label in enumerate(labels)}
    assert config["label2id"] == {label: i for i, label in enumerate(labels)}
    assert config.get("problem_type") == problem
    assert read_json(directory / "tokenizer_config.json")["model_max_length"] == LENGTH
    assert read_json(directory / "tokenizer.json")["truncation"] is None


@pytest.mark.slow
def test_the_card_lists_what_is_exported(exports: dict[str, Exports]) -> None:
    cards = {task: (exports["bert"].root / task / "README.md").read_text(encoding="utf-8") for task in SPECS}
    assert "logits are divided by 1.7" in cards["topic"]
    assert "Nothing: the pipeline predicts the same as nlpmtl." in cards["topic"]
    assert "times 3, plus -7" in cards["grade"]
    assert "Folded into the last layer\n\n- Nothing." in cards["places"]
    assert "I-x follows only B-x or I-x" in cards["places"]
    assert "The pipeline tags every token" in cards["parts"] or "the pipeline tags every token" in cards["parts"]
    assert "Thresholds" in cards["kinds"]
    assert '{"text": "A text.", "text_pair": "Another."}' in cards["same"]
    assert all(f"at most {LENGTH} tokens" in card for card in cards.values())


def test_half_precision_is_kept(tmp_path: Path) -> None:
    predictor = assemble(write_architecture("roberta", tmp_path / "encoder"), {"topic": SPECS["topic"]})
    module: nn.Module = model_of(predictor)  # whose `to` has types
    module.to(torch.bfloat16)
    assert 0 < predictor.export(tmp_path / "topic") < 0.1
    assert read_json(tmp_path / "topic" / "config.json")["dtype"] == "bfloat16"


def test_a_scale_far_from_1_is_compared_on_its_own_scale(tmp_path: Path) -> None:
    spec = {**SPECS["grade"], "target": {"mean": 250_000.0, "std": 80_000.0}}
    predictor = assemble(write_architecture("bert", tmp_path / "encoder"), {"price": spec})
    assert predictor.export(tmp_path / "price") < 1e-6


@pytest.mark.parametrize("std", [1e-6, 1e-170, 1e-42, 1e100])
def test_a_scale_outside_of_single_precision_is_refused(std: float, tmp_path: Path) -> None:
    spec = {**SPECS["grade"], "target": {"mean": 2 * std, "std": std}}
    predictor = assemble(write_architecture("bert", tmp_path / "encoder"), {"grade": spec})
    if std == 1e-6:
        assert predictor.export(tmp_path / "grade") < 1e-6
        return
    with pytest.raises(ModelError, match="gives other logits"):
        predictor.export(tmp_path / "grade")


def test_padding_on_the_left_is_not_exported(tmp_path: Path) -> None:
    settings = write_architecture("bert", tmp_path / "encoder") / "tokenizer_config.json"
    write_json(settings, {**read_json(settings), "padding_side": "left"})
    predictor = assemble(tmp_path / "encoder", {"topic": SPECS["topic"]})
    predictor.export(tmp_path / "topic")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "topic")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "topic").eval()
    texts = ["a cat", "the old red lamp is good"]
    with torch.inference_mode():
        scores = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits.softmax(dim=-1)
    expected = predictor.predict(texts, task="topic", all_scores=True)
    assert scores.tolist() == pytest.approx(np.array([list(item["scores"].values()) for item in expected]), abs=1e-5)


@pytest.fixture
def bert(tmp_path: Path) -> Predictor:
    return assemble(write_architecture("bert", tmp_path / "encoder"), SPECS)


@pytest.fixture
def nothing_left(tmp_path: Path) -> Iterator[Path]:
    """A directory for exports that fail."""
    yield tmp_path / "exports" / "one"
    assert not list(tmp_path.glob("exports/**/*"))


def test_the_task_is_required_if_there_are_several(bert: Predictor, nothing_left: Path) -> None:
    with pytest.raises(ConfigError, match="has a single task: specify one of topic, mood, grade"):
        bert.export(nothing_left)
    with pytest.raises(ConfigError, match=r"has a single task: specify one of topic, mood$"):
        bert.export(nothing_left, task=["topic", "mood"])
    with pytest.raises(ConfigError, match="no task 'topics'; did you mean 'topic'"):
        bert.export(nothing_left, task="topics")
    with pytest.raises(ConfigError, match=r"to: one of .transformers., .* was expected, found 'tensorflow'"):
        bert.export(nothing_left, to="tensorflow")
    with pytest.raises(ConfigError, match="no task 'topics'; did you mean 'topic'"):
        export_task(model_of(bert), bert.tokenizer, task="topics", directory=nothing_left)


def test_an_existing_directory_is_not_overwritten(bert: Predictor, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for path in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(ConfigError, match="already exists: choose another directory"):
            bert.export(path, task="topic")
    assert {path.name for path in tmp_path.iterdir()} == {"mine.txt", "encoder"}


def test_a_sharing_scheme_without_an_encoder_of_the_task_is_refused(
    tmp_path: Path, nothing_left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Separate(Sharing):
        def forward(self, inputs: Any, rows: Any) -> Any:
            raise NotImplementedError

    monkeypatch.setattr(SHARINGS, "_members", dict(SHARINGS._members))
    SHARINGS.register("separate")(Separate)
    predictor = assemble(write_architecture("bert", tmp_path / "encoder"), SPECS, sharing="separate")
    with pytest.raises(ModelError, match=r"sharing\.kind = 'separate'.*nlpmtl export … --to onnx --task topic"):
        predictor.export(nothing_left, task="topic")


def test_a_task_type_with_its_own_decoding_is_refused(
    tmp_path: Path, nothing_left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stars(Classification):
        kind = "stars"

        def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
            return [Prediction(self.labels[0], score=1.0) for _ in items]

    monkeypatch.setattr(TASKS, "_members", dict(TASKS._members))
    TASKS.register("stars")(Stars)
    specs = {"topic": {**SPECS["topic"], "kind": "stars"}}
    predictor = assemble(write_architecture("bert", tmp_path / "encoder"), specs)
    with pytest.raises(ModelError, match=r"its task type, 'stars', has no equivalent .*--to onnx"):
        predictor.export(nothing_left)


def unlisted(directory: Path, kind: str, **config: Any) -> Predictor:
    """A model of an unlisted architecture, which gets RoBERTa's head."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
    write_encoder(directory)
    given = AutoConfig.for_model(kind, **{"vocab_size": 150, "max_position_embeddings": 66, **sizes, **config})
    with torch.random.fork_rng():
        torch.manual_seed(2)
        AutoModel.from_config(given).save_pretrained(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.save_pretrained(directory)
    price = {**SPECS["grade"], "target": {"mean": 1e5, "std": 1.0}}
    return assemble(directory, {"topic": SPECS["topic"], "places": SPECS["places"], "price": price})


def test_an_unlisted_architecture_with_robertas_head_can_be_exported(tmp_path: Path) -> None:
    predictor = unlisted(tmp_path / "encoder", "camembert", pad_token_id=0)
    for task in ("topic", "places"):
        assert predictor.export(tmp_path / task, task=task) < 1e-5


def test_an_unlisted_architecture_with_a_head_of_other_layers_is_refused(tmp_path: Path, nothing_left: Path) -> None:
    predictor = unlisted(tmp_path / "encoder", "ernie")
    with pytest.raises(ModelError, match=r"ErnieForSequenceClassification has another head: .*--to onnx --task topic"):
        predictor.export(nothing_left, task="topic")
    assert predictor.export(tmp_path / "places", task="places") < 1e-5, "a last layer alone is all alike"


def test_an_unlisted_architecture_with_a_head_of_equal_names_is_detected(tmp_path: Path, nothing_left: Path) -> None:
    """The dense layer has another activation."""
    predictor = unlisted(tmp_path / "encoder", "roformer", hidden_act="gelu")
    for task in ("topic", "price"):
        with pytest.raises(ModelError, match=r"RoFormerForSequenceClassification gives other logits.*--to onnx"):
            predictor.export(nothing_left, task=task)


@pytest.mark.slow
def test_an_architecture_without_a_classifier_in_transformers_is_refused(tmp_path: Path, nothing_left: Path) -> None:
    predictor = unlisted(tmp_path / "encoder", "splinter")
    with pytest.raises(
        ModelError,
        match=r"AutoModelFor.* has no model for a 'splinter' encoder.*--to onnx",
    ):
        predictor.export(nothing_left, task="topic")


def test_the_docs_name_the_sharing_schemes_that_can_be_exported() -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "exporting.md").read_text(encoding="utf-8")
    refused, accepted = page.partition("- the sharing scheme is")[2].partition("\n- ")[0].split(". With ")
    for name in SHARINGS.names():
        if SHARINGS.get(name).__module__.startswith("nlpmtl."):
            has_encoder = SHARINGS.get(name).standalone_encoder is not Sharing.standalone_encoder  # type: ignore[attr-defined]
            assert f"`{name}`" in (accepted if has_encoder else refused)
