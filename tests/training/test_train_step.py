"""Micro-batches, gradients and updates of a training step."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import PrivateAttr
from torch.nn import functional

from nlpmtl.data import TaskBatch, split_into_microbatches
from nlpmtl.errors import RunError
from nlpmtl.heads import Outputs
from nlpmtl.model import MultiTaskModel
from nlpmtl.sampling import RowRef, StepPlan
from nlpmtl.task_datasets import TaskDatasets
from nlpmtl.tasks.regression import Regression
from nlpmtl.training import dropout_seed
from nlpmtl.weighting import StepObservation, Weighting
from tests.tiny import checkpoint, make_run, max_weight_difference, metrics, train_tiny, weights
from tests.training.bench import Bench, assert_heads_without_rows_unchanged, load_parts, make_bench
from tests.weighting.observations import build

STEPS = 8

lengths_of_rows = st.lists(st.integers(1, 60), max_size=30)


def price(lengths: list[int], *, overhead: int) -> int:
    """Return the cost of a micro-batch of rows with these lengths."""
    return overhead + len(lengths) * max(lengths)


def split_lengths(lengths: list[int], **options: Any) -> list[list[list[int]]]:
    """Return the micro-batches of every rank, as the lengths of their rows."""
    rows: list[RowRef] = [RowRef(0, i) for i in range(len(lengths))]
    ranks = split_into_microbatches(rows, lengths=lengths, **options)
    assert sorted(row for micros in ranks for micro in micros for row in micro) == rows
    return [[[lengths[row.row] for row in micro] for micro in micros] for micros in ranks]


@settings(max_examples=60, deadline=None)
@given(lengths_of_rows, st.integers(1, 5), st.integers(1, 200), st.integers(0, 64))
def test_every_row_is_in_one_microbatch_and_ranks_have_equal_shares(
    lengths: list[int], world: int, limit: int, overhead: int
) -> None:
    ranks = split_lengths(lengths, world_size=world, limit=limit, overhead=overhead)
    assert len(ranks) == world
    row_counts = [sum(map(len, micros)) for micros in ranks]
    assert max(row_counts) - min(row_counts) <= 1
    for micros in ranks:
        assert all(micros), "none is empty"
        assert all(len(micro) == 1 or len(micro) * max(micro) <= limit for micro in micros)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(1, 2000), st.integers(0, 64))
def test_microbatches_cost_no_more_than_single_rows_or_one_batch(lengths: list[int], limit: int, overhead: int) -> None:
    (micros,) = split_lengths(lengths, world_size=1, limit=limit, overhead=overhead)
    cost = sum(price(micro, overhead=overhead) for micro in micros)
    assert cost <= sum(price([length], overhead=overhead) for length in lengths)
    if len(lengths) * max(lengths) <= limit:
        assert cost <= price(lengths, overhead=overhead)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(1, 80), st.integers(0, 30))
def test_microbatches_have_the_lowest_cost(lengths: list[int], limit: int, overhead: int) -> None:
    (micros,) = split_lengths(lengths, world_size=1, limit=limit, overhead=overhead)
    falling = sorted(lengths, reverse=True)
    prices = []
    for chosen in itertools.product([False, True], repeat=len(lengths) - 1):
        ends = [0, *(i + 1 for i, cut in enumerate(chosen) if cut), len(lengths)]
        cut = [falling[a:b] for a, b in itertools.pairwise(ends)]
        if all(len(item) == 1 or len(item) * item[0] <= limit for item in cut):
            prices.append(sum(price(item, overhead=overhead) for item in cut))
    assert sum(price(micro, overhead=overhead) for micro in micros) == min(prices)


def test_no_rows_give_no_microbatches() -> None:
    assert split_into_microbatches([], lengths=[], world_size=3, limit=10, overhead=1) == [[], [], []]


def test_every_microbatch_has_its_own_dropout_seed() -> None:
    places = list(itertools.product(range(3), range(3), range(3), range(3)))
    seeds = {dropout_seed(seed, step=step, rank=rank, micro=micro) for seed, step, rank, micro in places}
    assert len(seeds) == len(places)
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[MultiTaskModel, TaskDatasets]:
    return load_parts(make_run(tmp_path_factory.mktemp("bench"), dropout=0.0, rows=20))


@pytest.fixture
def bench(parts: tuple[MultiTaskModel, TaskDatasets], accelerator: Accelerator) -> Bench:
    return make_bench(parts, accelerator)


PLACES = ((0, 1), (0, 2), (1, 3), (0, 5), (2, 4), (1, 1), (2, 0), (0, 7), (0, 0))
ROWS = tuple(RowRef(*place) for place in PLACES)


def expected_loss(
    bench: Bench, rows: tuple[RowRef, ...], weights: dict[str, float]
) -> tuple[torch.Tensor, dict[str, Any]]:
    """Loss of a step, computed row by row: Σ w_t · (rows_t / Σ rows_u) · (sum_t / count_t)."""
    sums: dict[str, torch.Tensor] = {}
    counts: dict[str, int] = {}
    row_counts: dict[str, int] = {}
    for row in rows:
        batch = bench.train_step().accumulator.collate([row])
        logits = bench.model(**batch.inputs)
        for task, part in batch.tasks.items():
            sums[task] = (
                sums.get(task, torch.zeros(())) + bench.work.tasks[task].loss({"logits": logits[task]}, part).sum()
            )
            counts[task] = counts.get(task, 0) + int(bench.datasets[row[0]].labels[task].counts[row[1]])
            row_counts[task] = row_counts.get(task, 0) + 1
    total = sum(row_counts.values())
    means = {task: sums[task] / counts[task] for task in sums}
    factors = {task: weights.get(task, 1.0) * row_counts[task] / total for task in sums}
    loss = torch.stack([factors[task] * means[task] for task in sums]).sum()
    return loss, {"sums": sums, "counts": counts, "factors": factors}


@pytest.mark.parametrize("micro_tokens", [10_000, 40, 1])
def test_a_step_follows_the_gradient_of_sums_over_counts(bench: Bench, micro_tokens: int) -> None:
    weighted = {"places": 0.5, "grade": 2.0}
    loss, parts = expected_loss(bench, ROWS, weighted)
    names = [name for name, _ in bench.model.named_parameters()]
    gradients = torch.autograd.grad(loss, list(bench.model.parameters()), allow_unused=True)
    before = bench.snapshot()
    report = bench.train_step(micro_tokens=micro_tokens, weights=weighted)(StepPlan(step=0, rows=ROWS))
    after = bench.snapshot()
    for name, gradient in zip(names, gradients, strict=True):
        moved = before[name] - after[name]
        torch.testing.assert_close(moved, torch.zeros_like(moved) if gradient is None else gradient, rtol=0, atol=1e-12)
    tasks = list(bench.work.tasks)
    assert report.step == 1
    assert report.lr == 1.0
    assert list(report.counts) == [parts["counts"][task] for task in tasks]
    assert list(report.loss_factors) == pytest.approx([parts["factors"][task] for task in tasks])
    assert report.loss_sums.tolist() == pytest.approx(
        [float(parts["sums"][task].detach()) for task in tasks], rel=1e-12
    )
    labelled = [(d, r) for d, r in PLACES if any(item.counts[r] for item in bench.datasets[d].labels.values())]
    assert report.tokens == sum(int(bench.datasets[d].tokens.lengths[r]) for d, r in labelled)


def task_gradients(bench: Bench) -> tuple[dict[str, list[torch.Tensor | None]], dict[str, float]]:
    """Return the gradient of each task's term of the loss, and the mean losses."""
    _, parts = expected_loss(bench, ROWS, {})
    means = {task: parts["sums"][task] / parts["counts"][task] for task in parts["sums"]}
    options: dict[str, Any] = {"allow_unused": True, "retain_graph": True}
    weights = list(bench.model.parameters())
    gradients: dict[str, list[torch.Tensor | None]] = {
        task: [*torch.autograd.grad(parts["factors"][task] * mean, weights, **options)] for task, mean in means.items()
    }
    return gradients, {task: float(mean.detach()) for task, mean in means.items()}


