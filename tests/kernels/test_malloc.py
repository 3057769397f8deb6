"""Settings of the memory allocator."""

from __future__ import annotations

import ctypes
import sys

import pytest

from nlpmtl.kernels.malloc import tune_malloc


@pytest.mark.skipif(
    not (sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")), reason="needs glibc"
)
def test_glibc_accepts_the_settings() -> None:
    assert tune_malloc() is True


def test_other_platforms_are_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert tune_malloc() is False
