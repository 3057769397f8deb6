from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData, parse_eval_result_entries
from huggingface_hub.repocard_data import model_index_to_eval_results

from nlpmtl.card import eval_result_files, with_repo_id, write_card
from tests.card.example import SCORES, TASKS, card_data, dataset

GLUE = {"hub": "nyu-mll/glue", "subset": "sst2", "splits": {"train": "train", "validation": "validation_matched"}}
REPO = re.compile(r"^(?:[\w-]+/)?[\w.-]+$")
"""What the Hub takes for the id of a dataset or a model."""


def data_of(text: str) -> ModelCardData:
    card = ModelCard(text)
    assert isinstance(card.data, ModelCardData)
    return card.data


def results_of(text: str) -> list[EvalResult]:
    results = data_of(text).eval_results
    assert results is not None
    return results


def test_the_front_matter_is_read_back_by_the_hubs_classes() -> None:
    text = write_card(card_data())
    data = data_of(text)
    assert (data.library_name, data.base_model, data.model_name) == ("nlpmtl", "org/encoder", "demo")
    assert data.tags == ["multi-task", "text-classification", "token-classification"]
    assert data.pipeline_tag is None, "the tasks are of two sorts"
    assert data.datasets is None, "none is from the Hub"
    assert data.metrics == ["accuracy", "f1"]
    found = {(one.task_type, one.metric_name): one.metric_value for one in results_of(text)}
    assert found == {
        ("text-classification", "topic: accuracy"): 0.9,
        ("text-classification", "mood: accuracy"): 1.0,
        ("text-classification", "mood: macro_f1"): 0.75,
        ("token-classification", "places: span_f1"): 0.5,
    }, "what is undefined is left out"


def test_a_card_that_is_read_and_written_again_is_the_same() -> None:
    text = write_card(card_data())
    assert str(ModelCard(text)) == text


def test_the_model_index_has_what_the_hub_needs() -> None:
    """The rules of the specification: each result has the type of its task, its data by id and name, and values."""
    one = dataset("glue", data=GLUE)
    for sources in ([dataset()], [one], [one, dataset("more")]):
        front = yaml.safe_load(write_card(card_data(datasets=sources)).split("---\n")[1])
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


def test_data_from_the_hub_are_named_by_its_id() -> None:
    text = write_card(card_data(datasets=[dataset("sst2", data=GLUE)]))
    assert data_of(text).datasets == ["nyu-mll/glue"]
    first = results_of(text)[0]
    assert (first.dataset_type, first.dataset_config, first.dataset_split) == (
        "nyu-mll/glue",
        "sst2",
        "validation_matched",
    )
    assert first.dataset_name == "nyu-mll/glue, sst2"


def test_local_data_of_two_names_are_two_results() -> None:
    split = {"topic": ["one"], "mood": ["two"]}
    sources = [
        dataset(name, label_counts={"validation": {task: 9 for task, where in split.items() if name in where}})
        for name in ("one", "two")
    ]
    results = results_of(write_card(card_data(datasets=sources, scores=only("topic", "mood"))))
    assert {(one.dataset_type, one.dataset_name, one.metric_name) for one in results} == {
        ("local", "one", "topic: accuracy"),
        ("local", "two", "mood: accuracy"),
        ("local", "two", "mood: macro_f1"),
    }


def only(*tasks: str) -> dict[str, Any]:
    return {**SCORES, "tasks": {task: SCORES["tasks"][task] for task in tasks}}


def test_one_sort_of_task_is_the_cards_pipeline() -> None:
    some = {task: TASKS[task] for task in ("topic", "mood")}
    assert (
        data_of(write_card(card_data(tasks=some, scores=only("topic", "mood")))).pipeline_tag == "text-classification"
    )


def test_a_model_that_was_not_scored_has_no_results() -> None:
    front = yaml.safe_load(write_card(card_data(scores=None, base_model=None)).split("---\n")[1])
    assert set(front) == {"library_name", "tags"}
    assert eval_result_files(card_data(scores=None)) == {}


def test_result_files_are_read_back_by_the_hubs_classes() -> None:
    files = eval_result_files(card_data(datasets=[dataset("sst2", data=GLUE)]))
    assert set(files) == {"topic.yaml", "mood.yaml", "places.yaml"}, "grade has no value"
    entries = parse_eval_result_entries(yaml.safe_load(files["mood.yaml"]))
    assert [(one.dataset_id, one.task_id, one.value, one.notes) for one in entries] == [
        ("nyu-mll/glue", "sst2", 1.0, "accuracy on the split validation_matched"),
        ("nyu-mll/glue", "sst2", 0.75, "macro_f1 on the split validation_matched"),
    ]


@pytest.mark.parametrize(
    "sources",
    [
        [dataset()],
        [dataset("sst2", data=GLUE), dataset("more")],
        [dataset("sst2", data=GLUE, subsampled=frozenset({"validation"}))],
        [dataset("trec", data={"hub": "SetFit/TREC-QC", "validation": 0.1})],
    ],
    ids=["files", "two", "a part", "held out"],
)
def test_scores_on_other_rows_than_the_hubs_split_are_no_results_of_it(sources: Any) -> None:
    assert eval_result_files(card_data(datasets=sources)) == {}


def test_a_part_of_a_split_is_told_in_the_datas_name() -> None:
    held = dataset("trec", data={"hub": "SetFit/TREC-QC", "validation": 0.1})
    assert (
        results_of(write_card(card_data(datasets=[held])))[0].dataset_name
        == "SetFit/TREC-QC (100 rows held out of train)"
    )
    part = dataset("sst2", data=GLUE, subsampled=frozenset({"validation"}))
    assert results_of(write_card(card_data(datasets=[part])))[0].dataset_name == "nyu-mll/glue, sst2 (100 rows)"


def test_a_card_can_be_addressed_to_its_repository() -> None:
    text = with_repo_id(write_card(card_data()), repo="me/my-model")
    assert 'nlpmtl.Predictor.from_pretrained("me/my-model")' in text
    assert data_of(text).model_name == "my-model"
    assert results_of(text) == results_of(write_card(card_data()))
    assert with_repo_id(text, repo="me/my-model") == text
    edited = text.replace("library_name: nlpmtl", "library_name: nlpmtl\nlicense: mit")
    assert data_of(with_repo_id(edited, repo="me/other")).license == "mit", "what a person added stays"
    bare = with_repo_id(write_card(card_data(scores=None)), repo="me/my-model")
    assert "model-index" not in bare
