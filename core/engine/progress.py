"""Progress of a job: its track on disk, and its remaining time."""

import collections
import json
import os
import threading
from pathlib import Path
from typing import Any

from core.engine.report import Share

MAX_POINTS = 2000  # of a track
LEAST_SHARE = 0.02  # of a job, before its mean pace says anything
MIN_SECONDS = 0.25  # seconds between points without a change


class Track:
    """Points `{time, fraction, message, numbers}` of a job, one line of JSON each in `root/tracks/<key>.jsonl`.

    A point is recorded when the message or the epoch changes, otherwise every `MIN_SECONDS` seconds. Beyond
    `MAX_POINTS` every second point between changes is removed, then, if needed, every second point.
    """

    def __init__(self, root: Path, key: str) -> None:
        self.path = root / "tracks" / f"{key}.jsonl"
        self._points: list[tuple[bool, str]] | None = None  # (changed, line)
        self._new: list[tuple[bool, str]] = []
        self._last: tuple[Any, ...] = ()
        self._time = 0.0
        self._guard = threading.Lock()

    def add(self, time: float, fraction: float, message: str, numbers: dict[str, Any]) -> None:
        """Add a point (plain numbers); `flush` writes it."""
        mark = (message, numbers.get("key"), numbers.get("epoch"))
        if mark != self._last or time - self._time >= MIN_SECONDS:
            point = {"time": round(time, 3), "fraction": round(fraction, 6), "message": message, "numbers": numbers}
            with self._guard:
                self._new.append((mark != self._last, json.dumps(point, ensure_ascii=False) + "\n"))
            self._last, self._time = mark, time

    def flush(self) -> None:
        """Write the new points to disk."""
        with self._guard:
            new, self._new = self._new, []
        if not new:
            return
        self.path.parent.mkdir(exist_ok=True)
        points, rewrite = self._points, False
        if points is None:  # an earlier run of this job may have left points, the last one truncated
            points, rewrite = [(True, line) for line in self._lines()], True
        self._points = points + new
        if len(self._points) > MAX_POINTS:
            self._points, rewrite = thin_points(self._points), True
        if rewrite:
            draft = self.path.with_suffix(".draft")
            draft.write_text("".join(line for _, line in self._points), "utf-8")
            os.replace(draft, self.path)
        else:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(line for _, line in new)

    def points(self) -> list[dict[str, Any]]:
        """The points on disk, oldest first."""
        return [json.loads(line) for line in self._lines()]

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)

    def _lines(self) -> list[str]:
        try:
            text = self.path.read_text("utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return [line + "\n" for line in text.split("\n") if line.startswith("{") and line.endswith("}}")]


def thin_points(points: list[tuple[bool, str]], most: int = MAX_POINTS) -> list[tuple[bool, str]]:
    """At most three quarters of `most` points, with the first and the last; changes are removed last."""
    goal = most * 3 // 4
    for spare_changes in (True, False):
        while len(points) > goal:
            removable = [i for i, (change, _) in enumerate(points[:-1]) if i and not (spare_changes and change)]
            removed = set(removable[::2])
            if not removed:
                break
            points = [point for i, point in enumerate(points) if i not in removed]
    return points


class RecentSpeed:
    """Seconds left, from how fast it went lately; None for the first 3 seconds and 3 per cent, and while it stands."""

    def __init__(self, window: float = 30.0) -> None:
        self.window = window  # seconds; half the time so far, where that is more
        self._recent: collections.deque[tuple[float, float]] = collections.deque()  # (time, fraction)
        self._first: tuple[float, float] | None = None

    def __call__(self, time: float, fraction: float) -> float | None:
        """The seconds left at `time` (s), when `fraction` of the work is done."""
        began, at_first = self._first = self._first or (time, fraction)
        window = max(self.window, (time - began) / 2)
        if not self._recent or time - self._recent[-1][0] >= window / 200:
            self._recent.append((time, fraction))
        while len(self._recent) > 2 and time - self._recent[1][0] > window:
            self._recent.popleft()
        then, before = self._recent[0]
        if time - began < 3.0 or fraction - at_first < 0.03 or fraction <= before:
            return None
        return (1.0 - fraction) * (time - then) / (fraction - before)


