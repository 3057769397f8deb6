"""Config models of a run file."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    FieldSerializationInfo,
    SerializeAsAny,
    field_serializer,
    field_validator,
    model_validator,
)

from nlpmtl.config.dataset import DatasetConfig, Name, TaskOptions
from nlpmtl.config.dataset_texts import TextsConfig, expand_texts
from nlpmtl.config.schedule import parse_schedule
from nlpmtl.errors import did_you_mean
from nlpmtl.registry import OPTIMIZERS, SAMPLERS, SHARINGS, WEIGHTINGS, KindOptions
from nlpmtl.strict_model import StrictModel

ATTENTION = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flash_attention_4", "flex_attention")
"""Attention implementations of transformers, which is not imported here."""
_OTHER_ATTENTION = re.compile(r"flash_attention_\d|[\w.-]+/[\w.:-]+")
"""Versions of FlashAttention that a newer transformers may have, and kernels on the Hub."""


class EncoderConfig(StrictModel):
    """The pretrained encoder that all tasks share."""

    table_examples: ClassVar[Mapping[str, str]] = {"": '{name = "bert-base-uncased"}'}
    renamed_keys: ClassVar[Mapping[str, str]] = {"attention": "attn_implementation"}

    name: str = Field(min_length=1)
    """A Hub id, a directory, or "package:some_package/model" (a directory inside an installed package). A model that
    nlpmtl trained can be used too: its heads are kept, and those of the run's tasks are trained further."""
    max_length: int = Field(128, ge=4)
    """Maximum input length in tokens; longer inputs are truncated."""
    revision: str | None = None
    """A commit, tag or branch of the Hub's model."""
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """Expected SHA-256 of `model.safetensors` in a directory or package; other weights are refused."""
    attn_implementation: str | None = None
    """Attention implementation of transformers: "sdpa", "eager", "flash_attention_2", …; default: packed attention
    without padding for training on a CPU or in bf16 on a GPU, if the architecture supports it, otherwise the default
    of transformers."""
    direction: Literal["both"] | None = None
    """"both": each token of a decoder-only checkpoint, such as Qwen or Llama, attends to all tokens of its text, and
    the default pooling of heads is "mean". Default: the attention of the checkpoint; a decoder-only one is refused."""
    freeze: bool = False
    """Freeze the encoder: only the heads, and parameters that the sharing scheme adds, are trained."""
    freeze_layers: int | None = Field(None, ge=0)
    """Freeze the embeddings and this number of layers, from the lowest up; 0: only the embeddings. Default: nothing is
    frozen. To freeze all layers, write `freeze = true`."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time, the same result."""

    @model_validator(mode="after")
    def _one_freeze(self) -> Self:
        if self.freeze and self.freeze_layers is not None:
            raise ValueError("`freeze` and `freeze_layers` are mutually exclusive: write one of them")
        return self

    @field_validator("attn_implementation", mode="after")
    @classmethod
    def _known_attention(cls, value: str | None) -> str | None:
        modeling = sys.modules.get("transformers.modeling_utils")  # where a plugin may have registered another one
        registered = modeling.ALL_ATTENTION_FUNCTIONS.valid_keys() if modeling is not None else ()
        registered = [name for name in registered if "|" not in name]  # paged attention is for generation
        if value is None or value in ATTENTION or value in registered or _OTHER_ATTENTION.fullmatch(value):
            return value
        *names, last = (f'"{name}"' for name in ATTENTION)
        raise ValueError(f"must be {', '.join(names)} or {last}")


