"""Front matter of the model card and result files of the Hub, parsed by huggingface_hub."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData, parse_eval_result_entries
from huggingface_hub.repocard_data import model_index_to_eval_results

from nlpmtl.card import eval_result_files, render_card, with_repo_id
from tests.card.example import SCORES, TASKS, card_data, dataset

GLUE = {"hub": "nyu-mll/glue", "subset": "sst2", "splits": {"train": "train", "validation": "validation_matched"}}
REPO = re.compile(r"^(?:[\w-]+/)?[\w.-]+$")
"""Dataset and model ids that the Hub accepts."""


def data_of(text: str) -> ModelCardData:
    card = ModelCard(text)
    assert isinstance(card.data, ModelCardData)
    return card.data


def results_of(text: str) -> list[EvalResult]:
    results = data_of(text).eval_results
    assert results is not None
    return results


def test_huggingface_hub_parses_the_front_matter() -> None:
    text = render_card(card_data())
    data = data_of(text)
    assert (data.library_name, data.base_model, data.model_name) == ("nlpmtl", "org/encoder", "demo")
    assert data.tags == ["multi-task", "text-classification", "token-classification"]
    assert data.pipeline_tag is None, "two task types"
    assert data.datasets is None, "no dataset is from the Hub"
    assert data.metrics == ["accuracy", "f1"]
    values = {(result.task_type, result.metric_name): result.metric_value for result in results_of(text)}
    assert values == {
        ("text-classification", "topic: accuracy"): 0.9,
        ("text-classification", "mood: accuracy"): 1.0,
        ("text-classification", "mood: macro_f1"): 0.75,
        ("token-classification", "places: span_f1"): 0.5,
    }, "undefined metrics are omitted"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"accuracy_f1": 0.8, "accuracy": 0.9, "f1": 0.7}, {"accuracy": 0.9, "f1": 0.7}),
        ({"pearson_spearman": 0.8, "pearsonr": 0.8, "spearmanr": None}, {"pearsonr": 0.8}),
        ({"accuracy_macro_f1": 0.8, "mae": 0.5}, {"accuracy_macro_f1": 0.8, "mae": 0.5}),
    ],
)
def test_means_of_metrics_are_left_out_if_these_are_listed(values: Any, expected: Any) -> None:
    card = card_data(datasets=[dataset("sst2", data=GLUE)], scores={**SCORES, "tasks": {"mood": {**values, "rows": 9}}})
    results = results_of(render_card(card))
    assert {str(result.metric_name).removeprefix("mood: "): result.metric_value for result in results} == expected
    entries = parse_eval_result_entries(yaml.safe_load(eval_result_files(card)["mood.yaml"]))
    assert [entry.value for entry in entries] == list(expected.values())


def test_a_card_is_unchanged_when_loaded_and_saved() -> None:
    text = render_card(card_data())
    assert str(ModelCard(text)) == text


def test_the_model_index_follows_the_specification() -> None:
    """The specification: each result has a task type, the id and name of its dataset, and values."""
    glue = dataset("glue", data=GLUE)
    for datasets in ([dataset()], [glue], [glue, dataset("more")]):
        front = yaml.safe_load(render_card(card_data(datasets=datasets)).split("---\n")[1])
        (index,) = front["model-index"]
        assert index["name"]
        for result in index["results"]:
            assert result["task"]["type"] in ("text-classification", "token-classification")
            assert REPO.match(result["dataset"]["type"])
            assert result["dataset"]["name"]
            assert isinstance(result["dataset"].get("config", ""), str)
            assert result["metrics"]
            for metric in result["metrics"]:
                assert REPO.match(metric["type"])
                assert isinstance(metric["value"], float)
        assert model_index_to_eval_results(front["model-index"])[0] == "demo"


def test_hub_datasets_have_their_id() -> None:
    text = render_card(card_data(datasets=[dataset("sst2", data=GLUE)]))
    assert data_of(text).datasets == ["nyu-mll/glue"]
    first = results_of(text)[0]
    assert (first.dataset_type, first.dataset_config, first.dataset_split) == (
        "nyu-mll/glue",
        "sst2",
        "validation_matched",
    )
    assert first.dataset_name == "nyu-mll/glue, sst2"


def test_local_datasets_are_separate_results() -> None:
    split = {"topic": ["one"], "mood": ["two"]}
    datasets = [
        dataset(name, label_counts={"validation": {task: 9 for task, names in split.items() if name in names}})
        for name in ("one", "two")
    ]
    results = results_of(render_card(card_data(datasets=datasets, scores=scores_of("topic", "mood"))))
    assert {(result.dataset_type, result.dataset_name, result.metric_name) for result in results} == {
        ("local", "one", "topic: accuracy"),
        ("local", "two", "mood: accuracy"),
        ("local", "two", "mood: macro_f1"),
    }


def scores_of(*tasks: str) -> dict[str, Any]:
    return {**SCORES, "tasks": {task: SCORES["tasks"][task] for task in tasks}}


def test_the_pipeline_tag_is_that_of_all_tasks() -> None:
    tasks = {task: TASKS[task] for task in ("topic", "mood")}
    assert (
        data_of(render_card(card_data(tasks=tasks, scores=scores_of("topic", "mood")))).pipeline_tag
        == "text-classification"
    )


def test_a_model_without_scores_has_no_results() -> None:
    front = yaml.safe_load(render_card(card_data(scores=None, base_model=None)).split("---\n")[1])
    assert set(front) == {"library_name", "tags"}
    assert eval_result_files(card_data(scores=None)) == {}


def test_huggingface_hub_parses_the_result_files() -> None:
    files = eval_result_files(card_data(datasets=[dataset("sst2", data=GLUE)]))
    assert set(files) == {"topic.yaml", "mood.yaml", "places.yaml"}, "grade has no value"
    entries = parse_eval_result_entries(yaml.safe_load(files["mood.yaml"]))
    assert [(entry.dataset_id, entry.task_id, entry.value, entry.notes) for entry in entries] == [
        ("nyu-mll/glue", "sst2", 1.0, "accuracy on the split validation_matched"),
        ("nyu-mll/glue", "sst2", 0.75, "macro_f1 on the split validation_matched"),
    ]


@pytest.mark.parametrize(
    "datasets",
    [
        [dataset()],
        [dataset("sst2", data=GLUE), dataset("more")],
        [dataset("sst2", data=GLUE, subsampled=frozenset({"validation"}))],
        [dataset("trec", data={"hub": "SetFit/TREC-QC", "validation": 0.1})],
    ],
    ids=["files", "two", "subsampled", "held out"],
)
def test_only_scores_on_a_complete_hub_split_are_results_of_it(datasets: Any) -> None:
    assert eval_result_files(card_data(datasets=datasets)) == {}


def test_a_subset_of_a_split_is_in_the_dataset_name() -> None:
    held_out = dataset("trec", data={"hub": "SetFit/TREC-QC", "validation": 0.1})
    assert (
        results_of(render_card(card_data(datasets=[held_out])))[0].dataset_name
        == "SetFit/TREC-QC (100 rows held out of train)"
    )
    subsampled = dataset("sst2", data=GLUE, subsampled=frozenset({"validation"}))
    assert results_of(render_card(card_data(datasets=[subsampled])))[0].dataset_name == "nyu-mll/glue, sst2 (100 rows)"


def test_a_pushed_card_names_its_repository() -> None:
    text = with_repo_id(render_card(card_data()), repo="me/my-model")
    assert 'nlpmtl.Predictor.from_pretrained("me/my-model")' in text
    assert data_of(text).model_name == "my-model"
    assert results_of(text) == results_of(render_card(card_data()))
    assert with_repo_id(text, repo="me/my-model") == text
    edited = text.replace("library_name: nlpmtl", "library_name: nlpmtl\nlicense: mit")
    assert data_of(with_repo_id(edited, repo="me/other")).license == "mit", "the user's edits are kept"
    bare = with_repo_id(render_card(card_data(scores=None)), repo="me/my-model")
    assert "model-index" not in bare