class TimeEstimate:
    """Seconds left of a job: the current part at its own pace, later parts at the mean pace of their kind.

    The planned share of a part scales it among parts of its kind, and is used alone while no part of its kind is done.
    Without a plan, and for reports that name no part of it, the pace of the whole job is used.
    """

    def __init__(self) -> None:
        self._plan: dict[str, Share] = {}
        self._waiting: dict[str, float] = {}  # by kind, share of the parts that have not started
        self._spent: dict[str, tuple[float, float]] = {}  # by kind, seconds and share of the finished parts
        self._beyond = 0.0  # share of the work after the plan, if the plan covers only a part of it
        self._whole = RecentSpeed()
        self._key, self._part, self._began = "", RecentSpeed(), 0.0
        self._inside, self._skipped = 0.0, 0.0  # of the current part: fraction done, fraction that a checkpoint had
        self._first: tuple[float, float] | None = None
        self._left: tuple[float, float] | None = None  # (time, seconds left) of the last estimate

    def plan(self, parts: dict[str, Share]) -> None:
        """Set the parts to be made, by key."""
        self._plan, self._key, self._waiting = dict(parts), "", collections.defaultdict(float)
        self._beyond = max(1.0 - max((part.stop for part in parts.values()), default=1.0), 0.0)
        for part in parts.values():
            self._waiting[part.kind] += part.size

    def restart(self, time: float) -> None:
        """Measure the pace from now on: a checkpoint was read, and what it held took no time."""
        self._whole, self._part, self._first, self._left = RecentSpeed(), RecentSpeed(), None, None
        self._began, self._skipped = time, self._inside
        self._spent.clear()

    def __call__(self, time: float, fraction: float, key: str = "") -> float | None:
        """The seconds left at `time` (s), when `fraction` of the work is done and part `key` runs."""
        self._first = self._first or (time, fraction)
        whole = self._whole(time, fraction)
        if key not in self._plan:
            return self._smooth(time, whole)
        if key != self._key:
            self._begin(key, time)
        part, (began, at_first) = self._plan[key], self._first
        inside = min(max((fraction - part.start) / (part.size or 1.0), 0.0), 1.0)
        if self._first == (time, fraction):  # the first report, or the first since a restart
            self._skipped = inside
        self._inside = inside
        part_left = self._part(time, inside)
        if time - began < 3.0 or (fraction - at_first < 0.03 and part_left is None):
            return self._smooth(time, None)
        if fraction - at_first < LEAST_SHARE and any(
            share > 0 and kind not in self._spent for kind, share in self._waiting.items()
        ):
            return self._smooth(time, None)  # too little is done to tell how long parts of another kind take
        usual = (time - began) / max(fraction - at_first, 1e-9)  # seconds for the whole job, at its mean pace so far
        if part_left is None:
            part_left = max(self._rate(part.kind, usual) * part.size - (time - self._began), 0.0)
        planned = part_left + sum(self._rate(kind, usual) * share for kind, share in self._waiting.items())
        recent = usual if whole is None else whole / max(1.0 - fraction, 1e-9)
        return self._smooth(time, planned + recent * self._beyond)

    def _begin(self, key: str, time: float) -> None:
        if self._key:
            last = self._plan[self._key]
            seconds, share = self._spent.get(last.kind, (0.0, 0.0))
            self._spent[last.kind] = (seconds + time - self._began, share + last.size * (1.0 - self._skipped))
        part = self._plan[key]
        self._waiting[part.kind] = max(self._waiting[part.kind] - part.size, 0.0)
        self._key, self._part, self._began = key, RecentSpeed(), time
        self._inside = self._skipped = 0.0

    def _rate(self, kind: str, usual: float) -> float:
        """Seconds for the whole job at the pace of this kind."""
        seconds, share = self._spent.get(kind, (0.0, 0.0))
        return seconds / share if share else usual

    def _smooth(self, time: float, left: float | None) -> float | None:
        """Exponential smoothing, a quarter of the new value each second, so that the number does not jump."""
        if left is None:
            self._left = None
            return None
        if self._left:
            last, last_left = self._left
            keep = 0.75 ** (time - last)
            left = keep * max(last_left - (time - last), 0.0) + (1.0 - keep) * left
        self._left = (time, left)
        return left
