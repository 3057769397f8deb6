"""The composition root: the only file that sees every floor. A run file goes in; a model directory comes out."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor

from nlpmtl.artifact import load_model, save_model, write_card, write_json
from nlpmtl.calibration import calibrate
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
from nlpmtl.data import Batch, Collator
from nlpmtl.errors import ConfigError, DataError
from nlpmtl.evaluation import Inference, Scores
from nlpmtl.evaluation import evaluate as score
from nlpmtl.model import Encoder, MultiTaskModel, load_encoder
from nlpmtl.registry import WEIGHTINGS
from nlpmtl.sampling import Plan, build_plan
from nlpmtl.training import (
    Evaluated,
    Fit,
    Progressed,
    RunState,
    Stepper,
    accelerating,
    build_optimizer,
    build_schedule,
    open_run,
    pinned_precision,
    resolve_precision,
    restore,
    run_facts,
    set_aside,
)
from nlpmtl.weighting import Weighting
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
    """

    scores: Scores | None
    model_dir: Path
    step: int


Event = Started | Progressed | Evaluated | TrainResult


def load_config(source: Source, *, overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """A checked config; the members of the house and the plugins that it names are imported first.

    Raises:
        ConfigError: it cannot be read, or says something that cannot be done: every problem, one a line.
    """
    found = find_run(source) if isinstance(source, str | Path) else source
    for name in plugins_of(found, overrides=overrides):
        _import_plugin(name)
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
            fit.state = RunState.from_json(restore(checkpoint, model=fit.model, optimizer=fit.optimizer))
        if accelerator.is_main_process:
            write_json(
                directory / "run.json",
                run_facts(
                    plain,
                    precision=precision,
                    processes=accelerator.num_processes,
                    device=str(accelerator.device),
                ),
            )
        yield Started(total=fit.total, step=fit.state.cursor.step, notes=(*notes, *work.notes))
        yield from fit.events()
        yield _finish(fit, config=config, encoder=encoder)


def prepare(config: RunConfig, *, directory: Path, accelerator: Accelerator) -> tuple[Encoder, Workload, Fit]:
    """Everything up to a run's first step: loaded, checked and put together; nothing is written."""
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
    work = replace(work, notes=(*work.notes, *_idle(encoder, work, frozen=config.encoder.freeze)))
    fit = _compose(config, directory=directory, accelerator=accelerator, encoder=encoder, work=work)
    return encoder, work, fit


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


def _compose(config: RunConfig, *, directory: Path, accelerator: Accelerator, encoder: Encoder, work: Workload) -> Fit:
    """Everything that a run is made of, put together."""
    model = MultiTaskModel.assemble(
        encoder,
        tasks=work.tasks.values(),
        sharing=config.sharing.model_dump(mode="json"),
        input_length=config.encoder.max_length,
        seed=config.seed,
    )
    if config.encoder.freeze:
        model.sharing.encoder.requires_grad_(False)
    if config.encoder.gradient_checkpointing:
        inner = model.sharing.encoder
        enable = inner.gradient_checkpointing_enable  # its name before transformers renamed it
        getattr(inner, "activation_checkpointing_enable", enable)({"use_reentrant": False})
    if config.train.precision == "fp64":
        model.double()
    optimizer = build_optimizer(
        model,
        lr=config.train.lr,
        head_lr=config.train.head_lr or config.train.lr,
        weight_decay=config.train.weight_decay,
    )
    prepared, ready = accelerator.prepare(model, optimizer)
    plan, total = _plan(config, work)
    types = "token_type_ids" in encoder.tokenizer.model_input_names
    pad = encoder.tokenizer.pad_token_id
    train_rows = list(work.splits["train"].values())
    stepper = Stepper(
        accelerator=accelerator,
        model=prepared,
        optimizer=ready,
        tasks=work.tasks,
        weighting=WEIGHTINGS.build(config.weighting, Weighting, tasks=list(work.tasks)),
        datasets=train_rows,
        collate=Collator(train_rows, pad=pad, types=types),
        schedule=build_schedule(config.train.schedule, total=total, warmup=config.train.warmup),
        micro_tokens=config.train.micro_tokens,
        clip=config.train.clip,
        seed=config.seed,
    )

    def forward(batch: Batch, rows: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        with accelerator.autocast():
            return model.infer(batch, rows)

    return Fit(
        directory=directory,
        accelerator=accelerator,
        model=model,
        optimizer=optimizer,
        stepper=stepper,
        plan=plan,
        total=total,
        tasks=work.tasks,
        validation=work.splits.get("validation", {}),
        inference=Inference(
            forward,
            pad=pad,
            types=types,
            tokens=config.train.micro_tokens,
            rank=accelerator.process_index,
            world=accelerator.num_processes,
        ),
        evaluate_every=config.eval.every,
        select=config.eval.select,
        patience=config.eval.patience,
        save_every=config.train.save_every,
        keep=config.train.keep,
        config=plain_config(config, output=directory),
        state=RunState(cursor=plan.start()),
    )


def _plan(config: RunConfig, work: Workload) -> tuple[Plan, int]:
    """The plan, and how many steps it is followed."""
    train_rows = work.splits["train"]
    epoch = math.ceil(sum(map(len, train_rows.values())) / config.train.batch_size)
    total = config.train.steps or math.ceil((config.train.epochs or 3) * epoch)
    plan = build_plan(
        config.sampling,
        names=list(train_rows),
        sizes=[len(rows) for rows in train_rows.values()],
        total_steps=total,
        epoch_steps=epoch,
        batch_size=config.train.batch_size,
        seed=config.seed,
    )
    return plan, total


def _finish(fit: Fit, *, config: RunConfig, encoder: Encoder) -> TrainResult:
    """Calibrate the best model, and write its directory and its scores."""
    best, directory = fit.state.best, fit.directory / "model"
    step = fit.state.cursor.step if best is None else best.step
    told: list[dict[str, Any] | None] = [None]
    if fit.accelerator.is_main_process:
        model = fit.best_model()
        assert isinstance(model, MultiTaskModel)
        calibrated = calibrate(fit.alone, tasks=fit.tasks, datasets=fit.validation)
        model.config.tasks |= {name: task.spec() for name, task in fit.tasks.items()}
        if best is not None:  # scored anew: the best model's thresholds are others now
            scores = score(fit.alone, tasks=fit.tasks, datasets=fit.validation)
            final = {"step": step, "split": "validation", **scores.to_json()}
            write_json(fit.directory / "scores.json", final)
            told = [final]
        facts = [
            f"steps: {fit.state.cursor.step}, the weights are those of step {step}",
            f"datasets: {', '.join(config.datasets)}; sampler: {config.sampling.kind}; sharing: {config.sharing.kind}",
            f"batches of {config.train.batch_size} rows, learning rate {config.train.lr:g}, seed {config.seed}",
        ]
        card = write_card(
            encoder=config.encoder.name,
            tasks=model.config.tasks,
            scores=told[0],
            calibrated={name: asdict(one) for name, one in calibrated.items()},
            facts=facts,
        )
        save_model(directory, model=model, tokenizer=encoder.tokenizer, scores=told[0], card=card)
    broadcast_object_list(told)
    final_scores = None if told[0] is None else Scores(tasks=told[0]["tasks"], mean=told[0]["mean"])
    return TrainResult(final_scores, directory, step)


def evaluate(
    model: str | Path,
    data: str | Path | Mapping[str, Any],
    *,
    split: str = "validation",
    revision: str | None = None,
    **overrides: Any,
) -> Scores:
    """Score a saved model on a split of a run's datasets, or of one dataset file.

    Args:
        model: a model directory, or a Hub id.
        data: a run file, the name of a shipped one, a dict of one, or a dataset file.
        split: which rows.
        revision: a commit, tag or branch of the Hub's model; left out: its main branch.
        overrides: keys of a run's config, as for `train`.

    Raises:
        NlpmtlError: one of its branches, see `nlpmtl.errors`.
    """
    datasets = load_datasets(data, overrides=dotted(overrides))
    loaded, tokenizer = load_model(str(model), revision=revision)
    work = load_split(
        datasets, tasks=loaded.tasks, tokenizer=tokenizer, max_length=loaded.config.input_length, split=split
    )
    inference = Inference(
        loaded.infer,
        pad=tokenizer.pad_token_id,
        types="token_type_ids" in tokenizer.model_input_names,
        tokens=4096,
    )
    scores = score(inference, tasks=work.tasks, datasets=work.splits[split])
    if not scores.tasks:
        raise DataError(f"no row of the split {split!r} has a label for a task of this model, so nothing can be scored")
    return replace(scores, notes=work.notes)


def load_datasets(
    data: str | Path | Mapping[str, Any], *, overrides: Mapping[str, Any] | None = None
) -> Mapping[str, DatasetConfig]:
    """The datasets of a run file, or the one of a dataset file."""
    if isinstance(data, str | Path):
        path = find_run(data)
        if "data" in read_toml(path):
            return {path.stem: parse_dataset(read_dataset(path), where=str(path))}
    return load_config(data, overrides=overrides).datasets


def _import_plugin(name: str) -> None:
    """Import a module that registers kinds of its own, from where packages are or from the working directory."""
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"plugins: {name!r} cannot be imported: {error}") from error
    finally:
        sys.path.remove(here)
