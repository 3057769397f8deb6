"""Steps on rows with several token sequences: micro-batches and processes never cut a row."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from nlpmtl.model import batch_losses
from nlpmtl.registry import TASKS
from tests.training.many_sequences import SCHEMES, Toys, make_toys, plan


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TASKS, "_members", dict(TASKS._members))


@pytest.fixture(params=SCHEMES)
def toys(request: pytest.FixtureRequest, tmp_path: Path, accelerator: Accelerator) -> Toys:
    return make_toys(tmp_path, accelerator, scheme=request.param)


def reference(toys: Toys) -> torch.Tensor:
    """The gradient of the step's loss by one plain backward pass over one batch of all rows."""
    collate, rows = toys.collator(), plan().rows
    stats = collate.tally(rows)
    total = sum(stats.rows.values())
    losses = batch_losses(toys.model, collate(rows), toys.tasks)
    terms = [loss.loss * (stats.rows[task] / total / stats.items[task]) for task, loss in losses.items()]
    torch.stack(terms).sum().backward()
    gradient = {name: p.grad for name, p in toys.model.named_parameters()}
    toys.model.zero_grad()
    zero = {name: torch.zeros_like(value) for name, value in toys.model.state_dict().items()}
    return torch.cat([(value if (g := gradient.get(name)) is None else g).flatten() for name, value in zero.items()])


@pytest.mark.parametrize("micro_tokens", [1, 60, 100_000])
def test_micro_batches_of_any_size_give_the_gradient_of_one_batch(toys: Toys, micro_tokens: int) -> None:
    change, report = toys.change(plan(), micro_tokens=micro_tokens)
    expected = reference(toys)
    assert float(expected.norm()) > 0.1
    torch.testing.assert_close(change, expected, rtol=0, atol=1e-12)
    lengths = toys.collator().tally(plan().rows).lengths
    assert report.tokens == lengths.sum()


def test_a_gradient_method_gives_the_same_for_micro_batches_of_any_size(toys: Toys) -> None:
    full, _ = toys.change(plan(), weighting="upgrad")
    for micro_tokens in (1, 60):
        change, _ = toys.change(plan(), weighting="upgrad", micro_tokens=micro_tokens)
        torch.testing.assert_close(change, full, rtol=0, atol=1e-11)


def test_two_processes_give_the_gradient_of_one(tmp_path: Path, accelerator: Accelerator) -> None:
    make_toys(tmp_path, accelerator)  # writes the encoder, before both processes read it
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    process = subprocess.run(
        [*start, "-m", "tests.training.many_sequences", str(tmp_path)], capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 0, process.stderr[-4000:]
    first, second = (torch.load(tmp_path / f"changes-{rank}.pt") for rank in range(2))
    for scheme in SCHEMES:
        toys = make_toys(tmp_path, accelerator, scheme=scheme)
        for weighting in ("constant", "upgrad"):
            name = f"{scheme} {weighting}"
            assert torch.equal(first[name], second[name])
            expected, _ = toys.change(plan(), weighting=weighting)
            torch.testing.assert_close(first[name], expected, rtol=0, atol=1e-11)
