"""The composition root: a run file goes in; a model directory comes out."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from nlpmtl.build import build_trainer
from nlpmtl.config import (
    DatasetConfig,
    RunConfig,
    dotted,
    find_run,
    parse_dataset,
    parse_output,
    plain_config,
    read_dataset,
    read_toml,
)
from nlpmtl.data_checks import check_datasets
from nlpmtl.errors import ConfigError, DataError, RunError
from nlpmtl.evaluation import Inference, Predictions, Scores, max_batch_tokens
from nlpmtl.evaluation import evaluate as score
from nlpmtl.finalize import finalize_run
from nlpmtl.fs import clear_leftovers
from nlpmtl.hub import fetch, validated_responses
from nlpmtl.inference.backend import Precision, load_backend
from nlpmtl.inference.device import check_device
from nlpmtl.model import Encoder, MultiTaskModel, estimate_cost, load_encoder, with_finite_logits
from nlpmtl.plugins import import_plugins
from nlpmtl.run_config import Source as Source
from nlpmtl.run_config import load_config as load_config
from nlpmtl.run_config import load_run as load_run
from nlpmtl.task_datasets import TaskDatasets, load_split, load_task_datasets
from nlpmtl.training import (
    EvaluationDone,
    Message,
    RunState,
    StepLogged,
    Trainer,
    accelerator_context,
    check_place,
    check_same_data,
    finish_trackers,
    global_state_restored,
    hold_lock,
    hold_lock_on_all_ranks,
    ignored_settings,
    open_run_dir,
    quarantine_corrupt,
    read_state,
    recordable,
    recorded_precision,
    resolve_precision,
    restore,
    run_metadata,
    start_trackers,
    write_failures,
    write_metadata,
)


@dataclass(frozen=True)
class TrainingStarted:
    """A run is about to take its first step."""

    total: int
    step: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class TrainResult:
    """What a finished run left behind.

    Args:
        scores: of the best model on validation; None where no dataset has such a split.
        model_dir: the model directory.
        step: the step of that model.
        skipped: steps that were left out because a loss or gradient was not finite.
        answered: what that model answers on validation and what is right, by task; of several processes the first
            alone has it.
    """

    scores: Scores | None
    model_dir: Path
    step: int
    skipped: int = 0
    answered: Mapping[str, Predictions] = field(default_factory=dict, repr=False)


_WRITTEN = ("run.json", "metrics.jsonl", "evaluations.jsonl", "scores.json", "answers.json", "model")
"""What is replaced in a run's directory."""

Event = TrainingStarted | StepLogged | EvaluationDone | Message | TrainResult


def train(source: Source, *, output: str | Path | None = None, resume: bool = False, **overrides: Any) -> TrainResult:
    """Train a model.

    Args:
        source: a run file, the name of a shipped one, a dict, or a `RunConfig`.
        output: the run's directory; default: the config's.
        resume: go on from the newest checkpoint that is intact, with the overrides that the run was started with.
        overrides: keys of the config: ``seed=3``, ``train={"lr": 3e-5}``, or dotted, ``**{"train.lr": 3e-5}``.

    Raises:
        NlpmtlError: one of its branches, see `nlpmtl.errors`.
    """
    config, laid = load_run(source, output=output, resume=resume, overrides=dotted(overrides))
    (result,) = deque(iter_train(config, output=output, resume=resume, overrides=laid), maxlen=1)
    assert isinstance(result, TrainResult), "a run that ends without an error ends with its result"
    return result


