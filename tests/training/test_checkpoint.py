"""Checkpoints: round trips, damage, pruning and failed writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import AdamW

from nlpmtl.errors import RunError
from nlpmtl.training import latest_valid, prune, quarantine_corrupt, restore, save_atomic, state_tensors, verify
from tests.tiny import digest, read_json


class Small(nn.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.used, self.idle = nn.Linear(width, 2), nn.Linear(width, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.used(x)
        return output


def stepped(seed: int) -> tuple[Small, AdamW]:
    """A model and its optimizer after a step in which one layer had no gradient."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Small()
        optimizer = AdamW(model.parameters(), lr=0.1, fused=True)
        step(model, optimizer)
    return model, optimizer


def step(model: Small, optimizer: AdamW) -> None:
    model(torch.ones(4, 3)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def write(directory: Path, number: int, *, best: int | None = None) -> Path:
    path = directory / f"step-{number:06d}"
    state = {"step": number, "best": None if best is None else {"step": best}}
    save_atomic(path, tensors={"model.safetensors": {"w": torch.full((2,), float(number))}}, state=state)
    return path


def test_a_restored_optimizer_continues_bit_for_bit(tmp_path: Path) -> None:
    model, optimizer = stepped(1)
    save_atomic(tmp_path / "step-000001", tensors=state_tensors(model, optimizer), state={"answer": [1, None, "x"]})
    other, its = stepped(2)
    assert restore(tmp_path / "step-000001", model=other, optimizer=its) == {"answer": [1, None, "x"]}
    for _ in range(3):
        step(model, optimizer)
        step(other, its)
    for (name, value), expected in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(value, expected), name


def test_a_layer_without_a_gradient_has_no_optimizer_state(tmp_path: Path) -> None:
    model, optimizer = stepped(1)
    save_atomic(tmp_path / "c", tensors=state_tensors(model, optimizer), state={})
    fresh = Small()
    its = AdamW(fresh.parameters(), lr=0.1, fused=True)
    restore(tmp_path / "c", model=fresh, optimizer=its)
    assert {name for name, p in fresh.named_parameters() if p in its.state} == {"used.weight", "used.bias"}


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    model, optimizer = stepped(1)
    save_atomic(tmp_path / "c", tensors=state_tensors(model, optimizer), state={})
    other = Small(width=4)
    with pytest.raises(RunError, match="another model"):
        restore(tmp_path / "c", model=other, optimizer=AdamW(other.parameters()))


def test_optimizer_state_of_an_unknown_layer_is_refused(tmp_path: Path) -> None:
    model, optimizer = stepped(1)
    save_atomic(tmp_path / "c", tensors=state_tensors(model, optimizer), state={})
    moments = load_file(tmp_path / "c" / "optimizer.safetensors")
    save_file({**moments, "gone.weight/step": torch.ones(())}, tmp_path / "c" / "optimizer.safetensors")
    with pytest.raises(RunError, match=r"another model: the current model has no parameter 'gone\.weight'"):
        restore(tmp_path / "c", model=model, optimizer=optimizer)


def test_it_holds_safetensors_and_json_only(tmp_path: Path) -> None:
    model, optimizer = stepped(1)
    save_atomic(tmp_path / "c", tensors=state_tensors(model, optimizer), state={})
    names = sorted(path.name for path in (tmp_path / "c").iterdir())
    assert names == ["manifest.json", "model.safetensors", "optimizer.safetensors", "state.json"]
    listed = read_json(tmp_path / "c" / "manifest.json")["sha256"]
    assert listed == {name: digest(tmp_path / "c", name) for name in names if name != "manifest.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["c"], "no temporary files are left"


def test_a_failed_write_leaves_the_old_checkpoint_intact(tmp_path: Path) -> None:
    path = write(tmp_path, 4)
    with pytest.raises(TypeError):
        save_atomic(path, tensors={}, state={"unserialisable": object()})
    assert verify(path) is None
    assert latest_valid(tmp_path) == (path, [])
    write(tmp_path, 4)
    assert [value.name for value in tmp_path.iterdir()] == ["step-000004"], "the next write removes the remains"


def damage(path: Path, kind: str) -> None:
    file = path / "model.safetensors"
    if kind == "flipped bit":
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    elif kind == "truncated":
        file.write_bytes(file.read_bytes()[:-1])
    elif kind == "missing":
        file.unlink()
    elif kind == "link":
        shutil.copy(file, path.parent / "copy")
        file.unlink()
        file.symlink_to(path.parent / "copy")
    elif kind == "state":
        (path / "state.json").write_text("{}")
    elif kind == "no manifest":
        (path / "manifest.json").unlink()
    elif kind == "torn manifest":
        (path / "manifest.json").write_text('{"sha2')
    elif kind == "odd manifest":
        (path / "manifest.json").write_text(json.dumps(["sha256"]))
    elif kind == "outside":
        (path / "manifest.json").write_text(json.dumps({"sha256": {"../copy": "0", "state.json": "0"}}))
    elif kind == "nothing listed":
        (path / "manifest.json").write_text(json.dumps({"sha256": {}}))
    elif kind == "linked manifest":
        (path / "manifest.json").rename(path.parent / "copy.json")
        (path / "manifest.json").symlink_to(path.parent / "copy.json")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("flipped bit", "model.safetensors is damaged"),
        ("truncated", "model.safetensors is damaged"),
        ("missing", "model.safetensors is missing"),
        ("link", "model.safetensors is missing"),
        ("state", "state.json is damaged"),
        ("no manifest", "manifest.json cannot be read"),
        ("torn manifest", "manifest.json cannot be read"),
        ("odd manifest", "manifest.json cannot be read"),
        ("outside", "is missing"),
        ("nothing listed", "manifest.json does not list state.json"),
        ("linked manifest", "manifest.json is a link"),
    ],
)
def test_a_damaged_latest_checkpoint_is_skipped_and_reported(tmp_path: Path, kind: str, message: str) -> None:
    old, new = write(tmp_path, 4), write(tmp_path, 8)
    damage(new, kind)
    checkpoint, damaged = latest_valid(tmp_path)
    assert checkpoint == old
    assert len(damaged) == 1
    assert str(new) in damaged[0]
    assert message in damaged[0]
    damage(old, kind)
    with pytest.raises(RunError, match="no checkpoint is intact") as error:
        latest_valid(tmp_path)
    assert str(old) in str(error.value)
    assert str(new) in str(error.value)


