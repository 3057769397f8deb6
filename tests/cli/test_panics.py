"""A tokenizer whose Rust code panics for some texts: the row or input is named, and nothing prints a traceback."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas
import pytest

import nlpmtl
from nlpmtl.errors import DataError
from tests.cli.conftest import RunCli
from tests.tiny import break_tokenizer, make_rows, make_run, write_rows

ToToml = Callable[[Mapping[str, Any]], str]

if TYPE_CHECKING:
    from tests.tiny import Trained

PLACE = "validation.jsonl:7"
FAILURE = "input 3: the encoder's tokenizer fails for this row (PanicException: "


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Two splits, one with a non-ASCII text in line 7."""
    rows = make_rows(12)
    for row in rows:
        row["topic"] = row["topic"] or "animals"
    train = str(write_rows(tmp_path / "train.jsonl", rows))
    rows[6] |= {"text": "caf\u00e9", "other": "caf\u00e9", "tokens": [*rows[6]["tokens"][:-1], "caf\u00e9"]}
    return {"train": train, "validation": str(write_rows(tmp_path / "validation.jsonl", rows))}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("reads", [{"text": "text"}, {"text": "text", "pair": "other"}, {"words": "tokens"}])
def test_training_and_checking_name_the_row(
    tmp_path: Path, files: dict[str, str], reads: dict[str, str], run_cli: RunCli, to_toml: ToToml
) -> None:
    run = make_run(tmp_path)
    break_tokenizer(tmp_path / "encoder")
    tasks = {"topic": {"kind": "classification", "label": "topic"}}
    run["datasets"] = {"words": {"data": {"files": files}, "input": reads, "tasks": tasks}}
    path = tmp_path / "run.toml"
    path.write_text(to_toml(run), encoding="utf-8")
    for command in ("train", "check"):
        result = run_cli(command, path)
        assert result.exit_code == 2, result.output
        assert f"{PLACE}: the encoder's tokenizer fails for this row (PanicException: " in result.output
        assert "Traceback" not in result.output


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_evaluation_names_the_row_and_prediction_the_input(
    trained: Trained, tmp_path: Path, files: dict[str, str], run_cli: RunCli
) -> None:
    model = break_tokenizer(shutil.copytree(trained.model_dir, tmp_path / "model"))
    words = trained.run["datasets"]["words"]
    with pytest.raises(DataError, match=f"{PLACE}: the encoder's tokenizer fails for this row"):
        nlpmtl.evaluate(model, {**words, "data": {"files": files}})
    lines = tmp_path / "texts.txt"
    lines.write_text("a cat\na dog\ncaf\u00e9\n", encoding="utf-8")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "a cat"}\nnot JSON\n{"text": "caf\u00e9"}\n', encoding="utf-8")
    skip = ["--input", rows, "--on-bad-row", "skip"]
    for arguments in (["--input", lines], skip, ["a cat", "a dog", "caf\u00e9"]):
        result = run_cli("predict", model, *arguments)
        assert result.exit_code == 2
        assert f"error: {FAILURE}" in result.output
        assert "Traceback" not in result.output


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "inputs",
    [
        ["a cat", "a dog", "caf\u00e9"],
        [("a cat", "a"), ("a dog", "a"), ("a", "caf\u00e9")],
        [{"words": ["a", "cat"]}, {"words": ["a"]}, {"words": ["a", "caf\u00e9"]}],
        [{"text": "a cat"}, {"text": "a"}, {"text": "caf\u00e9"}],
        pandas.DataFrame({"text": ["a", "a cat", "caf\u00e9"]}),
    ],
)
def test_prediction_in_python_names_the_input(trained: Trained, tmp_path: Path, inputs: Any) -> None:
    model = break_tokenizer(shutil.copytree(trained.model_dir, tmp_path / "model"))
    predictor = nlpmtl.Predictor.from_pretrained(model)
    with pytest.raises(DataError, match=f"^{re.escape(FAILURE)}"):
        predictor.predict_all(inputs)
