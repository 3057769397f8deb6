"""Global state of Python, NumPy, PyTorch and Accelerate: a run has its own, and does not change that of its caller."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from threading import RLock
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState

_STATES = (AcceleratorState, PartialState, GradientState)
"""Accelerate's singletons: every `Accelerator` of a process shares them."""
_COMPUTING = RLock()
"""Held by the thread whose global state is that of a run."""
Arguments = ParamSpec("Arguments")
Event = TypeVar("Event")


@dataclass(frozen=True)
class _GlobalState:
    """Values of the global state that a run changes."""

    generators: tuple[Any, ...]
    accelerate: tuple[dict[str, Any], ...]
    dtype: torch.dtype
    threads: int
    deterministic: tuple[bool, bool]
    matmul_precision: str
    cudnn: tuple[bool, bool]

    @classmethod
    def read(cls) -> _GlobalState:
        """Return the current state."""
        module = _device_module()
        devices = module.get_rng_state_all() if module is not None else None
        return cls(
            generators=(random.getstate(), np.random.get_state(), torch.get_rng_state(), devices),
            accelerate=tuple(dict(state._shared_state) for state in _STATES),
            dtype=torch.get_default_dtype(),
            threads=torch.get_num_threads(),
            deterministic=(
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
            ),
            matmul_precision=torch.get_float32_matmul_precision(),
            cudnn=(torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark),
        )

    def write(self) -> None:
        """Make this the current state."""
        for state, values in zip(_STATES, self.accelerate, strict=True):
            state._shared_state.clear()
            state._shared_state.update(values)
        of_python, of_numpy, of_torch, of_devices = self.generators
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        torch.set_rng_state(of_torch)
        if of_devices is not None:
            _device_module().set_rng_state_all(of_devices)
        torch.set_default_dtype(self.dtype)
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        torch.use_deterministic_algorithms(self.deterministic[0], warn_only=self.deterministic[1])
        if torch.get_float32_matmul_precision() != self.matmul_precision:
            torch.set_float32_matmul_precision(self.matmul_precision)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = self.cudnn


@contextmanager
def clean_global_state() -> Iterator[None]:
    """Restore on leaving: random number generators, Accelerate's state, threads, default dtype, deterministic mode.

    Inside, Accelerate starts without a state, so an `Accelerator` that exists already changes nothing, and the default
    dtype is PyTorch's own.
    """
    before = _GlobalState.read()
    for state in _STATES:
        state._shared_state.clear()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        before.write()


@contextmanager
def global_state_restored() -> Iterator[None]:
    """Compute in a clean global state, with gradients and without autocast, whatever the caller has set.

    No other thread is in such a block, or continues a run, at the same time.
    """
    with _COMPUTING, _default_modes(), clean_global_state():
        yield


def with_own_global_state(run: Callable[Arguments, Iterator[Event]]) -> Callable[Arguments, Iterator[Event]]:
    """Decorate a generator of events: it has its own global state while it computes, and between events the caller's.

    So what the caller does between two events has no effect on the run, and the events of several runs may be read in
    turn, or by several threads, of which one computes at a time.
    """

    @wraps(run)
    def events_of(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Iterator[Event]:
        events: Any = run(*args, **kwargs)
        state: _GlobalState | None = None

        @contextmanager
        def computing() -> Iterator[None]:
            nonlocal state
            with _COMPUTING, _default_modes():
                before = _GlobalState.read()
                if state is not None:
                    state.write()
                try:
                    yield
                finally:
                    state = _GlobalState.read()
                    before.write()

        try:
            while True:
                with computing():
                    try:
                        event = next(events)
                    except StopIteration:
                        return
                yield event
        finally:
            with computing():
                events.close()

    return events_of


@contextmanager
def _default_modes() -> Iterator[None]:
    """Record gradients and disable autocast inside the block; these modes belong to a thread."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    caching = torch.is_autocast_cache_enabled()
    devices = ["cpu"] if accelerator is None else ["cpu", accelerator.type]
    enabled = {device: torch.is_autocast_enabled(device) for device in devices}
    is_nested = torch.autocast_increment_nesting() > 1
    torch.autocast_decrement_nesting()
    for device in devices:
        torch.set_autocast_enabled(device, False)
    if is_nested:  # PyTorch would keep the cast weights until the caller's block ends, over many optimizer steps
        torch.set_autocast_cache_enabled(False)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_autocast_cache_enabled(caching)
        for device, value in enabled.items():
            torch.set_autocast_enabled(device, value)


def _device_module() -> Any:
    """Return PyTorch's module of the accelerator whose generators can be saved, such as `torch.cuda`, or None."""
    if not torch.accelerator.is_available():
        return None
    module = torch.get_device_module(torch.accelerator.current_accelerator())
    return module if hasattr(module, "get_rng_state_all") else None
