"""Driver of the affinity measurement: a short multi-task run that is probed between its steps."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from nlpmtl.affinity.probe import AffinityProbe, ProbeResult, shared_parameters
from nlpmtl.affinity.probe_batches import ProbeBatches
from nlpmtl.affinity.relations import ALL, Relations, summarize
from nlpmtl.build import build_trainer
from nlpmtl.config import RunConfig, check_count, check_flag, check_output, check_writable, flatten, plain_config
from nlpmtl.errors import ConfigError, RunError
from nlpmtl.fs import write_atomic, write_json
from nlpmtl.progress import View, display_events
from nlpmtl.run import Source, load_config, load_inputs
from nlpmtl.stages import OnProgress, Stages
from nlpmtl.task_datasets import TaskDatasets
from nlpmtl.training import (
    Message,
    StepLogged,
    StepReport,
    Trainer,
    TrainingStarted,
    accelerator_context,
    ignored_settings,
    run_metadata,
    with_own_global_state,
)

ENCODERS = 2
"""Default number of groups."""
MIN_EPOCH_STEPS, MAX_EPOCH_STEPS = 50, 200
"""Bounds of the default number of steps, one epoch. Gradients on memorised rows are uninformative."""
MIN_STEPS = 10
"""Minimum number of steps: fewer give too few measurements for a mean."""
PLOTS = ("relate-affinity.png", "relate-tree.png")
"""File names of the plots."""
_WARMUP = 0.2
"""Fraction of the steps before the first measurement: untrained heads give uninformative gradients."""
_MEASUREMENTS = 32
"""Approximate number of measurements, if there are enough steps."""


def relate(
    source: Source,
    *,
    output: str | Path | None = None,
    steps: int | None = None,
    encoders: int = ENCODERS,
    progress: bool = True,
    **overrides: Any,
) -> Relations:
    """Measure which tasks of a run help or hurt each other, and propose which to train together.

    Trains a multi-task model for a few steps with the config of the run, and measures between them the cosines of the
    tasks' gradients, and the effect of a step on one task on the loss of each task (task affinity; Fifty et al., 2021,
    Efficiently Identifying Task Groupings for Multi-Task Learning). Writes relate.json, relate-affinity.png and
    relate-tree.png. The model is not saved.

    Args:
        source: a run file, the name of a built-in one, a dict, or a `RunConfig`.
        output: output directory; default: the config's `output`.
        steps: training steps, ≥ 10, instead of the config's `train.steps` or `train.epochs`; default: one epoch, but at
            least 50 and at most 200.
        encoders: maximum number of models, ≥ 1; each is for a group of tasks that share an encoder.
        progress: whether the progress is shown, as for `train`.
        overrides: keys of the config, as for `train`.

    Returns:
        The affinities and gradient cosines of all pairs of tasks, and the proposed groups.

    Raises:
        ConfigError: an argument or the config is invalid, or the run has only one task.
        RunError: the output directory cannot be written.
        NlpmtlError: as `train`.

    Example:
        relations = nlpmtl.relate("run.toml", steps=20, output="runs/related")
        for pair in relations.pairs:
            print(*pair.tasks, pair.reading)
    """
    config = load_config(source, overrides=flatten(overrides))
    return display_events(
        lambda show: iter_relate(config, output=output, steps=steps, encoders=encoders, on_progress=show),
        ends=Relations,
        view=None if check_flag(progress, name="progress") else View(),
    )


@with_own_global_state
def iter_relate(
    config: RunConfig,
    *,
    output: str | Path | None = None,
    steps: int | None = None,
    encoders: int = ENCODERS,
    on_progress: OnProgress | None = None,
) -> Iterator[TrainingStarted | StepLogged | Message | Relations]:
    """Yield the events of the run; the last event is the result.

    Args:
        config: config of the run.
        output: as for `relate`.
        steps: as for `relate`.
        encoders: as for `relate`.
        on_progress: as for `iter_train`.
    """
    directory = _check_directory(output, config)
    encoders = check_count(encoders, name="encoders", least=1)
    steps = None if steps is None else check_count(steps, name="steps", least=MIN_STEPS)
    if len(config.tasks) < 2:
        raise ConfigError(f"nothing to relate: the run has only one task, {next(iter(config.tasks))!r}")
    precision = "fp64" if config.train.precision == "fp64" else "fp32"  # bf16 would lose small differences of losses
    config = _with_train(config, steps=steps, epochs=None if steps else 1, precision=precision, trackers=())
    with accelerator_context(directory=directory, precision=precision, trackers=()) as accelerator:
        if accelerator.num_processes > 1:
            raise ConfigError(f"relate runs in one process, found {accelerator.num_processes}: use no launcher")
        stages = Stages(on_progress)
        encoder, datasets = load_inputs(config, stages=stages)
        if steps is None:
            epoch, _ = config.train.length(sum(map(len, datasets.splits["train"].values())))
            config = _with_train(config, steps=min(max(epoch, MIN_EPOCH_STEPS), MAX_EPOCH_STEPS), epochs=None)
        trainer = build_trainer(
            config, directory=directory, accelerator=accelerator, encoder=encoder, datasets=datasets
        )
        _check(trainer)
        yield TrainingStarted(
            total=trainer.total_steps,
            step=0,
            notes=(*ignored_settings(), *datasets.notes, *trainer.notes),
            tasks=tuple(trainer.tasks),
        )
        with stages.stage("training"):
            measured = yield from _measure(config, trainer=trainer, datasets=datasets)
        probes = list(measured.values())
        result = summarize(
            list(trainer.tasks),
            affinities=np.stack([probe.affinity for probe in probes]),
            self_affinities=np.stack([probe.self_affinity for probe in probes]),
            cosines={layer: np.stack([probe.cosines[layer] for probe in probes]) for layer in probes[0].cosines},
            encoders=encoders,
            steps=trainer.total_steps,
            measured=tuple(measured),
            rows=config.train.batch_size,
            notes=datasets.notes,
            directory=directory,
            facts=_facts(config, directory=directory, precision=precision, accelerator=accelerator),
        )
        yield from map(Message, _write(result, directory))
        yield result


def _check_directory(output: str | Path | None, config: RunConfig) -> Path:
    directory = check_output(output) if output is not None else config.output
    if directory is None:
        raise ConfigError('no output directory: set output = "runs/…" in the run file, or pass --output DIR')
    return check_writable(directory, key="output")


def _with_train(config: RunConfig, **changes: Any) -> RunConfig:
    """Return the config with other values in ``[train]``."""
    return config.model_copy(update={"train": config.train.model_copy(update=changes)})


def _check(trainer: Trainer) -> None:
    if not shared_parameters(trainer.model):
        raise ConfigError("nothing to relate: with encoder.freeze, no shared parameters are trained")


def _measure(
    config: RunConfig, *, trainer: Trainer, datasets: TaskDatasets
) -> Generator[StepLogged, None, dict[int, ProbeResult]]:
    """Train, and measure after some of the steps; return the measurements by step."""
    batches = ProbeBatches(
        datasets.splits["train"], tasks=list(trainer.tasks), count=config.train.batch_size, seed=config.seed
    )
    accumulator = trainer.train_step.accumulator
    probe = AffinityProbe(
        trainer.model,
        tasks=trainer.tasks,
        collate=accumulator.collate,
        split=accumulator.split,
        device=accumulator.device,
    )
    first = round(_WARMUP * trainer.total_steps)
    every = max(1, (trainer.total_steps - first) // _MEASUREMENTS)
    measured: dict[int, ProbeResult] = {}
    start_time = time.monotonic()
    for report in trainer.steps():
        speed = report.tokens / (time.monotonic() - start_time)
        if report.step >= first and (report.step - first) % every == 0:
            measured[report.step] = probe(batches.draw(report.step))
        losses = dict(_losses(report, tasks=list(trainer.tasks)))
        yield StepLogged({"step": report.step, "loss": _loss(report), "losses": losses, "tokens_per_second": speed})
        start_time = time.monotonic()
    return measured


def _losses(report: StepReport, *, tasks: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield each task with labels in a step, and its mean loss."""
    for task, summed, count in zip(tasks, report.loss_sums.tolist(), report.counts, strict=True):
        if count:
            yield task, summed / count


