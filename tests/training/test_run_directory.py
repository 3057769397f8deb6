"""The directory of a run: new, resumed and foreign ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from nlpmtl.errors import ConfigError, RunError
from nlpmtl.training import clear_run_dir, open_run_dir, run_metadata, save_atomic

CONFIG: dict[str, Any] = {
    "seed": 3,
    "output": "runs/a",
    "train": {"lr": 1e-4, "micro_tokens": 4096, "save_every": 4, "keep": 2, "trackers": []},
    "weighting": {"kind": "constant", "weights": {}},
}


def checkpointed(directory: Path) -> Path:
    path = directory / "checkpoints" / "step-000004"
    save_atomic(path, tensors={}, state={"config": CONFIG})
    return path


def test_a_new_run_starts_in_an_empty_directory(tmp_path: Path) -> None:
    assert open_run_dir(tmp_path / "new", config=CONFIG, resume=False) == (None, [])


def test_resuming_without_a_checkpoint_starts_from_scratch(tmp_path: Path) -> None:
    checkpoint, notes = open_run_dir(tmp_path, config=CONFIG, resume=True)
    assert checkpoint is None
    assert notes == [f"{tmp_path} contains no checkpoint to resume from: starting from scratch"]


@pytest.mark.parametrize("existing", ["run.json", "checkpoints/step-000000/state.json"])
def test_an_output_that_holds_a_run_is_refused(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / existing).write_text("{}")
    with pytest.raises(RunError, match="already contains a run: resume it with --resume"):
        open_run_dir(tmp_path, config=CONFIG, resume=False)


def test_a_run_resumes_from_the_latest_checkpoint(tmp_path: Path) -> None:
    path = checkpointed(tmp_path)
    assert open_run_dir(tmp_path, config=CONFIG, resume=True) == (path, [f"resuming from {path}"])


@pytest.mark.parametrize(
    ("table", "key", "value", "message"),
    [
        ("train", "lr", 2e-4, "train.lr (was 0.0001, is 0.0002)"),
        ("train", "added", 1, "train.added (was None, is 1)"),
        ("weighting", "weights", {"a": 2.0}, "weighting.weights.a (was None, is 2.0)"),
        (None, "seed", 4, "seed (was 3, is 4)"),
    ],
)
def test_another_config_is_refused_with_the_key_that_differs(
    tmp_path: Path, table: str | None, key: str, value: Any, message: str
) -> None:
    checkpointed(tmp_path)
    config = {**CONFIG, key: value} if table is None else {**CONFIG, table: {**CONFIG[table], key: value}}
    with pytest.raises(RunError) as error:
        open_run_dir(tmp_path, config=config, resume=True)
    assert message in str(error.value)
    assert str(error.value).count("(was") <= 2


def test_keys_that_do_not_affect_the_weights_may_differ(tmp_path: Path) -> None:
    path = checkpointed(tmp_path)
    train = {"lr": 1e-4, "micro_tokens": 1, "save_every": 1, "keep": 1, "trackers": ["tensorboard"]}
    checkpoint, _ = open_run_dir(tmp_path, config={**CONFIG, "output": "elsewhere", "train": train}, resume=True)
    assert checkpoint == path


def test_run_metadata() -> None:
    content = run_metadata(CONFIG, precision="bf16", processes=2, device="cpu")
    assert (content["config"], content["seed"], content["precision"]) == (CONFIG, 3, "bf16")
    assert (content["processes"], content["device"], content["threads"]) == (2, "cpu", torch.get_num_threads())
    assert {"nlpmtl", "torch", "transformers", "accelerate", "datasets", "tokenizers"} <= content["versions"].keys()
    assert content["versions"]["torch"] == torch.__version__
    assert set(content["machine"]) == {"system", "processor", "python", "accelerator"}


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("existing", ["notes.txt", "data/rows.jsonl", ".hidden", "metrics.jsonl"])
def test_files_of_others_are_refused(tmp_path: Path, existing: str, resume: bool) -> None:
    (tmp_path / existing).parent.mkdir(exist_ok=True)
    (tmp_path / existing).write_text("mine")
    name = existing.partition("/")[0]
    with pytest.raises(
        RunError, match=rf"is not empty and does not contain a run; found: {re.escape(name)}\. Choose another output"
    ):
        open_run_dir(tmp_path, config=CONFIG, resume=resume)
    assert (tmp_path / existing).read_text() == "mine"


@pytest.mark.parametrize(
    "existing", [["model/config.json"], ["best/step-000004/state.json"], ["scores.json"], ["answers.json"]]
)
def test_results_of_an_earlier_run_are_refused(tmp_path: Path, existing: list[str]) -> None:
    for name in existing:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    with pytest.raises(RunError, match="is not empty and does not contain a run"):
        open_run_dir(tmp_path, config=CONFIG, resume=False)
    with pytest.raises(RunError, match="of an earlier run, but no checkpoint to resume from"):
        open_run_dir(tmp_path, config=CONFIG, resume=True)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(RunError, match="of an earlier run, but no checkpoint to resume from"):
        open_run_dir(tmp_path, config=CONFIG, resume=True)


@pytest.mark.parametrize(
    "existing",
    [
        {"run.json": '{"name": "of another tool"}', "notes.txt": "mine"},
        {"run.json": "not JSON"},
        {"checkpoints/epoch-1.pt": "mine", "metrics.jsonl": "mine"},
        {"checkpoints": "a file"},
    ],
    ids=lambda existing: ", ".join(existing),
)
def test_files_with_the_names_of_a_run_are_not_a_run(tmp_path: Path, existing: dict[str, str]) -> None:
    for name, text in existing.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(RunError, match="is not empty and does not contain a run; found: "):
        open_run_dir(tmp_path, config=CONFIG, resume=True)
    with pytest.raises(RunError, match=r"does not contain a run|already contains a run"):
        open_run_dir(tmp_path, config=CONFIG, resume=False)


def test_logs_of_a_run_without_checkpoints_are_kept(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"config": {}}')
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    with pytest.raises(RunError, match=r"contains metrics\.jsonl of an earlier run, but no checkpoint to resume from"):
        open_run_dir(tmp_path, config=CONFIG, resume=True)


def test_many_files_are_not_all_listed(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number:02}").touch()
    with pytest.raises(RunError, match=r"found: 00, 01, .*, 09, …\. Choose"):
        open_run_dir(tmp_path, config=CONFIG, resume=False)


def test_output_of_relate_and_locks_are_ignored(tmp_path: Path) -> None:
    for name in ("relate.json", "relate-affinity.png", "relate-tree.png", ".nlpmtl.lock", ".nlpmtl.lock.json"):
        (tmp_path / name).touch()
    assert open_run_dir(tmp_path, config=CONFIG, resume=False) == (None, [])


def test_a_run_killed_before_its_first_checkpoint_starts_from_scratch(tmp_path: Path) -> None:
    for name in ("run.json", "metrics.jsonl", "evaluations.jsonl"):
        (tmp_path / name).touch()
    (tmp_path / "checkpoints").mkdir()
    checkpoint, _ = open_run_dir(tmp_path, config=CONFIG, resume=True)
    assert checkpoint is None


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("name", [".run.json.part", ".relate.json.part", "..nlpmtl.lock.json.part", ".model.gone"])
def test_leftovers_of_a_killed_process_are_ignored_and_removed(tmp_path: Path, name: str, resume: bool) -> None:
    (tmp_path / name).write_text('{"config": ')
    assert open_run_dir(tmp_path, config=CONFIG, resume=resume)[0] is None
    clear_run_dir(tmp_path)
    assert not list(tmp_path.iterdir())


def test_copies_of_checkpoints_are_not_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "checkpoints" / "step-000004-old").mkdir(parents=True)
    with pytest.raises(RunError, match="contains model of an earlier run, but no checkpoint to resume from"):
        open_run_dir(tmp_path, config=CONFIG, resume=True)
    path = checkpointed(tmp_path)
    assert open_run_dir(tmp_path, config=CONFIG, resume=True) == (path, [f"resuming from {path}"])


@pytest.mark.parametrize("name", ["out-\udcff", "\ud800", "a\0b", "\udce9/b"])
def test_an_output_that_is_not_utf8_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"output: .*(not valid UTF-8: choose another name|cannot be a path)"):
        open_run_dir(tmp_path / name, config=CONFIG, resume=False)


def test_a_run_may_be_extended(tmp_path: Path) -> None:
    path = checkpointed(tmp_path)
    longer = {**CONFIG, "train": {**CONFIG["train"], "steps": 8}}
    checkpoint, notes = open_run_dir(tmp_path, config=longer, resume=True)
    assert checkpoint == path
    assert notes[1].startswith("train.steps was not set, is 8: from here on, the learning rates and the phases")
    with pytest.raises(RunError, match=r"train\.steps \(was None, is 8\)"):
        open_run_dir(tmp_path, config=longer, resume=True, extend=False)
