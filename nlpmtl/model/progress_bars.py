"""Progress bars and reports of transformers, which are not shown while nlpmtl loads and writes weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from transformers.utils import logging


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Hide the bars of transformers inside the block; those of downloads are shown."""
    before = logging.set_tqdm_hook(_disabled)
    try:
        yield
    finally:
        logging.set_tqdm_hook(before)


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Hide the bars and the report on missing weights: heads are randomly initialised on purpose."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with without_progress_bars():
            yield
    finally:
        logging.set_verbosity(before)


def _disabled(factory: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return factory(*args, **{**kwargs, "disable": True})
