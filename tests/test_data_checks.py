"""Data errors are found before the encoder is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from datasets import Dataset

import nlpmtl
from nlpmtl.config import parse_dataset
from nlpmtl.data.splitting import hold_out, subsample
from nlpmtl.data_checks import check_not_input
from nlpmtl.errors import ConfigError, DataError, NlpmtlError
from nlpmtl.run import load_config
from tests.tiny import write_rows

ROWS = [{"text": f"a cat {i}", "topic": "xyz"[i % 3], "kinds": ["p", "q"][: i % 3]} for i in range(12)]
Rows = list[dict[str, Any]]


def write(path: Path, rows: Rows = ROWS) -> str:
    if path.suffix == ".jsonl":
        return str(write_rows(path, rows))
    frame = pd.DataFrame([{key: value for key, value in row.items() if key != "kinds"} for row in rows])
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return str(path)


def run(train: Any, **tasks: Any) -> dict[str, Any]:
    """A run with an encoder that cannot be loaded."""
    return {
        "output": "never",
        "encoder": {"name": "no/such-encoder"},
        "datasets": {
            "d": {
                "data": {"files": {"train": train}},
                "input": {"text": "text"},
                "tasks": tasks or {"topic": {"kind": "classification", "label": "topic"}},
            }
        },
        "train": {"steps": 1},
    }


def topic(**keys: Any) -> dict[str, Any]:
    return {"topic": {"kind": "classification", "label": "topic", **keys}}


def kinds(**keys: Any) -> dict[str, Any]:
    return {"kinds": {"kind": "multilabel", "label": "kinds", **keys}}


def test_valid_data_passes(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        path = write(tmp_path / name)
        with pytest.raises(NlpmtlError, match="no/such-encoder"):
            nlpmtl.train(run(path, **topic(labels=["x", "y", "z"], metrics=["accuracy"])))


@pytest.mark.parametrize(
    ("make", "tasks", "error", "message"),
    [
        (lambda path: str(path / "none.jsonl"), {}, DataError, r"none\.jsonl: no such file"),
        (lambda path: str(path / "none-*.csv"), {}, DataError, r"none-\*\.csv: no file matches"),
        (lambda path: write(path / "a.jsonl"), topic(label="topik"), ConfigError, "'topik' not found.*mean 'topic'"),
        (lambda path: write(path / "a.csv", ROWS * 200), topic(label="topik"), ConfigError, "'topik' not found"),
        (lambda path: write(path / "a.parquet", ROWS * 200), topic(label="topik"), ConfigError, "'topik' not found"),
        (lambda path: Dataset.from_list(ROWS), topic(label="topik"), ConfigError, "'topik' not found"),
        (lambda path: pd.DataFrame(ROWS), topic(label="topik"), ConfigError, "'topik' not found"),
        (lambda path: ROWS, topic(metrics=["acuracy"]), ConfigError, "unknown metric 'acuracy'; did you mean"),
        (
            lambda path: ROWS,
            topic(metrics=["span_f1"]),
            ConfigError,
            "'span_f1' scores predictions of type spans or tags, found label",
        ),
        (
            lambda path: ROWS,
            topic(metrics=["evaluate:none/such"]),
            ConfigError,
            "the metric 'evaluate:none/such' cannot be loaded",
        ),
        (lambda path: ROWS, topic(metrics=["f1"]), ConfigError, "'f1' needs the positive class"),
        (
            lambda path: ROWS,
            {"price": {"kind": "regression", "label": "price", "metrics": ["soft_cross_entropy"]}},
            ConfigError,
            "'soft_cross_entropy' compares distributions over labels, and the task type 'regression' has no key `soft`",
        ),
        (lambda path: ROWS, topic(labels=["x"]), ConfigError, r"at least 2 label\(s\) are needed"),
        (lambda path: ROWS, topic(labels=["x", "y"]), DataError, r"row 3: topic: 'z' is not in the list of labels"),
        (lambda path: ROWS, kinds(labels=["p"]), DataError, r"row 3: kinds: 'q' is not in the list of labels"),
        (
            lambda path: write(path / "a.jsonl"),
            {"price": {"kind": "regression", "label": "topic"}},
            DataError,
            r"12 problem\(s\) in 12 row\(s\):\n  .*a\.jsonl:1: topic: a number was expected",
        ),
        (lambda path: [*ROWS, {"text": 3.5, "topic": "x"}], {}, DataError, r"row 13: text: a string was expected"),
    ],
)
def test_errors_are_found_before_the_encoder_is_loaded(
    make: Callable[[Path], Any], tasks: dict[str, Any], error: type[NlpmtlError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        nlpmtl.train(run(make(tmp_path), **tasks))
    config = run(make(tmp_path), **tasks)
    config["datasets"]["second"] = run(ROWS, second={"kind": "classification", "label": "topic"})["datasets"]["d"]
    with pytest.raises(error, match=message):
        nlpmtl.compare(config, output=tmp_path / "compared", seeds=1)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            {"weighting": {"kind": "constant", "weights": {"topik": 2.0}}},
            "weighting.weights.topik: no such task",
        ),
        (
            {"sampling": {"kind": "phases", "phases": [{"datasets": ["e"]}]}},
            "phases.0.datasets: no dataset 'e'",
        ),
        ({"train": {"trackers": ["wandb"]}}, "train.trackers: wandb is not installed"),
    ],
)
def test_names_in_a_config_are_checked_before_the_encoder_is_loaded(
    tables: dict[str, Any], message: str, tmp_path: Path
) -> None:
    config = {**run(ROWS, **topic(), **kinds()), **tables}
    with pytest.raises(ConfigError, match=message):
        nlpmtl.train(config, output=tmp_path / "trained")
    with pytest.raises(ConfigError, match=message):
        nlpmtl.compare(config, output=tmp_path / "compared", seeds=1)
    if "train" not in tables:  # `relate` uses no trackers
        with pytest.raises(ConfigError, match=message):
            nlpmtl.relate(config, output=tmp_path / "related")


def test_the_input_of_a_task_is_checked_before_the_encoder_is_loaded() -> None:
    config = run(ROWS, places={"kind": "labeling", "label": "topic"})
    with pytest.raises(ConfigError, match="task 'places': the input of labeling must be `words = \"…\"`, found `text"):
        nlpmtl.train(config)


def test_a_run_of_one_task_is_not_compared_and_loads_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to compare: the run has only one task, 'topic'"):
        nlpmtl.compare(run(ROWS), output=tmp_path / "compared", seeds=1)
    with pytest.raises(ConfigError, match="nothing to relate: the run has only one task, 'topic'"):
        nlpmtl.relate(run(ROWS), output=tmp_path / "related")


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    config = run(write(tmp_path / "a.jsonl"), **topic(label="topik", metrics=["acuracy"]), **kinds(label="kindz"))
    other = run(str(tmp_path / "none.jsonl"), mood={"kind": "classification", "label": "mood"})
    config["datasets"]["other"] = other["datasets"]["d"]
    with pytest.raises(ConfigError) as caught:
        nlpmtl.train(config)
    for message in ("unknown metric 'acuracy'", "column 'topik'", "column 'kindz'", "none.jsonl: no such file"):
        assert message in str(caught.value)


@pytest.mark.parametrize(
    "values", [[1.0, 2.0], ["1", "2"], [True, False], ["true", "false"], ["1.0", "2"], ["e\u0301", "ö"], [None, "ö"]]
)
def test_label_spelling_is_decided_on_the_whole_column(values: list[Any]) -> None:
    """Whether 1.0 is the label 1 depends on all rows."""
    from nlpmtl.data_checks import check_datasets

    rows = [{"text": "a", "topic": value} for value in values]
    check_datasets(load_config(run(rows, **topic(labels=["one", "two", "\u00e9", "ö"]))).datasets)


def test_a_column_that_appears_late_is_accepted(tmp_path: Path) -> None:
    from nlpmtl.data_checks import check_datasets

    rows: Rows = [*({"text": "a"} for _ in range(1500)), *ROWS]
    check_datasets(load_config(run(write(tmp_path / "a.jsonl", rows))).datasets)


@pytest.mark.parametrize(
    ("name", "content", "count", "message"),
    [
        ("a.jsonl", b'[\n{"text": "a", "topic": "x"},\n{"text": "b", "topic": "y"}\n]\n', 3, "not valid JSON"),
        ("b.jsonl", b'[{"text": "a", "topic": "x"}]', 1, "a JSON object was expected"),
        ("c.jsonl", b'{"text": "caf\xe9", "topic": "x"}\n' * 3, 3, "UTF-8"),
        ("d.csv", b"text,topic\na cat,x\ncaf\xe9,x\n" + b"na\xefve,y\n" * 1500, 1501, "UTF-8"),
        ("e.tsv", b"text\ttopic\ncaf\xe9\tx\n", 1, "UTF-8"),
    ],
)
@pytest.mark.parametrize("split", ["train", "validation"])
def test_rows_that_cannot_be_read(
    tmp_path: Path, name: str, content: bytes, count: int, message: str, split: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    config = run(write(tmp_path / "good.jsonl"))
    config["datasets"]["d"]["data"]["files"][split] = str(path)
    with pytest.raises(DataError) as caught:
        nlpmtl.train(config)
    assert f"d: {count} problem(s) in {count} row(s):\n  {path}:" in str(caught.value)
    assert message in str(caught.value)


def test_skipped_rows_are_no_error_if_others_are_left(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,topic\ncaf\xe9,x\na cat,y\na dog,x\n")
    config = run(str(path))
    config["datasets"]["d"]["data"]["on_bad_row"] = "skip"
    with pytest.raises(NlpmtlError, match="no/such-encoder"):
        nlpmtl.train(config)
    path.write_bytes(b"text,topic\ncaf\xe9,x\n")
    with pytest.raises(DataError, match=r"a\.csv: no valid rows: all 1 are invalid"):
        nlpmtl.train(config)


def test_evaluate_checks_data_before_the_model(tmp_path: Path) -> None:
    data = run(str(tmp_path / "none.jsonl"))["datasets"]["d"]
    with pytest.raises(DataError, match=r"none\.jsonl: no such file"):
        nlpmtl.evaluate("no/such-model", data, split="train")


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.tsv"])
def test_a_file_without_rows(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("" if name == "a.jsonl" else "text\ttopic\n" if name == "a.tsv" else "text,topic\n")
    with pytest.raises(DataError, match=f"{name}: no row"):
        nlpmtl.train(run(str(tmp_path / name)))


def test_evaluate_looks_for_the_split_before_the_model(tmp_path: Path) -> None:
    data = run(write(tmp_path / "a.jsonl"))["datasets"]["d"]
    with pytest.raises(ConfigError, match="no dataset has a split 'tests'"):
        nlpmtl.evaluate("no/such-model", data, split="tests")


def test_train_looks_for_its_split_before_the_encoder(tmp_path: Path) -> None:
    config = run(write(tmp_path / "a.jsonl"))
    files = config["datasets"]["d"]["data"]["files"]
    files["trian"] = files.pop("train")
    with pytest.raises(ConfigError, match="no dataset has a split `train`; splits found: trian"):
        nlpmtl.train(config)


class TestUnknownLabels:
    def test_unknown_labels_are_reported_together(self, tmp_path: Path) -> None:
        rows = [{"text": "a", "topic": f"label {i}"} for i in range(30)]
        with pytest.raises(DataError) as caught:
            nlpmtl.train(run(write(tmp_path / "a.jsonl", rows), **topic(labels=["x", "label 0"])))
        message = str(caught.value)
        assert "a.jsonl:2: topic: 'label 1' is not in the list of labels; did you mean 'label 0'?" in message
        assert "29 labels are not in the list" in message
        assert [f"a.jsonl:{i + 1}: 'label {i}'" in message for i in range(2, 12)] == [True] * 9 + [False]
        assert message.endswith("and 19 more")

    @pytest.mark.parametrize(
        ("text", "keys", "data"),
        [
            (None, {}, {"on_bad_row": "skip"}),
            ("a", {"limit": {"train": 2}}, {}),
            ("a", {}, {"validation": 0.1}),
        ],
    )
    def test_labels_of_rows_that_are_not_trained_on(self, text: Any, keys: Any, data: Any, tmp_path: Path) -> None:
        """An invalid row, one that is not among the limit, and one that is held out."""
        rows = ROWS[:1] * 20
        kept, held_out = hold_out(20, fraction=0.1)
        index = int((held_out if "validation" in data else kept)[0])
        assert "limit" not in keys or index not in subsample(20, limit=2)
        rows[index] = {"text": text, "topic": "?"}
        config = run(write(tmp_path / "a.jsonl", rows), **topic(labels=["x", "y"]))
        config["datasets"]["d"] |= keys
        config["datasets"]["d"]["data"] |= data
        with pytest.raises(NlpmtlError, match="no/such-encoder"):
            nlpmtl.train(config)


@pytest.mark.parametrize("files", ["texts.csv", ["other.csv", "texts.csv"], "t*.csv"])
def test_an_output_that_would_replace_an_input_is_refused(
    files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("texts.csv", "other.csv", "data.toml"):
        Path(name).write_text("text,topic\na,x\n", encoding="utf-8")
    tables = {
        "data": {"files": {"test": files}},
        "input": {"text": "text"},
        "tasks": {"topic": {"kind": "classification", "label": "topic"}},
    }
    datasets = {"d": parse_dataset(tables, where="d")}
    for path in (tmp_path / "texts.csv", Path("data.toml")):
        with pytest.raises(ConfigError, match=rf"^errors: \S*{path.name} is an input, which would be replaced"):
            check_not_input(path, key="errors", config="data.toml", datasets=datasets)
    check_not_input(tmp_path / "new.csv", key="errors", config=tables, datasets=datasets)
