from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from nlpmtl.card import eval_result_files, write_card
from tests.card.example import CONFIG, RUN, SCORES, TASKS, card_data, dataset

HOSTILE = ["a|b", "a\\|b", "`x`", "two\nlines", "<b>x</b>", "---", "key: value", "# head", "\x00", "é", "新闻"]


def section(text: str, title: str) -> str:
    """A part of a card, from its title to the next."""
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


def test_a_card_begins_with_what_the_model_does() -> None:
    text = write_card(card_data())
    head = text.split("---\n")[2].split("## ")[0]
    assert head == (
        "\n# demo\n\n"
        "One text encoder (`org/encoder`) with 4 heads, one a task, trained with nlpmtl.\n\n"
        "| task | kind | reads | answers | train rows |\n"
        "|---|---|---|---|---|\n"
        "| `topic` | `classification` | a text | `a`, `b` | 400 |\n"
        "| `mood` | `sentiment` | a text | `bad`, `good` | 400 |\n"
        "| `places` | `labeling` | words | `O`, `B-place` | 400 |\n"
        "| `grade` | `regression` | two texts | a number (in train 2.5 ± 1.25) | 400 |\n\n"
    )


def test_its_sections_come_in_order() -> None:
    titles = re.findall(r"^## (.+)$", write_card(card_data()), re.MULTILINE)
    assert titles == ["Use", "Scores", "Calibration", "Training", "Limits"]
    assert "Calibration" not in write_card(card_data(calibration={}))


def test_scores_have_a_standard_error_where_they_are_shares() -> None:
    found = section(write_card(card_data()), "Scores")
    assert "| `topic` | `accuracy` | 0.9000 ± 0.0300 | 100 | `messages` |" in found, "√(0.9 · 0.1 / 100)"
    assert "| `mood` | `accuracy` | 1.0000 | 100 | `messages` |" in found, "at 1 the formula says 0, which is no answer"
    assert "| `mood` | `macro_f1` | 0.7500 | 100 | `messages` |" in found
    assert "| `grade` | `pearsonr` | undefined | 50 | `messages` |" in found
    assert "√(p(1−p)/n)" in found
    without = write_card(card_data(scores={**SCORES, "tasks": {"places": SCORES["tasks"]["places"]}}))
    assert "√" not in without


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "the best of 3 evaluations, by the mean of the tasks' scores; thresholds and temperatures were fitted"),
        ({"calibration": {}}, "(the weights are the best of 3 evaluations, by the mean of the tasks' scores), so the"),
        ({"evaluations": 1}, "The same rows made choices (thresholds and temperatures were fitted on half of them)"),
        ({"evaluations": 1, "calibration": {}}, "No choice was made on these rows."),
        ({"run": {**RUN, "config": {**CONFIG, "eval": {"select": "topic"}}}}, "3 evaluations, by the score of `topic`"),
    ],
)
def test_it_says_which_choices_were_made_on_the_scored_rows(changes: dict[str, Any], expected: str) -> None:
    assert expected in section(write_card(card_data(**changes)), "Scores")


def test_calibration_is_told_in_figures() -> None:
    line = "| `topic` | 1.500 | 0.1000 | 0.0200 | 0.9000 | 0.9100 | 50 |"
    assert line in section(write_card(card_data()), "Calibration")


def test_pictures_stand_where_they_belong_and_have_words() -> None:
    text = write_card(card_data())
    assert "![A matrix &#91;of&#93; topic.](images/answers-topic.png)" in section(text, "Scores")
    assert "![A curve.](images/learning-curve.png)" in section(text, "Training")
    assert "![" not in write_card(card_data(plots={}))


