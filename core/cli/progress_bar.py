"""How far a command is, on stderr."""

import sys
import time
from typing import Any

from core.engine.progress import TimeEstimate


class ProgressBar:
    """A progress line on stderr, with the time left once it can be told."""

    def __init__(self) -> None:
        self.last_shown, self.time_estimate = time.monotonic(), TimeEstimate()
        self.line_is_open = False  # whether the cursor stands behind a line of ours

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        """End the line, so that what is said next has one of its own."""
        if self.line_is_open:
            print(file=sys.stderr)

    def __call__(self, fraction: float, message: str, numbers: dict[str, Any]) -> None:
        """What `Report` calls."""
        if numbers.get("stays"):
            return self.print_line(message)
        left = self.time_estimate(time.monotonic(), fraction, numbers.get("key", ""))
        title = f"{numbers['title']}: " if numbers.get("title") else ""
        self.show(fraction, title + message, left)

    def show(self, fraction: float, message: str, left: float | None) -> None:
        """How far it is and how many seconds are left, unless it was said just now."""
        now, terminal = time.monotonic(), sys.stderr.isatty()
        if now - self.last_shown < (0.2 if terminal else 10):  # a log gets a line now and then, short work none
            return
        self.line_is_open, self.last_shown = terminal, now
        time_left = " " * 13 if left is None else f"{left / 60:4.1f} min left"
        filled = round(24 * fraction)
        line = f"[{'#' * filled}{'.' * (24 - filled)}] {100 * fraction:5.1f} % {time_left}  {message}"
        print(f"\r{line[:150]:<150}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)

    def print_line(self, text: str) -> None:
        """A line that stays."""
        print(f"\r{text:<150}".rstrip() if self.line_is_open else text, file=sys.stderr, flush=True)
        self.line_is_open = False
