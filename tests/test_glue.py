"""GLUE submissions with data from a local Hub server, in a process that imports the client with its address."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value

from nlpmtl import ConfigError, Predictor
from nlpmtl.config import builtin_configs, parse_dataset, read_dataset
from nlpmtl.glue import submit
from nlpmtl.model import MultiTaskModel, load_encoder
from nlpmtl.tasks import build_task
from tests.hub_server import Hub, serve_hub
from tests.tiny import WORDS, write_encoder

MODEL_TASKS = ("cola", "sst2", "stsb", "mnli", "wnli")
ROWS = {"cola": 3, "sst2": 4, "stsb": 5, "mnli": 600, "wnli": 2, "mrpc": 3, "qqp": 4, "qnli": 2, "rte": 3, "ax": 6}
"""Number of rows by test set; mnli has more than are read at once."""
FILES = {
    "CoLA.tsv": "cola",
    "SST-2.tsv": "sst2",
    "MRPC.tsv": "mrpc",
    "STS-B.tsv": "stsb",
    "QQP.tsv": "qqp",
    "MNLI-m.tsv": "mnli",
    "MNLI-mm.tsv": "mnli",
    "QNLI.tsv": "qnli",
    "RTE.tsv": "rte",
    "WNLI.tsv": "wnli",
    "AX.tsv": "ax",
}
CODE = """
import json, sys
from pathlib import Path
import nlpmtl
from nlpmtl.glue import submit

model, out = nlpmtl.Predictor.from_pretrained(sys.argv[1]), Path(sys.argv[2])
try:
    list(submit(model, out / "none.zip"))
except nlpmtl.ConfigError as error:
    print(error, file=sys.stderr)