@pytest.mark.parametrize("micro_tokens", [10_000, 40])
def test_a_gradient_method_weights_only_the_shared_parameters(bench: Bench, micro_tokens: int) -> None:
    gradients, means = task_gradients(bench)
    tasks = [task for task in bench.work.tasks if task in gradients]
    shared = [i for i in range(len(gradients[tasks[0]])) if sum(g[i] is not None for g in gradients.values()) > 1]
    every = [[g for i in shared if (g := gradients[task][i]) is not None] for task in tasks]
    jacobian = torch.stack([torch.cat([g.flatten() for g in of_tasks]) for of_tasks in every])
    observations: list[StepObservation] = []

    class Spy(type(build("upgrad", tasks=list(bench.work.tasks)))):  # type: ignore[misc]
        def compute_weights(self, observation: StepObservation) -> dict[str, float]:
            observations.append(observation)
            return {task: 0.5 + i for i, task in enumerate(observation.label_fractions)}

    names = [name for name, _ in bench.model.named_parameters()]
    before = bench.snapshot()
    spy = Spy(tasks=list(bench.work.tasks), epoch_steps=1, seed=0)
    report = bench.train_step(micro_tokens=micro_tokens, weighting=spy)(StepPlan(step=0, rows=ROWS))
    after = bench.snapshot()
    (observation,) = observations
    assert list(observation.label_fractions) == tasks
    assert observation.losses == pytest.approx({task: means[task] for task in tasks}, rel=1e-12)
    assert observation.gramian == pytest.approx((jacobian @ jacobian.T).numpy(), rel=1e-9)
    assert report.weights == {task: 0.5 + i for i, task in enumerate(tasks)}
    for i, name in enumerate(names):
        of_tasks = [(0.5 + index, g) for index, task in enumerate(tasks) if (g := gradients[task][i]) is not None]
        expected = torch.zeros_like(before[name])
        for weight, gradient in of_tasks:
            expected += gradient * (weight if len(of_tasks) > 1 else 1.0)
        torch.testing.assert_close(before[name] - after[name], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["geometric", "famo"])
