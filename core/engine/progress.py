"""How a job goes: the points of its track on disk, and how long it will take still."""

import collections
import json
import os
import threading
from pathlib import Path
from typing import Any

from core.engine.report import Share

MAX_POINTS = 2000  # points of a track
MIN_SECONDS = 0.25  # seconds between two points that tell nothing new


class Track:
    """Points `{time, fraction, message, numbers}` of a job, a line of JSON each in `root/tracks/<key>.jsonl`.

    A point is kept when the message or the epoch changes, else one every `MIN_SECONDS` seconds. Beyond `MAX_POINTS` every second
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
        if mark != self._last or time - self._time >= MIN_SECONDS:
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
        points, anew = self._kept, False
        if points is None:  # an earlier run of the same job may have left points, the last one cut short
            points, anew = [(True, line) for line in self._lines()], True
        self._kept = points + fresh
        if len(self._kept) > MAX_POINTS:
            self._kept, anew = thin_points(self._kept), True
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


def thin_points(points: list[tuple[bool, str]], most: int = MAX_POINTS) -> list[tuple[bool, str]]:
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


class RecentSpeed:
    """Seconds left, from how fast it went lately; None for the first 3 seconds and 3 per cent, and while it stands."""

    def __init__(self, window: float = 30.0) -> None:
        self.window = window  # seconds; half the time so far, where that is more
        self._seen: collections.deque[tuple[float, float]] = collections.deque()  # (time, fraction)
        self._first: tuple[float, float] | None = None

    def __call__(self, time: float, fraction: float) -> float | None:
        """The seconds left at `time` (s), when `fraction` of the work is done."""
        began, at_first = self._first = self._first or (time, fraction)
        window = max(self.window, (time - began) / 2)
        if not self._seen or time - self._seen[-1][0] >= window / 200:
            self._seen.append((time, fraction))
        while len(self._seen) > 2 and time - self._seen[1][0] > window:
            self._seen.popleft()
        then, before = self._seen[0]
        if time - began < 3.0 or fraction - at_first < 0.03 or fraction <= before:
            return None
        return (1.0 - fraction) * (time - then) / (fraction - before)


class TimeEstimate:
    """Seconds left of a job: of the part at work by its own pace, of those to come by what their kind took so far.

    What is thought beforehand of how long a part takes, its share of the work, counts between parts of a kind, and
    where none of a kind was made yet. Without a plan, or for reports that name no part of it, the pace of the whole.
    """

    def __init__(self) -> None:
        self._plan: dict[str, Share] = {}
        self._waiting: dict[str, float] = {}  # share of the parts of each kind that are not begun
        self._spent: dict[str, tuple[float, float]] = {}  # seconds and share of the parts of each kind that are made
        self._beyond = 0.0  # share of the work that comes after the plan: one that is made for a part of it alone
        self._whole = RecentSpeed()
        self._key, self._part, self._began = "", RecentSpeed(), 0.0
        self._first: tuple[float, float] | None = None
        self._left: tuple[float, float] | None = None  # (time, seconds left) as last told

    def plan(self, parts: dict[str, Share]) -> None:
        """What will be made, by key."""
        self._plan, self._key, self._waiting = dict(parts), "", collections.defaultdict(float)
        self._beyond = max(1.0 - max((one.stop for one in parts.values()), default=1.0), 0.0)
        for one in parts.values():
            self._waiting[one.kind] += one.size

    def __call__(self, time: float, fraction: float, key: str = "") -> float | None:
        """The seconds left at `time` (s), when `fraction` of the work is done and the part `key` is at work."""
        self._first = self._first or (time, fraction)
        whole = self._whole(time, fraction)
        if key not in self._plan:
            return self._smooth(time, whole)
        if key != self._key:
            self._begin(key, time)
        part, (began, at_first) = self._plan[key], self._first
        inside = min(max((fraction - part.start) / (part.size or 1.0), 0.0), 1.0)
        own = self._part(time, inside)
        if time - began < 3.0 or (fraction - at_first < 0.03 and own is None):
            return self._smooth(time, None)
        usual = (time - began) / max(fraction - at_first, 1e-9)  # seconds for all the work, as far as is known
        if own is None:
            own = max(self._rate(part.kind, usual) * part.size - (time - self._began), 0.0)
        planned = own + sum(self._rate(one, usual) * share for one, share in self._waiting.items())
        lately = usual if whole is None else whole / max(1.0 - fraction, 1e-9)
        return self._smooth(time, planned + lately * self._beyond)

    def _begin(self, key: str, time: float) -> None:
        if self._key:
            last = self._plan[self._key]
            seconds, share = self._spent.get(last.kind, (0.0, 0.0))
            self._spent[last.kind] = (seconds + time - self._began, share + last.size)
        part = self._plan[key]
        self._waiting[part.kind] = max(self._waiting[part.kind] - part.size, 0.0)
        self._key, self._part, self._began = key, RecentSpeed(), time

    def _rate(self, kind: str, usual: float) -> float:
        """Seconds for all the work, were it as a part of this kind."""
        seconds, share = self._spent.get(kind, (0.0, 0.0))
        return seconds / share if share else usual

    def _smooth(self, time: float, left: float | None) -> float | None:
        """A quarter of the news a second, so that the number does not dance."""
        if left is None:
            self._left = None
            return None
        if self._left:
            told, was = self._left
            keep = 0.75 ** (time - told)
            left = keep * max(was - (time - told), 0.0) + (1.0 - keep) * left
        self._left = (time, left)
        return left
