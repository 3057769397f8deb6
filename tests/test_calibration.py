"""Calibration at the end of a run: saved values, scores and card."""

from __future__ import annotations

import pytest

import nlpmtl
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