def iter_train(
    config: RunConfig,
    *,
    output: str | Path | None = None,
    resume: bool = False,
    overrides: Mapping[str, Any] | None = None,
    extend: bool = True,
) -> Iterator[Event]:
    """Train a model, and tell what happens while it does. The last event is the `TrainResult`.

    Args:
        config: the run's config.
        output: the run's directory; default: the config's.
        resume: go on from the newest checkpoint that is intact.
        overrides: the overrides that are part of the config, dotted, for run.json to record.
        extend: whether a resumed run may have another length than it was started with.
    """
    directory = parse_output(output) if output is not None else config.output
    if directory is None:
        raise ConfigError('output: say where the run\'s directory shall be: output = "runs/…", or --output DIR')
    check_place(directory)
    pinned = recorded_precision(directory) if resume and config.train.precision == "auto" else None
    precision = pinned or resolve_precision(config.train.precision)
    with ExitStack() as stack:
        notes: list[str] | None = None
        if os.environ.get("WORLD_SIZE", "1") == "1":  # first of all: Accelerate's state may be that of another run
            notes = stack.enter_context(hold_lock(directory))
        accelerator = stack.enter_context(
            accelerator_context(directory=directory, precision=precision, trackers=config.train.trackers)
        )
        if notes is None:
            notes = stack.enter_context(hold_lock_on_all_ranks(directory, accelerator))
        plain = plain_config(config, output=directory)
        checkpoint, told = open_run_dir(directory, config=plain, resume=resume, extend=extend)
        facts = run_metadata(
            plain, precision=precision, processes=accelerator.num_processes, device=str(accelerator.device)
        )
        facts["overrides"] = recordable(overrides or {}, config=plain)
        yield from _training(config, directory, accelerator, checkpoint=checkpoint, facts=facts, notes=[*notes, *told])


def _training(
    config: RunConfig,
    directory: Path,
    accelerator: Accelerator,
    *,
    checkpoint: Path | None,
    facts: dict[str, Any],
    notes: list[str],
) -> Iterator[Event]:
    """`iter_train`, once it has its processes, the lock of its directory and the checkpoint to go on from."""
    accelerator.wait_for_everyone()  # all have looked before the first of them writes
    if accelerator.is_main_process:
        quarantine_corrupt(directory / "checkpoints")
        clear_leftovers(directory / "best")
        clear_leftovers(directory, _WRITTEN)
    encoder, work, fit = build_run(config, directory=directory, accelerator=accelerator)
    if checkpoint is not None:
        notes += check_same_data(read_state(checkpoint), fit.recorded, run=checkpoint)
        fit.state = RunState.from_json(restore(checkpoint, model=fit.model, optimizer=fit.optimizer))
        if fit.total < fit.state.cursor.step:
            raise RunError(
                f"the run has taken {fit.state.cursor.step} steps already, and would have {fit.total} in all"
            )
        if fit.stopped_early:
            notes.append(
                f"eval.patience = {fit.patience} stopped this run at step {fit.state.cursor.step} of {fit.total}: it "
                "takes no more steps"
            )
    facts |= fit.recorded
    if accelerator.is_main_process:
        write_metadata(directory, facts)
    if config.train.trackers:
        start_trackers(accelerator, config=facts["config"], name=directory.name)
    started = (*notes, *ignored_settings(), *work.notes, *_cost(fit, work))
    yield TrainingStarted(total=fit.total, step=fit.state.cursor.step, notes=started)
    yield from fit.events()
    known = len(fit.failures)
    scores, step, answered = finalize_run(fit, work=work, encoder=encoder, run=facts)
    fit.failures += finish_trackers(accelerator)
    if accelerator.is_main_process and fit.failures:
        write_failures(directory, facts, fit.failures)
    yield from map(Message, fit.failures[known:])
    yield TrainResult(scores, directory / "model", step, fit.state.skipped, answered)


def build_run(config: RunConfig, *, directory: Path, accelerator: Accelerator) -> tuple[Encoder, TaskDatasets, Trainer]:
    """Everything up to a run's first step: loaded, checked and put together; nothing is written."""
    encoder, work = load_inputs(config)
    work = replace(work, notes=(*work.notes, *_idle(encoder, work, frozen=config.encoder.freeze)))
    fit = build_trainer(config, directory=directory, accelerator=accelerator, encoder=encoder, work=work)
    return encoder, work, fit


@validated_responses()
def load_inputs(config: RunConfig) -> tuple[Encoder, TaskDatasets]:
    """What a run starts from: its encoder and its data, loaded and checked, first what costs least."""
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
    work = load_task_datasets(
        config.datasets,
        tokenizer=encoder.tokenizer,
        max_length=config.encoder.max_length,
        earlier=encoder.pretrained_tasks,
    )
    return encoder, replace(work, notes=(*encoder.notes, *work.notes))


def _idle(encoder: Encoder, work: TaskDatasets, *, frozen: bool) -> Iterator[str]:
    """What becomes of the tasks that the encoder brings and the run does not train."""
    idle = [name for name in encoder.pretrained_tasks if name not in work.tasks]
    if idle and frozen:
        yield f"kept as they are: {', '.join(idle)}"
    elif idle:
        yield (
            f"kept, but not trained along, while the encoder changes under them: {', '.join(idle)}. Add their datasets "
            "to the run, or freeze the encoder (encoder.freeze = true); or evaluate them afterwards"
        )


