"""No bars of transformers while an encoder or a model is loaded and written; they are shown again afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoModel
from transformers.utils import logging

from nlpmtl.model import load_encoder
from tests.tiny import write_encoder


def test_bars_are_hidden_while_an_encoder_is_loaded(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_encoder(tmp_path)
    monkeypatch.setattr(logging, "_tqdm_active", True)  # a command that another test ran may have turned them off
    capfd.readouterr()
    load_encoder(str(tmp_path))
    assert capfd.readouterr().err == ""
    AutoModel.from_pretrained(tmp_path)
    assert "Loading weights" in capfd.readouterr().err
