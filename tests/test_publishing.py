"""Publishing a trained model on the Hub and loading it again in every way, in one process with the real client."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nlpmtl.card import with_repo_id
from tests.hub_server import WRITER, Hub, model_files, serve_hub
from tests.tiny import Trained, write_encoder

TEXTS = ["Ada lives in Turin.", "a cat", "big red lamp and old blue kettle " * 12]

CODE = """
import json, sys
import torch
import nlpmtl
from nlpmtl.hub import fetch
from nlpmtl.model import load_encoder
from transformers import AutoModel, AutoTokenizer

directory, other, texts, run, encoder = json.loads(sys.argv[1])
pairs = [(texts[0], texts[1]), (texts[1], texts[0])]

def predict(predictor):
    return [predictor.predict_all(texts, all_scores=True), predictor.predict_all(pairs, all_scores=True)]

def same(first, second):
    return all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())

local = nlpmtl.Predictor.from_pretrained(directory)
expected = predict(local)
results = {"first": local.push_to_hub("me/model", private=True, message="first")}
loaded = nlpmtl.Predictor.from_pretrained("me/model")
results["loaded predictions"] = predict(loaded) == expected
results["where"] = str(fetch("me/model"))

nlpmtl.Predictor.from_pretrained(other).push_to_hub("me/model", revision="other")
by_revision = {name: nlpmtl.Predictor.from_pretrained("me/model", revision=name) for name in ("main", "other")}
results["by revision"] = [sorted(predictor.tasks) for predictor in by_revision.values()]
scores = nlpmtl.evaluate("me/model", run, revision=fetch("me/model").name)
results["scores"] = scores == nlpmtl.evaluate(directory, run)
try:
    nlpmtl.evaluate("me/model", run, revision="other")
except nlpmtl.ConfigError as error:
    results["other"] = str(error)

nlpmtl.Predictor(local.model, local.tokenizer).push_to_hub("me/objects")
results["predictions of objects"] = predict(nlpmtl.Predictor.from_pretrained("me/objects")) == expected

nlpmtl.MultiTaskModel.from_pretrained(directory).push_to_hub("me/multitask")
results["model"] = same(nlpmtl.MultiTaskModel.from_pretrained("me/multitask"), local.model)
results["auto model"] = same(AutoModel.from_pretrained("me/model"), local.model)

started = load_encoder("me/model")
same_tasks = sorted(started.pretrained_tasks) == sorted(local.tasks)
results["encoder of a model"] = same_tasks and same(started.model, local.model.sharing.encoder)
AutoModel.from_pretrained(encoder).push_to_hub("me/encoder")
AutoTokenizer.from_pretrained(encoder).push_to_hub("me/encoder")
results["encoder"] = load_encoder("me/encoder", revision="main").max_positions
print("RESULTS", json.dumps(results))
"""


@pytest.fixture
def other(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the model without one task."""
    from nlpmtl.hub import load_model

    network, tokenizer = load_model(str(trained.model_dir))
    del network.heads["mood_head"], network.config.tasks["mood"]
    network.save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    return tmp_path / "other"


@pytest.mark.slow
def test_a_published_model_round_trips(trained: Trained, other: Path, tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "encoder", seed=4)
    shutil.copytree(trained.model_dir, tmp_path / "model")
    model_files.write(tmp_path / "model", {".env": b"SECRET", "training_args.bin": b"hf_"})
    with serve_hub() as hub:
        results = run(hub, tmp_path, [str(tmp_path / "model"), str(other), TEXTS, trained.run, str(encoder)])
        repo = hub.models["me/model"]
        assert results["first"].endswith(repo.branches["main"])
        assert repo.private
        assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= repo.files().keys()
        assert not {".env", "training_args.bin"} & repo.files().keys()
        assert Path(results["where"]).is_relative_to(tmp_path / "home")
        assert Path(results["where"]).name == repo.branches["main"]
        card = (trained.model_dir / "README.md").read_text(encoding="utf-8")
        assert repo.files()["README.md"].decode() == with_repo_id(card, repo="me/model") != card
    every = ["grade", "kinds", "mood", "places", "topic"]
    assert results["by revision"] == [every, ["grade", "kinds", "places", "topic"]]
    assert "'mood' (sentiment) is not in this model" in results["other"]
    assert results["encoder"] == 128
    for key in ("loaded predictions", "scores", "predictions of objects", "model", "auto model", "encoder of a model"):
        assert results[key] is True, key
    # Config, tokenizer and weights of an encoder are of one commit, which is requested once.
    requests = [line for line in hub.requests if line.startswith("GET /api/models/me/encoder")]
    assert sum("/revision/" in line for line in requests) <= 1


def run(hub: Hub, tmp_path: Path, arguments: list[Any]) -> dict[str, Any]:
    result = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(arguments)],
        env=hub.environment(tmp_path / "home") | {"HF_TOKEN": WRITER},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert WRITER not in result.stdout + result.stderr
    results: dict[str, Any] = json.loads(result.stdout.rpartition("RESULTS ")[2])
    return results
