"""Steps on rows with several token sequences: micro-batches and processes never cut a row."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from nlpmtl.data import Batch, Targets
from nlpmtl.errors import RunError
from nlpmtl.model import batch_losses
from nlpmtl.registry import TASKS
from nlpmtl.sampling import RowRef, StepPlan
from nlpmtl.training.train_step import _rows_where
from tests.slow import slow_except
from tests.training.many_sequences import MASK, SCHEMES, Toys, make_toys, plan


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TASKS, "_members", dict(TASKS._members))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the encoders."""
    return tmp_path_factory.mktemp("toys")


@pytest.fixture(params=SCHEMES)
def toys(request: pytest.FixtureRequest, directory: Path, accelerator: Accelerator) -> Toys:
    return make_toys(directory, accelerator, scheme=request.param)


def reference(toys: Toys) -> torch.Tensor:
    """The gradient of the step's loss by one plain backward pass over one batch of all rows."""
    collate, rows = toys.collator(), plan().rows
    stats = collate.count(rows)
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
    lengths = toys.collator().count(plan().rows).lengths
    assert report.tokens == lengths.sum()


def test_a_gradient_method_gives_the_same_for_micro_batches_of_any_size(toys: Toys) -> None:
    full, _ = toys.change(plan(), weighting="upgrad")
    for micro_tokens in (1, 60):
        change, _ = toys.change(plan(), weighting="upgrad", micro_tokens=micro_tokens)
        torch.testing.assert_close(change, full, rtol=0, atol=1e-11)


@pytest.mark.slow
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
        if scheme == "hard":
            expected, _ = toys.change(plan())
            torch.testing.assert_close(first["hard sharded"], expected, rtol=0, atol=1e-11)


class Passes:
    """Counts the forward passes of an encoder, and keeps what the head of a task returns."""

    def __init__(self, toys: Toys, task: str = "contrast") -> None:
        self.count = 0
        self.outputs: list[torch.Tensor] = []
        toys.model.sharing.encoder.register_forward_hook(self._count)
        toys.model.head(task).register_forward_hook(self._keep)

    def _count(self, *_: Any) -> None:
        self.count += 1

    def _keep(self, module: Any, inputs: Any, output: dict[str, torch.Tensor]) -> None:
        self.outputs.append(output["embedding"].detach().clone())


@pytest.fixture
def with_dropout(directory: Path, accelerator: Accelerator) -> Toys:
    return make_toys(directory, accelerator, dropout=0.2)


def test_both_passes_of_a_coupled_loss_have_the_same_dropout_masks(with_dropout: Toys) -> None:
    passes = Passes(with_dropout)
    with_dropout.change(plan(), micro_tokens=150)
    half = len(passes.outputs) // 2
    assert half > 1
    assert all(map(torch.equal, passes.outputs[:half], passes.outputs[half:]))
    assert passes.count == half + micro_batch_count(with_dropout), "micro-batches without pairs need no first pass"


@pytest.mark.parametrize(("weighting", "factor"), [("geometric", 2), ("famo", 3)])
def test_a_weighting_that_needs_losses_shares_the_first_pass(with_dropout: Toys, weighting: str, factor: int) -> None:
    passes = Passes(with_dropout)
    with_dropout.change(plan(), micro_tokens=150, weighting=weighting)
    assert passes.count == factor * micro_batch_count(with_dropout)


def micro_batches(toys: Toys, step: StepPlan, *, micro_tokens: int) -> list[list[int]]:
    stats = toys.collator().count(step.rows)
    rows = _rows_where(stats.labelled, step, stats)
    assert rows.rows == list(step.rows), "each row has targets"
    return toys.train_step(micro_tokens=micro_tokens).accumulator.split(rows)[0]


def micro_batch_count(toys: Toys) -> int:
    return len(micro_batches(toys, plan(), micro_tokens=150))


@pytest.mark.parametrize("micro_tokens", slow_except([60, 100, 150, 400], 60, 150))
def test_padding_counts_towards_the_limit_of_a_micro_batch(toys: Toys, micro_tokens: int) -> None:
    for number in range(5):
        step = plan(number)
        for batch_rows in micro_batches(toys, step, micro_tokens=micro_tokens):
            batch = toys.collator()([step.rows[i] for i in batch_rows])
            assert len(batch_rows) == 1 or batch.input_ids.numel() <= micro_tokens


def test_a_single_micro_batch_needs_no_first_pass(with_dropout: Toys) -> None:
    passes = Passes(with_dropout)
    with_dropout.change(StepPlan(0, (RowRef(0, 0),)))
    assert passes.count == len(passes.outputs) == 1