written = [vars(file) for file in submit(model, out / "majority.zip", fill="majority")]
list(submit(model, out / "again.zip", fill="majority"))
list(submit(model, out / "zeros.zip", fill="zeros"))
print(json.dumps(written))
"""


def dataset_config(name: str) -> Any:
    path = builtin_configs() / f"{name}.toml"
    return parse_dataset(read_dataset(path), where=name)


def texts(name: str, split: str, rows: int) -> list[str]:
    source = random.Random(f"{name} {split}")
    return [" ".join(source.choices(WORDS, k=source.randint(1, 9))) for _ in range(rows)]


def parquet(name: str, split: str, labels: list[float]) -> bytes:
    data = dataset_config(name)
    (task,) = data.tasks.values()
    feature = ClassLabel(names=list(task.labels)) if task.labels else Value("float32")
    features = {column: Value("string") for column in data.input.columns} | {task.label: feature, "idx": Value("int32")}
    columns = {column: texts(name, split, len(labels)) for column in data.input.columns}
    dataset = Dataset.from_dict(
        {**columns, task.label: labels, "idx": list(range(len(labels)))}, features=Features(features)
    )
    content = io.BytesIO()
    pq.write_table(dataset.data.table.replace_schema_metadata(dataset.features.arrow_schema.metadata), content)
    return content.getvalue()


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """GLUE as on the Hub, with hidden labels -1 and a few rows per set; the majority label of train is the second."""
    files, card = {}, ["configs:"]
    for name, rows in ROWS.items():
        tests = ["test_matched", "test_mismatched"] if name == "mnli" else ["test"]
        splits = {test: [-1.0] * rows for test in tests} | ({} if name == "ax" else {"train": [0.0, 1.0, 1.0]})
        card += [f"- config_name: {name}", "  data_files:"]
        for split, labels in splits.items():
            files[f"{name}/{split}.parquet"] = parquet(
                name, split, labels if name == "stsb" else [int(label) for label in labels]
            )
            card += [f"  - split: {split}", f"    path: {name}/{split}.parquet"]
    with serve_hub() as served:
        served.repos["nyu-mll/glue"] = {**files, "README.md": "\n".join(["---", *card, "---", ""]).encode()}
        yield served


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("glue")
    encoder = load_encoder(str(write_encoder(root / "encoder")))
    tasks = []
    for name in MODEL_TASKS:
        data = dataset_config(name)
        options = data.tasks[name]
        labels = options.labels or ()
        if name == "wnli":  # the same labels in another order
            labels = tuple(reversed(labels))
        tasks.append(build_task(options, name=name, labels=labels, input=data.input.shape))
    multitask = MultiTaskModel.from_encoder(encoder, tasks=tasks, sharing={"kind": "hard"}, input_length=48, seed=1)
    multitask.eval()  # type: ignore[no-untyped-call]
    for name in ("cola", "sst2", "mnli", "wnli"):  # predictions that differ from row to row
        rows = texts(name, "some", 30)
        inputs: list[Any] = list(zip(rows, rows, strict=True)) if multitask.tasks[name].takes_pairs else rows
        predictions = Predictor(multitask, encoder.tokenizer).predict(inputs, task=name, all_scores=True)
        mean_logits = (
            torch.tensor([list(prediction["scores"].values()) for prediction in predictions]).log().mean(dim=0)
        )
        multitask.head(name).out.bias.data.sub_(mean_logits)
    for part in (multitask, encoder.tokenizer):
        part.save_pretrained(root / "model")
    return root / "model"


@pytest.fixture(scope="module")
def submitted(hub: Hub, model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[Any]]:
    root = tmp_path_factory.mktemp("submitted")
    result = subprocess.run(
        [sys.executable, "-c", CODE, model, root],
        env=hub.environment(root / "home"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return root, result.stderr, json.loads(result.stdout)


def read_submission(path: Path) -> dict[str, list[str]]:
    """Return the predictions of each file; check the header and the row numbers."""
    tables = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            header, *lines = archive.read(name).decode("ascii").splitlines()
            assert header == "index\tprediction"
            tables[name] = [line.split("\t")[1] for line in lines]
            assert [line.split("\t")[0] for line in lines] == [str(i) for i in range(len(lines))]
    return tables


@pytest.mark.slow
def test_the_model_predicts_its_tasks(submitted: tuple[Path, str, list[Any]], model: Path) -> None:
    tables = read_submission(submitted[0] / "majority.zip")
    assert {name: len(words) for name, words in tables.items()} == {name: ROWS[FILES[name]] for name in FILES}
    predictor = Predictor.from_pretrained(model)
    splits = {"CoLA.tsv": "test", "SST-2.tsv": "test", "STS-B.tsv": "test", "WNLI.tsv": "test", "AX.tsv": "test"}
    for file, split in {**splits, "MNLI-m.tsv": "test_matched", "MNLI-mm.tsv": "test_mismatched"}.items():
        name = FILES[file]
        data = dataset_config(name)
        ((task, options),) = data.tasks.items()
        rows = texts(name, split, ROWS[name])
        inputs: list[Any] = list(zip(rows, rows, strict=True)) if data.input.pair else rows
        predictions = predictor.predict(inputs, task=task)
        if options.labels is None:
            expected = [f"{min(max(prediction['value'], 0), 5):.3f}" for prediction in predictions]
        elif task == "mnli":
            expected = [prediction["label"] for prediction in predictions]
        else:
            expected = [str(options.labels.index(prediction["label"])) for prediction in predictions]
        assert tables[file] == expected, file
    assert len(set(tables["MNLI-m.tsv"])) > 1, "constant predictions would prove nothing"


@pytest.mark.slow
def test_missing_tasks_are_filled_on_request(submitted: tuple[Path, str, list[Any]]) -> None:
    root, _, written = submitted
    majority, zeros = read_submission(root / "majority.zip"), read_submission(root / "zeros.zip")
    assert {name: set(majority[name]) for name in ("MRPC.tsv", "QQP.tsv", "QNLI.tsv", "RTE.tsv")} == {
        "MRPC.tsv": {"1"},
        "QQP.tsv": {"1"},
        "QNLI.tsv": {"not_entailment"},
        "RTE.tsv": {"not_entailment"},
    }
    assert {name: set(zeros[name]) for name in ("MRPC.tsv", "RTE.tsv")} == {
        "MRPC.tsv": {"0"},
        "RTE.tsv": {"entailment"},
    }
    assert zeros["SST-2.tsv"] == majority["SST-2.tsv"]
    assert {file["file"]: file["filled"] for file in written if file["filled"]} == {
        "MRPC.tsv": "equivalent",
        "QQP.tsv": "duplicate",
        "QNLI.tsv": "not_entailment",
        "RTE.tsv": "not_entailment",
    }


@pytest.mark.slow
def test_missing_tasks_are_an_error_by_default(submitted: tuple[Path, str, list[Any]]) -> None:
    root, stderr, _ = submitted
    assert "the model lacks the tasks mrpc, qqp, qnli, rte: GLUE's server needs all eleven files. --fill" in stderr
    assert sorted(path.name for path in root.glob("*.zip*")) == ["again.zip", "majority.zip", "zeros.zip"]
    assert not list(root.glob(".*.part"))
    assert (root / "again.zip").read_bytes() == (root / "majority.zip").read_bytes()


def test_a_task_of_that_name_with_other_labels(model: Path, tmp_path: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    config["tasks"]["mnli"]["labels"] = ["0", "1", "2"]
    for file in model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config))
    predictor = Predictor.from_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="task 'mnli' of the model predicts 0, 1, 2, GLUE expects entailment"):
        next(submit(predictor, tmp_path / "glue.zip", fill="zeros"))
    with pytest.raises(ConfigError, match=r"the name must end in \.zip"):
        next(submit(predictor, tmp_path / "glue.tar"))
