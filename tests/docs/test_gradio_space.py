"""The app of docs/howto/gradio-space.md runs with Gradio."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

import nlpmtl
from tests.docs.test_howto import DOCS, blocks
from tests.serving.process import started
from tests.tiny import favour_entities, make_run, train_tiny

TEXT = "😀 Ada lives in Turin and not in Rome."
NAMES = {"topic": "topic", "mood": "sentiment", "places": "entities"}
"""Tasks of the small model, and their names on the page."""


@pytest.mark.slow
def test_the_app_returns_the_predictions_of_the_model(tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    from gradio_client import Client

    run = make_run(tmp_path / "run", rows=20, train={"steps": 1, "batch_size": 4, "lr": 1e-4})
    tasks = run["datasets"]["words"]["tasks"]
    run["datasets"] = {"words": run["datasets"]["words"] | {"tasks": {NAMES[task]: tasks[task] for task in tasks}}}
    directory = tmp_path / "your-name" / "support"
    shutil.copytree(train_tiny(run).model_dir, directory)
    predictor = nlpmtl.Predictor.from_pretrained(directory)
    assert isinstance(predictor.model, nlpmtl.MultiTaskModel)
    favour_entities(predictor.model, task="entities")
    predictor.model.save_pretrained(directory)

    (app,) = (block for block in blocks(DOCS / "howto" / "gradio-space.md") if block.file == "app.py")
    (tmp_path / "app.py").write_text(app.text, encoding="utf-8")
    start = f"import os, runpy, sys; os.chdir({str(tmp_path)!r}); sys.stdout = sys.stderr; runpy.run_path('app.py')"
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", f"{start}; import threading; threading.Event().wait()"]
    with started(command, tmp_path / "log", environment=environment) as port:
        topic, sentiment, entities = Client(f"http://127.0.0.1:{port}", verbose=False).predict(
            TEXT, api_name="/predict"
        )
    expected = predictor.predict_all(TEXT, all_scores=True)
    for shown, task in ((topic, "topic"), (sentiment, "sentiment")):
        scores = {item["label"]: item["confidence"] for item in shown["confidences"]}
        assert scores == pytest.approx(expected[task]["scores"], abs=1e-5)
    spans = [(part["token"], part["class_or_confidence"]) for part in entities if part["class_or_confidence"]]
    assert spans == [(span["word"], span["entity_group"]) for span in expected["entities"]]
    assert len(spans) > 3
    assert "".join(part["token"] for part in entities) == TEXT
