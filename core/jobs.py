"""The line of jobs: what waits, runs, is done, failed, was cancelled or interrupted; and the one worker that works it.

The line lies on disk and is shared by every process that opens it. A lock on the cache folder makes sure that one
worker at a time owns the accelerator; another one stands by and takes over when the first is gone.
"""

import contextlib
import dataclasses
import gc
import importlib
import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock
import psutil

from core import disk, ledger
from core.progress import Pace, Track
from core.report import Cancelled, Report
from core.spec import BadInput, Spec, read_json
from core.store import Store, checked, make

TICK = 0.25  # seconds between two looks at the disk, and between two writes of progress
ENDED = ("done", "failed", "cancelled", "interrupted")

log = logging.getLogger(__name__)


class Held(BadInput):
    """Another process owns the cache folder."""


@dataclasses.dataclass(frozen=True)
class Job:
    """How a recipe fares. Times are unix seconds (0.0: not yet), `eta` the seconds left (None: not known yet)."""

    key: str
    kind: str
    title: str
    spec: str  # JSON
    state: str = "waiting"  # running, done, failed, cancelled, interrupted
    cancelling: bool = False  # someone asked for it to stop; it will at its next report
    fraction: float = 0.0
    message: str = ""
    numbers: dict[str, Any] = dataclasses.field(default_factory=dict)  # the latest of each; `kind`, `title` of the part
    submitted: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    heartbeat: float = 0.0  # when it last said something
    eta: float | None = None
    error: str = ""
    traceback: str = ""
    runs: int = 0  # how often it was begun

    @property
    def live(self) -> bool:
        return self.state not in ENDED

    @classmethod
    def read(cls, row: dict[str, Any]) -> "Job":
        return cls(**{field.name: row[field.name] for field in dataclasses.fields(cls) if field.name in row})


