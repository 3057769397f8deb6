"""Settings of glibc's malloc that stop it from returning freed memory to the operating system.

A training step on a CPU allocates and frees tensors of tens of megabytes (the gradient of the word embeddings is as
large as their table). By default glibc returns each of them to the kernel, and the next step faults in and zeroes every
page again; on virtual machines this takes longer than the arithmetic of a small batch.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of `mallopt`: M_TRIM_THRESHOLD and M_MMAP_MAX (malloc.h)."""


def tune_malloc() -> bool:
    """Make glibc's malloc keep freed memory for the rest of the process; return False without glibc.

    The resident memory of the process stays at its peak.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    return bool(libc.mallopt(_MMAP_MAX, 0) and libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1))
