"""An interrupted batch prediction continues where it stopped, and refuses whatever has changed."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from huggingface_hub import constants

from nlpmtl import ConfigError, RunError, predict_files
from nlpmtl.file_prediction import FileProgress
from nlpmtl.training import hold_lock
from tests.tiny import make_rows

if TYPE_CHECKING:
    from nlpmtl.file_prediction.request import PredictFilesOptions

ROWS = 21
WORK = ".out.csv.part"


class Interrupted(Exception):
    pass


def interrupt_at(stage: str, rows: int) -> Callable[[FileProgress], None]:
    """Return a callback that raises once a stage has so many rows."""

    def check(progress: FileProgress) -> None:
        if progress.stage == stage and progress.rows >= rows:
            raise Interrupted

    return check


@pytest.fixture
def input_file(tmp_path: Path) -> Path:
    path = tmp_path / "new.csv"
    path.write_text("text,id\n" + "".join(f"{row['text']},{i:03}\n" for i, row in enumerate(make_rows(ROWS))))
    return path


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(("stage", "rows", "left"), [("predicting", 8, ROWS - 8), ("writing", ROWS, 0)])
def test_the_same_call_continues(
    stage: str, rows: int, left: int, model: Path, input_file: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.csv"
    predict_files(model, input_file, tmp_path / "whole.csv")
    with pytest.raises(Interrupted):
        predict_files(model, input_file, output, on_progress=interrupt_at(stage, rows))
    assert (tmp_path / WORK).is_dir()
    assert output.exists() is (stage == "writing")
    steps: list[FileProgress] = []
    result = predict_files(model, input_file, output, on_progress=steps.append)
    predicting = [step.rows for step in steps if step.stage == "predicting"]
    assert predicting[-1] - predicting[0] == left
    assert not [step for step in steps if step.stage == "checking"]
    assert (result.device is None) is (left == 0)  # no model was loaded
    assert output.read_text() == (tmp_path / "whole.csv").read_text()
    assert not (tmp_path / WORK).exists()


@pytest.mark.usefixtures("small_chunks")
def test_what_has_changed_is_refused(model: Path, input_file: Path, tmp_path: Path) -> None:
    output, other = tmp_path / "out.csv", tmp_path / "other"
    with pytest.raises(Interrupted):
        predict_files(model, input_file, output, on_progress=interrupt_at("predicting", 8))
    shutil.copytree(model, other)
    change_temperature(other)
    for changed, options, message in (
        (other, {}, "the model has changed"),
        (model, {"tasks": ["topic"]}, "options: --task changed"),
        (
            model,
            {"delimiter": ";", "text_column": "text,id"},
            "formats: .* changed; options: --text-column changed",
        ),
    ):
        with pytest.raises(ConfigError, match=rf"{WORK} cannot be resumed: {message}.*--overwrite"):
            predict_files(changed, input_file, output, **options)
    text = input_file.read_text()
    input_file.write_text(text + "a cat,x\n")
    with pytest.raises(ConfigError, match=r"inputs: .*new\.csv changed"):
        predict_files(model, input_file, output)
    predict_files(model, input_file, output, overwrite=True)
    assert output.read_text().count("\n") == ROWS + 2
    with pytest.raises(ConfigError, match=r"out\.csv: it already exists; --overwrite replaces it"):
        predict_files(model, input_file, output)
    predict_files(model, input_file, output, overwrite=True, tasks=["topic"])
    assert output.read_text().startswith("text,id,topic,topic_score\n")


@pytest.mark.usefixtures("small_chunks")
def test_the_old_output_stays_until_it_is_replaced(model: Path, input_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    output.write_text("old")
    with pytest.raises(Interrupted):
        predict_files(model, input_file, output, overwrite=True, on_progress=interrupt_at("predicting", 8))
    assert output.read_text() == "old"
    with pytest.raises(ConfigError, match="it already exists"):
        predict_files(model, input_file, output)
    steps: list[FileProgress] = []
    predict_files(model, input_file, output, overwrite=True, on_progress=steps.append)
    assert steps[0] == FileProgress("predicting", 8, ROWS)


def test_one_process_at_a_time(model: Path, input_file: Path, tmp_path: Path) -> None:
    with hold_lock(tmp_path / WORK), pytest.raises(RunError, match="is in use by another run in this process"):
        predict_files(model, input_file, tmp_path / "out.csv")


def test_an_input_that_changes_while_it_is_read(model: Path, input_file: Path, tmp_path: Path) -> None:
    def shorten(progress: FileProgress) -> None:
        if progress == FileProgress("checking", ROWS, None):
            input_file.write_text("text,id\n")

    with pytest.raises(RunError, match=r"new\.csv: the file changed while it was read"):
        predict_files(model, input_file, tmp_path / "out.csv", on_progress=shorten)
    assert not (tmp_path / "out.csv").exists()


def change_temperature(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    config["tasks"]["topic"]["temperature"] = 2.0
    (model / "config.json").write_text(json.dumps(config))


def test_a_model_that_changes_while_the_rows_are_checked(model: Path, input_file: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "model")

    def change(progress: FileProgress) -> None:
        if progress.stage == "checking":
            change_temperature(tmp_path / "model")

    with pytest.raises(RunError, match="the model changed after it was first read: start again with --overwrite"):
        predict_files(tmp_path / "model", input_file, tmp_path / "out.csv", on_progress=change)


def test_a_model_that_changes_while_rows_are_predicted(model: Path, input_file: Path, tmp_path: Path) -> None:
    """The output has the columns of the tasks that predicted."""
    shutil.copytree(model, tmp_path / "model")

    def remove_task(progress: FileProgress) -> None:
        if progress == FileProgress("predicting", ROWS, ROWS):
            config = json.loads((tmp_path / "model" / "config.json").read_text())
            del config["tasks"]["topic"]
            (tmp_path / "model" / "config.json").write_text(json.dumps(config))

    predict_files(tmp_path / "model", input_file, tmp_path / "out.csv", on_progress=remove_task)
    predict_files(model, input_file, tmp_path / "expected.csv")
    assert (tmp_path / "out.csv").read_text() == (tmp_path / "expected.csv").read_text()


def test_a_branch_that_moves_while_the_rows_are_checked(
    model: Path, input_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All processes load the commit that the branch had at the start."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    repository = tmp_path / "cache" / "models--me--demo"
    for commit in ("a" * 40, "b" * 40):
        shutil.copytree(model, repository / "snapshots" / commit)
    change_temperature(repository / "snapshots" / ("b" * 40))
    (repository / "refs").mkdir()
    branch = repository / "refs" / "main"
    branch.write_text("a" * 40)
    predict_files(
        "me/demo", input_file, tmp_path / "out.csv", on_progress=lambda progress: [branch.write_text("b" * 40)]
    )
    predict_files(model, input_file, tmp_path / "expected.csv")
    assert (tmp_path / "out.csv").read_text() == (tmp_path / "expected.csv").read_text()


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"out\.csv: it already exists; --overwrite replaces it"),
        (
            {"on_progress": interrupt_at("predicting", 8), "tasks": ["topic"]},
            "cannot be resumed: options: --task changed",
        ),
    ],
    ids=["finished", "interrupted"],
)
def test_another_process_predicts_while_the_rows_are_checked(
    options: PredictFilesOptions, message: str, model: Path, input_file: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.csv"

    def predict_elsewhere(progress: FileProgress) -> None:
        if progress == FileProgress("checking", ROWS, None):
            with suppress(Interrupted):
                predict_files(model, input_file, output, **options)
            before.update({path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()})

    before: dict[Path, bytes] = {}
    with pytest.raises(ConfigError, match=message):
        predict_files(model, input_file, output, on_progress=predict_elsewhere)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("small_chunks")
def test_a_full_disk(model: Path, input_file: Path, tmp_path: Path) -> None:
    """A limit on the size of files has the effect of a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(progress: FileProgress) -> None:
        if progress.stage == "predicting" and progress.rows == 8:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))

    try:
        with pytest.raises(RunError, match=r"out\.csv: cannot be written: File too large. Finished parts are kept"):
            predict_files(model, input_file, tmp_path / "out.csv", on_progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    steps: list[FileProgress] = []
    assert predict_files(model, input_file, tmp_path / "out.csv", on_progress=steps.append).rows == ROWS
    assert steps[0] == FileProgress("predicting", 8, ROWS)


@pytest.mark.slow
def test_errors_are_found_without_torch(model: Path, input_file: Path, tmp_path: Path) -> None:
    """Paths, columns, tasks and rows are checked before torch is imported."""
    (tmp_path / "exists.csv").touch()
    (tmp_path / "bad.csv").write_text("text,id\na\n")
    code = f"""
import sys
from nlpmtl import NlpmtlError, predict_files
for file, output, options in (
    ("none.csv", "o.csv", {{}}),
    ("new.csv", "o.docx", {{}}),
    ("new.csv", "new.csv", {{}}),
    ("new.csv", "exists.csv", {{}}),
    ("new.csv", "o.csv", {{"tasks": ["topik"]}}),
    ("new.csv", "o.csv", {{"text_column": "txt"}}),
    ("bad.csv", "o.csv", {{}}),
):
    try:
        predict_files({str(model)!r}, file, output, **options)
    except NlpmtlError as error:
        print(error)
assert "torch" not in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert [line.partition(": ")[2].partition(";")[0] for line in result.stdout.splitlines()] == [
        "no such file",
        "the name must end in .csv, .csv.gz, .tsv, .tsv.gz, .jsonl, .jsonl.gz, .parquet",
        "this is the input file new.csv: choose another name",
        "it already exists",
        "",
        "no column 'txt', which --text-column names",
        "1 field(s), but the header has 2",
    ]
