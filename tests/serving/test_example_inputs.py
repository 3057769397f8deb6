"""Example inputs: from the model card, or general ones for the inputs of the tasks."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from huggingface_hub import ModelCard

from nlpmtl.inference.predictor import Predictor
from nlpmtl.serving.examples import example_inputs
from nlpmtl.tasks import Classification
from tests.serving.conftest import Client, running

if TYPE_CHECKING:
    from nlpmtl.tasks import Task
    from tests.tiny import Trained


class Hinted(Classification):
    extra_inputs: ClassVar[Mapping[str, str]] = {"hint": "class"}


@pytest.fixture
def tasks(predictor: Predictor) -> dict[str, Task]:
    return dict(predictor.tasks)


def write_card(directory: Path, front_matter: str) -> Path:
    (directory / "README.md").write_text(f"---\n{front_matter}\n---\n\n# A model\n", encoding="utf-8")
    return directory


def test_general_examples_fit_the_inputs_of_the_tasks(tasks: dict[str, Task]) -> None:
    single, paired = tasks["topic"], tasks["grade"]
    assert {tuple(example) for example in example_inputs([single], None)} == {("text",)}
    assert {tuple(example) for example in example_inputs([paired], None)} == {("text", "pair")}
    assert len(example_inputs([single, paired], None)) == 5


def test_a_task_that_needs_further_inputs_has_no_example(tasks: dict[str, Task]) -> None:
    hinted = Hinted(name="hinted", input="text", labels=("a", "b"))
    assert example_inputs([hinted], None) == []
    assert len(example_inputs([hinted, tasks["topic"]], None)) == 3


def test_no_row_of_the_training_data_is_an_example(trained: Trained, client: Client) -> None:
    files = trained.output.parent.glob("data/*/*.jsonl")
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    rows = {json.loads(line)["text"] for line in lines}
    examples = client.get("/info").json["examples"]
    assert examples
    assert rows
    assert not rows & {text for example in examples for text in example.values()}


def test_examples_of_the_card(tmp_path: Path, tasks: dict[str, Task]) -> None:
    entries: list[Any] = [
        {"text": "Gr", "example_title": "German"},
        {"text": "a", "text_pair": "b"},
        *("a text", None, {}, {"text": 3}, {"text": ["a"]}, {"text": "a", "text_pair": 3}, {"text": "\ud800"}),
        *({"text": f"text {index}"} for index in range(20)),
    ]
    write_card(tmp_path, f"widget: {json.dumps(entries)}".replace("Gr", "Grüße 🐈"))
    examples = example_inputs(tasks.values(), tmp_path)
    assert examples[:3] == [{"text": "Grüße 🐈"}, {"text": "a", "pair": "b"}, {"text": "text 0"}]
    assert len(examples) == 12
    assert example_inputs([tasks["grade"]], tmp_path) == [{"text": "a", "pair": "b"}]


@pytest.mark.parametrize(
    "front_matter", ["license: mit", "widget: text", "widget: []", "widget: [{text: a, text_pair: b}]"]
)
def test_a_card_without_fitting_examples(front_matter: str, tmp_path: Path, tasks: dict[str, Task]) -> None:
    write_card(tmp_path, front_matter)
    assert example_inputs([tasks["topic"]], tmp_path) == example_inputs([tasks["topic"]], None)


@pytest.mark.parametrize("front_matter", ["widget: [", "- a list", "[" * 5000, "3: three"])
def test_an_invalid_card_is_logged(
    front_matter: str, tmp_path: Path, tasks: dict[str, Task], caplog: pytest.LogCaptureFixture
) -> None:
    write_card(tmp_path, front_matter)
    with caplog.at_level(logging.WARNING, logger="nlpmtl"):
        assert example_inputs(tasks.values(), tmp_path) == example_inputs(tasks.values(), None)
    assert "the examples in README.md are not shown" in caplog.text


def test_examples_added_as_the_how_to_describes_are_served(trained: Trained, tmp_path: Path) -> None:
    directory = shutil.copytree(trained.model_dir, tmp_path / "model")
    card = ModelCard.load(directory / "README.md")
    card.data.widget = [{"text": "ada lives in rome"}]
    card.save(directory / "README.md")
    with running(Predictor.from_pretrained(directory)) as server, server.client() as client:
        assert client.get("/info").json["examples"] == [{"text": "ada lives in rome"}]
