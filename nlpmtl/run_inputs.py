"""Load and check the inputs of a run: its encoder, its datasets and its tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from nlpmtl.config import RunConfig
from nlpmtl.data_checks import check_datasets
from nlpmtl.errors import ConfigError
from nlpmtl.model import Encoder, load_encoder
from nlpmtl.registry import WEIGHTINGS
from nlpmtl.sampling import build_plan
from nlpmtl.stages import Stages
from nlpmtl.task_datasets import TaskDatasets, load_task_datasets
from nlpmtl.tasks import PooledFields
from nlpmtl.training import fsdp, read_state
from nlpmtl.weighting import Weighting


def load_inputs(
    config: RunConfig, *, stages: Stages | None = None, checkpoint: Path | None = None
) -> tuple[Encoder, TaskDatasets]:
    """Load and check the encoder and the datasets of a run; the cheapest checks come first.

    Args:
        config: config of the run.
        stages: measures the stages of the run and reports their progress.
        checkpoint: checkpoint from which the run is resumed: its default pooling is kept.
    """
    stages = stages or Stages()
    check_datasets(config.datasets)
    _check_optimizer(config)
    _check_mixture(config)
    with stages.stage("loading the encoder"):
        encoder = load_encoder(
            config.encoder.name,
            revision=config.encoder.revision,
            sha256=config.encoder.sha256,
            attention=config.encoder.attn_implementation,
            bidirectional=config.encoder.direction == "both",
        )
    if checkpoint is not None:  # earlier versions did not record it, and used the pooling of the architecture
        encoder = replace(encoder, pooling=read_state(checkpoint).get("pooling"))
    if config.encoder.max_length > encoder.max_positions:
        raise ConfigError(
            f"encoder.max_length: {config.encoder.name} reads at most {encoder.max_positions} tokens, "
            f"found {config.encoder.max_length}"
        )
    with stages.stage("tokenizing", total=len(config.datasets)) as advance:
        datasets = load_task_datasets(
            config.datasets,
            tokenizer=encoder.tokenizer,
            max_length=config.encoder.max_length,
            earlier=encoder.pretrained_tasks,
            pooling=encoder.default_pooling,
            encoder_config=encoder.model.config,
            advance=advance,
        )
    notes = (*encoder.notes, *pooling_notes(config, encoder, datasets), *datasets.notes)
    return encoder, replace(datasets, notes=notes)


def pooling_notes(config: RunConfig, encoder: Encoder, datasets: TaskDatasets) -> Iterator[str]:
    """Yield a note if the encoder is a sentence-transformers model, and a task has no pooling of its own.

    Args:
        config: config of the run.
        encoder: its encoder.
        datasets: its datasets.
    """
    declared = encoder.sentence_pooling
    tasks = [
        name
        for name, task in datasets.tasks.items()
        if isinstance(task, PooledFields) and getattr(config.tasks[name], "pooling", None) is None
    ]
    if declared is None or not tasks:
        return
    names, used = ", ".join(tasks), encoder.default_pooling
    if encoder.pooling is not None:
        yield (
            f"pooling of {names}: {used!r}, as in {declared.file} of the encoder; for another one, write `pooling` in "
            "the table of a task"
        )
    elif declared.problem:
        yield f"{declared.file} of the encoder is not used ({declared.problem}): the pooling of {names} is {used!r}"
    else:
        yield f"pooling of {names}: {used!r}, as in the checkpoint"


def _check_optimizer(config: RunConfig) -> None:
    """Check that a run with this optimizer, started as it is, can be resumed exactly.

    Raises:
        ConfigError: it is not known to resume exactly.
    """
    if fsdp.is_requested() and not getattr(config.optimizer, "resumes_sharded", False):
        raise ConfigError(
            f'optimizer.kind: with FSDP, only runs with AdamW are tested to resume exactly: write kind = "adamw", or '
            f"start the run without FSDP, found {config.optimizer.kind!r}"
        )


def _check_mixture(config: RunConfig) -> None:
    """Check what weighting and sampler check when they are built: names of tasks and datasets, missing packages.

    They do not depend on the sizes of the datasets, which are not known yet.

    Raises:
        ConfigError: a check fails.
    """
    names = list(config.datasets)
    WEIGHTINGS.build(config.weighting, Weighting, tasks=list(config.tasks), epoch_steps=1, seed=config.seed)
    build_plan(
        config.sampling,
        names=names,
        sizes=[1] * len(names),
        total_steps=1,
        epoch_steps=1,
        batch_size=config.train.batch_size,
        seed=config.seed,
        tasks=[list(dataset.tasks) for dataset in config.datasets.values()],
    )
