"""Model directories that nlpmtl 0.1 wrote are loaded, shown, and give the predictions that 0.1 gave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nlpmtl import Predictor
from nlpmtl.cli import app
from tests.slow import slow_except

MODELS = Path(__file__).parent / "fixtures" / "models-0.1"
"""Written by tests/fixtures/write_models.py."""
NAMES = (
    "adapters",
    "cross_stitch",
    "hard",
    "layers",
    "lora",
    "projected_attention",
    "related_tasks",
    "soft_l2",
)
ADAPTERS = dict.fromkeys(["projected_attention", "related_tasks"], "adapters")
"""Models that are named after an option of this sharing scheme."""
TASKS = {"colours", "grade", "mood", "names", "topic"}


def read(name: str) -> tuple[list[Any], list[dict[str, Any]]]:
    """Return the inputs of a model and what 0.1 predicted for them."""
    lines = (MODELS / name / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    predictions = [row.pop("predictions") for row in rows]
    inputs = [(row["text"], row["pair"]) if "pair" in row else row.get("text", row) for row in rows]
    return inputs, predictions


def approximately(value: Any) -> Any:
    """Return a prediction that compares equal if scores differ by rounding, and labels, spans and words do not."""
    if isinstance(value, dict):
        return {key: approximately(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [approximately(inner) for inner in value]
    return pytest.approx(value, rel=1e-6, abs=1e-6) if isinstance(value, float) else value


def test_there_is_a_model_of_every_scheme_with_predictions_for_every_kind() -> None:
    assert sorted(path.name for path in MODELS.iterdir()) == list(NAMES)
    spans = labels = 0
    for name in NAMES:
        _, predictions = read(name)
        assert {task for prediction in predictions for task in prediction} == TASKS
        spans += sum(len(prediction.get("names", ())) for prediction in predictions)
        labels += sum(len(prediction["colours"]["labels"]) for prediction in predictions if "colours" in prediction)
    assert spans > 50
    assert labels > 50


@pytest.mark.parametrize("name", slow_except(NAMES, "hard", "lora", "related_tasks"))
def test_predictions_equal_those_of_0_1(name: str) -> None:
    inputs, expected = read(name)
    predictor = Predictor.from_pretrained(MODELS / name, device="cpu")
    assert predictor.predict_all(inputs, all_scores=True) == approximately(expected)


@pytest.mark.parametrize("name", slow_except(NAMES, "related_tasks"))
def test_a_model_of_0_1_is_shown(name: str) -> None:
    result = CliRunner().invoke(app, ["show", str(MODELS / name)])
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert f"sharing: {ADAPTERS.get(name, name)}; maximum input: 48 tokens" in lines
    assert {line.split()[0] for line in lines if line.strip()} >= TASKS
