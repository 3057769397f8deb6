"""Calibration at the end of a run: saved values, scores and card."""

from __future__ import annotations

from pathlib import Path

import pytest

import nlpmtl
from nlpmtl.calibration import CalibrationReport
from tests.tasks.test_spans_in_runs import make_run as make_spans_run
from tests.tiny import Trained, make_run, read_json, train_tiny


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run with enough validation rows (those of train), in fp32 like `evaluate`."""
    root = tmp_path_factory.mktemp("calibrated")
    run = make_run(root, rows=150)
    run["train"]["precision"] = "fp32"
    for dataset in run["datasets"].values():
        files = dataset["data"]["files"]
        files["validation"] = files["train"]
    return train_tiny(run, root / "out")


def test_temperatures_and_thresholds_are_saved_and_used(calibrated: Trained) -> None:
    tasks = read_json(calibrated.model_dir / "config.json")["tasks"]
    for name in ("topic", "mood", "places", "kinds"):
        assert tasks[name]["temperature"] != 1.0, name
    assert "temperature" not in tasks["grade"], "regressions have no calibration"
    assert len(tasks["kinds"]["thresholds"]) == 3
    model = nlpmtl.Predictor.from_pretrained(calibrated.model_dir)
    assert model.tasks["topic"].temperature == tasks["topic"]["temperature"]
    raw = nlpmtl.Predictor.from_pretrained(calibrated.model_dir)
    raw.tasks["topic"].temperature = 1.0
    scaled, uncalibrated = (predictor.predict("a cat", task="topic") for predictor in (model, raw))
    assert scaled["label"] == uncalibrated["label"]
    assert scaled["score"] != uncalibrated["score"]


def test_the_scores_are_those_of_the_saved_model(calibrated: Trained) -> None:
    scores = nlpmtl.evaluate(calibrated.model_dir, calibrated.run)
    assert calibrated.result.scores is not None
    for task, values in calibrated.result.scores.tasks.items():
        assert scores[task] == pytest.approx(values, abs=1e-3), task


def test_the_card_reports_calibration(calibrated: Trained) -> None:
    card = (calibrated.model_dir / "README.md").read_text(encoding="utf-8")
    table = card[card.index("## Calibration") :]
    assert all(f"| `{name}` |" in table for name in ("topic", "mood", "places", "kinds"))


def test_too_few_rows_leave_a_task_uncalibrated(trained: Trained) -> None:
    """12 validation rows are too few for two halves of 20."""
    assert all("temperature" not in spec for spec in read_json(trained.model_dir / "config.json")["tasks"].values())
    assert "Calibration" not in (trained.model_dir / "README.md").read_text(encoding="utf-8")


def test_a_detector_that_predicts_nothing_is_calibrated(tmp_path: Path) -> None:
    """After few steps no span has a probability of 0.5, and a fitted threshold helps most."""
    run = make_spans_run(tmp_path)
    files = run["datasets"]["sentences"]["data"]["files"]
    files["validation"] = files["train"]
    run["train"], run["eval"] = {**run["train"], "steps": 2}, {"every": 2}
    trained = train_tiny(run)
    (before,) = (tmp_path / "out" / "evaluations.jsonl").read_text().splitlines()
    assert '"score": 0.0' in before
    assert read_json(trained.model_dir / "config.json")["tasks"]["spans"]["threshold"] < 0.5
    assert trained.result.scores is not None
    assert (trained.result.scores["spans"]["span_f1"] or 0) > 0
    assert "failures" not in read_json(tmp_path / "out" / "run.json")
    card = (trained.model_dir / "README.md").read_text(encoding="utf-8")
    (line,) = (line for line in card[card.index("## Calibration") :].splitlines() if line.startswith("| `spans`"))
    assert "| – | 0." in line
    assert "error from undefined to 0." in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("errors", "scores", "text"),
    [
        (
            (0.2, 0.1),
            (0.5, 0.6),
            "the expected calibration error from 0.2000 to 0.1000, the score from 0.5000 to 0.6000",
        ),
        ((0.2, None), (0.5, 0.6), "the expected calibration error from 0.2000 to undefined, the score from 0.5000"),
        ((None, None), (0.0, 0.0), "changed the score from 0.0000 to 0.0000, measured"),
        ((None, None), (None, None), "changed no prediction, measured"),
    ],
)
def test_effects_of_calibration_are_described(
    errors: tuple[float | None, float | None], scores: tuple[float | None, float | None], text: str
) -> None:
    assert text in CalibrationReport(30, 1.5, *errors, *scores).describe()
