"""How a job goes: the points of its track on disk, and how long it will take still."""

import collections
import json
import os
import threading
from pathlib import Path
from typing import Any

MOST = 2000  # points of a track
GAP = 0.25  # seconds between two points that tell nothing new


class Track:
    """Points `{time, fraction, message, numbers}` of a job, a line of JSON each in `root/tracks/<key>.jsonl`.

    A point is kept when the message or the epoch changes, else one every `GAP` seconds. Beyond `MOST` every second
    point between two changes goes, and if that is not enough every second point.
    """

    def __init__(self, root: Path, key: str) -> None:
        self.path = root / "tracks" / f"{key}.jsonl"
        self._kept: list[tuple[bool, str]] | None = None  # (whether something changed, line)
        self._fresh: list[tuple[bool, str]] = []
        self._last: tuple[Any, ...] = ()
        self._time = 0.0
        self._guard = threading.Lock()

    def add(self, time: float, fraction: float, message: str, numbers: dict[str, Any]) -> None:
        """Note a point (plain numbers); `flush` writes it."""
        mark = (message, numbers.get("key"), numbers.get("epoch"))
        if mark != self._last or time - self._time >= GAP:
            point = {"time": round(time, 3), "fraction": round(fraction, 6), "message": message, "numbers": numbers}
            with self._guard:
                self._fresh.append((mark != self._last, json.dumps(point, ensure_ascii=False) + "\n"))
            self._last, self._time = mark, time

    def flush(self) -> None:
        with self._guard:
            fresh, self._fresh = self._fresh, []
        if not fresh:
            return
        self.path.parent.mkdir(exist_ok=True)
        anew = self._kept is None  # an earlier run of the same job may have left points, the last one cut short
        self._kept = ([(True, line) for line in self._lines()] if anew else self._kept) + fresh
        if len(self._kept) > MOST:
            self._kept, anew = thinned(self._kept), True
        if anew:
            draft = self.path.with_suffix(".draft")
            draft.write_text("".join(line for _, line in self._kept), "utf-8")
            os.replace(draft, self.path)
        else:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(line for _, line in fresh)

    def points(self) -> list[dict[str, Any]]:
        """What is on disk, oldest first."""
        return [json.loads(line) for line in self._lines()]

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)

    def _lines(self) -> list[str]:
        try:
            text = self.path.read_text("utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return [line + "\n" for line in text.split("\n") if line.startswith("{") and line.endswith("}}")]


def thinned(points: list[tuple[bool, str]], most: int = MOST) -> list[tuple[bool, str]]:
    """At most three quarters of `most`, first and last among them; those that tell something new go last."""
    goal = most * 3 // 4
    for spare_changes in (True, False):
        while len(points) > goal:
            dull = [i for i, (change, _) in enumerate(points[:-1]) if i and not (spare_changes and change)]
            gone = set(dull[::2])
            if not gone:
                break
            points = [point for i, point in enumerate(points) if i not in gone]
    return points


class Pace:
    """Seconds left, from how fast it went lately; None for the first 3 seconds and 3 per cent, and while it stands."""

    def __init__(self, window: float = 30.0) -> None:
        self.window = window
        self._seen: collections.deque[tuple[float, float]] = collections.deque()  # (time, fraction)
        self._first: tuple[float, float] | None = None
        self._left: tuple[float, float] | None = None  # (time, seconds left) as last told

    def __call__(self, time: float, fraction: float) -> float | None:
        """The seconds left at `time` (s), when `fraction` of the work is done."""
        self._first = self._first or (time, fraction)
        if not self._seen or time - self._seen[-1][0] >= self.window / 200:
            self._seen.append((time, fraction))
        while len(self._seen) > 2 and time - self._seen[1][0] > self.window:
            self._seen.popleft()
        then, before = self._seen[0]
        if time - self._first[0] < 3.0 or fraction - self._first[1] < 0.03 or fraction <= before:
            self._left = None
            return None
        left = (1.0 - fraction) * (time - then) / (fraction - before)
        if self._left:  # a quarter of the news a second, so that the number does not dance
            told, was = self._left
            keep = 0.75 ** (time - told)
            left = keep * max(was - (time - told), 0.0) + (1.0 - keep) * left
        self._left = (time, left)
        return left
