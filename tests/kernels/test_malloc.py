from __future__ import annotations

import ctypes
import sys

import pytest

from nlpmtl.kernels.malloc import tune_malloc


@pytest.mark.skipif(
    not (sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")), reason="needs glibc"
)
def test_glibc_takes_the_settings() -> None:
    assert tune_malloc() is True


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert tune_malloc() is False
