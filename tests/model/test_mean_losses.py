from __future__ import annotations

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from nlpmtl.errors import ConfigError
from nlpmtl.model import batch_losses, mean_losses
from nlpmtl.registry import TASKS
from tests.training.many_sequences import ROWS, Toys, make_toys

NAMES = ("choice", "mean", "words", "masked")


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toys:
    monkeypatch.setattr(TASKS, "_members", dict(TASKS._members))
    toys = make_toys(tmp_path, Accelerator(cpu=True))
    AcceleratorState._reset_state()
    toys.model.train(False)
    return toys


def test_the_mean_is_that_of_weighted_rows_over_weighted_items(toys: Toys) -> None:
    collate = toys.collator()
    sums, items = dict.fromkeys(NAMES, 0.0), dict.fromkeys(NAMES, 0.0)
    with torch.no_grad():
        for dataset, row in ((d, r) for d in range(2) for r in range(ROWS)):
            for name in NAMES:
                if name in collate.tally([(dataset, row)]).items:
                    batch = collate([(dataset, row)], tasks=[name])
                    sums[name] += float(batch_losses(toys.model, batch, toys.tasks)[name].loss)
                    items[name] += collate.tally([(dataset, row)]).items[name]
    expected = {name: sums[name] / items[name] for name in NAMES}
    for tokens in (1, 60, 10_000):
        found = mean_losses(toys.model, collate, toys.tasks, names=NAMES, tokens=tokens)
        assert found == pytest.approx(expected, rel=1e-10)


def test_processes_share_the_rows(toys: Toys) -> None:
    parts: list[tuple[str, float]] = []

    def keep(values: list[tuple[str, float]]) -> list[tuple[str, float]]:
        parts.extend(values)
        return parts

    collate = toys.collator()
    for rank in range(2):
        found = mean_losses(toys.model, collate, toys.tasks, names=NAMES, tokens=60, rank=rank, world=2, gather=keep)
    assert found == pytest.approx(mean_losses(toys.model, collate, toys.tasks, names=NAMES, tokens=60), rel=1e-10)


def test_a_coupled_loss_has_no_mean(toys: Toys) -> None:
    with pytest.raises(ConfigError, match=r"task 'contrast': the metrics loss and perplexity are not defined"):
        mean_losses(toys.model, toys.collator(), toys.tasks, names=["contrast"], tokens=60)
