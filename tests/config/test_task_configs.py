"""Every shipped file loads, names the source and licence of its data, and refers only to existing files."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

import nlpmtl.model
import nlpmtl.sampling
import nlpmtl.tasks
import nlpmtl.weighting  # noqa: F401
from nlpmtl.config import DatasetConfig, parse_dataset, parse_run, read_dataset, read_run

ROOT = Path(__file__).parents[2] / "task_configs"
DATASETS = sorted(ROOT.glob("*.toml"))
RUNS = sorted((ROOT / "runs").glob("*.toml"))
GLUE = {"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"}


def dataset(name: str) -> DatasetConfig:
    path = ROOT / f"{name}.toml"
    return parse_dataset(read_dataset(path), where=str(path))


def run_tables(path: Path) -> dict[str, Any]:
    tables: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))["datasets"]
    return tables


def opening(path: Path) -> list[str]:
    """Return the comment lines at the start of a file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]


def test_the_shipped_files_are_found() -> None:
    assert {path.stem for path in DATASETS} >= GLUE | {"ax", "support", "conll2003", "go_emotions", "snips", "squad_v2"}
    assert {path.stem for path in DATASETS} >= {"boolq", "cb", "copa", "swag", "race", "xnli", "tatoeba_en_zh"}
    assert {path.stem for path in RUNS} >= {"quickstart", "glue", "reviews_and_entities", "eleven"}


def test_names_of_files_are_unique() -> None:
    names = [path.stem.lower() for path in [*DATASETS, *RUNS]]
    assert len(set(names)) == len(names)


def test_all_shipped_files_are_tested() -> None:
    assert set(ROOT.rglob("*.toml")) == {*DATASETS, *RUNS}


@pytest.mark.parametrize("path", DATASETS, ids=lambda path: path.stem)
def test_a_dataset_file_loads(path: Path) -> None:
    parsed = dataset(path.stem)
    if parsed.data.files is not None:
        assert set(parsed.data.files) >= {"train", "validation"}
        assert all(str(file).startswith(str(ROOT)) for file in parsed.data.files.values())


@pytest.mark.parametrize("path", DATASETS, ids=lambda path: path.stem)
def test_a_dataset_file_starts_with_its_source_and_licence(path: Path) -> None:
    comment = opening(path)
    assert 2 <= len(comment) <= 3
    assert "Source: " in "\n".join(comment)
    assert "Licence: " in "\n".join(comment)
    hub = dataset(path.stem).data.hub
    assert hub is None or f"{hub} on the Hub" in "\n".join(comment)


def test_the_dataset_files_are_listed_by_task_type() -> None:
    page = (ROOT.parent / "docs/howto/your-own-data.md").read_text(encoding="utf-8")
    for path in DATASETS:
        if path.stem in GLUE | {"ax", "support"}:  # on the page about GLUE, and below the table
            continue
        rows = [line for line in page.splitlines() if line.startswith("|") and f"`{path.stem}`" in line]
        assert len(rows) == 1, path.stem
        assert all(f"`{task.kind}`" in rows[0] for task in dataset(path.stem).tasks.values())


@pytest.mark.parametrize("name", ["boolq", "cb", "xnli"])
def test_inference_and_yes_no_questions_read_pairs(name: str) -> None:
    parsed = dataset(name)
    assert parsed.input.shape == "pair"
    assert parsed.tasks[name].kind == "classification"
    assert parsed.data.splits is None or "test" not in parsed.data.splits, "hidden labels"


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_a_run_file_loads(path: Path) -> None:
    run = parse_run(read_run(path), where=str(path))
    assert run.output == Path("runs") / path.stem
    assert all("train" in (data.data.files or data.data.splits or {"train"}) for data in run.datasets.values())


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_a_run_file_starts_with_its_command(path: Path) -> None:
    assert f"#     nlpmtl train {path.stem}" in opening(path)


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_every_data_set_of_a_run_is_a_shipped_file(path: Path) -> None:
    tables = run_tables(path)
    assert tables
    for name, table in tables.items():
        assert (path.parent / table["extends"]).resolve() in DATASETS, name


def test_files_used_by_shipped_runs_exist() -> None:
    run = parse_run(read_run(ROOT / "runs/quickstart.toml"), where="quickstart")
    files = run.datasets["support"].data.files
    assert files is not None
    assert all(Path(file).is_file() for file in files.values())
    assert list(run.tasks) == ["topic", "sentiment", "entities"]


def test_the_glue_run_trains_on_all_of_glue() -> None:
    run = parse_run(read_run(ROOT / "runs/glue.toml"), where="glue")
    assert set(run.tasks) == GLUE


@pytest.mark.parametrize("name", sorted(GLUE | {"ax"}))
def test_glue_is_read_from_the_hub(name: str) -> None:
    data = dataset(name).data
    assert (data.hub, data.subset) == ("nyu-mll/glue", name)


def test_the_glue_diagnostic_set_belongs_to_mnli() -> None:
    assert dataset("ax").tasks == dataset("mnli").tasks
    assert dataset("ax").data.splits == {"test": "test"}


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("cola", ("matthews_correlation",)),
        ("mrpc", ("accuracy_f1", "accuracy", "f1")),
        ("qqp", ("accuracy_f1", "accuracy", "f1")),
        ("stsb", ("pearson_spearman", "pearsonr", "spearmanr")),
        *((name, ("accuracy",)) for name in ("sst2", "mnli", "qnli", "rte", "wnli")),
    ],
)
def test_glue_tasks_have_the_official_metrics(name: str, metrics: tuple[str, ...]) -> None:
    assert dataset(name).tasks[name].metrics == metrics


def test_the_eleven_tasks_read_local_files_only() -> None:
    run = parse_run(read_run(ROOT / "runs/eleven.toml"), where="eleven")
    assert len(run.tasks) == 11
    for name, data in run.datasets.items():
        assert data.data.hub is None
        assert data.data.validation is None
        files = {split: Path(file).resolve() for split, file in (data.data.files or {}).items()}
        assert files == {split: (ROOT.parent / "data" / name / f"{split}.jsonl.gz").resolve() for split in files}
        assert files.keys() >= {"train", "validation"}
