"""The tables of a run file: what to train, on what, and how."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from nlpmtl.config.dataset import DatasetConfig, Name, TaskOptions
from nlpmtl.errors import did_you_mean
from nlpmtl.registry import SAMPLERS, SHARINGS, WEIGHTINGS, KindOptions
from nlpmtl.strict_model import StrictModel


class EncoderConfig(StrictModel):
    """The pretrained encoder that all tasks share."""

    table_examples: ClassVar[Mapping[str, str]] = {"": '{name = "bert-base-uncased"}'}
    renamed_keys: ClassVar[Mapping[str, str]] = {"attention": "attn_implementation"}

    name: str
    """A Hub id, a directory, or "package:some_package/model" (a directory inside an installed package). A model that
    nlpmtl trained is one too: its heads are kept, and those of the run's tasks go on."""
    max_length: int = Field(128, ge=4)
    """The longest input in tokens; the rest is cut off."""
    revision: str | None = None
    """A commit, tag or branch of the Hub's model."""
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """The SHA-256 of the encoder's `model.safetensors`, for a directory or a package: other weights are refused."""
    attn_implementation: str | None = None
    """The attention implementation of transformers: "sdpa", "eager", "flash_attention_2", …; default: its choice, or,
    while training on a CPU or in bf16 on a GPU, one that computes no padding, for architectures that allow it."""
    freeze: bool = False
    """Train the heads of the run's tasks alone, and what the sharing scheme adds to the encoder."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, more time, the same result."""


class TrainConfig(StrictModel):
    """How long, how fast, and how often to save."""

    renamed_keys: ClassVar[Mapping[str, str]] = {"clip": "max_grad_norm"}

    epochs: float | None = Field(None, gt=0)
    """Passes over the data (one is ceil(train rows of all datasets / batch_size) steps); 3 if no `steps` either."""
    steps: int | None = Field(None, gt=0)
    """Optimizer steps, instead of epochs."""
    batch_size: int = Field(32, gt=0)
    """Rows per optimizer step, over all processes."""
    micro_tokens: int = Field(4096, gt=0)
    """Most tokens in one forward of one process, padding included where there is any; it changes memory and speed,
    not the result. Where memory runs out it is halved, and the step begun anew."""
    lr: float = Field(5e-5, gt=0)
    """The encoder's highest learning rate."""
    head_lr: float | None = Field(None, gt=0)
    """The heads' highest learning rate; default: `lr`."""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's, on weight matrices alone: not on biases or normalisation."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rates fall after the warm-up."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """The share of all steps in which the learning rates rise from 0."""
    max_grad_norm: float = Field(1.0, ge=0)
    """Maximum gradient norm: larger gradients are clipped to it; 0: no clipping."""
    precision: Literal["auto", "fp32", "bf16", "fp64"] = "auto"
    """What to compute in; auto: bf16 where the hardware computes in it, else fp32."""
    on_bad_step: Literal["stop", "skip"] = "stop"
    """Where a loss or the gradient is not finite: "stop" names the rows and ends the run; "skip" says so, counts the
    step and leaves the weights as they were."""
    save_every: int = Field(200, gt=0)
    """Steps between checkpoints."""
    keep: int = Field(2, gt=0)
    """How many checkpoints to keep."""
    trackers: tuple[Literal["tensorboard", "trackio", "wandb", "mlflow"], ...] = ()
    """Where else to log, through Accelerate; each needs its own package."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("the length is given twice: say `epochs` or `steps`")
        return self

    def length(self, rows: int) -> tuple[int, int]:
        """Optimizer steps of a run over so many train rows, and those of one epoch."""
        epoch = math.ceil(rows / self.batch_size)
        return self.steps or math.ceil((self.epochs or 3) * epoch), epoch


class EvalConfig(StrictModel):
    """When to evaluate, and what the best model is."""

    every: int = Field(200, gt=0)
    """Steps between evaluations."""
    select: str = "mean"
    """Which score keeps the best model: "mean", or a task's name."""
    patience: int = Field(0, ge=0)
    """Evaluations without a better score before it stops; 0: never."""


def _difference(one: TaskOptions, other: TaskOptions) -> str | None:
    """The first key of two tasks, the column aside, whose values differ, and these; None where all agree."""
    if one.kind != other.kind:
        return f"kind is {one.kind!r} and {other.kind!r}"
    for key, value in one:
        if key != "label" and getattr(other, key) != value:
            return f"{key} is {value!r} and {getattr(other, key)!r}"
    return None


class RunConfig(StrictModel):
    """A run file."""

    table_examples: ClassVar[Mapping[str, str]] = {"datasets": '{reviews = {extends = "reviews.toml"}}'}

    seed: int = Field(0, ge=0, lt=2**32)
    """Of the heads' first weights, the order of rows and dropout."""
    output: Path | None = None
    """The run's directory."""
    plugins: tuple[str, ...] = ()
    """Modules to import first: they register kinds of their own."""
    encoder: EncoderConfig
    """The pretrained encoder."""
    datasets: dict[Name, DatasetConfig] = Field(min_length=1)
    """The datasets by name, each with `extends = "a dataset file"` and overrides, or in full."""
    sampling: Annotated[SerializeAsAny[KindOptions], BeforeValidator(SAMPLERS.parse)] = Field(
        {"kind": "proportional"}, validate_default=True
    )
    """How the datasets are mixed."""
    weighting: Annotated[SerializeAsAny[KindOptions], BeforeValidator(WEIGHTINGS.parse)] = Field(
        {"kind": "constant"}, validate_default=True
    )
    """How the tasks' losses become one."""
    sharing: Annotated[SerializeAsAny[KindOptions], BeforeValidator(SHARINGS.parse)] = Field(
        {"kind": "hard"}, validate_default=True
    )
    """What the tasks share."""
    train: TrainConfig = TrainConfig()
    """How to train."""
    eval: EvalConfig = EvalConfig()
    """How to evaluate."""

    @model_validator(mode="after")
    def _one_meaning_per_task(self) -> Self:
        for name, options in self.tasks.items():
            first, *others = [key for key, dataset in self.datasets.items() if name in dataset.tasks]
            for key in others:
                differs = _difference(options, self.datasets[key].tasks[name])
                if differs is not None:
                    where = f"datasets.{first} and datasets.{key}"
                    raise ValueError(f"task {name!r} means two things: in {where} its {differs}")
        if self.eval.select != "mean" and self.eval.select not in self.tasks:
            raise ValueError(
                f"eval.select: no task {self.eval.select!r}; {did_you_mean(self.eval.select, ['mean', *self.tasks])}"
            )
        return self

    @property
    def tasks(self) -> dict[str, TaskOptions]:
        """The options of every task, in the order of the datasets."""
        found: dict[str, TaskOptions] = {}
        for dataset in self.datasets.values():
            for name, options in dataset.tasks.items():
                found.setdefault(name, options)
        return found
