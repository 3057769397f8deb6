"""Training: trainer, train step, optimizer, checkpoints, distributed training, and the directory of a run."""

from __future__ import annotations

from nlpmtl.training import fsdp
from nlpmtl.training.accelerator import accelerator_context, check_precision, finish_trackers, resolve_precision
from nlpmtl.training.checkpoint import (
    CheckpointManager,
    latest_valid,
    prune,
    quarantine_corrupt,
    read_state,
    restore,
    save_atomic,
    state_tensors,
    update_state,
    verify,
)
from nlpmtl.training.data_fingerprints import check_same_data
from nlpmtl.training.distributed import (
    all_gather_lists,
    all_reduce_max,
    barrier,
    broadcast_object,
    broadcast_parameters,
    is_distributed,
    long_wait_group,
    work_of_one_rank,
)
from nlpmtl.training.evaluator import Evaluator, unchanged_score_notes
from nlpmtl.training.events import BestModel, EvaluationDone, Message, RunState, StepLogged, StepReport, TrainingStarted
from nlpmtl.training.global_state import global_state_restored, with_own_global_state
from nlpmtl.training.gradient_accumulation import GradientAccumulator, StepRows, dropout_seed
from nlpmtl.training.launch import check_launch, ignored_settings
from nlpmtl.training.lock import hold_lock, hold_lock_on_all_ranks
from nlpmtl.training.metrics_logger import MetricsLogger, read_lines
from nlpmtl.training.mixture_checks import check_trained, sampling_notes, weighting_notes
from nlpmtl.training.optimizer import build_optimizer
from nlpmtl.training.run_directory import (
    check_run_dir,
    clear_run_dir,
    config_diff,
    open_run_dir,
    recordable_overrides,
    recorded_overrides,
    recorded_precision,
    run_metadata,
    write_failures,
    write_metadata,
)
from nlpmtl.training.schedule import Schedule, build_schedule
from nlpmtl.training.signals import StopSignals
from nlpmtl.training.task_gradients import Gradient, inner_products
from nlpmtl.training.trackers import check_trackers, start_trackers
from nlpmtl.training.train_step import TrainStep
from nlpmtl.training.trainer import Trainer

__all__ = [
    "BestModel",
    "CheckpointManager",
    "EvaluationDone",
    "Evaluator",
    "Gradient",
    "GradientAccumulator",
    "Message",
    "MetricsLogger",
    "RunState",
    "Schedule",
    "StepLogged",
    "StepReport",
    "StepRows",
    "StopSignals",
    "TrainStep",
    "Trainer",
    "TrainingStarted",
    "accelerator_context",
    "all_gather_lists",
    "all_reduce_max",
    "barrier",
    "broadcast_object",
    "broadcast_parameters",
    "build_optimizer",
    "build_schedule",
    "check_launch",
    "check_precision",
    "check_run_dir",
    "check_same_data",
    "check_trackers",
    "check_trained",
    "clear_run_dir",
    "config_diff",
    "dropout_seed",
    "finish_trackers",
    "fsdp",
    "global_state_restored",
    "hold_lock",
    "hold_lock_on_all_ranks",
    "ignored_settings",
    "inner_products",
    "is_distributed",
    "latest_valid",
    "long_wait_group",
    "open_run_dir",
    "prune",
    "quarantine_corrupt",
    "read_lines",
    "read_state",
    "recordable_overrides",
    "recorded_overrides",
    "recorded_precision",
    "resolve_precision",
    "restore",
    "run_metadata",
    "sampling_notes",
    "save_atomic",
    "start_trackers",
    "state_tensors",
    "unchanged_score_notes",
    "update_state",
    "verify",
    "weighting_notes",
    "with_own_global_state",
    "work_of_one_rank",
    "write_failures",
    "write_metadata",
]
