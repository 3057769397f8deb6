"""Memory that training gives back is kept for the next step.

A step on a CPU makes and drops tensors of tens of megabytes (the gradient of the word embeddings alone is as large as
their table). glibc hands each of them back to the kernel and asks for it anew, and every page is faulted in and zeroed
again; on virtual machines that costs more than the arithmetic of a small batch.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""glibc's names for what `mallopt` sets: M_TRIM_THRESHOLD and M_MMAP_MAX (malloc.h)."""


def tune_malloc() -> bool:
    """Tell glibc's allocator to keep what this process frees; False where there is no glibc.

    It holds for the rest of the process: its resident memory stays at the highest that a step needed.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    return bool(libc.mallopt(_MMAP_MAX, 0) and libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1))
