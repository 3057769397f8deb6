"""The architecture overview lists exactly the files that run in a training step and in a prediction."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import nlpmtl
from docs.generate import DOCS
from nlpmtl.run import iter_train, load_config
from nlpmtl.training import StepLogged
from tests.tiny import make_rows, write_encoder

PACKAGE = Path(nlpmtl.__file__).parent
LISTED = re.compile(r"^\| \[`([\w/]+\.py)`\]", flags=re.MULTILINE)
FUNCTION = re.compile(r"^\| \[`([\w/]+\.py)`\]\([^)]*\) \| `([\w.]+)`: \d+ \|", flags=re.MULTILINE)
STEP = (str(PACKAGE / "training" / "train_step.py"), "__call__")
"""File and name of the function that computes a step."""


def listed(heading: str) -> list[str]:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    return LISTED.findall(page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0])


def functions(heading: str) -> set[tuple[str, str]]:
    """Return the files and functions of a list; a test of the generated pages checks their lines."""
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    rows = FUNCTION.findall(page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0])
    assert [file for file, _ in rows] == listed(heading)
    return {(str(PACKAGE / file), function) for file, function in rows}


@contextmanager
def counted_calls(*, since: tuple[str, str] | None = None) -> Iterator[Counter[tuple[str, str]]]:
    """Count the calls of each function of the package, by file and name, from the first call of one of them."""
    calls: Counter[tuple[str, str]] = Counter()
    is_counting = since is None

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal is_counting
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(PACKAGE)):
            is_counting = is_counting or (code.co_filename, code.co_name) == since
            if is_counting:
                calls[code.co_filename, code.co_qualname] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(before)


def files(calls: Counter[tuple[str, str]], *, at_least: int) -> list[str]:
    """Return the files of which a function was called at least so often."""
    return sorted({str(Path(file).relative_to(PACKAGE)) for (file, _), count in calls.items() if count >= at_least})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("architecture")
    rows = [{"text": row["text"], "topic": row["topic"]} for row in make_rows(24) if row["topic"]]
    dataset = {
        "data": {"files": {"train": rows, "validation": rows}},
        "input": {"text": "text"},
        "tasks": {"topic": {"kind": "classification", "label": "topic"}},
    }
    return {
        "output": str(directory / "out"),
        "encoder": {"name": str(write_encoder(directory / "encoder")), "max_length": 32},
        "datasets": {"texts": dataset},
        "train": {"steps": 12, "batch_size": 4, "precision": "fp32", "warmup": 0.0},
    }


def test_files_of_a_training_step_and_of_a_prediction(run: dict[str, Any]) -> None:
    calls: Counter[tuple[str, str]] = Counter()
    with counted_calls(since=STEP) as counted:
        for event in iter_train(load_config(run)):
            if isinstance(event, StepLogged) and not calls:
                calls = counted.copy()
                steps = event.metrics["step"]
    assert steps == 10
    # The plan of the first step is made before the count begins.
    assert files(calls, at_least=steps - 1) == sorted(listed("Files of one training step"))
    assert functions("Files of one training step") <= {call for call, count in calls.items() if count >= steps - 1}

    predictor = nlpmtl.Predictor.from_pretrained(Path(run["output"]) / "model", device="cpu")
    predictor.predict("ada lives in turin", task="topic")
    with counted_calls() as counted:
        for _ in range(5):
            predictor.predict("ada lives in turin", task="topic")
        calls = counted.copy()
    assert files(calls, at_least=5) == sorted(listed("Files of one prediction"))
    assert functions("Files of one prediction") <= {call for call, count in calls.items() if count >= 5}