def test_no_checkpoint_is_not_an_error(tmp_path: Path) -> None:
    assert latest_valid(tmp_path / "absent") == (None, [])
    (tmp_path / ".step-000004.part").mkdir()
    assert latest_valid(tmp_path) == (None, []), "an incomplete directory is not a checkpoint"


def test_pruning_keeps_the_latest_and_returns_their_best_steps(tmp_path: Path) -> None:
    write(tmp_path, 0)
    write(tmp_path, 4, best=2)
    write(tmp_path, 8, best=6)
    write(tmp_path, 12, best=10)
    assert prune(tmp_path, keep=2) == {6, 10}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000008", "step-000012"]


def test_a_damaged_checkpoint_is_quarantined_and_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, 4)
    write(tmp_path, 8)
    damage(write(tmp_path, 12), "missing")
    quarantine_corrupt(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged-step-000012", "step-000004", "step-000008"]
    write(tmp_path, 10, best=10)
    assert prune(tmp_path, keep=1) == {10}
    assert latest_valid(tmp_path) == (tmp_path / "step-000010", [])


def test_other_names_are_not_checkpoints(tmp_path: Path) -> None:
    """Copies that a user made are neither removed, nor renamed, nor resumed from."""
    write(tmp_path, 4)
    (tmp_path / "step-000012-old").mkdir()
    (tmp_path / "step-notes.txt").write_text("mine")
    write(tmp_path, 8)
    assert latest_valid(tmp_path) == (tmp_path / "step-000008", [])
    quarantine_corrupt(tmp_path)
    prune(tmp_path, keep=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000008", "step-000012-old", "step-notes.txt"]


def test_step_numbers_may_exceed_a_million(tmp_path: Path) -> None:
    old, new = write(tmp_path, 999_999), write(tmp_path, 1_000_000)
    assert latest_valid(tmp_path) == (new, [])
    prune(tmp_path, keep=1)
    assert not old.exists()
    assert new.exists()