@pytest.mark.parametrize("failing", ["first pass", "second pass"])
def test_a_step_is_repeated_in_smaller_micro_batches_when_memory_runs_out(
    directory: Path, accelerator: Accelerator, failing: str
) -> None:
    toys = make_toys(directory, accelerator)
    expected, _ = toys.change(plan())
    failed: list[int] = []

    def fail(module: Any, args: Any, kwargs: dict[str, torch.Tensor]) -> None:
        if torch.is_grad_enabled() == (failing == "second pass") and kwargs["input_ids"].numel() > 100:
            failed.append(kwargs["input_ids"].numel())
            raise torch.OutOfMemoryError("out of memory")

    toys.model.sharing.encoder.register_forward_pre_hook(fail, with_kwargs=True)
    change, report = toys.change(plan(), micro_tokens=300)
    assert failed
    assert report.micro_tokens_halved
    torch.testing.assert_close(change, expected, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_a_run_that_continues_gives_the_same_weights_bit_for_bit(tmp_path: Path, accelerator: Accelerator) -> None:
    """Dropout, modified copies and coupled losses depend on the parameters and the plan only."""
    weights = []
    for stop in (4, 2):
        toys = make_toys(tmp_path, accelerator, dropout=0.2)
        for first, last in ((0, stop), (stop, 4)):
            train_step = toys.train_step(micro_tokens=150, lr=0.1)
            for step in range(first, last):
                train_step(plan(step))
            state = toys.model.state_dict()
            toys = make_toys(tmp_path, accelerator, dropout=0.2)
            toys.model.load_state_dict(state)
            torch.manual_seed(last)
        weights.append(state)
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_outputs_of_a_coupled_loss_have_one_shape(directory: Path, accelerator: Accelerator) -> None:
    toys = make_toys(directory, accelerator)
    toys.model.head("contrast").register_forward_hook(lambda module, inputs, output: {"embedding": inputs[0].hidden})
    with pytest.raises(RunError, match=r"task 'contrast': its loss is coupled, so each output of its head must"):
        toys.change(plan(), micro_tokens=1)


class TestCopies:
    """Changed copies of sequences."""

    def test_corruptions_depend_only_on_the_row_and_the_pass(self, with_dropout: Toys) -> None:
        collate = with_dropout.collator()
        row = RowRef(0, 3, 1)
        by_itself = ids_of(collate([row]), "masked")
        among_others = ids_of(collate([RowRef(1, 2, 0), RowRef(0, 5, 2), row]), "masked")
        assert by_itself == among_others[-len(by_itself) :]
        assert by_itself != ids_of(collate([RowRef(0, 3, 2)]), "masked")
        other_seed = replace(collate, seed=4)
        assert by_itself != ids_of(other_seed([row]), "masked")
        other_name = replace(collate, names=["renamed", "plain"])
        assert by_itself != ids_of(other_name([row]), "masked")

    def test_other_tasks_read_the_sequences_unchanged(self, with_dropout: Toys) -> None:
        batch = with_dropout.collator()([RowRef(0, 3, 1)])
        split = with_dropout.splits["many"]
        for task in ("choice", "mean", "contrast"):
            if task in batch.tasks:
                assert ids_of(batch, task) == [
                    sequence.ids.tolist() for sequence in split.tokens.sequences(split.sequence_indices[task][3])
                ]
        assert all(MASK in sequence for sequence in ids_of(batch, "masked"))
        shared = {i for task in batch.tasks if task != "masked" for i in batch.tasks[task].sequences.tolist()}
        assert shared.isdisjoint(batch.tasks["masked"].sequences.tolist())

    def test_a_corruption_must_not_change_the_number_of_sequences(self, with_dropout: Toys) -> None:
        def corrupt(sequences: Any, targets: Targets, rng: Any) -> tuple[Any, Targets]:
            return sequences, replace(targets, count=targets.count + 1)

        collate = replace(with_dropout.collator(), corrupt={"masked": corrupt})
        with pytest.raises(RunError, match=r"row 3: task 'masked': corrupt\(\) changed the count of the targets from"):
            collate([RowRef(0, 3)])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda sequence: [], r"corrupt\(\) returned no sequences"),
            (lambda sequence: [replace(sequence, ids=sequence.ids[:0])], r"returned token ids .* shape \[0\]"),
            (lambda sequence: [replace(sequence, ids=sequence.ids * 0.5)], r"returned token ids of type float"),
            (lambda sequence: [replace(sequence, type_ids=np.zeros(99))], r"returned 99 type ids for \d+ token ids"),
            (lambda sequence: [sequence.nothing], r"corrupt\(\) failed: AttributeError"),
        ],
    )
    def test_copies_that_are_no_sequences_are_refused(self, with_dropout: Toys, change: Any, message: str) -> None:
        def corrupt(sequences: Any, targets: Targets, rng: Any) -> tuple[Any, Targets]:
            return change(sequences[0]), targets

        collate = replace(with_dropout.collator(), corrupt={"masked": corrupt})
        with pytest.raises(RunError, match=rf"row 3: task 'masked': .*{message}"):
            collate([RowRef(0, 3)])

    def test_the_length_of_a_row_counts_all_its_sequences(self, with_dropout: Toys) -> None:
        collate = with_dropout.collator()
        for row in range(14):
            (length,) = collate.count([RowRef(0, row)]).lengths
            assert length >= int(collate([RowRef(0, row)]).attention_mask.sum())
        full = [row for row in range(14) if all(labels.counts[row] for labels in collate.datasets[0].labels.values())]
        for row in full:
            (length,) = collate.count([RowRef(0, row)]).lengths
            assert length == int(collate([RowRef(0, row)]).attention_mask.sum())


def ids_of(batch: Batch, task: str) -> list[list[int]]:
    """The token ids that a task reads, without padding."""
    rows = batch.tasks[task].sequences.tolist()
    return [batch.input_ids[row][batch.attention_mask[row].bool()].tolist() for row in rows]
