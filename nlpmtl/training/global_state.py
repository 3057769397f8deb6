"""Global state of Python, NumPy, PyTorch and Accelerate, restored after a run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState

_STATES = (AcceleratorState, PartialState, GradientState)
"""Accelerate's singletons: every `Accelerator` of a process shares them."""


@contextmanager
def global_state_restored() -> Iterator[None]:
    """Restore on leaving: random number generators, Accelerate's state, threads, default dtype, deterministic mode.

    Inside, Accelerate starts without a state, so an `Accelerator` that exists already changes nothing. The default
    dtype is PyTorch's own, and gradients are recorded also if the caller has disabled them.
    """
    generators = random.getstate(), np.random.get_state(), torch.get_rng_state()
    module = _device_module()
    device_generators = module.get_rng_state_all() if module is not None else None
    states = [dict(state._shared_state) for state in _STATES]
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    precision = torch.get_float32_matmul_precision()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    for state in _STATES:
        state._shared_state.clear()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for state, values in zip(_STATES, states, strict=True):
            state._shared_state.clear()
            state._shared_state.update(values)
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        torch.set_rng_state(generators[2])
        if module is not None:
            module.set_rng_state_all(device_generators)
        torch.set_default_dtype(dtype)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])
        if torch.get_float32_matmul_precision() != precision:
            torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn


def _device_module() -> Any:
    """Return PyTorch's module of the accelerator whose generators can be saved, such as `torch.cuda`, or None."""
    if not torch.accelerator.is_available():
        return None
    module = torch.get_device_module(torch.accelerator.current_accelerator())
    return module if hasattr(module, "get_rng_state_all") else None