def _loss(report: StepReport) -> float:
    """Return the loss of a step."""
    terms = zip(report.loss_sums.tolist(), report.counts, report.loss_factors, strict=True)
    return float(sum(factor * summed / count for summed, count, factor in terms if count))


def _facts(config: RunConfig, *, directory: Path, precision: str, accelerator: Accelerator) -> Mapping[str, Any]:
    return run_metadata(
        plain_config(config, output=directory), precision=precision, processes=1, device=str(accelerator.device)
    )


def _write(result: Relations, directory: Path) -> list[str]:
    """Write the files; return notes, if the plots could not be drawn.

    Raises:
        RunError: a file cannot be written.
    """
    try:
        write_json(directory / "relate.json", result.to_json())
        plots, notes = _draw(result)
        for name in PLOTS:
            if name in plots:
                write_atomic(directory / name, plots[name])
            else:
                (directory / name).unlink(missing_ok=True)  # of an earlier run
    except OSError as error:
        raise RunError(f"output: {directory} cannot be written: {error}") from error
    return notes


def _draw(result: Relations) -> tuple[dict[str, bytes], list[str]]:
    """Return the plots by file name, and notes instead of an error: the numbers are useful without plots."""
    try:
        # imported late: matplotlib is slow to import
        from nlpmtl.plots import draw_affinity, draw_dendrogram

        affinity = draw_affinity(result.tasks, result.affinity.mean, significant=result.affinity.significant)
        tree = draw_dendrogram(result.tasks, result.cosines[ALL].mean)
    except Exception as error:  # drawing libraries may raise anything
        return {}, [f"the plots were not drawn: {type(error).__name__}: {error}"]
    return dict(zip(PLOTS, (affinity, tree), strict=True)), []
