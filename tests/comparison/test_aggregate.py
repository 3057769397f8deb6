"""Comparison results of finished runs whose predictions are written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlpmtl.comparison.aggregate import SeedRuns, compare_task, summarize
from nlpmtl.comparison.markdown import score_rows, tasks_by_verdict, write_markdown
from nlpmtl.comparison.report import write_report
from nlpmtl.comparison.results import CompareResult
from nlpmtl.comparison.run_summary import RunSummary
from nlpmtl.comparison.statistics import score_differences
from nlpmtl.evaluation import Predictions
from nlpmtl.tasks import Task, task_from_config
from tests.tiny import read_json

ROWS = {"d": 40}
CONFIG: dict[str, Any] = {
    "encoder": {"name": "tiny"},
    "train": {"steps": 2, "epochs": None, "batch_size": 4, "lr": 1e-3, "head_lr": None},
    **{key: {"kind": "x"} for key in ("sampling", "weighting", "sharing")},
}


def classification(name: str, metrics: Sequence[str] = ("accuracy",)) -> Task:
    config = {"kind": "classification", "labels": ["a", "b", "c"], "metrics": list(metrics), "input": "text"}
    return task_from_config(name, config)


def embedding(name: str) -> Task:
    config = {"kind": "embedding", "labels": [], "metrics": ["recall_10"], "input": "text", "objective": "class"}
    return task_from_config(name, config)


def labels(gold: str, predicted: str) -> Predictions:
    return Predictions(["a", "b", "c"], list(predicted), list(gold))


def summary(predictions: Mapping[str, Predictions]) -> RunSummary:
    machine = {"precision": "fp32", "device": "cpu", "processes": 1, "threads": 1, "versions": {"torch": "2"}}
    return RunSummary(predictions, dict.fromkeys(predictions, 0.5), 1, 2, {"d": 40}, 1.0, 10, 40, machine)


def compare(
    tasks: Sequence[Task], multi_task: Sequence[Sequence[Predictions]], single_task: Sequence[Sequence[Predictions]]
) -> CompareResult:
    """Compare predictions of all tasks, one sequence per seed."""
    names = [task.name for task in tasks]
    runs = [
        SeedRuns(
            seed,
            summary(dict(zip(names, multi, strict=True))),
            {name: summary({name: value}) for name, value in zip(names, single, strict=True)},
        )
        for seed, (multi, single) in enumerate(zip(multi_task, single_task, strict=True))
    ]
    compared = {task.name: compare_task(task, runs, rows=ROWS) for task in tasks}
    config = {**CONFIG, "datasets": {"d": {"tasks": {task.name: {"kind": task.kind} for task in tasks}}}}
    return summarize(compared, runs, directory=Path("out"), config=config, notes=[])


def test_a_metric_of_which_a_row_depends_on_the_others_is_not_resampled(tmp_path: Path) -> None:
    """A text that is drawn twice would be retrieved by its copy."""
    generator = np.random.default_rng(0)
    gold = [str(i % 15) for i in range(60)]

    def vectors() -> Predictions:
        return Predictions([], [[row] for row in generator.normal(size=(60, 4)).tolist()], gold)

    first = labels("abc" * 20, "abb" * 20)
    result = compare([embedding("e"), classification("c")], [[vectors(), first]], [[vectors(), first]])
    assert (result["e"].interval, result["e"].verdict) == (None, "cannot be told apart")
    assert result["c"].interval == (0.0, 0.0)
    assert result.delta is not None
    assert result.delta_interval is None, "Δm is a mean over both tasks"
    assert any("'e'" in note and "is not tested" in note for note in result.notes)
    rows = {row[0]: row for row in score_rows(result)}
    assert (rows["e"][6], rows["e"][-1]) == ("undefined", "not tested")
    assert rows["c"][-1] == "no significant difference"
    assert dict(tasks_by_verdict(result))["not tested"] == ["e"]
    written = CompareResult(**{**vars(result), "directory": tmp_path})
    assert write_report(written) == [], "the plot is drawn"
    content = read_json(tmp_path / "compare.json")
    assert content["tasks"]["e"]["interval"] is content["delta"]["interval"] is None
    assert "no interval" in (tmp_path / "compare.md").read_text(encoding="utf-8")


def test_tasks_are_resampled_independently() -> None:
    gold, multi, single = "abc" * 20, "abb" * 20, "aac" * 20
    tasks = [classification("one"), classification("two")]
    runs = [
        SeedRuns(
            0,
            summary({task.name: labels(gold, multi) for task in tasks}),
            {task.name: summary({task.name: labels(gold, single)}) for task in tasks},
        )
    ]
    first, second = (compare_task(task, runs, rows=ROWS)[1] for task in tasks)
    again = compare_task(tasks[0], runs, rows=ROWS)[1]
    assert first is not None
    assert second is not None
    assert again is not None
    assert abs(np.corrcoef(first[:, 0], second[:, 0])[0, 1]) < 0.15
    assert np.array_equal(first, again)


def test_rounding_errors_are_no_difference() -> None:
    """Both conditions have as many correct predictions of each row over the seeds, but means with other rounding."""
    gold = "a" * 30

    def correct(*ranges: range) -> list[Predictions]:
        rows = {row for numbers in ranges for row in numbers}
        return [labels(gold, "".join("a" if row in rows else "b" for row in range(30)))]

    multi_task = [correct(range(1)), correct(range(11)), correct(range(12, 19))]
    single_task = [correct(range(5)), correct(range(1), range(5, 11)), correct(range(12, 19))]
    result = compare([classification("c")], multi_task, single_task)["c"]
    assert (result.difference, result.interval) == (0.0, (0.0, 0.0))
    assert result.verdict == "cannot be told apart"


def test_small_differences_of_small_scores_are_differences() -> None:
    assert score_differences(np.array([-1e-9]), np.array([-2e-9])).tolist() == pytest.approx([1e-9])


def test_rows_with_a_loss_only_do_not_widen_an_interval_of_accuracy() -> None:
    task = classification("c", metrics=["accuracy", "loss"])
    gold: list[str | None] = [*"abc" * 5, *[None] * 25]
    predictions = Predictions(["a", "b", "c"], list(gold), gold, [0.5] * 40, [1.0] * 40)
    result = compare([task], [[predictions]], [[predictions]])
    assert result["c"].rows == 40
    assert any("an interval over 15 rows is too narrow" in note for note in result.notes)


def test_an_undefined_delta_has_no_interval() -> None:
    gold = "abc" * 20
    result = compare([classification("c")], [[labels(gold, "abb" * 20)]], [[labels(gold, "bca" * 20)]])
    assert (result["c"].change, result.delta, result.delta_interval) == (None, None, None)
    *_, delta = score_rows(result)
    assert (delta[6], delta[7]) == ("undefined", "undefined")
    assert "| Δm" in write_markdown(result, plot=None, alt="")
    assert result.to_json()["delta"] == {"percent": None, "interval": None}


def test_the_plot_of_an_earlier_report_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictions = labels("abc" * 20, "abb" * 20)
    result = compare([classification("c")], [[predictions]], [[predictions]])
    result = CompareResult(**{**vars(result), "directory": tmp_path})
    assert write_report(result) == []
    assert (tmp_path / "compare.png").exists()
    monkeypatch.delattr("nlpmtl.plots.draw_score_differences")
    (note,) = write_report(result)
    assert "compare.png was not drawn" in note
    assert not (tmp_path / "compare.png").exists()
