"""Sections, tables and texts of the model card."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from nlpmtl.card import eval_result_files, render_card
from tests.card.example import CONFIG, RUN, SCORES, TASKS, card_data, dataset

HOSTILE = ["a|b", "a\\|b", "`x`", "two\nlines", "<b>x</b>", "---", "key: value", "# head", "\x00", "é", "新闻"]


def section(text: str, title: str) -> str:
    """Return a section of a card, up to the next title."""
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


def test_a_card_starts_with_the_tasks() -> None:
    text = render_card(card_data())
    head = text.split("---\n")[2].split("## ")[0]
    assert head == (
        "\n# demo\n\n"
        "A text encoder (`org/encoder`) with 4 heads, one per task, fine-tuned with nlpmtl.\n\n"
        "| task | type | input | output | train rows |\n"
        "|---|---|---|---|---|\n"
        "| `topic` | `classification` | a text | `a`, `b` | 400 |\n"
        "| `mood` | `sentiment` | a text | `bad`, `good` | 400 |\n"
        "| `places` | `labeling` | a text, split into words | `O`, `B-place` | 400 |\n"
        "| `grade` | `regression` | a pair of texts | a number (in train 2.5 ± 1.25) | 400 |\n\n"
    )


def test_task_types_of_plugins() -> None:
    span = replace(TASKS["topic"], kind="span", plugin="my_kinds", extra_inputs=["start"])
    text = render_card(card_data(tasks={**TASKS, "topic": span}))
    assert "| `topic` | `span` | a text, `start` | `a`, `b` | 400 |" in text
    assert section(text, "Usage").endswith(
        '```\n\nThe task type of `topic` is from a plugin: `Predictor.from_pretrained(…, plugins=["my_kinds"])`.\n'
    )
    assert "plugin" not in render_card(card_data())


def test_order_of_the_sections() -> None:
    titles = re.findall(r"^## (.+)$", render_card(card_data()), re.MULTILINE)
    assert titles == ["Usage", "Evaluation", "Calibration", "Training", "Limitations"]
    assert "Calibration" not in render_card(card_data(calibration={}))


def test_accuracies_have_a_standard_error() -> None:
    text_of_section = section(render_card(card_data()), "Evaluation")
    assert "| `topic` | `accuracy` | 0.9000 ± 0.0300 | 100 | `messages` |" in text_of_section, "√(0.9 · 0.1 / 100)"
    few = section(render_card(card_data(gold_rows={**dict.fromkeys(TASKS, 80), "topic": 25})), "Evaluation")
    assert "0.9000 ± 0.0600 | 100 |" in few, "rows without a gold label have a loss only"
    assert "| `mood` | `accuracy` | 1.0000 | 100 | `messages` |" in text_of_section, (
        "at 1 the formula gives 0, which is no estimate"
    )
    assert "| `mood` | `macro_f1` | 0.7500 | 100 | `messages` |" in text_of_section
    assert "| `grade` | `pearsonr` | undefined | 50 | `messages` |" in text_of_section
    assert "binomial standard error" in text_of_section
    without = render_card(card_data(scores={**SCORES, "tasks": {"places": SCORES["tasks"]["places"]}}))
    assert "standard error" not in without


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "the best of 3 evaluations by mean task score; temperatures and thresholds were fitted on half"),
        ({"calibration": {}}, "(the weights are the best of 3 evaluations by mean task score), so the"),
        (
            {"evaluations": 1},
            "The same rows were used for model selection (temperatures and thresholds were fitted on half of them)",
        ),
        ({"evaluations": 1, "calibration": {}}, "These rows were not used for model selection."),
        ({"run": {**RUN, "config": {**CONFIG, "eval": {"select": "topic"}}}}, "3 evaluations by the score of `topic`"),
    ],
)
def test_selection_on_the_scored_rows_is_reported(changes: dict[str, Any], expected: str) -> None:
    assert expected in section(render_card(card_data(**changes)), "Evaluation")


def test_calibration_table() -> None:
    line = "| `topic` | 1.500 | 0.1000 | 0.0200 | 0.9000 | 0.9100 | 50 |"
    assert line in section(render_card(card_data()), "Calibration")


def test_plots_are_in_their_sections_with_alt_text() -> None:
    text = render_card(card_data())
    assert "![A matrix &#91;of&#93; topic.](images/answers-topic.png)" in section(text, "Evaluation")
    assert "![A curve.](images/learning-curve.png)" in section(text, "Training")
    assert "![" not in render_card(card_data(plots={}))


def test_training_section() -> None:
    held_out = dataset(
        "trec", data={"hub": "SetFit/TREC-QC", "validation": 0.1, "license": "cc-by-4.0", "revision": "abc"}
    )
    subsampled = dataset(rows={"train": 1430}, subsampled=frozenset({"train"}))
    text_of_section = section(render_card(card_data(datasets=[held_out, subsampled])), "Training")
    tasks = "`topic`, `mood`, `places`, `grade`"
    assert (
        f"| `trec` | `SetFit/TREC-QC` `abc` | cc-by-4.0 | 430 | 100 (held out of train) | {tasks} |" in text_of_section
    )
    assert f"| `messages` | local files | not stated | 1,430 (subsampled) | – | {tasks} |" in text_of_section
    assert text_of_section.splitlines()[-6:] == [
        "- 60 steps with a batch size of 8; weights of step 40",
        "- sampling: `temperature` (`batches = mixed`, `temperature = 2.0`); weighting: `constant`; sharing: `hard`",
        "- `adamw` (`betas = [0.9, 0.999]`, `eps = 1e-08`), learning rate 0.0001 (heads: 0.0001), weight decay 0.01, "
        "maximum gradient norm 1, `linear` schedule with a warm-up of 10% of the steps",
        "- precision `bf16`, seed 17, input up to 64 tokens",
        "- 2 processes on `cuda:0` (A Card), `Linux-6`",
        "- nlpmtl 0.1.0, torch 2.13.0",
    ]


def test_the_recipe_of_a_run() -> None:
    train = {**CONFIG["train"], "layer_decay": 0.8, "schedule": {"kind": "polynomial", "power": 2.0}}
    datasets = {"messages": {"tasks": {"topic": {"lr": 0.002}, "mood": {"lr": None}}}}
    encoder = {**CONFIG["encoder"], "freeze_layers": 2}
    config = {**CONFIG, "train": train, "datasets": datasets, "encoder": encoder}
    text = section(render_card(card_data(run={**RUN, "config": config})), "Training")
    assert (
        "learning rate 0.0001 (heads: 0.0001; `topic`: 0.002; times 0.8 from a layer to the one below it), weight"
        in text
    )
    assert "`polynomial` (`power = 2.0`) schedule with a warm-up of 10% of the steps" in text
    assert "input up to 64 tokens, embeddings and the lowest 2 layers frozen" in text


def test_limitations_depend_on_the_tasks() -> None:
    text_of_section = section(render_card(card_data()), "Limitations")
    assert "The maximum input length is 64 tokens." in text_of_section
    assert (
        "`topic`, `mood`, `grade` read only the beginning of a longer text; a prediction that is a JSON object then "
        "has `truncated`; a list does not." in text_of_section
    )
    assert "`places` reads longer texts in overlapping windows." in text_of_section
    assert "`topic`, `mood` can only predict the labels listed above, and always return one of them" in text_of_section
    assert "- messages, train: 3 of 430 rows are longer than max&#95;length and were truncated." in text_of_section
    grade = section(render_card(card_data(tasks={"grade": TASKS["grade"]}, scores=None)), "Limitations")
    assert "windows" not in grade
    assert "always return" not in grade


def test_tasks_without_scores_are_listed() -> None:
    scores = {**SCORES, "tasks": {"topic": SCORES["tasks"]["topic"]}}
    assert "Not evaluated in this run: `mood`, `places`, `grade`." in render_card(card_data(scores=scores))


def test_a_card_without_scores() -> None:
    text = render_card(card_data(scores=None, plots={}, evaluations=0, calibration={}))
    assert "Not evaluated" in section(text, "Evaluation")
    assert not re.search(r"0\.\d{4}(?! after)", section(text, "Evaluation"))


def test_the_usage_example() -> None:
    call = 'predict_all("A text.", tasks=["summary"])'
    assert f"model.{call}  # " in section(render_card(card_data(example_call=call)), "Usage")


def test_long_lists_of_labels_are_shortened() -> None:
    task = replace(TASKS["topic"], labels=[f"l{i}" for i in range(77)])
    text = render_card(card_data(tasks={"topic": task}, scores=None))
    assert "`l9`, … (77, all in config.json)" in text
    assert "`l10`" not in text


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_a_table_or_the_front_matter(name: str) -> None:
    tasks = {"topic": replace(TASKS["topic"], labels=[name, "b"])}
    plain = card_data(tasks={"topic": TASKS["topic"]}, scores={**SCORES, "tasks": {"topic": SCORES["tasks"]["topic"]}})
    hostile = replace(
        plain,
        tasks=tasks,
        name=f"n{name}",
        datasets=[dataset(data={"hub": f"org/{name}", "subset": name, "license": name})],
        notes=[name],
        plots=dict.fromkeys(plain.plots, name),
    )
    expected, text = render_card(plain), render_card(hostile)
    assert ModelCard(text).data.to_dict()["model-index"][0]["name"] == f"n{name}"
    assert [line.count("|") for line in body(expected) if line.startswith("|")] == [
        line.count("|") for line in body(text) if line.startswith("|")
    ]
    assert len(body(expected)) == len(body(text))
    for content in eval_result_files(hostile).values():
        assert yaml.safe_load(content)[0]["dataset"]["id"] == f"org/{name}"


def body(text: str) -> list[str]:
    return ModelCard(text).text.splitlines()
