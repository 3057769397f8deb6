"""Text embeddings: losses and their gradients by brute force, and runs on pairs, numbers and classes."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

import nlpmtl
from nlpmtl import ConfigError, DataError, ModelError, Predictor
from nlpmtl.config import parse_run
from nlpmtl.data import Example, Input, TaskBatch, TokenSequence, parse_value
from nlpmtl.model import MultiTaskModel, load_encoder
from nlpmtl.model.sentence_pooling import read_sentence_pooling
from nlpmtl.registry import TASKS
from nlpmtl.task_datasets import load_task_datasets
from nlpmtl.tasks import Embedding, ExampleOutputs, task_from_config
from tests.tasks.test_generation import write_seq2seq
from tests.tiny import WORDS, Trained, read_json, write_encoder, write_rows

WIDTH, TAU = 6, 0.05


def task_of(objective: str = "positive", **changes: Any) -> Embedding:
    shape = "text" if objective == "class" else "pair"
    metrics = ["spearman"] if objective == "number" else ["recall_10"]
    config = {"kind": "embedding", "labels": [], "metrics": metrics, "input": shape, "objective": objective, **changes}
    task = task_from_config("t", config)
    assert isinstance(task, Embedding)
    return task


def vectors(count: int, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, WIDTH, generator=generator, dtype=torch.float64, requires_grad=True)


def unit(values: Tensor, size: int) -> Tensor:
    return values[:, :size] / values[:, :size].square().sum(dim=1, keepdim=True).sqrt()


def brute_info_nce(z: Tensor, rows: list[list[str]], size: int) -> Tensor:
    """Return the loss of each row, in loops; `rows` has the texts of each row: text, pair, negatives."""
    e, places, place = unit(z, size), [], 0
    for row in rows:
        places.append(list(range(place, place + len(row))))
        place += len(row)
    losses = []
    for row, of_row in zip(rows, places, strict=True):
        query, positive = e[of_row[0]], of_row[1]
        terms = []
        for other, of_other in zip(rows, places, strict=True):
            for text, index in zip(other[1:], of_other[1:], strict=True):
                similar = text in (row[0], row[1]) or (other[0] == row[0] and index == of_other[1])
                if index == positive or not similar:
                    terms.append(torch.exp(query @ e[index] / TAU))
        losses.append(-torch.log(torch.exp(query @ e[positive] / TAU) / torch.stack(terms).sum()))
    return torch.stack(losses)


def brute_supervised(z: Tensor, classes: list[int], size: int) -> Tensor:
    e, losses = unit(z, size), []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        total = torch.stack([torch.exp(e[i] @ e[a] / TAU) for a in others]).sum()
        positives = [p for p in others if classes[p] == classes[i]]
        terms = [-torch.log(torch.exp(e[i] @ e[p] / TAU) / total) / len(positives) for p in positives]
        losses.append(torch.stack(terms).sum() if terms else e[i].sum() * 0)
    return torch.stack(losses)


ROWS = [["a", "b"], ["c", "d", "e", "f"], ["g", "b", "d"], ["h", "i"], ["b", "j"], ["c", "k", "l"]]
"""Texts of six rows; "b" is the pair of two rows and the text of another, "d" is a pair and a negative, and "c" has two
pairs."""


def batch_of(task: Embedding, rows: list[list[str]]) -> TaskBatch:
    example = torch.tensor([i for i, row in enumerate(rows) for _ in row])
    position = torch.tensor([j for row in rows for j in range(len(row))])
    targets: list[int] = []
    for text, pair, *negatives in rows:
        made = task.targets(Example(Input(text, pair), extra={"negatives": negatives}), [])
        assert made is not None
        targets += made.sequence["text"]
    return TaskBatch(torch.arange(len(example)), {"text": torch.tensor(targets)}, example=example, position=position)


@pytest.mark.parametrize("dimensions", [(), (2, 4)])
def test_info_nce_and_its_gradient_by_brute_force(dimensions: tuple[int, ...]) -> None:
    task = task_of(dimensions=list(dimensions))
    z = vectors(sum(map(len, ROWS)))
    losses = task.loss({"embedding": z}, batch_of(task, ROWS))
    sizes = [*dimensions, WIDTH]
    expected = torch.stack([brute_info_nce(z, ROWS, size) for size in sizes]).mean(dim=0)
    assert losses.shape == (6,)
    assert torch.allclose(losses, expected, rtol=1e-9)
    weights = torch.tensor([1.0, 0.5, 2.0, 1.0, 3.0, 2.5], dtype=torch.float64)
    gradients = [
        torch.autograd.grad((values * weights).sum(), z, retain_graph=True)[0] for values in (losses, expected)
    ]
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-8, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x: task.loss({"embedding": x}, batch_of(task, ROWS)), [z])


@pytest.mark.parametrize("dimensions", [(), (3,)])
def test_the_supervised_loss_and_its_gradient_by_brute_force(dimensions: tuple[int, ...]) -> None:
    task, z, classes = task_of("class", dimensions=list(dimensions)), vectors(7), [0, 1, 0, 2, 1, 0, 3]
    batch = TaskBatch(torch.arange(7), {"class": torch.tensor(classes)})
    losses = task.loss({"embedding": z}, batch)
    expected = torch.stack([brute_supervised(z, classes, size) for size in (*dimensions, WIDTH)]).mean(dim=0)
    assert torch.allclose(losses, expected, rtol=1e-9)
    assert losses[3] == losses[6] == 0.0, "no other row has their class"
    gradients = [torch.autograd.grad(values.sum(), z, retain_graph=True)[0] for values in (losses, expected)]
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-8, atol=1e-12)


def test_the_regression_loss_by_hand() -> None:
    task, z = task_of("number", label_range=[0.0, 5.0]), vectors(6)
    targets = [task.targets(Example(Input("a", "b"), labels={"label": value}), []) for value in (0.0, 2.5, 5.0)]
    similarity = torch.tensor([made.example["similarity"] for made in targets if made is not None])
    assert similarity.tolist() == [0.0, 0.5, 1.0]
    example, position = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 1] * 3)
    batch = TaskBatch(torch.arange(6), {"similarity": similarity}, example=example, position=position)
    e = unit(z, WIDTH).detach()
    expected = [(float(e[2 * i] @ e[2 * i + 1]) - y) ** 2 for i, y in enumerate([0.0, 0.5, 1.0])]
    assert task.loss({"embedding": z}, batch).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("objective", ["positive", "class"])
def test_a_step_of_one_row_has_a_finite_gradient(objective: str) -> None:
    task = task_of(objective)
    z = vectors(2 if objective == "positive" else 1)
    batch = (
        batch_of(task, [["a", "b"]])
        if objective == "positive"
        else TaskBatch(torch.arange(1), {"class": torch.tensor([4])})
    )
    loss = task.loss({"embedding": z}, batch)
    assert loss.tolist() == [0.0]
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("value", "pair", "expected"), [(3, "b", 3.0), ("2.5", "b", 2.5), ("card", None, "card"), (7, None, "7")]
)
def test_a_label_is_a_number_for_a_pair_and_else_a_class(value: Any, pair: str | None, expected: Any) -> None:
    assert parse_value(value, Example(Input("a", pair)), type="class_or_number") == expected


def test_invalid_values() -> None:
    with pytest.raises(ValueError, match="a number was expected"):
        parse_value("high", Example(Input("a", "b")), type="class_or_number")
    with pytest.raises(ValueError, match="a text, or a list of texts such as"):
        parse_value(3, Example(Input("a", "b")), type="negatives")
    with pytest.raises(ValueError, match="a string was expected"):
        parse_value(["a", 3], Example(Input("a", "b")), type="negatives")
    for value, texts in (
        ([], []),
        ("[]", []),
        ('["a", "b, c"]', ["a", "b, c"]),
        ("a text", ["a text"]),
        ("[a] b", ["[a] b"]),
        ([None, "b"], ["b"]),
    ):
        assert parse_value(value, Example(Input("a", "b")), type="negatives") == texts


def test_decoding_does_not_depend_on_other_rows() -> None:
    arrays = [np.eye(3, dtype=np.float32)[i] for i in range(2)]
    pair = ExampleOutputs(Example(Input("a", "b")), [TokenSequence(np.arange(2))] * 2, {"embedding": arrays})
    assert task_of("number").decode([pair])[0].value == 0.0
    assert task_of().decode([pair])[0].value == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    text = ExampleOutputs(Example(Input("a")), [TokenSequence(np.arange(2))], {"embedding": arrays[:1]})
    (prediction,) = task_of("number").decode([text])
    assert task_of().format(prediction, text.example) == [1.0, 0.0, 0.0]


def rows_of(objective: str, count: int = 30) -> list[dict[str, Any]]:
    source = random.Random(0)
    rows = []
    for _ in range(count):
        words = [source.choice(WORDS) for _ in range(4)]
        other = [source.choice(WORDS) for _ in range(4)]
        similar = source.random() < 0.5
        rows.append(
            {
                "text": " ".join(words),
                "other": " ".join(reversed(words) if similar or objective == "positive" else other),
                "grade": 5 if similar else 1,
                "topic": words[0],
                "wrong": [" ".join(other)],
            }
        )
    return rows


INPUTS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "positive": ({"text": "text", "pair": "other", "negatives": "wrong"}, {}),
    "number": ({"text": "text", "pair": "other"}, {"label": "grade"}),
    "class": ({"text": "text"}, {"label": "topic"}),
}


def run_of(directory: Path, objective: str, **options: Any) -> dict[str, Any]:
    path = str(write_rows(directory / f"{objective}.jsonl", rows_of(objective)))
    columns, keys = INPUTS[objective]
    dataset = {
        "data": {"files": {"train": path, "validation": path}},
        "input": columns,
        "tasks": {"vector": {"kind": "embedding", **keys, **options}},
    }
    encoder = {"name": str(write_encoder(directory / "encoder", dropout=0.0)), "max_length": 24}
    train = {"steps": 24, "batch_size": 10, "lr": 2e-3, "micro_tokens": 64}
    return {"output": str(directory / objective), "encoder": encoder, "datasets": {"rows": dataset}, "train": train}


class Models(dict[str, tuple[Path, dict[str, Any]]]):
    """The model and the scores of a run of each kind of data, which is trained when it is first read."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self.factory = factory

    def __missing__(self, objective: str) -> tuple[Path, dict[str, Any]]:
        result = nlpmtl.train(run_of(self.factory.mktemp(objective), objective, dimensions=[8]))
        assert result.scores is not None
        self[objective] = (result.model_dir, dict(result.scores["vector"]))
        return self[objective]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(tmp_path_factory)