def test_how_it_was_trained() -> None:
    one = dataset("trec", data={"hub": "SetFit/TREC-QC", "validation": 0.1, "license": "cc-by-4.0", "revision": "abc"})
    two = dataset(rows={"train": 1430}, subsampled=frozenset({"train"}))
    found = section(write_card(card_data(datasets=[one, two])), "Training")
    tasks = "`topic`, `mood`, `places`, `grade`"
    assert f"| `trec` | `SetFit/TREC-QC` `abc` | cc-by-4.0 | 430 | 100, held out of train | {tasks} |" in found
    assert f"| `messages` | local files | not stated | 1,430, a part | – | {tasks} |" in found
    assert found.splitlines()[-6:] == [
        "- 60 steps of 8 rows; the weights are those of step 40",
        "- sampling: `temperature` (`batches = mixed`, `temperature = 2.0`); weighting: `constant`; sharing: `hard`",
        "- AdamW, learning rate 0.0001, of the heads 0.0001, weight decay 0.01, gradients clipped at 1, schedule "
        "`linear` after a warm-up of 10% of the steps",
        "- precision `bf16`, seed 17, input up to 64 tokens",
        "- 2 processes on `cuda:0` (A Card), `Linux-6`",
        "- nlpmtl 0.1.0, torch 2.13.0",
    ]


def test_the_limits_are_those_of_its_tasks() -> None:
    found = section(write_card(card_data()), "Limits")
    assert "It reads 64 tokens at most." in found
    assert "(`truncated`)" in found
    assert "overlapping windows" in found
    assert "`topic`, `mood` give one of them for any text whatever" in found
    assert "- messages, train: 3 of 430 rows are longer than max&#95;length and were cut." in found
    grade = section(write_card(card_data(tasks={"grade": TASKS["grade"]}, scores=None)), "Limits")
    assert "windows" not in grade
    assert "any text whatever" not in grade


def test_a_task_that_was_not_measured_is_named() -> None:
    some = {**SCORES, "tasks": {"topic": SCORES["tasks"]["topic"]}}
    assert "Not measured in this run: `mood`, `places`, `grade`." in write_card(card_data(scores=some))


def test_a_card_without_scores_says_so() -> None:
    text = write_card(card_data(scores=None, plots={}, evaluations=0, calibration={}))
    assert "Not evaluated" in section(text, "Scores")
    assert not re.search(r"0\.\d{4}(?! after)", section(text, "Scores"))


def test_how_to_ask_it_depends_on_what_it_reads() -> None:
    assert 'model.predict_all("A text.")' in write_card(card_data())
    pairs = card_data(tasks={"grade": TASKS["grade"]}, scores=None)
    assert 'model.predict_all(("A text.", "And another."))' in write_card(pairs)


def test_many_labels_are_counted() -> None:
    spec = {**TASKS["topic"], "labels": [f"l{i}" for i in range(77)]}
    text = write_card(card_data(tasks={"many": spec}, scores=None))
    assert "`l9`, … (77, all in config.json)" in text
    assert "`l10`" not in text


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_a_table_or_the_front_matter(name: str) -> None:
    tasks = {"topic": {**TASKS["topic"], "labels": [name, "b"]}}
    plain = card_data(tasks={"topic": TASKS["topic"]}, scores={**SCORES, "tasks": {"topic": SCORES["tasks"]["topic"]}})
    hostile = replace(
        plain,
        tasks=tasks,
        name=f"n{name}",
        datasets=[dataset(data={"hub": f"org/{name}", "subset": name, "license": name})],
        notes=[name],
        plots=dict.fromkeys(plain.plots, name),
    )
    one, other = write_card(plain), write_card(hostile)
    assert ModelCard(other).data.to_dict()["model-index"][0]["name"] == f"n{name}"
    assert [line.count("|") for line in body(one) if line.startswith("|")] == [
        line.count("|") for line in body(other) if line.startswith("|")
    ]
    assert len(body(one)) == len(body(other))
    for text in eval_result_files(hostile).values():
        assert yaml.safe_load(text)[0]["dataset"]["id"] == f"org/{name}"


def body(text: str) -> list[str]:
    return ModelCard(text).text.splitlines()
