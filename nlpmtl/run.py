"""The composition root: a run file goes in; a model directory comes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from nlpmtl.artifact import Precision, check_device, fetch, guarded, load_backend, write_json
from nlpmtl.compose import compose
from nlpmtl.config import (
    DatasetConfig,
    RunConfig,
    describe,
    dotted,
    find_run,
    parse_dataset,
    parse_run,
    plain_config,
    plugins_of,
    read_dataset,
    read_run,
    read_toml,
)
from nlpmtl.errors import ConfigError, DataError, RunError
from nlpmtl.evaluation import Answered, Inference, Scores, tokens_for
from nlpmtl.evaluation import evaluate as score
from nlpmtl.finish import finish
from nlpmtl.model import Encoder, MultiTaskModel, footprint, load_encoder
from nlpmtl.plugins import import_plugins
from nlpmtl.training import (
    Evaluated,
    Fit,
    Noted,
    Progressed,
    RunState,
    accelerating,
    check_same_data,
    global_state_restored,
    ignored_settings,
    open_run,
    pinned_precision,
    read_state,
    resolve_precision,
    restore,
    run_facts,
    set_aside,
)
from nlpmtl.workload import Workload, load_split, load_workload

Source = str | Path | Mapping[str, Any] | RunConfig
"""A run file, the name of a shipped one, a dict, or a config."""


@dataclass(frozen=True)
class Started:
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
    answered: Mapping[str, Answered] = field(default_factory=dict, repr=False)


Event = Started | Progressed | Evaluated | Noted | TrainResult


def load_config(source: Source, *, overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """A checked config; the members of the house and the plugins that it names are imported first.

    Raises:
        ConfigError: it cannot be read, or says something that cannot be done: every problem, one a line.
    """
    if not isinstance(source, str | Path | Mapping | RunConfig):
        kind = type(source).__name__
        raise ConfigError(f"a run file, the name of a shipped one, a dict or a RunConfig was expected, found a {kind}")
    found = find_run(source) if isinstance(source, str | Path) else source
    import_plugins(plugins_of(found, overrides=overrides))
    return parse_run(read_run(found, overrides=overrides), where=describe(found))


def train(source: Source, *, output: str | Path | None = None, resume: bool = False, **overrides: Any) -> TrainResult:
    """Train a model.

    Args:
        source: a run file, the name of a shipped one, a dict, or a `RunConfig`.
        output: the run's directory; left out: the config's.
        resume: go on from the newest checkpoint that is intact.
        overrides: keys of the config: ``seed=3``, ``train={"lr": 3e-5}``, or dotted, ``**{"train.lr": 3e-5}``.

    Raises:
        NlpmtlError: one of its branches, see `nlpmtl.errors`.
    """
    *_, result = training(load_config(source, overrides=dotted(overrides)), output=output, resume=resume)
    assert isinstance(result, TrainResult), "a run that ends without an error ends with its result"
    return result


def training(config: RunConfig, *, output: str | Path | None = None, resume: bool = False) -> Iterator[Event]:
    """Train a model, and tell what happens while it does. The last event is the `TrainResult`."""
    directory = Path(output) if output is not None else config.output
    if directory is None:
        raise ConfigError('output: say where the run\'s directory shall be: output = "runs/…", or --output DIR')
    plain = plain_config(config, output=directory)
    pinned = pinned_precision(directory) if resume and config.train.precision == "auto" else None
    precision = pinned or resolve_precision(config.train.precision)
    with accelerating(directory=directory, precision=precision, trackers=config.train.trackers) as accelerator:
        checkpoint, notes = open_run(directory, config=plain, resume=resume)
        accelerator.wait_for_everyone()  # all have looked before the first of them writes
        if accelerator.is_main_process:
            set_aside(directory / "checkpoints")
        if config.train.trackers:
            accelerator.init_trackers("nlpmtl")
        encoder, work, fit = prepare(config, directory=directory, accelerator=accelerator)
        if checkpoint is not None:
            before = read_state(checkpoint)
            notes = [*notes, *check_same_data(before, fit.recorded, run=checkpoint)]
            fit.state = RunState.from_json(restore(checkpoint, model=fit.model, optimizer=fit.optimizer))
        facts = run_facts(
            plain, precision=precision, processes=accelerator.num_processes, device=str(accelerator.device)
        )
        facts |= fit.recorded
        if accelerator.is_main_process:
            _write_facts(directory, facts)
        notes = [*notes, *ignored_settings(), *work.notes, *_cost(fit, work)]
        yield Started(total=fit.total, step=fit.state.cursor.step, notes=tuple(notes))
        yield from fit.events()
        scores, step, answered = finish(fit, work=work, encoder=encoder, run=facts)
        yield TrainResult(scores, directory / "model", step, fit.state.skipped, answered)


def _write_facts(directory: Path, facts: Mapping[str, Any]) -> None:
    """The first that a run writes."""
    try:
        write_json(directory / "run.json", facts)
    except OSError as error:
        raise RunError(f"output: {directory} cannot be written: {error}") from error


def prepare(config: RunConfig, *, directory: Path, accelerator: Accelerator) -> tuple[Encoder, Workload, Fit]:
    """Everything up to a run's first step: loaded, checked and put together; nothing is written."""
    encoder, work = load_parts(config)
    work = replace(work, notes=(*work.notes, *_idle(encoder, work, frozen=config.encoder.freeze)))
    fit = compose(config, directory=directory, accelerator=accelerator, encoder=encoder, work=work)
    return encoder, work, fit


