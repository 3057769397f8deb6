"""Training with packed rows, compared with padded rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlpmtl import Predictor
from tests.tiny import make_run, max_weight_difference, metrics, read_json, train_tiny, weights


@pytest.mark.slow
def test_packed_and_padded_rows_give_the_same_weights(tmp_path: Path) -> None:
    train = {"steps": 12, "batch_size": 8, "lr": 1e-3, "precision": "fp64", "micro_tokens": 60}
    run = make_run(tmp_path, dropout=0.0, train=train)
    packed = train_tiny(run, tmp_path / "packed")
    padded = train_tiny({**run, "encoder": {**run["encoder"], "attn_implementation": "sdpa"}}, tmp_path / "padded")
    eager = train_tiny({**run, "encoder": {**run["encoder"], "attn_implementation": "eager"}}, tmp_path / "eager")
    assert max_weight_difference(packed.model_dir, padded.model_dir) < 1e-8
    assert max_weight_difference(packed.model_dir, eager.model_dir) < 1e-8
    for line, other in zip(metrics(packed.output), metrics(padded.output), strict=True):
        assert line["tokens"] == other["tokens"]
        assert line["losses"] == pytest.approx(other["losses"], abs=1e-9)


def test_a_model_does_not_record_whether_rows_were_packed(tmp_path: Path) -> None:
    trained = train_tiny(make_run(tmp_path, train={"steps": 2, "batch_size": 8}))
    assert "packed" not in (trained.model_dir / "config.json").read_text(encoding="utf-8")
    assert "packed" not in str(read_json(trained.output / "run.json"))
    model = Predictor.from_pretrained(trained.model_dir).model
    assert model.config.encoder_config._attn_implementation == "sdpa"


@pytest.mark.parametrize("extra", [{"gradient_checkpointing": True}, {"freeze": True}])
@pytest.mark.slow
def test_packing_works_with_every_encoder_option(tmp_path: Path, extra: dict[str, bool]) -> None:
    run = make_run(tmp_path, train={"steps": 3, "batch_size": 8})
    plain = train_tiny(run, tmp_path / "plain")
    configured = train_tiny({**run, "encoder": {**run["encoder"], **extra}}, tmp_path / "configured")
    assert weights(plain.model_dir).keys() == weights(configured.model_dir).keys()
    if "freeze" not in extra:
        assert max_weight_difference(plain.model_dir, configured.model_dir) < 1e-5
