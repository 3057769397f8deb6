"""Threads of torch, which do not survive a fork: a computation on several threads would never end there."""

from __future__ import annotations

import os
from typing import ClassVar

import torch

from nlpmtl.errors import RunError


class TorchThreads:
    """The process that has started the threads of torch."""

    _process: ClassVar[int | None] = None
    """First process that computed on several threads: this one, or one that it was forked from."""

    @classmethod
    def check(cls) -> None:
        """Check that a computation of this process would end, and record that it starts threads, if there are several.

        It is called before an encoder or a model is loaded, and before logits are computed.

        Raises:
            RunError: this process was forked from one that had loaded a model, and uses several threads.
        """
        if torch.get_num_threads() == 1:
            return
        if cls._process is None:
            cls._process = os.getpid()
        elif cls._process != os.getpid():
            raise RunError(
                f"this process was forked from process {cls._process}, which had loaded a model: the threads of torch "
                "did not survive, and a computation would never end. Call torch.set_num_threads(1) in this process "
                'first, or start processes with multiprocessing.get_context("spawn") and load the model in each'
            )
