"""Model, data and train step of a tiny run, for tests of single steps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from accelerate import Accelerator
from torch.optim import Optimizer

from nlpmtl.data import Collator, TokenizedSplit
from nlpmtl.model import MultiTaskModel, load_encoder
from nlpmtl.run import load_config
from nlpmtl.task_datasets import TaskDatasets, load_task_datasets
from nlpmtl.training import GradientAccumulator, TrainStep
from nlpmtl.weighting import Constant, Weighting
from tests.tiny import checkpoint, metrics, weights


@dataclass(frozen=True)
class Bench:
    """A model in double precision and the datasets of its run.

    With SGD and a learning rate of 1, a step subtracts the gradient from the parameters.
    """

    accelerator: Accelerator
    model: MultiTaskModel
    optimizer: Optimizer
    work: TaskDatasets

    @property
    def datasets(self) -> list[TokenizedSplit]:
        return list(self.work.splits["train"].values())

    def train_step(
        self,
        *,
        micro_tokens: int = 10_000,
        max_grad_norm: float = 0.0,
        schedule: Callable[[int], float] = lambda step: 1.0,
        weights: Mapping[str, float] = MappingProxyType({}),
        weighting: Weighting | None = None,
        adaptive_sampler: bool = False,
    ) -> TrainStep:
        given: dict[str, Any] = {"tasks": list(self.work.tasks), "epoch_steps": 4, "seed": 3}
        return TrainStep(
            accumulator=GradientAccumulator(
                accelerator=self.accelerator,
                model=self.model,
                tasks=self.work.tasks,
                collate=Collator(self.datasets, pad=0, types=True),
                micro_tokens=micro_tokens,
                packed=False,
                seed=3,
                needs_uncertainties=adaptive_sampler,
            ),
            optimizer=self.optimizer,
            weighting=weighting or Constant(weights=weights, **given),
            schedule=schedule,
            max_grad_norm=max_grad_norm,
            adaptive_sampler=adaptive_sampler,
        )

    def snapshot(self) -> dict[str, torch.Tensor]:
        return {name: value.detach().clone() for name, value in self.model.state_dict().items()}


def load_parts(run: dict[str, Any]) -> tuple[MultiTaskModel, TaskDatasets]:
    """Return a model in double precision, and the datasets of its run."""
    config = load_config(run)
    encoder = load_encoder(config.encoder.name)
    work = load_task_datasets(config.datasets, tokenizer=encoder.tokenizer, max_length=48)
    model = MultiTaskModel.from_encoder(
        encoder, tasks=work.tasks.values(), sharing={"kind": "hard"}, input_length=48, seed=1
    ).double()
    return model, work


def make_bench(parts: tuple[MultiTaskModel, TaskDatasets], accelerator: Accelerator) -> Bench:
    """Return a bench with a copy of the model."""
    model, work = copy.deepcopy(parts[0]), parts[1]
    groups = [{"params": list(model.parameters()), "lr": 1.0, "initial_lr": 1.0}]
    return Bench(accelerator, model, torch.optim.SGD(groups), work)


def assert_heads_without_rows_unchanged(output: Path) -> None:
    """In a run that saved every step, heads with rows changed and heads without rows are bit-identical."""
    idle = 0
    for line in metrics(output):
        before, after = weights(checkpoint(output, line["step"] - 1)), weights(checkpoint(output, line["step"]))
        for name in before:
            task = name.removeprefix("heads.").partition("_head.")[0]
            if name.startswith("heads.") and task not in line["losses"]:
                assert torch.equal(before[name], after[name]), (line["step"], name)
                idle += 1
            elif name.endswith("weight"):
                assert not torch.equal(before[name], after[name]), (line["step"], name)
    assert idle > 0