def test_a_weighting_receives_the_losses_of_the_step(bench: Bench, kind: str) -> None:
    gradients, means = task_gradients(bench)
    tasks = list(bench.work.tasks)
    weighting = build(kind, tasks=tasks)
    updates: list[Mapping[str, float]] = []

    def record(
        observation: StepObservation, *, losses: Mapping[str, float], post_step_losses: Mapping[str, float]
    ) -> None:
        updates.extend([observation.losses, losses, post_step_losses])

    weighting.update = record  # type: ignore[method-assign]
    before = bench.snapshot()
    report = bench.train_step(weighting=weighting)(StepPlan(step=0, rows=ROWS))
    after = bench.snapshot()
    if kind == "famo":
        assert updates[0] == updates[1] == pytest.approx(means, rel=1e-12)
        moved = task_gradients(bench)[1]
        assert updates[2] == pytest.approx(moved, rel=1e-12)
        assert moved != pytest.approx(means, rel=1e-3)
    for i, (name, _) in enumerate(bench.model.named_parameters()):
        expected = torch.zeros_like(before[name])
        for task, of_tasks in gradients.items():
            gradient = of_tasks[i]
            expected += 0 if gradient is None else report.weights[task] * gradient
        torch.testing.assert_close(before[name] - after[name], expected, rtol=0, atol=1e-12)


class BreaksOnce(Regression):
    """A regression whose loss is infinite in the first forward pass after a step."""

    _stepped: bool = PrivateAttr(False)
    _broken: bool = PrivateAttr(False)

    def loss(self, outputs: Outputs, batch: TaskBatch) -> torch.Tensor:
        self._stepped |= torch.is_grad_enabled()
        breaks = self._stepped and not torch.is_grad_enabled() and not self._broken
        self._broken |= breaks
        return super().loss(outputs, batch) * (math.inf if breaks else 1.0)


def test_a_non_finite_loss_after_the_step_is_noted_and_skips_the_update(bench: Bench) -> None:
    tasks = dict(bench.work.tasks)
    tasks["grade"] = BreaksOnce(name="grade", labels=(), metrics=None, input="pair")
    weighting = build("famo", tasks=list(tasks))
    train_step = bench.train_step(weighting=weighting)
    train_step.accumulator.tasks = tasks
    reports = [train_step(StepPlan(step=step, rows=ROWS)) for step in range(2)]
    assert reports[0].note is not None
    assert re.search(r"step 1: the loss of task 'grade' after the step is inf: .* not updated", reports[0].note)
    assert reports[1].note is None
    assert weighting.state["topic"][3] == 1, "one update, by the second step"
    assert all(math.isfinite(weight) for weight in reports[1].weights.values())


@dataclass(kw_only=True)
class Returns(Weighting):
    """A weighting of a plugin that returns some value."""

    value: Any

    def compute_weights(self, observation: StepObservation) -> Any:
        return self.value


@pytest.mark.parametrize("value", [{"topic": 1.0}, [1.0, 1.0, 1.0], None, {"topic": "1,0"}], ids=str)
def test_a_weighting_must_return_a_number_for_each_task(bench: Bench, value: Any) -> None:
    weighting = Returns(tasks=list(bench.work.tasks), epoch_steps=4, seed=0, value=value)
    with pytest.raises(
        RunError, match=r"Returns\.compute_weights\(\) must return a number for each of the tasks topic,"
    ):
        bench.train_step(weighting=weighting)(StepPlan(step=0, rows=ROWS))


