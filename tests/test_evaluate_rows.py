"""`nlpmtl.evaluate` with rows in memory, and errors of data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from datasets import Dataset, DatasetDict

import nlpmtl
from nlpmtl import ConfigError, DataError
from nlpmtl.config import flatten
from tests.slow import slow_except
from tests.tiny import Trained, make_rows

MOOD: dict[str, Any] = {"kind": "sentiment", "labels": ["negative", "neutral", "positive"], "label": "mood"}


def _dataset(rows: Any, *, label: str = "topic", **more: str) -> dict[str, Any]:
    """Return a dataset of texts with class labels, as a dict."""
    tasks: dict[str, Any] = {"topic": {"kind": "classification", "label": label}}
    for task, column in more.items():
        tasks[task] = {**MOOD, "label": column}
    return {"data": {"files": {"validation": rows}}, "input": {"words": "tokens"}, "tasks": tasks}


def test_evaluate_reads_rows_in_memory(trained: Trained) -> None:
    rows = make_rows(20, seed=3)
    dataset = Dataset.from_list(rows)
    expected = nlpmtl.evaluate(trained.model_dir, _dataset(rows))["topic"]
    for value in (dataset, pd.DataFrame(rows)):
        assert nlpmtl.evaluate(trained.model_dir, _dataset(value))["topic"] == expected
    full = {**_dataset(rows), "data": {"files": DatasetDict(validation=dataset)}}
    assert nlpmtl.evaluate(trained.model_dir, full)["topic"] == expected


@pytest.mark.parametrize("label", slow_except(["topik", "Topic", "topic ", "nothing like it"], "topik"))
def test_evaluate_names_a_misspelt_column(label: str, trained: Trained) -> None:
    for rows in (make_rows(5), Dataset.from_list(make_rows(5)), pd.DataFrame(make_rows(5))):
        error: type[Exception]
        error, hint = (DataError, "") if "like" in label else (ConfigError, r".*; did you mean 'topic'\?")
        with pytest.raises(error, match=rf"data: validation: column '{label}' not found; available columns: .*{hint}"):
            nlpmtl.evaluate(trained.model_dir, _dataset(rows, label=label))
    with pytest.raises(ConfigError, match=r"column 'topik' not found.*\n.*column 'moood' not found; did you mean"):
        nlpmtl.evaluate(trained.model_dir, _dataset(make_rows(5), label="topik", mood="moood"))
    with pytest.raises(ConfigError, match=r"column 'moood' not found.*; did you mean 'mood'"):
        nlpmtl.evaluate(trained.model_dir, _dataset(make_rows(5), mood="moood"))


def test_evaluate_scores_tasks_with_labels_in_the_split(trained: Trained) -> None:
    rows = [{key: value for key, value in row.items() if key != "mood"} for row in make_rows(5)]
    scores = nlpmtl.evaluate(trained.model_dir, _dataset(rows, mood="mood"))
    assert scores.tasks.keys() == {"topic"}
    assert any("task 'mood' is not scored: data: validation: column 'mood' not found" in note for note in scores.notes)


def test_a_missing_label_column_is_not_taken_for_an_input(trained: Trained) -> None:
    rows = [{"token": row["tokens"], "topic": row["topic"]} for row in make_rows(5)]
    dataset = {**_dataset(rows, mood="tokens"), "input": {"words": "token"}}
    scores = nlpmtl.evaluate(trained.model_dir, dataset)
    assert scores.tasks.keys() == {"topic"}
    assert any("task 'mood' is not scored: data: validation: column 'tokens' not found" in n for n in scores.notes)


@pytest.mark.parametrize("value", [Dataset.from_dict({"text": ["a"]}), [{"text": "a"}], pd.DataFrame(), 3, None])
def test_data_of_another_type_shows_the_format(value: Any, trained: Trained) -> None:
    with pytest.raises(ConfigError, match=rf"found type {type(value).__name__}.*files.*input.*tasks"):
        nlpmtl.evaluate(trained.model_dir, value)
    with pytest.raises(ConfigError, match=f"a run file.* was expected, found type {type(value).__name__}"):
        nlpmtl.train(value)


@pytest.mark.parametrize("rows", [Dataset.from_dict({"text": ["a"]}), [{"text": "a"}], pd.DataFrame({"text": ["a"]})])
def test_splits_of_another_type_show_the_format(rows: Any, trained: Trained) -> None:
    kinds = [dict, DatasetDict] if isinstance(rows, Dataset) else [dict]
    for kind in kinds:
        with pytest.raises(ConfigError, match=rf"found a {kind.__name__} of splits.*files.*input.*tasks"):
            nlpmtl.evaluate(trained.model_dir, kind({"validation": rows}))


def test_overrides_of_a_dataset_are_refused(trained: Trained, tmp_path: Path) -> None:
    rows = make_rows(5)
    path = tmp_path / "messages.toml"
    tables = '[input]\nwords = "tokens"\n[tasks.topic]\nkind = "classification"\nlabel = "topic"\n'
    path.write_text(f'[data]\nfiles.validation = "rows.jsonl"\n{tables}', encoding="utf-8")
    for data, where in ((_dataset(rows), "config"), (path, str(path))):
        for overrides in ({"spilt": "test"}, {"input": {"words": "other"}}):
            (key,) = flatten(overrides)
            message = rf"^{re.escape(where)}: {key}: .*only the keys of a run can be overridden"
            with pytest.raises(ConfigError, match=message):
                nlpmtl.evaluate(trained.model_dir, data, **overrides)
