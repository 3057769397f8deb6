"""The key `from` of a dataset: the texts of other datasets."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from nlpmtl import ConfigError
from nlpmtl.comparison.experiment_plan import single_task_config
from nlpmtl.config import TextsConfig, parse_run, plain_config
from nlpmtl.data.dataset_reader import open_reader
from tests.tiny import write_rows

ROWS = [{"text": f"text {i}", "other": f"other {i}", "tokens": ["a", str(i)], "label": "x"} for i in range(10)]
TASK = {"mlm": {"kind": "masked_lm"}}
CLASSIFICATION = {"topic": {"kind": "classification", "label": "label"}}


def make_run(directory: Path, **others: Any) -> dict[str, Any]:
    path = str(write_rows(directory / "rows.jsonl", ROWS))
    datasets = {
        "pairs": {
            "data": {"files": {"train": path}, "validation": 0.2},
            "input": {"text": "text", "pair": "other"},
            "tasks": CLASSIFICATION,
        },
        "words": {
            "data": {"files": {"train": path, "test": path}},
            "input": {"words": "tokens"},
            "tasks": {"topic2": CLASSIFICATION["topic"]},
            "limit": {"train": 3},
        },
        "texts": {"from": ["pairs", "words"], "tasks": TASK},
    }
    return {"encoder": {"name": "x"}, "datasets": {**datasets, **others}}


def texts_of(run: dict[str, Any], split: str) -> list[str]:
    dataset = parse_run(run, where="run").datasets["texts"]
    reader = open_reader(dataset.data, input=dataset.input, columns={}, limit=dataset.limit, name="texts")
    return [row["text"] for row in reader.read([split])[split].table.to_pylist()]


def test_the_texts_are_those_that_the_datasets_read(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    train, validation = texts_of(run, "train"), texts_of(run, "validation")
    assert len(train) == 2 * 8 + 3, "two texts per pair of train, and as many rows of words as the limit"
    assert len(validation) == 2 * 2
    assert not set(validation) & set(train), "a held-out row is in no train split"
    assert {text for text in train if text.startswith("a ")} < {f"a {i}" for i in range(10)}
    assert len(texts_of(run, "test")) == 10


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt"])
def test_the_words_of_a_dataset_may_be_texts(name: str, tmp_path: Path) -> None:
    """As of annotation tools: labels are not read, but the texts are split as for the task."""
    contents = {
        "a.jsonl": json.dumps({"text": "Ada sings.", "label": [[0, 3, "x"]]}),
        "a.csv": 'text,label\nAda sings.,"[[0, 3, ""x""]]"\n',
        "a.txt": "Ada sings.\n",
    }
    (tmp_path / name).write_text(contents[name])
    (tmp_path / "a.ann").write_text("T1\tx 0 3\tAda\n")
    entities = {
        "data": {"files": {"train": str(tmp_path / name)}},
        "input": {"words": "text"},
        "tasks": {"entities": {"kind": "labeling", "label": "label"}},
    }
    run = {"encoder": {"name": "x"}, "datasets": {"entities": entities, "texts": {"from": ["entities"], "tasks": TASK}}}
    assert texts_of(run, "train") == ["Ada sings ."]


def test_the_config_can_be_written_and_read_again(tmp_path: Path) -> None:
    config = parse_run(make_run(tmp_path), where="run")
    assert isinstance(config.datasets["texts"].data, TextsConfig)
    plain = plain_config(config, output=tmp_path)
    again = parse_run(json.loads(json.dumps(plain)), where="run")
    assert plain_config(again, output=tmp_path) == plain
    assert again.datasets["texts"].data.split_names == ("train", "test")


def test_a_single_task_run_needs_no_other_dataset(tmp_path: Path) -> None:
    config = parse_run(make_run(tmp_path), where="run")
    single = single_task_config(config, task="mlm", rows={"pairs": 8, "words": 3, "texts": 19})
    assert list(single.datasets) == ["texts"]
    assert single.datasets["texts"].data == config.datasets["texts"].data


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"from": ["pair"]}, r"datasets\.texts\.from: no dataset 'pair'; did you mean 'pairs'"),
        ({"from": []}, "a list of names of datasets of this run was expected"),
        ({"from": "pairs"}, "a list of names of datasets of this run was expected"),
        ({"from": ["texts"]}, "'texts' takes its texts from other datasets"),
        ({"from": ["pairs", "pairs"]}, "each dataset must be named once"),
        ({"input": {"text": "text"}}, "the texts are those of other datasets: remove `input` or `from`"),
        ({"tasks": CLASSIFICATION}, "`from` gives texts without labels, and task 'topic'"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run["datasets"]["texts"] |= changes
    with pytest.raises(ConfigError, match=message):
        parse_run(run, where="run")


def test_the_fingerprint_changes_with_the_rows(tmp_path: Path) -> None:
    def fingerprint() -> str | None:
        dataset = parse_run(make_run(tmp_path), where="run").datasets["texts"]
        reader = open_reader(dataset.data, input=dataset.input, columns={}, limit={}, name="texts")
        return reader.source_of("train").fingerprint()

    before = fingerprint()
    assert before == fingerprint() is not None
    ROWS.append({**ROWS[0], "text": "one more"})
    try:
        assert fingerprint() != before
    finally:
        ROWS.pop()


def test_rows_in_memory_have_no_fingerprint(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run["datasets"]["pairs"]["data"] = {"files": {"train": ROWS}}
    dataset = parse_run(run, where="run").datasets["texts"]
    reader = open_reader(dataset.data, input=dataset.input, columns={}, limit={}, name="texts")
    assert reader.source_of("train").fingerprint() is None


def test_compressed_files_are_read(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in ROWS).encode()))
    run["datasets"]["words"]["data"]["files"]["test"] = str(path)
    assert len(texts_of(run, "test")) == 10
