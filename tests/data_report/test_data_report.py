"""The data report of small datasets with planted problems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from nlpmtl.config import parse_dataset
from nlpmtl.data_report import DataReport, examine
from nlpmtl.registry import METRICS
from nlpmtl.report import render_data_page
from nlpmtl.task_datasets import load_task_datasets
from tests.tiny import WORDS, write_rows, write_tokenizer

LONG = " ".join(WORDS[i % 40] for i in range(20))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def texts(count: int, *, seed: int) -> list[str]:
    """Return different texts of eight words."""
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS, size=8)) for _ in range(count)]


def report(
    directory: Path,
    tokenizer: PreTrainedTokenizerFast,
    splits: dict[str, list[dict[str, Any]]],
    *,
    input: dict[str, str] | None = None,
    tasks: dict[str, Any] | None = None,
    max_length: int = 64,
) -> DataReport:
    files = {split: str(write_rows(directory / f"{split}.jsonl", rows)) for split, rows in splits.items()}
    table = {
        "data": {"files": files},
        "input": input or {"text": "text"},
        "tasks": tasks or {"topic": {"kind": "classification", "label": "topic"}},
    }
    datasets = load_task_datasets(
        {"notes": parse_dataset(table, where="notes")}, tokenizer=tokenizer, max_length=max_length, splits=list(splits)
    )
    return examine(datasets, tokenizer=tokenizer, max_length=max_length, max_positions=128)


def labelled(values: list[str], *, seed: int = 0) -> list[dict[str, Any]]:
    generator = np.random.default_rng(seed)
    return [{"text": text, "topic": "ab"[generator.integers(2)]} for text in values]


def lines(report: DataReport) -> list[str]:
    return [str(finding) for finding in report.findings]


def test_clean_data_have_no_findings(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    splits = {"train": labelled(texts(60, seed=0)), "validation": labelled(texts(20, seed=1))}
    assert lines(report(tmp_path, tokenizer, splits)) == []


def test_duplicates_and_leakage(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    train, validation = labelled(texts(30, seed=0)), labelled(texts(10, seed=1))
    train[7] = train[3]
    validation[2], validation[5] = train[0], train[1]
    test = [validation[9]]
    messages = lines(report(tmp_path, tokenizer, {"train": train, "validation": validation, "test": test}))
    assert messages == [
        f"notes: 1 of 30 rows of train repeat the input of an earlier row ({tmp_path}/train.jsonl:8): remove them, or "
        "they count several times in training",
        f"notes: 2 of 10 rows of validation are also in train ({tmp_path}/validation.jsonl:3; "
        f"{tmp_path}/validation.jsonl:6): remove them from train, or the scores of validation are too high",
        f"notes: 1 of 1 rows of test are also in validation ({tmp_path}/test.jsonl:1): remove them from validation, or "
        "the scores of test are too high",
    ]


def test_near_duplicates_within_and_between_splits(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    train, validation = labelled([*texts(30, seed=0), LONG]), labelled(texts(10, seed=1))
    train.append({"text": f"{LONG} cat", "topic": "a"})
    validation[4] = {"text": f"{LONG.upper()} dog", "topic": "a"}
    messages = lines(report(tmp_path, tokenizer, {"train": train, "validation": validation}))
    assert len(messages) == 2
    assert messages[0].startswith(
        f"notes: 1 of 32 rows of train nearly repeat another row ({tmp_path}/train.jsonl:32 and "
        f"{tmp_path}/train.jsonl:31): "
    )
    assert messages[1].startswith(
        f"notes: 1 of 10 rows of validation nearly repeat a row of train ({tmp_path}/validation.jsonl:5 and "
        f"{tmp_path}/train.jsonl:31): compare them: if they have the same origin, remove them from train, or"
    )


def test_texts_of_unknown_words_are_not_near_duplicates(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    words = [" ".join(f"{chr(0x4E00 + 7 * row + place)}" for place in range(6)) for row in range(20)]
    assert lines(report(tmp_path, tokenizer, {"train": labelled(words)})) == []


def test_label_conflicts_of_each_task(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    train = [{**row, "kinds": ["x"]} for row in labelled(texts(20, seed=0))]
    for row, (topic, kinds) in zip(train[:2], (("a", ["x"]), ("b", ["x"])), strict=True):
        row |= {"text": "a cat", "topic": topic, "kinds": kinds}
    train[5] = {"text": "a cat", "topic": None, "kinds": ["y"]}
    train[8], train[9] = ({"text": "a dog", "topic": "a", "kinds": kinds} for kinds in (["x", "y"], ["y", "x"]))
    tasks = {"topic": {"kind": "classification", "label": "topic"}, "kinds": {"kind": "multilabel", "label": "kinds"}}
    messages = [
        line for line in lines(report(tmp_path, tokenizer, {"train": train}, tasks=tasks)) if "different" in line
    ]
    assert messages == [
        f"notes: task 'topic': 1 of 17 different inputs occur with different labels ({tmp_path}/train.jsonl:1 and "
        f"{tmp_path}/train.jsonl:2): correct the labels, or remove these rows: no model can predict both labels",
        f"notes: task 'kinds': 1 of 17 different inputs occur with different labels ({tmp_path}/train.jsonl:1 and "
        f"{tmp_path}/train.jsonl:6): correct the labels, or remove these rows: no model can predict both labels",
    ]


@pytest.mark.parametrize(
    ("input", "row", "column"),
    [
        ({"text": "text"}, {"text": " \u3000"}, "text"),
        ({"text": "text", "pair": "other"}, {"text": "a", "other": ""}, "pair"),
        ({"words": "words"}, {"words": ["", " "]}, "words"),
    ],
)
def test_empty_texts(
    input: dict[str, str], row: dict[str, Any], column: str, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    rows = [
        {**row, "text": row["text"], "other": text, "words": text.split()}
        for row, text in zip(labelled(texts(20, seed=0)), texts(20, seed=2), strict=True)
    ]
    rows[3] |= row
    messages = lines(report(tmp_path, tokenizer, {"train": rows}, input=input))
    assert messages == [
        f"notes: 1 of 20 rows of train have no text in `{column}` ({tmp_path}/train.jsonl:4): remove them, or fill "
        "them in: a label cannot be predicted from nothing"
    ]


def test_empty_texts_are_not_compared(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """They are equal, also between the splits, and have different labels."""
    splits = {name: labelled(texts(20, seed=seed), seed=seed) for name, seed in (("train", 0), ("validation", 1))}
    for rows in splits.values():
        for row, text in zip(rows[:6], ["", " ", "", "  ", "", ""], strict=True):
            row["text"] = text
    messages = lines(report(tmp_path, tokenizer, splits))
    assert [message.split(" (")[0] for message in messages] == [
        f"notes: 6 of 20 rows of {split} have no text in `text`" for split in splits
    ]


def test_truncated_rows_and_lengths_before_truncation(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    longest = " ".join([*reversed(LONG.split()), LONG])
    rows = [*labelled(texts(20, seed=0)), {"text": LONG, "topic": "a"}, {"text": longest, "topic": "b"}]
    result = report(tmp_path, tokenizer, {"train": rows}, max_length=12)
    assert lines(result) == [
        "notes: 2 of 22 rows of train are longer than max_length = 12 (the longest has 42 tokens): increase it (this "
        "encoder reads up to 128 tokens), or accept that the end is not read"
    ]
    (split,) = result.splits
    assert (split.longest, split.cut, split.mean) == (42, 2, (20 * 10 + 22 + 42) / 22)
    assert sum(split.histogram) == 22


WORDS_OF_LONG = {"words": LONG.split(), "heads": [0, *[1] * 19], "deprels": ["root", *["dep"] * 19]}
CHOICES = {"choices": ["a", LONG], "label": 1}


@pytest.mark.parametrize(
    ("row", "input", "task", "longest"),
    [
        (WORDS_OF_LONG, {"words": "words"}, {"kind": "parsing", "heads": "heads", "deprels": "deprels"}, 22),
        ({"pair": "x"}, {"text": "text", "pair": "pair"}, {"kind": "embedding"}, None),
        (CHOICES, {"text": "text", "choices": "choices"}, {"kind": "multiple_choice", "label": "label"}, None),
    ],
    ids=lambda value: value.get("kind") if isinstance(value, dict) else None,
)
def test_the_longest_row_of_task_types_with_sequences_of_their_own(
    row: dict[str, Any],
    input: dict[str, str],
    task: dict[str, str],
    longest: int | None,
    tmp_path: Path,
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    rows = [{**row, "text": LONG}]
    (finding, *_) = lines(report(tmp_path, tokenizer, {"train": rows}, input=input, tasks={"t": task}, max_length=12))
    parts = "" if longest is None else f" (the longest has {longest} tokens)"
    assert finding.startswith(f"notes: 1 of 1 rows of train are longer than max_length = 12{parts}: increase it")


def test_questions_about_one_context_are_not_near_duplicates(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    words = LONG.split()
    rows = [
        {"question": word, "context": " ".join(words[:-1]), "answers": {"text": [], "answer_start": []}}
        for word in words[:3]
    ]
    task = {"kind": "question_answering", "label": "answers"}
    found = report(
        tmp_path,
        tokenizer,
        {"train": rows, "validation": [{**rows[0], "question": words[3]}]},
        input={"text": "question", "pair": "context"},
        tasks={"answer": task},
    )
    assert [line.partition(" (")[0] for line in lines(found)] == [
        "notes: 1 of 1 rows of validation nearly repeat a row of train"
    ]


def test_several_translations_of_a_text_are_not_a_conflict(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    rows = [{"text": "a cat", "target": target} for target in ("b", "c")]
    found = report(tmp_path, tokenizer, {"train": rows}, tasks={"t": {"kind": "generation", "target": "target"}})
    assert not [line for line in lines(found) if "different labels" in line]


@pytest.mark.parametrize(
    ("task", "first", "second"),
    [
        ({"kind": "spans", "label": "y"}, [[0, 1, "x"], [2, 5, "z"]], [[2, 5, "z"], [0, 1, "x"]]),
        ({"kind": "question_answering", "label": "y"}, [{"start": 2, "end": 5}], [{"start": 2, "end": 5}] * 2),
        ({"kind": "classification", "soft": "y", "weight": "weight"}, ["x", "z"], ["z", "x"]),
    ],
)
def test_labels_in_another_order_are_not_a_conflict(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, task: dict[str, Any], first: Any, second: Any
) -> None:
    columns = {"text": "text", **({"pair": "text"} if task["kind"] == "question_answering" else {})}
    labels = [first, second, first, second[:1]]
    rows = [{"text": "a dog" if i < 2 else "a cat", "y": y, "weight": 1 + i} for i, y in enumerate(labels)]
    found = lines(report(tmp_path, tokenizer, {"train": rows}, input=columns, tasks={"t": task}))
    conflicts = [line for line in found if "different labels" in line]
    assert [line.partition(" of ")[0] for line in conflicts] == ["notes: task 't': 1"] * (second[:1] != first)


def test_the_most_frequent_set_of_labels_is_found_in_any_order(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    kinds = [["a", "b"], ["b", "a"]] * 3 + [["c"]] * 4
    rows = [{"text": text, "kinds": labels} for text, labels in zip(texts(10, seed=0), kinds, strict=True)]
    task = {"kind": "multilabel", "label": "kinds", "metrics": ["micro_f1"]}
    (baseline,) = report(tmp_path, tokenizer, {"train": rows}, tasks={"kinds": task}).baselines
    assert baseline.values["majority"] == 2 * 12 / (20 + 16)


def test_rare_labels_and_imbalance(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    rows = [{"text": text, "topic": "b" if number < 2 else "a"} for number, text in enumerate(texts(40, seed=0))]
    assert lines(report(tmp_path, tokenizer, {"train": rows})) == [
        "notes: task 'topic': 1 label has fewer than 5 train rows: b: add rows, or merge labels; a model hardly learns "
        "rare ones",
        "notes: task 'topic': 95% of the labelled train rows have the label 'a': compare scores with the majority "
        'baseline, score by macro_f1, and try class_weights = "balanced"',
    ]


def test_labels_that_differ_only_in_case(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    names = ("Yes", "yes", "No", "NO", "no", "Maybe", "maybe", "?")
    rows = [{"text": text, "topic": names[number % 8]} for number, text in enumerate(texts(80, seed=0))]
    assert lines(report(tmp_path, tokenizer, {"train": rows})) == [
        "notes: task 'topic': labels of train differ only in case: 'Maybe' and 'maybe', 'NO' and 'No' and 'no', …: "
        "write them in the same way if they mean the same: case is significant"
    ]


def test_frequencies_and_baselines(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    train = [{"text": text, "topic": "aab"[i % 3], "grade": float(i)} for i, text in enumerate(texts(30, seed=0))]
    validation = [{"text": text, "topic": "ab?"[i % 3], "grade": 40.0} for i, text in enumerate(texts(9, seed=1))]
    tasks = {
        "topic": {"kind": "classification", "label": "topic"},
        "grade": {"kind": "regression", "label": "grade", "metrics": ["mae"]},
    }
    result = report(tmp_path, tokenizer, {"train": train, "validation": validation}, tasks=tasks)
    topic, grade = result.frequencies
    assert topic.counts == {"train": {"a": 20, "b": 10}, "validation": {"a": 3, "b": 3, "?": 3}}
    assert (topic.unit, grade.unit) == ("rows", "numbers")
    assert [len(counts) for counts in grade.counts.values()] == [10, 10], "the intervals are the same in all splits"
    assert (sum(grade.counts["train"].values()), grade.counts["validation"]["36 to 40"]) == (30, 9)
    accuracy, mae = result.baselines
    assert (accuracy.metric, accuracy.split, accuracy.rows) == ("accuracy", "validation", 9)
    assert accuracy.values["majority"] == 3 / 9
    assert mae.values["mean"] == 40 - 14.5


def test_without_validation_the_baselines_are_scored_on_train(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    rows = [{"text": text, "topic": "aab"[i % 3]} for i, text in enumerate(texts(30, seed=0))]
    (baseline,) = report(tmp_path, tokenizer, {"train": rows}).baselines
    assert (baseline.split, baseline.values["majority"]) == ("train", 20 / 30)


def test_a_metric_that_raises_is_a_finding(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*values: Any, **options: Any) -> float:
        raise ZeroDivisionError("no score")

    monkeypatch.setattr(METRICS.get("accuracy"), "score", fail)
    result = report(tmp_path, tokenizer, {"train": labelled(texts(30, seed=0))})
    assert result.baselines == ()
    assert lines(result) == [
        "notes: task 'topic': its baselines cannot be scored: ZeroDivisionError: no score: correct its metrics, or its "
        "task type"
    ]


def test_control_characters_of_a_label_are_escaped_in_a_finding(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    rows = [*labelled(texts(30, seed=0)), {"text": "a cat", "topic": "\x1b[31m\u202e"}]
    (line,) = lines(report(tmp_path, tokenizer, {"train": rows}))
    assert "\\x1b[31m\\u202e" in line


@pytest.mark.parametrize("numbers", [[0.3, 0.1 + 0.2], [1e16, 1e16 + 2], [2.0, 2.0], [1, 2, 3.5]])
def test_numbers_that_differ_in_the_last_digit_are_counted(
    numbers: list[float], tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    rows = [{"text": text, "grade": numbers[i % len(numbers)]} for i, text in enumerate(texts(6, seed=0))]
    task = {"kind": "regression", "label": "grade"}
    (counted,) = report(tmp_path, tokenizer, {"train": rows}, tasks={"grade": task}).frequencies
    assert sum(counted.counts["train"].values()) == len(rows)


def test_validation_numbers_of_a_huge_range_are_counted(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    train = [{"text": text, "grade": float(i)} for i, text in enumerate(texts(6, seed=0))]
    validation = [{"text": text, "grade": [-1.7e308, 1.7e308][i % 2]} for i, text in enumerate(texts(6, seed=1))]
    splits = {"train": train, "validation": validation}
    task = {"kind": "regression", "label": "grade", "metrics": ["mae"]}
    (counted,) = report(tmp_path, tokenizer, splits, tasks={"grade": task}).frequencies
    assert [count for count in counted.counts["validation"].values() if count] == [3, 3]


def test_shares_of_sets_are_those_of_rows(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """All rows have the label "a", most have "b" too, and one has no label."""
    rows = [{"text": text, "kinds": ["a", "b"][: 1 + (i > 4)]} for i, text in enumerate(texts(19, seed=0))]
    rows.append({"text": "the last one", "kinds": []})
    kinds = {"kind": "multilabel", "label": "kinds", "labels": ["a", "b"]}
    result = report(tmp_path, tokenizer, {"train": rows}, tasks={"kinds": kinds})
    (counted,) = result.frequencies
    assert (counted.counts, counted.totals) == ({"train": {"a": 19, "b": 14}}, {"train": 20})
    (line,) = lines(result)
    assert "95% of the labelled train rows have the label 'a'" in line
    page = render_data_page("run", result, max_length=64, notes=[]).decode()
    assert "95.0%" in page
    assert "70.0%" in page


def test_train_rows_without_a_label(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    rows = [{"text": text, "kinds": []} for text in texts(6, seed=0)]
    kinds = {"kind": "multilabel", "label": "kinds", "labels": ["a", "b"]}
    validation = [{"text": text, "kinds": ["a"]} for text in texts(3, seed=1)]
    result = report(tmp_path, tokenizer, {"train": rows, "validation": validation}, tasks={"kinds": kinds})
    (counted,) = result.frequencies
    assert counted.counts == {"train": {"a": 0, "b": 0}, "validation": {"a": 3, "b": 0}}
    assert lines(result) == []
