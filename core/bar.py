"""How far a command is, on stderr."""

import sys
import time
from typing import Any


class Bar:
    """A progress line on stderr, with the time left once it can be told."""

    def __init__(self) -> None:
        self.began = self.shown = time.monotonic()
        self.open = False  # whether the cursor stands behind a line of ours

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        """End the line, so that what is said next has one of its own."""
        if self.open:
            print(file=sys.stderr)

    def __call__(self, fraction: float, message: str, numbers: dict[str, Any]) -> None:
        if numbers.get("stays"):
            return self.line(message)
        now = time.monotonic()
        terminal = sys.stderr.isatty()
        if now - self.shown < (0.2 if terminal else 10):  # a log gets a line now and then, short work none
            return
        self.open = terminal
        self.shown = now
        spent = now - self.began
        left = f"{spent * (1 - fraction) / fraction / 60:4.1f} min left" if fraction > 0.03 and spent > 3 else " " * 13
        title = f"{numbers['title']}: " if numbers.get("title") else ""
        filled = round(24 * fraction)
        line = f"[{'#' * filled}{'.' * (24 - filled)}] {100 * fraction:5.1f} % {left}  {title}{message}"
        print(f"\r{line[:150]:<150}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)

    def line(self, text: str) -> None:
        """A line that stays."""
        print(f"\r{text:<150}".rstrip() if self.open else text, file=sys.stderr, flush=True)
        self.open = False