def _cost(fit: Trainer, work: TaskDatasets) -> Iterator[str]:
    """What sharing otherwise than by one encoder costs."""
    model, train = fit.model, work.splits["train"].values()
    assert isinstance(model, MultiTaskModel)
    if model.config.sharing["kind"] != "hard":
        labels = sum(int(one.labelled.sum()) for rows in train for one in rows.labels.values())
        cost = estimate_cost(model, tasks_per_row=labels / sum(map(len, train)))
        yield f"sharing by {model.config.sharing['kind']!r}: {cost}"


@validated_responses()
def evaluate(
    model: str | Path,
    data: str | Path | Mapping[str, Any],
    *,
    split: str = "validation",
    revision: str | None = None,
    device: str | torch.device = "auto",
    dtype: torch.dtype | Precision | None = None,
    plugins: Sequence[str] = (),
    **overrides: Any,
) -> Scores:
    """Score a saved model on a split of a run's datasets, or of one dataset file.

    Args:
        model: a model directory, or a Hub id.
        data: a run file, the name of a shipped one, or a dataset file; or a dict of either, whose files may be
            Datasets, DataFrames or lists of dicts.
        split: which rows.
        revision: a commit, tag or branch of the Hub's model; default: its main branch.
        device: where to compute, as for `Predictor.from_pretrained`.
        dtype: in which precision, as for `Predictor.from_pretrained`.
        plugins: modules that register the model's own kinds and metrics; those of a run file are imported as well.
        overrides: keys of a run's config, as for `train`.

    Raises:
        NlpmtlError: one of its branches, see `nlpmtl.errors`.
    """
    check_device(device, dtype=dtype)
    import_plugins(plugins)
    with global_state_restored():
        return _evaluate(
            model, data, split=split, revision=revision, device=device, dtype=dtype, overrides=dotted(overrides)
        )


def _evaluate(
    model: str | Path,
    data: str | Path | Mapping[str, Any],
    *,
    split: str,
    revision: str | None,
    device: str | torch.device,
    dtype: torch.dtype | Precision | None,
    overrides: Mapping[str, Any],
) -> Scores:
    datasets = load_datasets(data, overrides=overrides)
    check_datasets(datasets, splits=[split], tasks=False)
    directory = fetch(model, revision=revision)
    loaded, tokenizer = load_backend(str(directory), backend="torch", device=device, dtype=dtype)
    work = load_split(
        datasets, tasks=loaded.tasks, tokenizer=tokenizer, max_length=loaded.config.input_length, split=split
    )
    inference = Inference(
        with_finite_logits(loaded.predict_logits),
        pad=tokenizer.pad_token_id,
        types="token_type_ids" in tokenizer.model_input_names,
        tokens=max_batch_tokens(loaded.device),
    )
    scores = score(inference, tasks=work.tasks, datasets=work.splits[split])
    if not scores.tasks:
        rule = f"no row of the split {split!r} has a label for a task of this model, so nothing can be scored"
        raise DataError("\n".join([rule, *work.notes]))
    return replace(scores, notes=work.notes)


def load_datasets(
    data: str | Path | Mapping[str, Any], *, overrides: Mapping[str, Any] | None = None
) -> Mapping[str, DatasetConfig]:
    """The datasets of a run, or the one of a dataset file or of a dict of one."""
    if isinstance(data, Mapping) and "data" in data:
        return {"data": parse_dataset(data, where="config")}
    values = tuple(data.values()) if isinstance(data, Mapping) else ()
    splits = values and not any(isinstance(value, Mapping | str | int) for value in values)
    if splits or not isinstance(data, str | Path | Mapping | RunConfig):
        raise ConfigError(
            f"a run file, a dataset file, or a dict of either was expected, found a {type(data).__name__}"
            f"{' of splits' if splits else ''}. Rows in "
            'memory are written {"data": {"files": {"validation": rows}}, "input": {"text": "…"}, "tasks": {…}}'
        )
    if isinstance(data, str | Path):
        path = find_run(data)
        if "data" in read_toml(path):
            return {path.stem: parse_dataset(read_dataset(path), where=str(path))}
    return load_config(data, overrides=overrides).datasets
