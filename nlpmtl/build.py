"""Build the trainer of a run: model, sampling plan, train step, evaluator, checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor
from torch.optim import Optimizer

from nlpmtl.batched_inference import Inference
from nlpmtl.config import RunConfig, plain_config
from nlpmtl.data import Batch, Collator
from nlpmtl.kernels import (
    Kernel,
    KernelSelection,
    enable_fast_dropout,
    enable_packing,
    select_kernels,
    supports_packing,
    tune_malloc,
)
from nlpmtl.model import Encoder, MultiTaskModel, RowLosses
from nlpmtl.plugins import digest_plugins
from nlpmtl.registry import WEIGHTINGS
from nlpmtl.sampling import Plan, build_plan
from nlpmtl.stages import Stages
from nlpmtl.task_datasets import TaskDatasets
from nlpmtl.tasks import Task
from nlpmtl.training import (
    CheckpointManager,
    Evaluator,
    GradientAccumulator,
    MetricsLogger,
    RunState,
    StopSignals,
    Trainer,
    TrainStep,
    all_reduce_max,
    broadcast_parameters,
    build_optimizer,
    build_schedule,
    check_trained,
    fsdp,
    sampling_notes,
    weighting_notes,
)
from nlpmtl.weighting import Constant, Weighting


def build_trainer(
    config: RunConfig,
    *,
    directory: Path,
    accelerator: Accelerator,
    encoder: Encoder,
    datasets: TaskDatasets,
    stages: Stages | None = None,
) -> Trainer:
    """Build a trainer before its first step; nothing is written.

    Args:
        config: config of the run.
        directory: directory of the run.
        accelerator: device, precision and processes.
        encoder: pretrained encoder.
        datasets: datasets and tasks of the run.
        stages: measures the stages of the run and reports their progress.
    """
    builder = _Builder(config, directory, accelerator, encoder, datasets)
    model, full_model = builder.models()
    optimizer = builder.optimizer(model)
    total_steps, epoch_steps = config.train.length(sum(map(len, datasets.splits["train"].values())))
    plan = builder.plan(total_steps, epoch_steps)
    weighting = builder.weighting(epoch_steps)
    stages = stages or Stages()
    signals = StopSignals(stages.stop_requested)
    logger = MetricsLogger(
        accelerator,
        directory=directory,
        tasks=list(datasets.tasks),
        datasets=plan.names if plan.is_time_varying(total_steps) else (),
        log_weights=not isinstance(weighting, Constant),
        total_steps=total_steps,
    )
    return Trainer(
        train_step=TrainStep(
            accumulator=builder.accumulator(model, signals, needs_uncertainties=plan.needs_uncertainties),
            optimizer=optimizer,
            weighting=weighting,
            schedule=build_schedule(config.train.schedule, total=total_steps, warmup=config.train.warmup),
            max_grad_norm=config.train.max_grad_norm,
            skip_nonfinite=config.train.on_bad_step == "skip",
            adaptive_sampler=plan.is_adaptive,
        ),
        plan=plan,
        total_steps=total_steps,
        save_every=config.train.save_every,
        checkpoints=builder.checkpoints(model, full_model, optimizer, logger),
        evaluator=builder.evaluator(model, full_model, signals, stages=stages),
        logger=logger,
        signals=signals,
        state=RunState(cursor=plan.start()),
        notes=(*builder.kernels.notes, *builder.mixture_notes(model, weighting, plan, total_steps)),
    )


@dataclass(frozen=True)
class _Builder:
    """Builds the parts of a trainer from the arguments of `build_trainer`."""

    config: RunConfig
    directory: Path
    accelerator: Accelerator
    encoder: Encoder
    datasets: TaskDatasets

    def models(self) -> tuple[MultiTaskModel, MultiTaskModel]:
        """Return the model on its device, with the same parameters on all ranks, and the full model for predictions.

        The full model is an unsharded copy if the model is sharded, otherwise the same object.
        """
        config = self.config
        model = MultiTaskModel.from_encoder(
            self.encoder,
            tasks=self.datasets.tasks.values(),
            sharing=config.sharing.model_dump(mode="json"),
            input_length=config.encoder.max_length,
            seed=config.seed,
        )
        if config.encoder.freeze:
            model.sharing.freeze()
        elif config.encoder.freeze_layers is not None:
            model.sharing.freeze_layers(config.encoder.freeze_layers)
        if config.encoder.gradient_checkpointing:
            shared = model.sharing.encoder
            enable = shared.gradient_checkpointing_enable  # name in older versions of transformers
            getattr(shared, "activation_checkpointing_enable", enable)({"use_reentrant": False})
        if config.train.precision == "fp64":
            model.double()
        check_trained(model, tasks=self.datasets.tasks)
        kernels = self.kernels.kernels
        if "fast_dropout" in kernels:
            enable_fast_dropout(model)
        if "packed_attention" in kernels:
            enable_packing(self.encoder.model)
        self.accelerator.prepare_model(model, evaluation_mode=True)  # sets device and precision, without a wrapper
        broadcast_parameters(model)
        if fsdp.is_requested() and self.accelerator.num_processes > 1:
            return model, fsdp.apply_fsdp(model, device=self.accelerator.device)
        if "cuda_graphs" in kernels:
            model.sharing.capture_cuda_graphs(rows=config.train.batch_size, max_length=config.encoder.max_length)
        return model, model

    def optimizer(self, model: MultiTaskModel) -> Optimizer:
        """Return the optimizer of a model."""
        config = self.config
        return build_optimizer(
            model,
            config.optimizer,
            lr=config.train.lr,
            head_lr=config.train.head_lr or config.train.lr,
            weight_decay=config.train.weight_decay,
            task_lrs={name: options.lr for name, options in config.tasks.items() if options.lr is not None},
            layer_decay=config.train.layer_decay,
        )

    @cached_property
    def kernels(self) -> KernelSelection:
        """Kernels that suit the run and pass their conformance check; none if `train.kernels` is "off"."""
        config, device, encoder = self.config.encoder, self.accelerator.device, self.encoder.model
        if self.config.train.kernels == "off":
            return KernelSelection()
        candidates: set[Kernel] = set()
        if device.type == "cpu":
            tune_malloc()
            candidates.add("fast_dropout")
        is_faster = device.type == "cpu" or (device.type == "cuda" and self.accelerator.mixed_precision == "bf16")
        is_supported = supports_packing(encoder.config, device=device.type)
        if is_faster and is_supported and config.attn_implementation is None:
            candidates.add("packed_attention")
            is_sharded = fsdp.is_requested() and self.accelerator.num_processes > 1
            is_frozen = config.freeze or config.freeze_layers is not None
            # The first pass of a coupled loss has no gradients, so no graph: it would have other dropout masks.
            is_coupled = any(task.coupled for task in self.datasets.tasks.values())
            if device.type == "cuda" and not (is_sharded or is_frozen or is_coupled or config.gradient_checkpointing):
                candidates.add("cuda_graphs")
        agree = partial(all_reduce_max, device=device)
        return select_kernels(candidates, encoder=encoder, device=device, all_reduce_max=agree)

    def plan(self, total_steps: int, epoch_steps: int) -> Plan:
        """Return the sampling plan."""
        train_rows = self.datasets.splits["train"]
        return build_plan(
            self.config.sampling,
            names=list(train_rows),
            sizes=[len(rows) for rows in train_rows.values()],
            total_steps=total_steps,
            epoch_steps=epoch_steps,
            batch_size=self.config.train.batch_size,
            seed=self.config.seed,
            tasks=[list(rows.labels) for rows in train_rows.values()],
        )

    def weighting(self, epoch_steps: int) -> Weighting:
        """Return the loss weighting."""
        config, tasks = self.config, list(self.datasets.tasks)
        return WEIGHTINGS.build(config.weighting, Weighting, tasks=tasks, epoch_steps=epoch_steps, seed=config.seed)

    def mixture_notes(self, model: MultiTaskModel, weighting: Weighting, plan: Plan, total_steps: int) -> Iterator[str]:
        """Yield notes about datasets that are never drawn, and a loss weighting without effect."""
        config = self.config
        yield from sampling_notes(plan, total_steps=total_steps, kind=config.sampling.kind)
        yield from weighting_notes(
            weighting, model=model, plan=plan, tasks=self.datasets.tasks, kind=config.weighting.kind
        )

    def accumulator(
        self, model: MultiTaskModel, signals: StopSignals, *, needs_uncertainties: bool
    ) -> GradientAccumulator:
        """Return the gradient accumulator of the train rows."""
        return GradientAccumulator(
            accelerator=self.accelerator,
            model=model,
            tasks=self.datasets.tasks,
            collate=Collator(
                list(self.datasets.splits["train"].values()),
                pad=self.encoder.tokenizer.pad_token_id,
                types=self._has_token_types,
                words=any(map(model.reads_words, model.tasks)),
                corrupt={
                    name: task.corrupt
                    for name, task in self.datasets.tasks.items()
                    if type(task).corrupt is not Task.corrupt
                },
                names=list(self.datasets.splits["train"]),
                seed=self.config.seed,
            ),
            micro_tokens=self.config.train.micro_tokens,
            packed="packed_attention" in self.kernels.kernels,
            seed=self.config.seed,
            needs_uncertainties=needs_uncertainties,
            signals=signals,
        )

    def evaluator(
        self, model: MultiTaskModel, full_model: MultiTaskModel, signals: StopSignals, *, stages: Stages
    ) -> Evaluator:
        """Return the evaluator on the validation splits."""
        accelerator = self.accelerator

        def forward(batch: Batch, rows: Mapping[str, Tensor]) -> Mapping[str, Any]:
            with accelerator.autocast():
                return full_model.predict_logits(batch, rows)

        batches: dict[str, Any] = {
            "pad": self.encoder.tokenizer.pad_token_id,
            "types": self._has_token_types,
            "tokens": self.config.train.micro_tokens,
            "rank": accelerator.process_index,
            "world": accelerator.num_processes,
        }
        tasks = self.datasets.tasks
        return Evaluator(
            model=model,
            full_model=full_model,
            tasks=tasks,
            validation=self.datasets.splits.get("validation", {}),
            inference=Inference(forward, **batches),
            row_losses=RowLosses(full_model, tasks, autocast=accelerator.autocast, **batches),
            every=self.config.eval.every,
            select=self.config.eval.select,
            patience=self.config.eval.patience,
            device=accelerator.device,
            signals=signals,
            stages=stages,
        )

    def checkpoints(
        self, model: MultiTaskModel, full_model: MultiTaskModel, optimizer: Optimizer, logger: MetricsLogger
    ) -> CheckpointManager:
        """Return the checkpoint manager."""
        return CheckpointManager(
            self.directory,
            accelerator=self.accelerator,
            model=model,
            full_model=full_model,
            optimizer=optimizer,
            keep=self.config.train.keep,
            metadata={
                "config": plain_config(self.config, output=self.directory),
                "data": self.datasets.fingerprint(),
                "plugins": digest_plugins(self.config.plugins),
                "encoder_config": self.encoder.outputs_config,
                "pooling": self.encoder.pooling,
            },
            logs=logger.files,
        )

    @property
    def _has_token_types(self) -> bool:
        return "token_type_ids" in self.encoder.tokenizer.model_input_names
