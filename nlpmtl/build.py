"""Everything that a run is made of, put together: model, optimizer, plan, and the steps."""

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
    GradientAccumulator,
    RunState,
    Signals,
    Trainer,
    TrainStep,
    broadcast_parameters,
    build_optimizer,
    build_schedule,
    digest_plugins,
    fsdp,
)
from nlpmtl.weighting import Weighting


def build_trainer(
    config: RunConfig, *, directory: Path, accelerator: Accelerator, encoder: Encoder, work: TaskDatasets
) -> Trainer:
    """A run that is ready for its first step; nothing is written."""
    model = MultiTaskModel.from_encoder(
        encoder,
        tasks=work.tasks.values(),
        sharing=config.sharing.model_dump(mode="json"),
        input_length=config.encoder.max_length,
        seed=config.seed,
    )
    if config.encoder.freeze:
        model.sharing.freeze()
    if config.encoder.gradient_checkpointing:
        inner = model.sharing.encoder
        enable = inner.gradient_checkpointing_enable  # its name before transformers renamed it
        getattr(inner, "activation_checkpointing_enable", enable)({"use_reentrant": False})
    if config.train.precision == "fp64":
        model.double()
    on_cpu = accelerator.device.type == "cpu"
    if on_cpu:
        enable_fast_dropout(model)
    fast = on_cpu or (accelerator.device.type == "cuda" and accelerator.mixed_precision == "bf16")
    fast = fast and config.encoder.attn_implementation is None
    packed = fast and supports_packing(encoder.model.config, device=accelerator.device.type)
    if packed:
        enable_packing(encoder.model)
    accelerator.prepare_model(model, evaluation_mode=True)  # in place: its device and precision, and no wrapper
    broadcast_parameters(model)
    whole = model
    if fsdp.is_asked_for() and accelerator.num_processes > 1:
        whole = fsdp.apply_fsdp(model, device=accelerator.device)
    elif packed and not on_cpu and not config.encoder.freeze and not config.encoder.gradient_checkpointing:
        model.sharing.capture_cuda_graphs(rows=config.train.batch_size, longest=config.encoder.max_length)
    optimizer = build_optimizer(
        model,
        lr=config.train.lr,
        head_lr=config.train.head_lr or config.train.lr,
        weight_decay=config.train.weight_decay,
    )
    signals = Signals()
    plan, total, epoch = _plan(config, work)
    types = "token_type_ids" in encoder.tokenizer.model_input_names
    pad = encoder.tokenizer.pad_token_id
    stepper = TrainStep(
        accumulator=GradientAccumulator(
            accelerator=accelerator,
            model=model,
            tasks=work.tasks,
            collate=Collator(list(work.splits["train"].values()), pad=pad, types=types),
            micro_tokens=config.train.micro_tokens,
            packed=packed,
            seed=config.seed,
            tells_unsure=plan.needs_uncertainties,
            asked=lambda: signals.received,
        ),
        optimizer=optimizer,
        weighting=WEIGHTINGS.build(
            config.weighting, Weighting, tasks=list(work.tasks), epoch_steps=epoch, seed=config.seed
        ),
        schedule=build_schedule(config.train.schedule, total=total, warmup=config.train.warmup),
        clip=config.train.max_grad_norm,
        skips=config.train.on_bad_step == "skip",
        teaches=plan.is_adaptive,
    )

    def forward(batch: Batch, rows: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        with accelerator.autocast():
            return whole.predict_logits(batch, rows)

    return Trainer(
        directory=directory,
        accelerator=accelerator,
        model=model,
        whole=whole,
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
        signals=signals,
        state=RunState(cursor=plan.start()),
        recorded={"data": work.fingerprint(), "plugins": digest_plugins(config.plugins)},
    )


def _plan(config: RunConfig, work: TaskDatasets) -> tuple[Plan, int, int]:
    """The plan, how many steps it is followed, and the steps of an epoch."""
    train_rows = work.splits["train"]
    total, epoch = config.train.length(sum(map(len, train_rows.values())))
    plan = build_plan(
        config.sampling,
        names=list(train_rows),
        sizes=[len(rows) for rows in train_rows.values()],
        total_steps=total,
        epoch_steps=epoch,
        batch_size=config.train.batch_size,
        seed=config.seed,
        tasks=[list(rows.labels) for rows in train_rows.values()],
    )
    return plan, total, epoch
