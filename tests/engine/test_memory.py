"""Freed memory is reused during a run and released after it."""

import resource

import numpy as np
import psutil
import pytest

from core.engine import memory

pytestmark = pytest.mark.skipif(not memory.keep_freed_memory(), reason="the C library is not glibc")
MEBIBYTE = 1 << 20


def faults() -> int:
    """Pages that this process was given so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def test_freed_memory_is_reused() -> None:
    for _ in range(3):
        np.ones(8 * MEBIBYTE, np.uint8)
    before = faults()
    for _ in range(20):
        np.ones(8 * MEBIBYTE, np.uint8)
    assert faults() - before < 8 * MEBIBYTE / resource.getpagesize()  # fewer than one such array has


def test_release_memory_returns_freed_memory() -> None:
    arrays = [np.ones(MEBIBYTE, np.uint8) for _ in range(400)]
    last = arrays[-1]  # a piece at the end keeps those before it from being trimmed as the top of the heap
    del arrays
    before = psutil.Process().memory_info().rss
    memory.release_memory()
    assert before - psutil.Process().memory_info().rss > 300 * MEBIBYTE
    assert last.all()


def test_free_bytes_are_the_available_memory_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = psutil.virtual_memory()._replace(available=3 * MEBIBYTE, free=MEBIBYTE)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: reading)
    assert memory.free_bytes() == 3 * MEBIBYTE