@guarded()
def load_parts(config: RunConfig) -> tuple[Encoder, Workload]:
    """What a run starts from: its encoder and its data, loaded and checked."""
    encoder = load_encoder(
        config.encoder.name,
        revision=config.encoder.revision,
        sha256=config.encoder.sha256,
        attention=config.encoder.attention,
    )
    if config.encoder.max_length > encoder.longest:
        raise ConfigError(
            f"encoder.max_length: {config.encoder.name} reads at most {encoder.longest} wordpieces, "
            f"found {config.encoder.max_length}"
        )
    work = load_workload(
        config.datasets,
        tokenizer=encoder.tokenizer,
        max_length=config.encoder.max_length,
        earlier=encoder.tasks,
    )
    return encoder, work


def _idle(encoder: Encoder, work: Workload, *, frozen: bool) -> Iterator[str]:
    """What becomes of the tasks that the encoder brings and the run does not train."""
    idle = [name for name in encoder.tasks if name not in work.tasks]
    if idle and frozen:
        yield f"kept as they are: {', '.join(idle)}"
    elif idle:
        yield (
            f"kept, but not trained along, while the encoder changes under them: {', '.join(idle)}. Add their datasets "
            "to the run, or freeze the encoder (encoder.freeze = true); or evaluate them afterwards"
        )


def _cost(fit: Fit, work: Workload) -> Iterator[str]:
    """What sharing otherwise than by one encoder costs."""
    model, train = fit.model, work.splits["train"].values()
    assert isinstance(model, MultiTaskModel)
    if model.config.sharing["kind"] != "hard":
        labels = sum(int(one.labelled.sum()) for rows in train for one in rows.labels.values())
        cost = footprint(model, labels=labels / sum(map(len, train)))
        yield f"sharing by {model.config.sharing['kind']!r}: {cost}"


@guarded()
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
        revision: a commit, tag or branch of the Hub's model; left out: its main branch.
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
    directory = fetch(model, revision=revision)
    loaded, tokenizer = load_backend(str(directory), backend="torch", device=device, dtype=dtype)
    work = load_split(
        datasets, tasks=loaded.tasks, tokenizer=tokenizer, max_length=loaded.config.input_length, split=split
    )
    inference = Inference(
        loaded.infer,
        pad=tokenizer.pad_token_id,
        types="token_type_ids" in tokenizer.model_input_names,
        tokens=tokens_for(loaded.device),
    )
    scores = score(inference, tasks=work.tasks, datasets=work.splits[split])
    if not scores.tasks:
        raise DataError(f"no row of the split {split!r} has a label for a task of this model, so nothing can be scored")
    return replace(scores, notes=work.notes)


def load_datasets(
    data: str | Path | Mapping[str, Any], *, overrides: Mapping[str, Any] | None = None
) -> Mapping[str, DatasetConfig]:
    """The datasets of a run, or the one of a dataset file or of a dict of one."""
    if isinstance(data, Mapping) and "data" in data:
        return {"data": parse_dataset(data, where="config")}
    if not isinstance(data, str | Path | Mapping | RunConfig):
        raise ConfigError(
            f"a run file, a dataset file, or a dict of either was expected, found a {type(data).__name__}. Rows in "
            'memory are written {"data": {"files": {"validation": rows}}, "input": {"text": "…"}, "tasks": {…}}'
        )
    if isinstance(data, str | Path):
        path = find_run(data)
        if "data" in read_toml(path):
            return {path.stem: parse_dataset(read_dataset(path), where=str(path))}
    return load_config(data, overrides=overrides).datasets
