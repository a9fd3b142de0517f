"""The progress of a command, on stderr."""

import sys
import time
from typing import Any

from core.engine.progress import TimeEstimate


class ProgressBar:
    """A progress line on stderr, with the time left once it can be estimated."""

    def __init__(self) -> None:
        self.last_shown, self.time_estimate = time.monotonic(), TimeEstimate()
        self.line_is_open = False  # whether the cursor is at the end of a progress line

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        """End the progress line, so that the next output begins on a new one."""
        if self.line_is_open:
            print(file=sys.stderr)

    def __call__(self, fraction: float, message: str, numbers: dict[str, Any]) -> None:
        """The callback of `Report`."""
        if numbers.get("stays"):
            return self.print_line(message)
        left = self.time_estimate(time.monotonic(), fraction, numbers.get("key", ""))
        title = f"{numbers['title']}: " if numbers.get("title") else ""
        self.show(fraction, title + message, left)

    def show(self, fraction: float, message: str, left: float | None) -> None:
        """Show the fraction done and the seconds left, at most every 0.2 s, in a log every 10 s."""
        now, terminal = time.monotonic(), sys.stderr.isatty()
        if now - self.last_shown < (0.2 if terminal else 10):  # in a log short work has no line
            return
        self.line_is_open, self.last_shown = terminal, now
        time_left = " " * 13 if left is None else f"{left / 60:4.1f} min left"
        filled = round(24 * fraction)
        line = f"[{'#' * filled}{'.' * (24 - filled)}] {100 * fraction:5.1f} % {time_left}  {message}"
        print(f"\r{line[:150]:<150}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)

    def print_line(self, text: str) -> None:
        """Print a line that is not overwritten."""
        print(f"\r{text:<150}".rstrip() if self.line_is_open else text, file=sys.stderr, flush=True)
        self.line_is_open = False