@pytest.mark.parametrize(
    ("objective", "metric", "least"),
    [
        ("positive", "recall_10", 0.8),
        pytest.param("number", "spearman", 0.5, marks=pytest.mark.slow),
        pytest.param("class", "recall_10", 0.6, marks=pytest.mark.slow),
    ],
)
def test_each_kind_of_data_is_learned(objective: str, metric: str, least: float, models: Models) -> None:
    directory, scores = models[objective]
    assert scores[metric] > least
    assert scores["rows"] == 30
    task = read_json(directory / "config.json")["tasks"]["vector"]
    assert (task["objective"], task["metrics"]) == (objective, [metric])
    again = nlpmtl.evaluate(directory, run_of(directory / "again", objective)["datasets"]["rows"], split="validation")
    assert again["vector"][metric] == pytest.approx(scores[metric], abs=1e-6)


def test_pairs_with_a_number_are_not_scored_as_similar_pairs(models: Models, tmp_path: Path) -> None:
    directory, _ = models["positive"]
    dataset = run_of(tmp_path, "number")["datasets"]["rows"]
    with pytest.raises(ConfigError, match=r"task 'vector' of this model was trained on similar pairs, and .* 'grade'"):
        nlpmtl.evaluate(directory, dataset)


def test_a_prediction_reads_neither_negatives_nor_their_length() -> None:
    example = Example(Input("ada"), extra={"negatives": ["turin " * 99]})
    assert [text.text for text in task_of().sequences(example, predict=True)] == ["ada"]


