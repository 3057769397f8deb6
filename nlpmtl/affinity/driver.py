"""How related are the tasks of a run: a short run of the mixture that is measured as it goes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from nlpmtl.affinity.probe import AffinityProbe, ProbeResult, shared_parameters
from nlpmtl.affinity.probe_batches import ProbeBatches
from nlpmtl.affinity.relations import ALL, Relations, relations
from nlpmtl.build import build_trainer
from nlpmtl.config import RunConfig, check_writable, dotted, parse_output, plain_config
from nlpmtl.errors import ConfigError, RunError
from nlpmtl.fs import write_atomic, write_json
from nlpmtl.run import Source, TrainingStarted, load_config, load_inputs
from nlpmtl.task_datasets import TaskDatasets
from nlpmtl.training import (
    Message,
    StepLogged,
    StepReport,
    Trainer,
    accelerator_context,
    ignored_settings,
    run_metadata,
)

ENCODERS = 2
"""The default."""
MIN_EPOCH_STEPS, MAX_EPOCH_STEPS = 50, 200
"""Steps, where none are given: an epoch, but so many. What is learnt by heart sends no gradient that says anything."""
MIN_STEPS = 10
"""Steps that it takes at least: after fewer, there is little to take a mean of."""
_SETTLING = 0.2
"""The share of the steps before the first measurement: new heads send no gradient that says anything."""
_TIMES = 32
"""Measurements, or a few more, where there are steps enough."""


def relate(
    source: Source,
    *,
    output: str | Path | None = None,
    steps: int | None = None,
    encoders: int = ENCODERS,
    **overrides: Any,
) -> Relations:
    """Measure how related the tasks of a run are, and propose which to train together.

    The mixture is trained for a few steps, as the run file says, and measured on the way: the cosines between the
    gradients of the tasks, and what a step on one task does to the loss of each (task affinity; Fifty et al. 2021,
    Efficiently Identifying Task Groupings for Multi-Task Learning). Written are relate.json, relate-affinity.png and
    relate-tree.png, and no model.

    Args:
        source: a run file, the name of a shipped one, a dict, or a `RunConfig`.
        output: where to write; default: the config's `output`.
        steps: of training, ≥ 10, in place of the config's `train.steps` and `train.epochs`; default: those of an
            epoch, but 50 at least and 200 at most.
        encoders: models that there may be, ≥ 1.
        overrides: keys of the config, as for `train`.

    Raises:
        NlpmtlError: one of its branches, see `nlpmtl.errors`.
    """
    config = load_config(source, overrides=dotted(overrides))
    (found,) = deque(iter_relate(config, output=output, steps=steps, encoders=encoders), maxlen=1)
    assert isinstance(found, Relations), "what ends without an error ends with its result"
    return found


def iter_relate(
    config: RunConfig, *, output: str | Path | None = None, steps: int | None = None, encoders: int = ENCODERS
) -> Iterator[TrainingStarted | StepLogged | Message | Relations]:
    """Measure, and tell what happens while it does; the last event is what was found. Arguments as of `relate`."""
    directory = parse_output(output) if output is not None else config.output
    if directory is None:
        raise ConfigError('output: say where to write: output = "runs/…", or --output DIR')
    check_writable(directory, key="output")
    if encoders < 1:
        raise ConfigError(f"encoders: there is at least 1, found {encoders}")
    if steps is not None and steps < MIN_STEPS:
        raise ConfigError(f"steps: at least {MIN_STEPS} are needed to measure, found {steps}")
    # In half precision the small differences of losses would be lost.
    precision = "fp64" if config.train.precision == "fp64" else "fp32"
    config = _shortened(config, steps=steps, epochs=None if steps else 1, precision=precision, trackers=())
    with accelerator_context(directory=directory, precision=precision, trackers=()) as accelerator:
        if accelerator.num_processes > 1:
            raise ConfigError(f"relate measures in one process, found {accelerator.num_processes}")
        encoder, work = load_inputs(config)
        if steps is None:
            epoch, _ = config.train.length(sum(map(len, work.splits["train"].values())))
            config = _shortened(config, steps=min(max(epoch, MIN_EPOCH_STEPS), MAX_EPOCH_STEPS), epochs=None)
        fit = build_trainer(config, directory=directory, accelerator=accelerator, encoder=encoder, datasets=work)
        _check(fit)
        yield TrainingStarted(total=fit.total_steps, step=0, notes=(*ignored_settings(), *work.notes))
        measured = yield from _measure(config, fit=fit, work=work)
        found = relations(
            list(fit.tasks),
            affinities=np.stack([one.affinity for one in measured.values()]),
            own=np.stack([one.own for one in measured.values()]),
            cosines={
                layer: np.stack([one.cosines[layer] for one in measured.values()])
                for layer in next(iter(measured.values())).cosines
            },
            encoders=encoders,
            steps=fit.total_steps,
            measured=tuple(measured),
            rows=config.train.batch_size,
            notes=work.notes,
            directory=directory,
            facts=_facts(config, directory=directory, precision=precision, accelerator=accelerator),
        )
        yield from map(Message, _write(found, directory))
        yield found


def _shortened(config: RunConfig, **changes: Any) -> RunConfig:
    """A config with other keys of ``[train]``."""
    return config.model_copy(update={"train": config.train.model_copy(update=changes)})


def _check(fit: Trainer) -> None:
    names = list(fit.tasks)
    if len(names) < 2:
        raise ConfigError(f"there is nothing to relate: this run has one task, {names[0]!r}")
    if not shared_parameters(fit.model):
        raise ConfigError("there is nothing to relate: with encoder.freeze, no weights that tasks share are trained")


def _measure(
    config: RunConfig, *, fit: Trainer, work: TaskDatasets
) -> Generator[StepLogged, None, dict[int, ProbeResult]]:
    """Train, and measure after some of the steps: step → what was found."""
    rows = ProbeBatches(work.splits["train"], tasks=list(fit.tasks), many=config.train.batch_size, seed=config.seed)
    meter = AffinityProbe(
        fit.model,
        tasks=fit.tasks,
        collate=fit.train_step.accumulator.collate,
        tokens=fit.train_step.accumulator.micro_tokens,
        device=fit.train_step.accumulator.device,
    )
    first = round(_SETTLING * fit.total_steps)
    every = max(1, (fit.total_steps - first) // _TIMES)
    measured: dict[int, ProbeResult] = {}
    began = time.monotonic()
    for report in fit.steps():
        speed = report.tokens / (time.monotonic() - began)
        if report.step >= first and (report.step - first) % every == 0:
            measured[report.step] = meter(rows.draw(report.step))
        yield StepLogged({"step": report.step, "loss": _loss(report), "tokens_per_second": speed})
        began = time.monotonic()
    return measured


def _loss(report: StepReport) -> float:
    """The loss of a step, in one process."""
    terms = zip(report.loss_sums.tolist(), report.counts, report.shares, strict=True)
    return float(sum(share * summed / count for summed, count, share in terms if count))


def _facts(config: RunConfig, *, directory: Path, precision: str, accelerator: Accelerator) -> Mapping[str, Any]:
    return run_metadata(
        plain_config(config, output=directory), precision=precision, processes=1, device=str(accelerator.device)
    )


def _write(found: Relations, directory: Path) -> list[str]:
    """Write the files; notes come back: the pictures could not be drawn.

    Raises:
        RunError: they cannot be written.
    """
    try:
        write_json(directory / "relate.json", found.to_json())
        pictures, notes = _draw(found)
        for name, picture in pictures.items():
            write_atomic(directory / name, picture)
    except OSError as error:
        raise RunError(f"output: {directory} cannot be written: {error}") from error
    return notes


def _draw(found: Relations) -> tuple[dict[str, bytes], list[str]]:
    """The pictures by name, and what went wrong: the numbers are worth more than they are."""
    try:
        # matplotlib comes in when it is needed
        from nlpmtl.plots import draw_affinity, draw_dendrogram

        affinity = draw_affinity(found.tasks, found.affinity.mean, significant=found.affinity.clear)
        tree = draw_dendrogram(found.tasks, found.cosines[ALL].mean)
    except Exception as error:  # drawing libraries may raise anything
        return {}, [f"the pictures are not drawn: {type(error).__name__}: {error}"]
    return {"relate-affinity.png": affinity, "relate-tree.png": tree}, []
