"""Train a model: from a run config to a model directory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from nlpmtl.build import build_trainer
from nlpmtl.config import RunConfig, flatten, parse_output, plain_config
from nlpmtl.data_checks import check_datasets
from nlpmtl.deprecation import RenamedAttribute
from nlpmtl.errors import ConfigError, RunError
from nlpmtl.evaluation import Predictions, Scores
from nlpmtl.finalize import finalize_run
from nlpmtl.fs import clear_leftovers
from nlpmtl.hub import validated_responses
from nlpmtl.model import Encoder, estimate_cost, load_encoder
from nlpmtl.run_config import Source as Source
from nlpmtl.run_config import load_config as load_config
from nlpmtl.run_config import load_run as load_run
from nlpmtl.task_datasets import TaskDatasets, load_task_datasets
from nlpmtl.training import (
    EvaluationDone,
    Message,
    StepLogged,
    Trainer,
    accelerator_context,
    check_run_dir,
    check_same_data,
    finish_trackers,
    hold_lock,
    hold_lock_on_all_ranks,
    ignored_settings,
    open_run_dir,
    quarantine_corrupt,
    read_state,
    recordable_overrides,
    recorded_precision,
    resolve_precision,
    run_metadata,
    start_trackers,
    write_failures,
    write_metadata,
)


@dataclass(frozen=True)
class TrainingStarted:
    """Event: the run is about to compute its first step.

    Args:
        total: optimizer steps of the run.
        step: steps that are done: 0, or those of the checkpoint that the run resumes from.
        notes: messages for the user, such as skipped rows and ignored settings.
    """

    total: int
    step: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class TrainResult:
    """Result of a finished run.

    Args:
        scores: scores of the best model on validation; None if no dataset has a validation split.
        model_dir: the model directory.
        step: step of that model.
        skipped: number of steps that were skipped because a loss or gradient was not finite.
        predictions: predictions and gold labels of that model on validation, by task; on rank 0 only.
    """

    scores: Scores | None
    model_dir: Path
    step: int
    skipped: int = 0
    predictions: Mapping[str, Predictions] = field(default_factory=dict, repr=False)

    answered = RenamedAttribute("predictions")


_WRITTEN = ("run.json", "metrics.jsonl", "evaluations.jsonl", "scores.json", "report.html", "answers.json", "model")
"""Files and directories of a run that are replaced atomically."""

Event = TrainingStarted | StepLogged | EvaluationDone | Message | TrainResult


def train(source: Source, *, output: str | Path | None = None, resume: bool = False, **overrides: Any) -> TrainResult:
    """Train a model.

    Args:
        source: a run file, the name of a built-in one, a dict, or a `RunConfig`.
        output: directory of the run; default: the config's `output`.
        resume: continue from the latest intact checkpoint, with the overrides that the run was started with.
        overrides: config keys: ``seed=3``, ``train={"lr": 3e-5}``, or dotted, ``**{"train.lr": 3e-5}``.

    Returns:
        The validation scores, and the path of the model directory.

    Raises:
        ConfigError: the config or an override is invalid.
        DataError: a row or a file is invalid.
        ModelError: the encoder cannot be used.
        RunError: the output directory contains another run, or the run fails.
        StoppedError: a signal stopped the run; a checkpoint is saved.

    Example:
        result = nlpmtl.train("run.toml", output="runs/again", **{"train.lr": 3e-5})
        result.scores["topic"]["accuracy"]
        model = nlpmtl.Predictor.from_pretrained(result.model_dir)
    """
    config, applied = load_run(source, output=output, resume=resume, overrides=flatten(overrides))
    (result,) = deque(iter_train(config, output=output, resume=resume, overrides=applied), maxlen=1)
    assert isinstance(result, TrainResult), "the last event of a run without an error"
    return result


def iter_train(
    config: RunConfig,
    *,
    output: str | Path | None = None,
    resume: bool = False,
    overrides: Mapping[str, Any] | None = None,
    extend: bool = True,
) -> Iterator[Event]:
    """Train a model and yield the events of the run. The last event is the `TrainResult`.

    Args:
        config: config of the run.
        output: directory of the run; default: the config's `output`.
        resume: continue from the latest intact checkpoint.
        overrides: overrides that the config includes, dotted, to record in run.json.
        extend: whether a resumed run may have a different number of steps.
    """
    directory = parse_output(output) if output is not None else config.output
    if directory is None:
        raise ConfigError('output: missing: set the directory of the run, output = "runs/…", or pass --output DIR')
    check_run_dir(directory)
    recorded = recorded_precision(directory) if resume and config.train.precision == "auto" else None
    precision = recorded or resolve_precision(config.train.precision)
    with ExitStack() as stack:
        notes: list[str] | None = None
        if os.environ.get("WORLD_SIZE", "1") == "1":  # before the accelerator, whose state may be that of another run
            notes = stack.enter_context(hold_lock(directory))
        accelerator = stack.enter_context(
            accelerator_context(directory=directory, precision=precision, trackers=config.train.trackers)
        )
        if notes is None:
            notes = stack.enter_context(hold_lock_on_all_ranks(directory, accelerator))
        plain = plain_config(config, output=directory)
        checkpoint, resume_notes = open_run_dir(directory, config=plain, resume=resume, extend=extend)
        metadata = run_metadata(
            plain, precision=precision, processes=accelerator.num_processes, device=str(accelerator.device)
        )
        metadata["overrides"] = recordable_overrides(overrides or {}, config=plain)
        notes = [*notes, *resume_notes]
        yield from _iter_train(config, directory, accelerator, checkpoint=checkpoint, metadata=metadata, notes=notes)


def _iter_train(
    config: RunConfig,
    directory: Path,
    accelerator: Accelerator,
    *,
    checkpoint: Path | None,
    metadata: dict[str, Any],
    notes: list[str],
) -> Iterator[Event]:
    """Train in a locked directory, from a checkpoint if there is one."""
    accelerator.wait_for_everyone()  # all ranks have read the directory before rank 0 writes
    if accelerator.is_main_process:
        quarantine_corrupt(directory / "checkpoints")
        clear_leftovers(directory / "best")
        clear_leftovers(directory, _WRITTEN)
    encoder, datasets, trainer = build_run(config, directory=directory, accelerator=accelerator)
    fingerprints = {key: trainer.checkpoints.metadata[key] for key in ("data", "plugins")}
    if checkpoint is not None:
        notes += check_same_data(read_state(checkpoint), fingerprints, run=checkpoint)
        notes += _restore(trainer, checkpoint)
    metadata |= fingerprints
    if accelerator.is_main_process:
        write_metadata(directory, metadata)
    if config.train.trackers:
        start_trackers(accelerator, config=metadata["config"], name=directory.name)
    notes += [*ignored_settings(), *datasets.notes, *trainer.notes, *_sharing_cost(trainer, datasets)]
    yield TrainingStarted(total=trainer.total_steps, step=trainer.state.step, notes=tuple(notes))
    yield from trainer.events()
    reported = len(trainer.failures)
    scores, predictions = finalize_run(trainer, datasets=datasets, encoder=encoder, metadata=metadata)
    trainer.failures += finish_trackers(accelerator)
    if accelerator.is_main_process and trainer.failures:
        write_failures(directory, metadata, trainer.failures)
    yield from map(Message, trainer.failures[reported:])
    yield TrainResult(scores, directory / "model", trainer.best_step, trainer.state.skipped, predictions)


def _restore(trainer: Trainer, checkpoint: Path) -> Iterator[str]:
    """Load a checkpoint into a trainer, and yield notes for the user.

    Raises:
        RunError: the checkpoint belongs to another model, or to a later step than the run's last.
    """
    trainer.state = trainer.checkpoints.restore(checkpoint)
    step, total = trainer.state.step, trainer.total_steps
    if total < step:
        raise RunError(
            f"the checkpoint is at step {step}, past the {total} steps of the config: increase train.steps or "
            "train.epochs"
        )
    if trainer.stopped_early:
        yield (
            f"eval.patience = {trainer.evaluator.patience} stopped this run at step {step} of {total}: it computes no "
            "more steps"
        )


def build_run(config: RunConfig, *, directory: Path, accelerator: Accelerator) -> tuple[Encoder, TaskDatasets, Trainer]:
    """Load and check the inputs of a run and build its trainer; nothing is written."""
    encoder, datasets = load_inputs(config)
    datasets = replace(
        datasets, notes=(*datasets.notes, *_untrained_tasks(encoder, datasets, frozen=config.encoder.freeze))
    )
    trainer = build_trainer(config, directory=directory, accelerator=accelerator, encoder=encoder, datasets=datasets)
    return encoder, datasets, trainer


@validated_responses()
def load_inputs(config: RunConfig) -> tuple[Encoder, TaskDatasets]:
    """Load and check the encoder and the datasets of a run; the cheapest checks come first."""
    check_datasets(config.datasets)
    encoder = load_encoder(
        config.encoder.name,
        revision=config.encoder.revision,
        sha256=config.encoder.sha256,
        attention=config.encoder.attn_implementation,
    )
    if config.encoder.max_length > encoder.max_positions:
        raise ConfigError(
            f"encoder.max_length: {config.encoder.name} reads at most {encoder.max_positions} tokens, "
            f"found {config.encoder.max_length}"
        )
    datasets = load_task_datasets(
        config.datasets,
        tokenizer=encoder.tokenizer,
        max_length=config.encoder.max_length,
        earlier=encoder.pretrained_tasks,
    )
    return encoder, replace(datasets, notes=(*encoder.notes, *datasets.notes))


def _untrained_tasks(encoder: Encoder, datasets: TaskDatasets, *, frozen: bool) -> Iterator[str]:
    """Yield a note about the tasks of a multi-task encoder that the run does not train."""
    untrained = [name for name in encoder.pretrained_tasks if name not in datasets.tasks]
    if untrained and frozen:
        yield f"kept unchanged: {', '.join(untrained)}"
    elif untrained:
        yield (
            f"kept, but not trained while the encoder changes: {', '.join(untrained)}. Add their datasets to the run, "
            "or freeze the encoder (encoder.freeze = true); or evaluate them afterwards"
        )


def _sharing_cost(trainer: Trainer, datasets: TaskDatasets) -> Iterator[str]:
    """Yield a note about the cost of a sharing scheme other than hard sharing."""
    model, train_rows = trainer.train_step.accumulator.model, datasets.splits["train"].values()
    if model.config.sharing["kind"] != "hard":
        label_count = sum(int(labels.labelled.sum()) for rows in train_rows for labels in rows.labels.values())
        cost = estimate_cost(model, tasks_per_row=label_count / sum(map(len, train_rows)))
        yield f"sharing by {model.config.sharing['kind']!r}: {cost}"