def test_predictions_are_unit_vectors_of_single_texts(models: Models) -> None:
    for directory, _ in models.values():
        predictor = Predictor.from_pretrained(directory)
        vector = predictor.predict("ada lives in turin", task="vector")
        assert (len(vector), type(vector[0])) == (32, float)
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-6)
        assert predictor.predict_all("ada")["vector"] == pytest.approx(predictor.predict("ada", task="vector"))
        with pytest.raises(ConfigError, match="task 'vector' expects a single text, found a text pair"):
            predictor.predict(("ada", "turin"), task="vector")


def test_a_row_of_the_training_data_is_read_as_its_text(models: Models) -> None:
    for objective, (directory, _) in models.items():
        predictor, row = Predictor.from_pretrained(directory), rows_of(objective)[0]
        assert predictor.tasks["vector"].input_columns == ({"text": "text"},), "neither its pair nor its negatives"
        assert predictor.predict(row, task="vector") == pytest.approx(predictor.predict(row["text"], task="vector"))


def test_the_export_for_sentence_transformers(models: Models, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its documented files, read as sentence-transformers reads them: the library is not needed."""
    predictor = Predictor.from_pretrained(models["positive"][0])
    transformers_logging.enable_propagation()
    assert predictor.export(tmp_path / "st", to="sentence-transformers", task="vector") < 1e-5
    transformers_logging.disable_propagation()
    assert not caplog.records, "no report on the pooler, which the export does not have"
    modules = read_json(tmp_path / "st" / "modules.json")
    assert [module["type"].rpartition(".")[2] for module in modules] == ["Transformer", "Pooling", "Normalize"]
    pooling = read_sentence_pooling(str(tmp_path / "st"), revision=None)
    assert pooling is not None
    assert (pooling.pooling, pooling.problem) == ("mean", "")
    config = read_json(tmp_path / "st" / "1_Pooling" / "config.json")
    assert (config["word_embedding_dimension"], config["pooling_mode_mean_tokens"]) == (32, True)
    length = read_json(tmp_path / "st" / "sentence_bert_config.json")["max_seq_length"]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "st")
    encoder = AutoModel.from_pretrained(tmp_path / "st").eval()
    texts = ["ada lives in turin", "a small cat " * 30]
    inputs = tokenizer(texts, padding=True, truncation=True, max_length=length, return_tensors="pt")
    with torch.no_grad():
        hidden, mask = encoder(**inputs).last_hidden_state, inputs["attention_mask"].unsqueeze(-1)
    pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
    expected = torch.nn.functional.normalize(pooled, dim=1)
    assert np.allclose(predictor.predict(texts, task="vector"), expected.numpy(), atol=1e-5)


def test_exports_that_are_refused(models: Models, trained: Trained, tmp_path: Path) -> None:
    predictor = Predictor.from_pretrained(models["class"][0])
    with pytest.raises(ModelError, match="has no equivalent in transformers"):
        predictor.export(tmp_path / "a", to="transformers", task="vector")
    with pytest.raises(ModelError, match="'classification', does not predict embeddings"):
        Predictor.from_pretrained(trained.model_dir).export(tmp_path / "b", to="sentence-transformers", task="topic")
    encoder = load_encoder(str(write_seq2seq("bart", tmp_path / "bart")))
    tasks = [task_of()]
    model = MultiTaskModel.from_encoder(encoder, tasks=tasks, sharing={"kind": "hard"}, input_length=24, seed=0)
    with pytest.raises(ModelError, match="its encoder is a part of the encoder-decoder 'bart'"):
        Predictor(model, encoder.tokenizer).export(tmp_path / "c", to="sentence-transformers", task="t")


@pytest.mark.parametrize(
    ("objective", "changes", "problem"),
    [
        (
            "class",
            {"tasks": {"vector": {"kind": "embedding"}}},
            "embeddings are trained on a pair of texts or on labels",
        ),
        (
            "positive",
            {"tasks": {"vector": {"kind": "embedding", "label": "grade"}}},
            "`negatives` belong to similar pairs",
        ),
        (
            "class",
            {"tasks": {"vector": {"kind": "embedding", "label": "topic", "metrics": ["spearmanr"]}}},
            "which are scored as embedding",
        ),
        (
            "number",
            {"tasks": {"vector": {"kind": "embedding", "label": "grade", "metrics": ["recall_10"]}}},
            "which are scored as number",
        ),
        (
            "class",
            {"tasks": {"vector": {"kind": "embedding", "label": "topic", "dimensions": [64]}}},
            "the hidden size of the encoder is 32",
        ),
        (
            "number",
            {"tasks": {"vector": {"kind": "embedding", "label": "grad"}}},
            "no train row has a value in the column of `label`",
        ),
        (
            "class",
            {"tasks": {"vector": {"kind": "embedding", "label": "topic", "metrics": ["loss"]}}},
            "its loss of a row depends on the other rows",
        ),
    ],
)
def test_configs_that_are_refused(objective: str, changes: dict[str, Any], problem: str, tmp_path: Path) -> None:
    run = run_of(tmp_path, objective)
    run["datasets"]["rows"] |= changes
    with pytest.raises(ConfigError, match=problem):
        nlpmtl.train(run)


@pytest.mark.parametrize(
    ("objective", "column", "values", "problem"),
    [
        ("number", "grade", [1.0] * 4, "all train rows have the number 1, .* remove `label`"),
        ("class", "topic", ["x", "y", "z", "w"], "no two train rows have the same class, .* found 'x'"),
    ],
)
def test_labels_from_which_nothing_can_be_learned_are_refused(
    objective: str, column: str, values: list[Any], problem: str, tmp_path: Path
) -> None:
    run = run_of(tmp_path, objective)
    rows = [{**row, column: value} for row, value in zip(rows_of(objective, 4), values, strict=True)]
    run["datasets"]["rows"]["data"] = {"files": {"train": rows, "validation": rows}}
    with pytest.raises(ConfigError, match=problem):
        nlpmtl.train(run)


def test_pairs_without_a_number_are_reported(tmp_path: Path) -> None:
    """A dataset of similar pairs, in a task that another dataset trains on numbers."""
    datasets = run_of(tmp_path, "number")["datasets"]
    pairs = {"data": {"files": {"train": rows_of("positive", 5)}}, "input": {"text": "text", "pair": "other"}}
    datasets["pairs"] = {**pairs, "tasks": {"vector": {"kind": "embedding"}}}
    encoder = load_encoder(str(tmp_path / "encoder"))
    parsed = parse_run({"encoder": {"name": "x"}, "datasets": datasets}, where="run").datasets
    loaded = load_task_datasets(parsed, tokenizer=encoder.tokenizer, max_length=24)
    (note,) = [note for note in loaded.notes if "vector" in note]
    assert note.startswith("pairs, train: task 'vector': 5 rows have no number, and are not trained on: define")
    assert loaded.splits["train"]["pairs"].labels["vector"].counts.tolist() == [0] * 5


def test_a_row_with_an_invalid_number_is_named(tmp_path: Path) -> None:
    run = run_of(tmp_path, "number")
    for number, problem in (
        ("high", "grade: a number was expected"),
        (1.7e308, r"column 'grade': task 'vector' cannot be trained on numbers of this size, found 1\.7e\+308"),
    ):
        rows = [{**rows_of("number", 1)[0], "grade": -1e308}, *rows_of("number", 2), {**rows_of("number", 1)[0]}]
        rows[1]["grade"] = None  # a pair without a number is not trained on
        rows[3]["grade"] = number
        files = {"train": str(write_rows(tmp_path / "bad.jsonl", rows)), "validation": str(tmp_path / "bad.jsonl")}
        run["datasets"]["rows"]["data"] = {"files": files}
        with pytest.raises(DataError, match=f"bad.jsonl:4: {problem}"):
            nlpmtl.train(run)


def test_a_continued_task_learns_from_its_own_data() -> None:
    task = task_of("positive", dimensions=[2])
    task.fit({})
    task.continue_from(task_of("number", label_range=[0.0, 5.0]))
    assert (task.objective, task.label_range, task.dimensions) == ("positive", (0.0, 1.0), (2,))
    with pytest.raises(ConfigError, match="whose pooling is 'max'"):
        task.continue_from(task_of("positive", pooling="max"))


def test_options() -> None:
    options: Any = TASKS.parse({"kind": "embedding"})
    assert (options.label, options.label_columns, options.has_column_per_label) == (None, {}, False)
    assert TASKS.parse({"kind": "embedding", "label": "x"}).label_columns == {"label": ("x",)}  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="an embedding has no `labels`"):
        TASKS.parse({"kind": "embedding", "label": "x", "labels": ["a", "b"]})
    with pytest.raises(ValueError, match="dimensions"):
        TASKS.parse({"kind": "embedding", "dimensions": [0]})
    assert json.loads(json.dumps(task_of(dimensions=[2]).to_config()))["dimensions"] == [2]
