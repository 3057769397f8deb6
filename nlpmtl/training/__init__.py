"""Training: the loop, one step of it, its optimizer, checkpoints, and what a run writes about itself."""

from __future__ import annotations

from nlpmtl.training import fsdp
from nlpmtl.training.accelerator import accelerating, check_precision, finish_trackers, resolve_precision
from nlpmtl.training.checkpoint import amend, commit, newest, problem, prune, read_state, restore, set_aside, snapshot
from nlpmtl.training.data_fingerprints import check_same_data, digest_plugins
from nlpmtl.training.distributed import share_weights
from nlpmtl.training.events import Best, EvaluationDone, Message, RunState, StepLogged
from nlpmtl.training.global_state import global_state_restored
from nlpmtl.training.gradient_accumulation import GradientAccumulator, deal, dropout_seed
from nlpmtl.training.launch import ignored_settings
from nlpmtl.training.lock import hold_lock, hold_lock_together
from nlpmtl.training.loop import train_steps
from nlpmtl.training.metrics_logger import MetricsLogger, read_lines
from nlpmtl.training.optimizer import Schedule, build_optimizer, build_schedule
from nlpmtl.training.run_directory import (
    check_place,
    differing,
    open_run,
    pinned_precision,
    recordable,
    recorded_overrides,
    run_facts,
    write_facts,
    write_failures,
)
from nlpmtl.training.signals import Signals
from nlpmtl.training.task_gradients import Gradient, inner_products
from nlpmtl.training.trackers import start_trackers
from nlpmtl.training.train_step import StepReport, TrainStep
from nlpmtl.training.trainer import Trainer

__all__ = [
    "Best",
    "EvaluationDone",
    "Gradient",
    "GradientAccumulator",
    "Message",
    "MetricsLogger",
    "RunState",
    "Schedule",
    "Signals",
    "StepLogged",
    "StepReport",
    "TrainStep",
    "Trainer",
    "accelerating",
    "amend",
    "build_optimizer",
    "build_schedule",
    "check_place",
    "check_precision",
    "check_same_data",
    "commit",
    "deal",
    "differing",
    "digest_plugins",
    "dropout_seed",
    "finish_trackers",
    "fsdp",
    "global_state_restored",
    "hold_lock",
    "hold_lock_together",
    "ignored_settings",
    "inner_products",
    "newest",
    "open_run",
    "pinned_precision",
    "problem",
    "prune",
    "read_lines",
    "read_state",
    "recordable",
    "recorded_overrides",
    "resolve_precision",
    "restore",
    "run_facts",
    "set_aside",
    "share_weights",
    "snapshot",
    "start_trackers",
    "train_steps",
    "write_facts",
    "write_failures",
]
