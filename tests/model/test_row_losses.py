"""Losses of rows: independent of batches and processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from nlpmtl.data import Collator
from nlpmtl.model import RowLosses, batch_losses
from nlpmtl.registry import TASKS
from tests.slow import slow_except
from tests.training.many_sequences import ROWS, Toys, make_toys

NAMES = ("choice", "mean", "words", "masked")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the encoder."""
    return tmp_path_factory.mktemp("toys")


@pytest.fixture
def toys(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Toys:
    monkeypatch.setattr(TASKS, "_members", dict(TASKS._members))
    toys = make_toys(directory, Accelerator(cpu=True))
    AcceleratorState._reset_state()
    toys.model.train(False)
    return toys


def compute(toys: Toys, dataset: str, *, tokens: int, rank: int = 0, world: int = 1) -> dict[tuple[int, str], float]:
    losses = RowLosses(toys.model, toys.tasks, pad=0, types=False, tokens=tokens, rank=rank, world=world)
    return {(row, name): loss for row, name, loss in losses.run(toys.splits[dataset], NAMES)}


@pytest.mark.parametrize("tokens", slow_except([1, 60, 10_000], 1, 60))
@pytest.mark.parametrize("dataset", ["many", "plain"])
def test_a_row_has_the_loss_of_a_batch_of_its_own(toys: Toys, dataset: str, tokens: int) -> None:
    """Times its weight, and with the copies of the first pass over the rows, whatever the seed of the run."""
    split = toys.splits[dataset]
    corrupt = {"masked": toys.tasks["masked"].corrupt}
    collate = Collator([split], pad=0, types=False, words=True, corrupt=corrupt, names=[""], seed=0)
    expected = {}
    with torch.no_grad():
        for row in range(ROWS):
            for name in NAMES:
                if name in split.labels and split.labels[name].counts[row]:
                    losses = batch_losses(toys.model, collate([(0, row)], tasks=[name]), toys.tasks)
                    expected[row, name] = float(losses[name].loss)
    assert compute(toys, dataset, tokens=tokens) == pytest.approx(expected, rel=1e-10)


def test_processes_share_the_rows(toys: Toys) -> None:
    single = compute(toys, "many", tokens=60)
    parts = [compute(toys, "many", tokens=60, rank=rank, world=2) for rank in range(2)]
    assert min(map(len, parts)) > 0
    assert sum(map(len, parts)) == len(single)
    assert {**parts[0], **parts[1]} == pytest.approx(single, rel=1e-10)


def test_tasks_without_rows_are_left_out(toys: Toys) -> None:
    split = toys.splits["many"]
    losses = RowLosses(toys.model, toys.tasks, pad=0, types=False, tokens=60)
    assert list(losses.run(replace(split, labels={"contrast": split.labels["contrast"]}), NAMES)) == []
