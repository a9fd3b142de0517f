"""Waiting in tests: far longer than needed, so that no test fails on a busy machine."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 1200.0  # seconds; usually it takes seconds, on a busy machine a minute or two

Value = TypeVar("Value")


def until(read: Callable[[], Value], what: str = "what the test waits for", seconds: float = PATIENCE) -> Value:
    """Call `read` until it returns something true, and return that; fails after `seconds`, naming `what`."""
    end = time.monotonic() + seconds
    while not (value := read()):
        assert time.monotonic() < end, f"{what} has not happened"
        time.sleep(0.02)
    return value
