"""Settings of glibc's malloc: whether freed memory is returned to the operating system.

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
    libc = _glibc()
    return libc is not None and bool(libc.mallopt(_MMAP_MAX, 0) and libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1))


def release_freed_memory() -> None:
    """Return freed memory to the operating system, with glibc; this takes about 50 ms for 500 MiB.

    The tokenizer's encodings of a long text are freed in small blocks, between blocks that are still in use. glibc
    keeps these free blocks, and Python's allocator does not reuse them.
    """
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """Return glibc, None on systems without it."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None