def test_weights_of_other_numeric_types_are_accepted(bench: Bench) -> None:
    value = {task: torch.tensor(0.5) for task in bench.work.tasks} | {"topic": np.float32(0.25)}
    weighting = Returns(tasks=list(bench.work.tasks), epoch_steps=4, seed=0, value=value)
    report = bench.train_step(weighting=weighting)(StepPlan(step=0, rows=ROWS))
    assert {type(weight) for weight in report.weights.values()} == {float}


def test_feedback_for_an_adaptive_sampler(bench: Bench) -> None:
    means = task_gradients(bench)[1]
    with torch.no_grad():
        batch = bench.train_step().accumulator.collate(ROWS)
        logs = bench.model(**batch.inputs)["topic"][batch.tasks["topic"].sequences].log_softmax(dim=-1)
    entropies = -(logs.exp() * logs).sum(dim=-1) / math.log(logs.shape[-1])
    feedback = bench.train_step(adaptive_sampler=True)(StepPlan(step=0, rows=ROWS)).feedback
    assert feedback is not None
    assert list(feedback.rows_per_dataset) == [5, 2, 2]
    assert feedback.losses == pytest.approx(means, rel=1e-12)
    assert feedback.uncertainties["topic"] == pytest.approx(float(entropies.mean()), rel=1e-12)
    kinds = {name: task.kind for name, task in bench.work.tasks.items()}
    assert set(feedback.uncertainties) == {task for task in means if kinds[task] != "regression"}
    assert all(0 < item <= 1 for item in feedback.uncertainties.values())


def test_the_uncertainty_of_a_dataset_does_not_depend_on_the_weights_of_its_rows(bench: Bench) -> None:
    initial = bench.snapshot()
    feedback = bench.train_step(adaptive_sampler=True)(StepPlan(step=0, rows=ROWS)).feedback
    assert feedback is not None
    weighted = bench.train_step(adaptive_sampler=True)
    datasets = [
        replace(split, weights={task: np.full(len(split), 0.1) for task in split.labels})
        for split in weighted.accumulator.collate.datasets
    ]
    weighted.accumulator.collate = replace(weighted.accumulator.collate, datasets=datasets)
    bench.model.load_state_dict(initial)
    other = weighted(StepPlan(step=0, rows=ROWS)).feedback
    assert other is not None
    assert other.uncertainties == pytest.approx(feedback.uncertainties, rel=1e-12)
    assert other.losses == pytest.approx(feedback.losses, rel=1e-12)


def test_the_gradient_is_clipped_by_its_total_norm(bench: Bench) -> None:
    before = bench.snapshot()
    bench.train_step(max_grad_norm=0.01)(StepPlan(step=0, rows=ROWS))
    moved = torch.cat([(before[name] - value).flatten() for name, value in bench.snapshot().items()])
    assert float(moved.norm()) == pytest.approx(0.01, rel=1e-4)


def test_the_schedule_sets_the_rate_of_the_step(bench: Bench) -> None:
    report = bench.train_step(schedule=lambda step: 0.25 * step)(StepPlan(step=2, rows=ROWS))
    assert report.lr == 0.5
    before = bench.snapshot()
    bench.train_step(schedule=lambda step: 0.0)(StepPlan(step=0, rows=ROWS))
    assert all(torch.equal(before[name], value) for name, value in bench.snapshot().items())


