"""How tests wait: for something to happen, far longer than it takes, so that a busy machine fails none of them."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 1200.0  # seconds; what is waited for takes seconds, or a minute or two beside other programs

Value = TypeVar("Value")


def until(read: Callable[[], Value], what: str = "what the test waits for", seconds: float = PATIENCE) -> Value:
    """Call `read` until what it gives is true, and give that; fails with `what` did not happen."""
    end = time.monotonic() + seconds
    while not (value := read()):
        assert time.monotonic() < end, f"{what} has not happened"
        time.sleep(0.02)
    return value