class Line:
    """The ledger of jobs of the cache folder `root`. Every method may be called from any thread and any process."""

    def __init__(self, root: Path | str) -> None:
        self.store = Store(root)
        self.root = self.store.root
        self._rows = ledger.opened(self.root / "line")
        self._bell = threading.Event()  # rung when there is something new to work on
        self._stops: dict[str, threading.Event] = {}  # of jobs that run in this process

    def submit(self, spec: Spec) -> Job:
        """Put a recipe in the line, once: one that waits or runs stays as it is, one that is made already is done."""
        with self._rows.transact(retry=True):
            old, now, made = self.job(spec.key), time.time(), self.store.has(spec)
            if old and (old.live or (old.state == "done" and made)):
                return old
            job = Job(spec.key, spec.kind, spec.title, spec.text, submitted=now, runs=old.runs if old else 0)
            if made:
                return self._keep(job, state="done", fraction=1.0, started=now, ended=now)
            if old and old.state == "done":  # its product was deleted: the story begins anew
                Track(self.root, spec.key).clear()
            return self._join(job)

    def resume(self, key: str) -> Job:
        """Put a failed, cancelled or interrupted job back in the line; it goes on from what it had checkpointed."""
        with self._rows.transact(retry=True):
            job = self._known(key)
            return self._join(job) if job.state in ENDED and job.state != "done" else job

    def cancel(self, key: str) -> Job:
        """A waiting job is cancelled at once, a running one at its next report; an ended one stays as it is."""
        with self._rows.transact(retry=True):
            job = self._known(key)
            if job.state == "waiting":
                self._waiting([other for other in self._waiting() if other != key])
                job = self._keep(job, state="cancelled", ended=time.time(), message="cancelled before it began")
            elif job.state == "running":
                job = self._keep(job, cancelling=True)
        if job.cancelling and (stop := self._stops.get(key)):
            stop.set()
        return job

    def forget(self, key: str) -> None:
        """Take an ended job out of the line, with its track and its checkpoints; its product stays in the store."""
        with self._rows.transact(retry=True):
            if self._known(key).live:
                raise BadInput(f"the job {key} has not ended; cancel it first")
            self._rows.delete(["job", key])
        Track(self.root, key).clear()
        self.store.forget(key)

    def job(self, key: str) -> Job | None:
        row = self._rows.get(["job", checked(key)])
        return None if row is None else Job.read(row)

    def jobs(self) -> list[Job]:
        """All jobs, the one submitted last first."""
        found = (self.job(name[1]) for name in list(self._rows) if name[0] == "job")
        return sorted((job for job in found if job), key=lambda job: (job.submitted, job.key), reverse=True)

    def position(self, key: str) -> int | None:
        """How many waiting jobs are before this one; None if it does not wait."""
        waiting = self._waiting()
        return waiting.index(key) if key in waiting else None

    def track(self, key: str) -> list[dict[str, Any]]:
        """What a job told on its way: points of time (unix s), fraction, message and numbers, oldest first."""
        return Track(self.root, checked(key)).points()

    def close(self) -> None:
        self._rows.close()

    # What a worker calls, and only while it owns the folder.

    def take(self) -> Job | None:
        """The next waiting job, from now on running."""
        if not self._waiting():
            return None
        with self._rows.transact(retry=True):
            key, *others = self._waiting() or [None]
            self._waiting(others)
            job = self.job(key) if key else None
            if job is None:
                return None
            self._stops[key] = threading.Event()
            now, fresh = (
                time.time(),
                dataclasses.replace(job, numbers={}, error="", traceback="", fraction=0.0, ended=0.0),
            )
            return self._keep(
                fresh, state="running", started=now, heartbeat=now, runs=job.runs + 1, message="beginning"
            )

    def update(self, key: str, **news: Any) -> Job:
        """Write how a job fares. Notices on the way that another process wants it to stop."""
        with self._rows.transact(retry=True):
            job = self._keep(self._known(key), **news)
        if job.cancelling:
            self.stop(key).set()
        return job

    def stop(self, key: str) -> threading.Event:
        """Set when the running job shall stop."""
        return self._stops.setdefault(key, threading.Event())

    def end(self, key: str, state: str, **news: Any) -> Job:
        self._stops.pop(key, None)
        return self.update(key, state=state, cancelling=False, ended=time.time(), eta=None, **news)

    def interrupt(self) -> list[Job]:
        """Mark what a worker that is gone had left running."""
        left = [job for job in self.jobs() if job.state == "running"]
        for job in left:
            if job.cancelling:
                self.end(job.key, "cancelled")
            else:
                self.end(job.key, "interrupted", error="the process that ran it ended; resume it to go on")
        return left

    def wait(self, seconds: float) -> None:
        """Until a job is submitted here, or for `seconds`."""
        self._bell.wait(seconds)
        self._bell.clear()

    def ring(self) -> None:
        self._bell.set()

    def _known(self, key: str) -> Job:
        job = self.job(key)
        if job is None:
            raise BadInput(f"the line has no job with key {key}")
        return job

    def _join(self, job: Job) -> Job:
        self._waiting([*self._waiting(), job.key])
        self.ring()
        return self._keep(job, state="waiting", cancelling=False, submitted=time.time(), eta=None, message="")

    def _keep(self, job: Job, **news: Any) -> Job:
        job = dataclasses.replace(job, **news)
        self._rows.set(["job", job.key], dataclasses.asdict(job))
        return job

    def _waiting(self, keys: list[str] | None = None) -> list[str]:
        if keys is not None:
            self._rows.set("waiting", keys)
        return self._rows.get("waiting", [])


@contextlib.contextmanager
def own(root: Path | str) -> Iterator[None]:
    """Own the cache folder: inside, no other process and no other thread works. Raises `Held` at once if one does."""
    root = Path(root).resolve()
    root.mkdir(parents=True, exist_ok=True)
    lock, side = filelock.FileLock(root / "worker.lock", thread_local=False), root / "worker.json"
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise Held(f"the cache {root} is being worked on by {_holder(side)}; stop that, or wait for it") from None
    try:
        me = psutil.Process()
        with contextlib.suppress(OSError):  # the lock holds without it
            disk.write(side, {"pid": me.pid, "started": me.create_time()})
        yield
    finally:
        side.unlink(missing_ok=True)
        lock.release()


def _holder(side: Path) -> str:
    try:
        note = json.loads(side.read_text())
        if abs(psutil.Process(note["pid"]).create_time() - note["started"]) < 1.0:
            since = time.strftime("%Y-%m-%d %H:%M", time.localtime(note["started"]))
            return f"process {note['pid']} (started {since})"
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        pass
    return "another process"


def load_experiments() -> None:
    """Make every kind of recipe known."""
    importlib.import_module("core.experiments")


