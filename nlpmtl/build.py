"""Build the trainer of a run: model, sampling plan, train step, evaluator, checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from accelerate import Accelerator
from torch import Tensor

from nlpmtl.config import RunConfig, plain_config
from nlpmtl.data import Batch, Collator
from nlpmtl.evaluation import Inference
from nlpmtl.kernels import enable_fast_dropout, enable_packing, supports_packing
from nlpmtl.model import Encoder, MultiTaskModel
from nlpmtl.registry import WEIGHTINGS
from nlpmtl.sampling import Plan, build_plan
from nlpmtl.task_datasets import TaskDatasets
from nlpmtl.training import (
    CheckpointManager,
    Evaluator,
    GradientAccumulator,
    MetricsLogger,
    RunState,
    StopSignals,
    Trainer,
    TrainStep,
    broadcast_parameters,
    build_optimizer,
    build_schedule,
    digest_plugins,
    fsdp,
)
from nlpmtl.weighting import Constant, Weighting


def build_trainer(
    config: RunConfig, *, directory: Path, accelerator: Accelerator, encoder: Encoder, datasets: TaskDatasets
) -> Trainer:
    """Build a trainer before its first step; nothing is written.

    Args:
        config: config of the run.
        directory: directory of the run.
        accelerator: device, precision and processes.
        encoder: pretrained encoder.
        datasets: datasets and tasks of the run.
    """
    packed = _supports_packing(config, accelerator, encoder)
    model, full_model = _build_model(config, accelerator, encoder, datasets, packed=packed)
    train_rows = datasets.splits["train"]
    total_steps, epoch_steps = config.train.length(sum(map(len, train_rows.values())))
    plan = _build_plan(config, datasets, total_steps=total_steps, epoch_steps=epoch_steps)
    weighting = WEIGHTINGS.build(
        config.weighting, Weighting, tasks=list(datasets.tasks), epoch_steps=epoch_steps, seed=config.seed
    )
    optimizer = build_optimizer(
        model,
        lr=config.train.lr,
        head_lr=config.train.head_lr or config.train.lr,
        weight_decay=config.train.weight_decay,
    )
    signals = StopSignals()
    train_step = TrainStep(
        accumulator=GradientAccumulator(
            accelerator=accelerator,
            model=model,
            tasks=datasets.tasks,
            collate=Collator(
                list(train_rows.values()), pad=encoder.tokenizer.pad_token_id, types=_has_segments(encoder)
            ),
            micro_tokens=config.train.micro_tokens,
            packed=packed,
            seed=config.seed,
            needs_uncertainties=plan.needs_uncertainties,
            signals=signals,
        ),
        optimizer=optimizer,
        weighting=weighting,
        schedule=build_schedule(config.train.schedule, total=total_steps, warmup=config.train.warmup),
        max_grad_norm=config.train.max_grad_norm,
        skip_nonfinite=config.train.on_bad_step == "skip",
        adaptive_sampler=plan.is_adaptive,
    )
    logger = MetricsLogger(
        accelerator,
        directory=directory,
        tasks=list(datasets.tasks),
        datasets=plan.names if plan.is_time_varying(total_steps) else (),
        log_weights=not isinstance(weighting, Constant),
    )
    return Trainer(
        train_step=train_step,
        plan=plan,
        total_steps=total_steps,
        save_every=config.train.save_every,
        checkpoints=CheckpointManager(
            directory,
            accelerator=accelerator,
            model=model,
            full_model=full_model,
            optimizer=optimizer,
            keep=config.train.keep,
            metadata={
                "config": plain_config(config, output=directory),
                "data": datasets.fingerprint(),
                "plugins": digest_plugins(config.plugins),
            },
            logs=logger.files,
        ),
        evaluator=_build_evaluator(config, accelerator, encoder, datasets, model, full_model, signals),
        logger=logger,
        signals=signals,
        state=RunState(cursor=plan.start()),
    )


def _supports_packing(config: RunConfig, accelerator: Accelerator, encoder: Encoder) -> bool:
    """Return whether rows are computed without padding, which is faster on CPU and in bf16 on CUDA."""
    device = accelerator.device.type
    is_faster = device == "cpu" or (device == "cuda" and accelerator.mixed_precision == "bf16")
    return (
        is_faster
        and config.encoder.attn_implementation is None
        and supports_packing(encoder.model.config, device=device)
    )


def _build_model(
    config: RunConfig, accelerator: Accelerator, encoder: Encoder, datasets: TaskDatasets, *, packed: bool
) -> tuple[MultiTaskModel, MultiTaskModel]:
    """Return the model on its device, with the same parameters on all ranks, and the full model for predictions.

    The full model is an unsharded copy if the model is sharded, otherwise the same object.
    """
    model = MultiTaskModel.from_encoder(
        encoder,
        tasks=datasets.tasks.values(),
        sharing=config.sharing.model_dump(mode="json"),
        input_length=config.encoder.max_length,
        seed=config.seed,
    )
    if config.encoder.freeze:
        model.sharing.freeze()
    if config.encoder.gradient_checkpointing:
        shared = model.sharing.encoder
        enable = shared.gradient_checkpointing_enable  # name in older versions of transformers
        getattr(shared, "activation_checkpointing_enable", enable)({"use_reentrant": False})
    if config.train.precision == "fp64":
        model.double()
    is_cpu = accelerator.device.type == "cpu"
    if is_cpu:
        enable_fast_dropout(model)
    if packed:
        enable_packing(encoder.model)
    accelerator.prepare_model(model, evaluation_mode=True)  # changes device and precision in place, without a wrapper
    broadcast_parameters(model)
    if fsdp.is_requested() and accelerator.num_processes > 1:
        return model, fsdp.apply_fsdp(model, device=accelerator.device)
    if packed and not is_cpu and not config.encoder.freeze and not config.encoder.gradient_checkpointing:
        model.sharing.capture_cuda_graphs(rows=config.train.batch_size, longest=config.encoder.max_length)
    return model, model


def _build_plan(config: RunConfig, datasets: TaskDatasets, *, total_steps: int, epoch_steps: int) -> Plan:
    train_rows = datasets.splits["train"]
    return build_plan(
        config.sampling,
        names=list(train_rows),
        sizes=[len(rows) for rows in train_rows.values()],
        total_steps=total_steps,
        epoch_steps=epoch_steps,
        batch_size=config.train.batch_size,
        seed=config.seed,
        tasks=[list(rows.labels) for rows in train_rows.values()],
    )


def _build_evaluator(
    config: RunConfig,
    accelerator: Accelerator,
    encoder: Encoder,
    datasets: TaskDatasets,
    model: MultiTaskModel,
    full_model: MultiTaskModel,
    signals: StopSignals,
) -> Evaluator:
    def forward(batch: Batch, rows: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        with accelerator.autocast():
            return full_model.predict_logits(batch, rows)

    return Evaluator(
        model=model,
        full_model=full_model,
        tasks=datasets.tasks,
        validation=datasets.splits.get("validation", {}),
        inference=Inference(
            forward,
            pad=encoder.tokenizer.pad_token_id,
            types=_has_segments(encoder),
            tokens=config.train.micro_tokens,
            rank=accelerator.process_index,
            world=accelerator.num_processes,
        ),
        every=config.eval.every,
        select=config.eval.select,
        patience=config.eval.patience,
        device=accelerator.device,
        signals=signals,
    )


def _has_segments(encoder: Encoder) -> bool:
    """Return whether the encoder takes token type ids."""
    return "token_type_ids" in encoder.tokenizer.model_input_names