class TrainConfig(StrictModel):
    """Training length, learning rates and checkpoints."""

    renamed_keys: ClassVar[Mapping[str, str]] = {"clip": "max_grad_norm"}

    epochs: float | None = Field(None, gt=0)
    """Number of epochs; an epoch is ceil(train rows of all datasets / batch_size) steps. Default: 3, unless `steps` is
    given."""
    steps: int | None = Field(None, gt=0)
    """Number of optimizer steps, as an alternative to `epochs`."""
    batch_size: int = Field(32, gt=0, le=1_000_000)
    """Rows per optimizer step over all processes."""
    micro_tokens: int = Field(4096, gt=0)
    """Maximum number of tokens, with padding, in a forward pass of one process. It affects memory and speed, not the
    result. If memory runs out, it is halved and the step is repeated."""
    lr: float = Field(5e-5, gt=0)
    """Peak learning rate of the encoder."""
    head_lr: float | None = Field(None, gt=0)
    """Peak learning rate of the heads; default: `lr`. A task can have another one, its key `lr`."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Layer-wise learning-rate decay: layer l of L has the peak learning rate lr · layer_decay^(L − l), with l = 0 for
    the embeddings."""
    weight_decay: float = Field(0.01, ge=0)
    """Weight decay, for weight matrices only, not for biases and normalisation layers."""
    schedule: Annotated[SerializeAsAny[KindOptions], BeforeValidator(parse_schedule)] = Field(
        "linear", validate_default=True
    )
    """Learning-rate schedule after the warm-up: its name, or a table with options, such as {kind = "polynomial", power
    = 2.0}."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Fraction of all steps in which the learning rates rise linearly from 0."""
    max_grad_norm: float = Field(1.0, ge=0)
    """Maximum gradient norm: larger gradients are clipped to it; 0: no clipping."""
    precision: Literal["auto", "fp32", "bf16", "fp64"] = "auto"
    """Precision of the computation; "auto": bf16 if the hardware supports it, otherwise fp32."""
    kernels: Literal["auto", "off"] = "auto"
    """Accelerated code paths: "auto" uses those that suit the device and compute what plain PyTorch does, which is
    checked once per version of torch and transformers; "off" uses plain PyTorch and transformers."""
    on_bad_step: Literal["stop", "skip"] = "stop"
    """Handling of a loss or gradient that is infinite or NaN: "stop" ends the run with an error that names the rows;
    "skip" reports and counts the step, and does not change the weights."""
    save_every: int = Field(200, gt=0)
    """Steps between checkpoints."""
    keep: int = Field(2, gt=0)
    """Number of checkpoints to keep."""
    trackers: tuple[Literal["tensorboard", "trackio", "wandb", "mlflow"], ...] = ()
    """Experiment trackers, used through Accelerate; each needs its package."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("`epochs` and `steps` are mutually exclusive: write one of them")
        return self

    @field_serializer("schedule")
    def _by_name(self, schedule: KindOptions, info: FieldSerializationInfo) -> str | dict[str, Any]:
        """Return the name of a schedule without options, which is how earlier versions recorded a schedule."""
        if type(schedule).model_fields.keys() == {"kind"}:
            return schedule.kind
        return schedule.model_dump(mode="json", exclude_unset=info.exclude_unset)

    def length(self, rows: int) -> tuple[int, int]:
        """Return the optimizer steps of a run and of an epoch, for a number of train rows."""
        epoch = math.ceil(rows / self.batch_size)
        # A decimal fraction: in binary, 1.1 · 100 is a little more than 110.
        return self.steps or math.ceil(Fraction(str(self.epochs or 3)) * epoch), epoch


class EvalConfig(StrictModel):
    """Evaluation during training, and selection of the best model."""

    every: int = Field(200, gt=0)
    """Steps between evaluations."""
    select: str = "mean"
    """Score that selects the best model: "mean", or the name of a task."""
    patience: int = Field(0, ge=0)
    """Early stopping: number of evaluations without a better score after which the run ends; 0: no early stopping."""


def _difference(first: TaskOptions, other: TaskOptions) -> str | None:
    """Return the first key, except label columns, whose values differ, with both values; None if all are equal."""
    if first.kind != other.kind:
        return f"kind is {first.kind!r} and {other.kind!r}"
    for key, value in first:
        if key not in _column_keys(first) and getattr(other, key) != value:
            return f"{key} is {value!r} and {getattr(other, key)!r}"
    return None


def _column_keys(options: TaskOptions) -> set[str]:
    """Return the keys that name columns, which differ between datasets."""
    return {"label", "weight", *getattr(options.task_type, "columns", ())}


class RunConfig(StrictModel):
    """A run file.

    `train`, `compare` and `relate` take it in place of a file. It is frozen, and unknown keys are refused.

    Raises:
        pydantic.ValidationError: a key is missing, unknown or invalid. (`train` raises a ConfigError.)

    Example:
        data = {"files": {"train": "messages/train.jsonl"}}
        task = {"kind": "classification", "label": "topic"}
        dataset = {"data": data, "input": {"text": "text"}, "tasks": {"topic": task}}
        config = nlpmtl.RunConfig(encoder={"name": "bert-base-uncased"}, datasets={"messages": dataset})
        print(config.train.batch_size, config.sampling.kind)  # 32 proportional
    """

    model_config = ConfigDict(json_schema_extra={"description": "A run file."})  # instead of the docstring

    table_examples: ClassVar[Mapping[str, str]] = {"datasets": '{reviews = {extends = "reviews.toml"}}'}

    seed: int = Field(0, ge=0, lt=2**32)
    """Random seed of the initial weights of the heads, the order of rows and dropout."""
    output: Path | None = None
    """Directory of the run."""
    plugins: tuple[str, ...] = ()
    """Plugins: modules that are imported first and register kinds."""
    encoder: EncoderConfig
    """The pretrained encoder."""
    datasets: dict[Name, DatasetConfig] = Field(min_length=1)
    """Datasets by name, each with `extends = "a dataset file"` and overrides, or in full."""
    sampling: Annotated[SerializeAsAny[KindOptions], BeforeValidator(SAMPLERS.parse)] = Field(
        {"kind": "proportional"}, validate_default=True
    )
    """Sampler: how datasets are mixed."""
    weighting: Annotated[SerializeAsAny[KindOptions], BeforeValidator(WEIGHTINGS.parse)] = Field(
        {"kind": "constant"}, validate_default=True
    )
    """Loss weighting."""
    sharing: Annotated[SerializeAsAny[KindOptions], BeforeValidator(SHARINGS.parse)] = Field(
        {"kind": "hard"}, validate_default=True
    )
    """Sharing scheme: which parameters the tasks share."""
    optimizer: Annotated[SerializeAsAny[KindOptions], BeforeValidator(OPTIMIZERS.parse)] = Field(
        {"kind": "adamw"}, validate_default=True
    )
    """Optimizer; its learning rates and weight decay are in `train`."""
    train: TrainConfig = TrainConfig()
    """Training."""
    eval: EvalConfig = EvalConfig()
    """Evaluation."""

    @field_validator("output", mode="before")
    @classmethod
    def _expand_output(cls, output: Any) -> Any:
        if output == "":
            raise ValueError('a path was expected, such as "runs/first"')
        try:
            return Path(output).expanduser() if isinstance(output, str | Path) else output
        except RuntimeError:
            raise ValueError("this home directory does not exist: write the whole path") from None

    @model_validator(mode="before")
    @classmethod
    def _expand_texts(cls, value: Any) -> Any:
        """Replace the key `from` of datasets with the sources of the texts."""
        datasets = value.get("datasets") if isinstance(value, Mapping) else None
        return {**value, "datasets": expand_texts(datasets)} if isinstance(datasets, Mapping) else value

    @model_validator(mode="after")
    def _texts_have_no_labels(self) -> Self:
        for name, dataset in self.datasets.items():
            for task, options in dataset.tasks.items() if isinstance(dataset.data, TextsConfig) else ():
                if options.columns:
                    raise ValueError(
                        f"datasets.{name}: `from` gives texts without labels, and task {task!r} ({options.kind}) reads "
                        f"the column {options.columns[0]!r}: write `data` and `input` instead of `from`"
                    )
        return self

    @model_validator(mode="after")
    def _one_meaning_per_task(self) -> Self:
        for name, options in self.tasks.items():
            first, *others = [key for key, dataset in self.datasets.items() if name in dataset.tasks]
            for key in others:
                differs = _difference(options, self.datasets[key].tasks[name])
                if differs is not None:
                    where = f"datasets.{first} and datasets.{key}"
                    raise ValueError(f"task {name!r} is defined differently in {where}: its {differs}")
        if self.eval.select == "mean" in self.tasks and len(self.tasks) > 1:
            raise ValueError("eval.select: 'mean' is the mean score of all tasks: give the task 'mean' another name")
        if self.eval.select != "mean" and self.eval.select not in self.tasks:
            raise ValueError(
                f"eval.select: no task {self.eval.select!r}; {did_you_mean(self.eval.select, ['mean', *self.tasks])}"
            )
        return self

    @model_validator(mode="after")
    def _options_fit_max_length(self) -> Self:
        for name, options in self.tasks.items():
            try:
                options.task_type.check_max_length(options, self.encoder.max_length)
            except ValueError as error:
                raise ValueError(f"task {name!r}: {error}") from None
        return self

    @model_validator(mode="after")
    def _cross_stitch_speed_is_a_learning_rate(self) -> Self:
        if self.sharing.kind == "cross_stitch" and not getattr(self.optimizer, "normalizes_updates", False):
            raise ValueError(
                f'optimizer.kind: the `speed` of sharing.kind = "cross_stitch" is defined for AdamW: write '
                f'kind = "adamw", found {self.optimizer.kind!r}'
            )
        return self

    @model_validator(mode="after")
    def _decayed_layers_are_trained(self) -> Self:
        if self.train.layer_decay < 1 and self.encoder.freeze and self.sharing.kind == "hard":
            raise ValueError(
                "train.layer_decay: with encoder.freeze = true no layer is trained: remove one of the two keys, found "
                f"{self.train.layer_decay}"
            )
        return self

    @property
    def tasks(self) -> dict[str, TaskOptions]:
        """Options of every task, in the order of the datasets."""
        tasks: dict[str, TaskOptions] = {}
        for dataset in self.datasets.values():
            for name, options in dataset.tasks.items():
                tasks.setdefault(name, options)
        return tasks
