"""The switch `train.kernels`, and the fallback of a run to plain PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from nlpmtl import Predictor, build
from nlpmtl.errors import ConfigError
from nlpmtl.kernels import Int8Linear, int8, packed_attention
from nlpmtl.run import TrainingStarted, iter_train, load_config
from tests.tiny import make_run, max_weight_difference

TRAIN: dict[str, Any] = {"steps": 4, "batch_size": 8, "lr": 1e-3, "save_every": 4, "precision": "fp64"}


@pytest.fixture(autouse=True)
def _new_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLPMTL_CACHE", str(tmp_path / "cache"))


def train(run: dict[str, Any], output: Path, *, kernels: str) -> tuple[Path, tuple[str, ...]]:
    """Return the model directory and the notes of a run."""
    config = load_config({**run, "train": {**run["train"], "kernels": kernels}})
    events = list(iter_train(config, output=output))
    (started,) = [event for event in events if isinstance(event, TrainingStarted)]
    return output / "model", started.notes


@pytest.mark.slow
def test_off_uses_no_kernel_and_agrees_with_auto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, dropout=0.0, train=TRAIN)
    auto, notes = train(run, tmp_path / "auto", kernels="auto")
    assert not [note for note in notes if "kernels" in note]

    def unexpected(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a kernel is used")

    for name in ("enable_fast_dropout", "enable_packing", "select_kernels", "tune_malloc"):
        monkeypatch.setattr(build, name, unexpected)
    off, notes = train(run, tmp_path / "off", kernels="off")
    assert not [note for note in notes if "kernels" in note]
    assert 0 < max_weight_difference(auto, off) < 1e-8


@pytest.mark.slow
def test_a_broken_kernel_is_replaced_and_the_run_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, dropout=0.0, train=TRAIN)
    off, _ = train(run, tmp_path / "off", kernels="off")

    def attend_to_other_rows(scores: Tensor, *args: Any) -> None:
        scores.zero_()

    monkeypatch.setattr(packed_attention, "_mask_scores", attend_to_other_rows)
    model, notes = train(run, tmp_path / "auto", kernels="auto")
    (note,) = [note for note in notes if note.startswith("kernels: ")]
    assert note.startswith("kernels: packed_attention fails its check with torch ")
    assert max_weight_difference(model, off) == 0.0


def test_an_invalid_value_of_the_switch_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, train=TRAIN)
    with pytest.raises(ConfigError, match=r"train\.kernels"):
        load_config({**run, "train": {**run["train"], "kernels": "on"}})


@pytest.mark.slow
def test_int8_is_checked_unless_kernels_are_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model, _ = train(make_run(tmp_path, train={**TRAIN, "precision": "fp32"}), tmp_path / "run", kernels="auto")
    assert uses_int8(Predictor.from_pretrained(model, dtype="int8"))
    monkeypatch.setenv("NLPMTL_CACHE", str(tmp_path / "other cache"))
    monkeypatch.setattr(int8, "_LARGEST", 2)
    assert uses_int8(Predictor.from_pretrained(model, dtype="int8", kernels="off"))
    assert not caplog.messages
    predictor = Predictor.from_pretrained(model, dtype="int8")
    assert not uses_int8(predictor)
    assert caplog.messages == [message for message in caplog.messages if message.startswith("kernels: int8 fails its")]
    assert len(caplog.messages) == 1
    single = Predictor.from_pretrained(model).predict_all("ada lives in turin")
    assert predictor.predict_all("ada lives in turin") == single
    with pytest.raises(ConfigError, match=r'kernels: "auto" or "off" was expected, found \'on\''):
        Predictor.from_pretrained(model, kernels="on")  # type: ignore[arg-type]


def uses_int8(predictor: Predictor) -> bool:
    return any(isinstance(module, Int8Linear) for module in predictor.model.modules())  # type: ignore[attr-defined]