def test_joint_tasks_encode_each_text_once(bench: Bench) -> None:
    """A text with labels for three tasks is one row of one forward pass."""
    observations: list[int] = []
    hook = bench.model.sharing.encoder.register_forward_hook(
        lambda module, args, kwargs, output: observations.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    full = [r for r in range(20) if all(item.counts[r] for item in bench.datasets[0].labels.values())][:4]
    report = bench.train_step()(StepPlan(step=0, rows=tuple(RowRef(0, r) for r in full)))
    hook.remove()
    assert sum(observations) == 4
    assert [bool(count) for count in report.counts] == [True, True, True, False, False]


def test_rows_without_labels_are_skipped(bench: Bench) -> None:
    unlabelled = [r for r, item in enumerate(bench.datasets[2].labels["kinds"].counts) if not item]
    report = bench.train_step()(StepPlan(step=0, rows=(RowRef(2, unlabelled[0]), RowRef(1, 1))))
    assert report.tokens == bench.datasets[1].tokens.lengths[1]
    assert sum(report.counts) == 1


def test_a_step_without_labels_changes_no_parameter(bench: Bench) -> None:
    unlabelled = [r for r, item in enumerate(bench.datasets[2].labels["kinds"].counts) if not item]
    before = bench.snapshot()
    report = bench.train_step()(StepPlan(step=0, rows=(RowRef(2, unlabelled[0]),)))
    assert report.tokens == 0
    assert all(torch.equal(before[name], value) for name, value in bench.snapshot().items())


def test_class_weights_and_label_smoothing_reach_the_loss(tmp_path: Path, accelerator: Accelerator) -> None:
    run = make_run(tmp_path, dropout=0.0, rows=20)
    run["datasets"]["words"]["tasks"]["topic"] |= {"class_weights": {"animals": 3.0}, "label_smoothing": 0.2}
    run["datasets"]["words"]["tasks"]["places"] |= {"class_weights": "balanced"}
    bench = make_bench(load_parts(run), accelerator)
    task, labels = bench.work.tasks["topic"], bench.datasets[0].labels["topic"]
    rows = tuple(RowRef(0, int(r)) for r in range(10) if labels.counts[r])
    with torch.no_grad():
        batch = bench.train_step().accumulator.collate(rows)
        logs = functional.log_softmax(bench.model(**batch.inputs)["topic"], dim=-1)[batch.tasks["topic"].sequences]
    weigh = torch.tensor([3.0 if label == "animals" else 1.0 for label in task.labels], dtype=torch.float64)
    given = weigh[torch.from_numpy(labels.ids[labels.labelled]).long()]  # type: ignore[attr-defined]
    weigh = weigh / given.mean()  # over the train rows their mean is 1
    answers = batch.tasks["topic"].targets["label"]
    expected = sum(
        -0.8 * float(weigh[y] * log[y]) - 0.2 / 3 * float((weigh * log).sum())
        for log, y in zip(logs, answers.tolist(), strict=True)
    )
    sums = bench.train_step()(StepPlan(step=0, rows=rows)).loss_sums
    assert float(sums[0]) == pytest.approx(expected, rel=1e-9)
    tags = bench.datasets[0].labels["places"]
    balanced = bench.work.tasks["places"]._weights  # type: ignore[attr-defined]
    often = torch.bincount(torch.from_numpy(tags.ids.values), minlength=4)  # type: ignore[attr-defined]
    assert balanced.tolist() == pytest.approx([int(often.sum()) / (4 * int(n)) if n else 0.0 for n in often])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Steps without dropout, over all kinds of task, some labels missing."""
    train = {"steps": STEPS, "batch_size": 8, "lr": 1e-4, "save_every": STEPS, "precision": "fp64"}
    return make_run(tmp_path_factory.mktemp("plain"), rows=40, dropout=0.0, train=train, eval={"every": STEPS})


@pytest.mark.parametrize(
    ("batches", "precision", "limit"),
    [
        pytest.param("mixed", "fp64", 1e-10, marks=pytest.mark.slow),
        pytest.param("single", "fp64", 1e-10, marks=pytest.mark.slow),
        pytest.param("mixed", "fp32", 1e-5, marks=pytest.mark.slow),
    ],
)
def test_micro_batches_of_any_size_give_the_same_weights(
    plain: dict[str, Any], tmp_path: Path, batches: str, precision: str, limit: float
) -> None:
    runs = [
        train_tiny(
            plain,
            tmp_path / str(tokens),
            train={"micro_tokens": tokens, "precision": precision},
            sampling={"kind": "proportional", "batches": batches},
        )
        for tokens in (100_000, 60, 1)
    ]
    for other in runs[1:]:
        assert max_weight_difference(checkpoint(runs[0].output, STEPS), checkpoint(other.output, STEPS)) < limit
        for item, other_item in zip(metrics(runs[0].output), metrics(other.output), strict=True):
            assert (item["step"], item["tokens"], item["lr"]) == (
                other_item["step"],
                other_item["tokens"],
                other_item["lr"],
            )
            assert item["losses"] == pytest.approx(other_item["losses"], abs=limit)
    start, end = weights(checkpoint(runs[0].output, 0)), weights(checkpoint(runs[0].output, STEPS))
    assert all(not torch.equal(start[name], end[name]) for name in start if "out.weight" in name), (
        "all heads are trained"
    )
    assert end["heads.topic_head.out.weight"].dtype == (torch.float64 if precision == "fp64" else torch.float32)


@pytest.mark.slow
def test_a_head_without_rows_in_a_step_is_unchanged_bit_for_bit(tmp_path: Path) -> None:
    """Neither weight decay nor the momentum of earlier steps changes it."""
    train = {"steps": 8, "batch_size": 4, "lr": 1e-3, "save_every": 1, "keep": 9, "weight_decay": 0.5}
    run = make_run(tmp_path, rows=20, train=train, sampling={"kind": "uniform", "batches": "single"})
    assert_heads_without_rows_unchanged(train_tiny(run).output)
