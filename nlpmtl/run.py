"""Train a model: from a run config to a model directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from nlpmtl.build import build_trainer
from nlpmtl.config import RunConfig, check_flag, check_output, flatten, plain_config
from nlpmtl.environment import has_several_processes
from nlpmtl.errors import ConfigError, RunError
from nlpmtl.finalize import finalize_run
from nlpmtl.model import Encoder, estimate_cost
from nlpmtl.progress import View, display
from nlpmtl.run_config import Source as Source
from nlpmtl.run_config import load_config as load_config
from nlpmtl.run_config import load_run as load_run
from nlpmtl.run_inputs import load_inputs as load_inputs
from nlpmtl.stages import OnProgress, Stages
from nlpmtl.stages import StageProgress as StageProgress
from nlpmtl.stages import StopRequested as StopRequested
from nlpmtl.task_datasets import TaskDatasets
from nlpmtl.train_result import TrainResult as TrainResult
from nlpmtl.training import EvaluationDone as EvaluationDone
from nlpmtl.training import Message as Message
from nlpmtl.training import StepLogged as StepLogged
from nlpmtl.training import (
    Trainer,
    accelerator_context,
    check_run_dir,
    check_same_data,
    clear_run_dir,
    finish_trackers,
    hold_lock,
    hold_lock_on_all_ranks,
    ignored_settings,
    open_run_dir,
    read_state,
    recordable_overrides,
    recorded_precision,
    resolve_precision,
    run_metadata,
    start_trackers,
    with_own_global_state,
    write_failures,
    write_metadata,
)
from nlpmtl.training import TrainingStarted as TrainingStarted

Event = TrainingStarted | StepLogged | EvaluationDone | Message | TrainResult


def train(
    source: Source,
    *,
    output: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    on_event: Callable[[Any], None] | None = None,
    **overrides: Any,
) -> TrainResult:
    """Train a model.

    Args:
        source: a run file, the name of a built-in one, a dict, or a `RunConfig`.
        output: directory of the run; default: the config's `output`.
        resume: continue from the latest intact checkpoint, with the overrides that the run was started with.
        progress: whether rank 0 shows the loss, the score and the best score of each task: as a table in a notebook or
            on a terminal, and otherwise as one line per evaluation on stderr.
        on_event: called with each event that `iter_train` yields or reports. An exception that it raises ends the run.
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
        print(result.scores["topic"]["accuracy"], result.scores.mean)
        result.predictor.predict_all("Ada lives in Turin.")
    """
    if on_event is not None and not callable(on_event):
        raise ConfigError(f"on_event: a function was expected, found {on_event!r}")
    with display(None if check_flag(progress, name="progress") else View()) as show:

        def report(event: Any) -> None:
            show(event)
            if on_event is not None:
                on_event(event)

        result = None
        for event in iter_train(source, output=output, resume=resume, on_progress=report, **overrides):
            report(event)
            result = event
    assert isinstance(result, TrainResult), "the last event of a run without an error"
    return result


def iter_train(
    source: Source,
    *,
    output: str | Path | None = None,
    resume: bool = False,
    on_progress: OnProgress | None = None,
    **overrides: Any,
) -> Iterator[Event]:
    """Train a model and yield the events of the run.

    The events are classes of `nlpmtl.run`: `TrainingStarted`, then `StepLogged` every ten steps, `EvaluationDone` after
    each evaluation and `Message` for what is unusual. The last event is the `TrainResult`. The run computes only while
    the next event is requested; to end it early, close the iterator, and resume it later from its latest checkpoint.

    Args:
        source: as for `train`.
        output: as for `train`.
        resume: as for `train`.
        on_progress: called while the run computes, with a `StageProgress` when a stage such as tokenizing or evaluating
            starts, advances or ends, and with `StopRequested` when a signal is received.
        overrides: as for `train`.

    Raises:
        NlpmtlError: as `train`.

    Example:
        for event in nlpmtl.iter_train("run.toml", output="runs/events"):
            if hasattr(event, "scores") and event.scores is not None:
                print(event.step, event.scores.mean)
    """
    config, applied = load_run(source, output=output, resume=resume, overrides=flatten(overrides))
    yield from run_events(config, output=output, resume=resume, overrides=applied, on_progress=on_progress)


@with_own_global_state
def run_events(
    config: RunConfig,
    *,
    output: str | Path | None = None,
    resume: bool = False,
    overrides: Mapping[str, Any] | None = None,
    extend: bool = True,
    on_progress: OnProgress | None = None,
) -> Iterator[Event]:
    """Train a model and yield the events of the run, as `iter_train` does for a config that is loaded.

    Args:
        config: config of the run.
        output: directory of the run; default: the config's `output`.
        resume: continue from the latest intact checkpoint.
        overrides: overrides that the config includes, dotted, to record in run.json.
        extend: whether a resumed run may have a different number of steps.
        on_progress: as for `iter_train`.
    """
    directory = check_output(output) if output is not None else config.output
    if directory is None:
        raise ConfigError('output: missing: set the directory of the run, output = "runs/…", or pass --output DIR')
    check_run_dir(directory)
    recorded = recorded_precision(directory) if resume and config.train.precision == "auto" else None
    precision = recorded or resolve_precision(config.train.precision)
    with ExitStack() as stack:
        notes: list[str] | None = None
        if not has_several_processes():  # before the accelerator, whose state may be that of another run
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
        yield from _iter_train(
            config,
            directory,
            accelerator,
            checkpoint=checkpoint,
            metadata=metadata,
            notes=notes,
            stages=Stages(on_progress),
        )


def _iter_train(
    config: RunConfig,
    directory: Path,
    accelerator: Accelerator,
    *,
    checkpoint: Path | None,
    metadata: dict[str, Any],
    notes: list[str],
    stages: Stages,
) -> Iterator[Event]:
    """Train in a locked directory, from a checkpoint if there is one."""
    accelerator.wait_for_everyone()  # all ranks have read the directory before rank 0 writes
    if accelerator.is_main_process:
        clear_run_dir(directory)
    encoder, datasets, trainer = build_run(
        config, directory=directory, accelerator=accelerator, stages=stages, checkpoint=checkpoint
    )
    fingerprints = {key: trainer.checkpoints.metadata[key] for key in ("data", "encoder_config", "plugins")}
    if checkpoint is not None:
        notes += check_same_data(read_state(checkpoint), fingerprints, run=checkpoint)
        notes += _restore(trainer, checkpoint)
    metadata |= fingerprints
    if accelerator.is_main_process:
        write_metadata(directory, metadata)
    if config.train.trackers:
        start_trackers(accelerator, config=metadata["config"], name=directory.name)
    notes += [*ignored_settings(), *datasets.notes, *trainer.notes, *_sharing_cost(trainer, datasets)]
    yield TrainingStarted(
        total=trainer.total_steps,
        step=trainer.state.step,
        notes=tuple(notes),
        tasks=tuple(datasets.tasks),
        evaluations=tuple(trainer.logger.read_evaluations(trainer.state.last_evaluation)),
    )
    with stages.stage("training"):
        yield from trainer.events()
    reported = len(trainer.failures)
    scores, predictions, end_notes = finalize_run(trainer, datasets=datasets, encoder=encoder, metadata=metadata)
    trainer.failures += finish_trackers(accelerator)
    if accelerator.is_main_process and trainer.failures:
        write_failures(directory, metadata, trainer.failures)
    yield from map(Message, [*end_notes, *trainer.failures[reported:]])
    yield TrainResult(
        scores,
        directory / "model",
        step=trainer.best_step,
        skipped=trainer.state.skipped,
        predictions=predictions,
        seconds=dict(stages.seconds),
    )


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


def build_run(
    config: RunConfig,
    *,
    directory: Path,
    accelerator: Accelerator,
    stages: Stages | None = None,
    checkpoint: Path | None = None,
) -> tuple[Encoder, TaskDatasets, Trainer]:
    """Load and check the inputs of a run and build its trainer; nothing is written.

    Args:
        config: config of the run.
        directory: directory of the run.
        accelerator: device, precision and processes.
        stages: measures the stages of the run and reports their progress.
        checkpoint: checkpoint from which the run is resumed, which is not loaded yet.
    """
    stages = stages or Stages()
    encoder, datasets = load_inputs(config, stages=stages, checkpoint=checkpoint)
    datasets = replace(
        datasets, notes=(*datasets.notes, *_untrained_tasks(encoder, datasets, frozen=config.encoder.freeze))
    )
    trainer = build_trainer(
        config, directory=directory, accelerator=accelerator, encoder=encoder, datasets=datasets, stages=stages
    )
    return encoder, datasets, trainer


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