class Worker:
    """The thread that makes what the line asks for, one job after another, whenever it can own the folder."""

    def __init__(self, line: Line, store: Store, load_kinds: Callable[[], None] = load_experiments) -> None:
        self.line, self.store, self.load_kinds = line, store, load_kinds
        self.owns = False  # whether this worker, not another one, works the line
        self.trouble = ""  # what keeps it from working, if something does
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._live, name="worker", daemon=True)

    def start(self) -> "Worker":
        self._thread.start()
        return self

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self, timeout: float = 10.0) -> None:
        """Interrupt what runs at its next report, and end the thread."""
        self._stopping.set()
        self.line.ring()
        if self._thread.ident:
            self._thread.join(timeout)

    def _live(self) -> None:
        while not self._stopping.is_set():
            try:
                with own(self.line.root):
                    self._work()
            except Held as error:
                self.trouble = str(error)
            except Exception as error:  # such as a full disk under the ledger: tell, and try again
                self.trouble = f"{type(error).__name__}: {error}"
                log.exception("the worker could not go on and tries again")
            finally:
                self.owns = False
            self._stopping.wait(TICK)

    def _work(self) -> None:
        self.owns, self.trouble = True, ""
        self.line.interrupt()
        self.store.sweep()
        while not self._stopping.is_set():
            job = self.line.take()
            if job is None:
                self.line.wait(TICK)
            else:
                self._run(job)
                tidy()

    def _run(self, job: Job) -> None:
        stop = self.line.stop(job.key)
        with Pulse(self.line, job) as pulse:
            try:
                self.load_kinds()
                report = Report(pulse.tell, lambda: stop.is_set() or self._stopping.is_set())
                make(read_json(job.spec), self.store, report)
                end = {"state": "done", "fraction": 1.0, "message": "done"}
            except Cancelled:
                end = {"state": "cancelled" if stop.is_set() else "interrupted"}
            except BaseException as error:  # also a SystemExit: the line goes on whatever a maker does
                end = {"state": "failed", "error": explained(error, self.store.root), "traceback": ""}
                if not isinstance(error, BadInput):
                    end["traceback"] = traceback.format_exc()
        self.line.end(job.key, **end)


class Pulse:
    """Takes a running job's reports in memory and writes the newest to the line every `TICK` seconds."""

    def __init__(self, line: Line, job: Job) -> None:
        self.line, self.key = line, job.key
        self.track, self.pace = Track(line.root, job.key), Pace()
        self._news: dict[str, Any] = {}
        self._numbers: dict[str, Any] = {}
        self._fraction = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"pulse of {job.key}", daemon=True)

    def __enter__(self) -> "Pulse":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._flush()

    def tell(self, fraction: float, message: str, numbers: dict[str, Any]) -> None:
        """What `Report` calls: never touches the disk."""
        now, self._fraction = time.time(), max(self._fraction, fraction)
        same = all(self._numbers.get(name) == numbers.get(name) for name in ("kind", "title"))
        self._numbers = (self._numbers if same else {}) | disk.plain(numbers)
        self.track.add(now, self._fraction, message, disk.plain(numbers))
        self._news = {
            "fraction": self._fraction,
            "message": message,
            "numbers": self._numbers,
            "heartbeat": now,
            "eta": self.pace(now, self._fraction),
        }

    def _beat(self) -> None:
        while not self._ended.wait(TICK):
            self._flush()

    def _flush(self) -> None:
        news, self._news = self._news, {}
        try:
            if news:
                self.line.update(self.key, **news)
                self.track.flush()
            elif (job := self.line.job(self.key)) and job.cancelling:
                self.line.stop(self.key).set()
        except Exception:  # a full or busy disk under the ledger is no reason to lose the work
            log.exception("the progress of %s could not be written", self.key)


def explained(error: BaseException, root: Path) -> str:
    """What a person reads of an error: one line."""
    first = (str(error).strip() or "no message").splitlines()[0]
    if isinstance(error, BadInput):
        return str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "allocate memory" in first:
        return f"the memory was not enough ({first:.120}); lower `batch_size` or take a smaller backbone, then resume"
    if disk.is_full(error):
        return str(disk.full(root))
    return f"{type(error).__name__}: {first}"


def tidy() -> None:
    """Give back what a job held, on the accelerator as well."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
