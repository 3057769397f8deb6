"""Training: the loop, one step of it, its optimizer, checkpoints, and what a run writes about itself."""

from __future__ import annotations

from nlpmtl.training import fsdp
from nlpmtl.training.accumulate import Accumulator, deal, dropout_seed
from nlpmtl.training.checkpoint import amend, commit, newest, problem, prune, read_state, restore, set_aside, snapshot
from nlpmtl.training.conflict import Gradient, inner_products
from nlpmtl.training.device import accelerating, check_precision, finish_trackers, resolve_precision
from nlpmtl.training.fit import Fit
from nlpmtl.training.globals import global_state_restored
from nlpmtl.training.launch import ignored_settings
from nlpmtl.training.lock import hold_lock, hold_lock_together
from nlpmtl.training.loop import train_steps
from nlpmtl.training.observe import Observer, read_lines
from nlpmtl.training.optim import Schedule, build_optimizer, build_schedule
from nlpmtl.training.processes import share_weights
from nlpmtl.training.record import (
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
from nlpmtl.training.same_data import check_same_data, digest_plugins
from nlpmtl.training.signals import Signals
from nlpmtl.training.state import Best, Evaluated, Noted, Progressed, RunState
from nlpmtl.training.step import Stepper, StepReport
from nlpmtl.training.trackers import start_trackers

__all__ = [
    "Accumulator",
    "Best",
    "Evaluated",
    "Fit",
    "Gradient",
    "Noted",
    "Observer",
    "Progressed",
    "RunState",
    "Schedule",
    "Signals",
    "StepReport",
    "Stepper",
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
