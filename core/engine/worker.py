"""The worker: a thread that makes the jobs of the queue, in the process that owns the cache folder.

A lock on the folder ensures that one worker at a time uses the accelerator; others stand by and take over when it ends.
"""

import contextlib
import json
import logging
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import psutil

from core.engine import files, memory
from core.engine.failures import explain_failure
from core.engine.job_queue import Job, JobQueue
from core.engine.make import sum_efforts
from core.engine.process_pool import make_parallel
from core.engine.progress import TimeEstimate, Track
from core.engine.report import Cancelled, Report
from core.engine.spec import BadInput, Spec, read_spec_json
from core.engine.store import Store

HOLD_SECONDS = 60.0  # seconds in which a resumed job finds its checkpoint; after them its true progress is shown
NEAR = 0.05  # a fraction this close to the one before the interruption is there again
TICK = 0.25  # seconds between reads of the queue, and between writes of progress

log = logging.getLogger(__name__)


class CacheInUse(BadInput):
    """Another process owns the cache folder."""


@contextlib.contextmanager
def own_cache(root: Path | str) -> Iterator[None]:
    """Hold the lock of the cache folder. Raises `CacheInUse` at once if another process or thread holds it."""
    root = Path(root).resolve()
    root.mkdir(parents=True, exist_ok=True)
    lock, side = filelock.FileLock(root / "worker.lock", thread_local=False), root / "worker.json"
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise CacheInUse(f"the cache {root} is in use by {_holder(side)}; stop that process, or wait for it") from None
    except OSError as error:
        if files.is_disk_full(error):
            raise files.disk_full_error(error, root) from error
        raise BadInput(f"the cache {root} cannot be written: {error.strerror}; choose another --cache") from None
    try:
        me = psutil.Process()
        with contextlib.suppress(OSError):  # only for the message; the lock works without it
            files.write_json(side, {"pid": me.pid, "started": me.create_time()})
        yield
    finally:
        with contextlib.suppress(OSError):
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


class Worker:
    """The thread that makes the jobs of the queue one after another, while it owns the cache folder.

    `kinds`: the module that registers the spec kinds; whoever starts a worker imports it, and so do its processes.
    """

    def __init__(self, queue: JobQueue, store: Store, kinds: str, workers: int = 1) -> None:
        self.queue, self.store, self.kinds = queue, store, kinds
        self.workers = workers  # parallel processes for the parts of a job
        self.owns = False  # whether this worker owns the cache folder
        self.trouble = ""  # why it cannot work, or ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._live, name="worker", daemon=True)

    def start(self) -> "Worker":
        self._thread.start()
        return self

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self, timeout: float = 10.0) -> None:
        """Interrupt the running job at its next report, and end the thread."""
        self._stopping.set()
        self.queue.wake()
        if self._thread.ident:
            self._thread.join(timeout)

    def _live(self) -> None:
        while not self._stopping.is_set():
            try:
                with own_cache(self.queue.root):
                    self._work()
            except CacheInUse as error:
                self.trouble = str(error)
            except Exception as error:  # such as a full disk: record it and try again
                self.trouble = f"{type(error).__name__}: {error}"
                log.exception("the worker failed and tries again")
            finally:
                self.owns = False
            self._stopping.wait(TICK)

    def _work(self) -> None:
        self.owns, self.trouble = True, ""
        self.queue.interrupt()
        self.store.sweep()
        while not self._stopping.is_set():
            job = self.queue.start_next()
            if job is None:
                self.queue.wait(TICK)
            else:
                self._run(job)
                memory.release_memory()

    def _run(self, job: Job) -> None:
        stop = self.queue.stop(job.key)
        with ProgressWriter(self.queue, job) as writer:
            try:
                spec = read_spec_json(job.spec)
                start = self._find_start(job, spec)
                report = Report(
                    writer.tell,
                    lambda: stop.is_set() or self._stopping.is_set(),
                    writer.time_estimate.plan,
                    start=start,
                    share=1.0 - start,
                )
                make_parallel(spec, self.store, report, self.workers, self.kinds)
                end: dict[str, Any] = {"state": "done", "fraction": 1.0, "message": "done"}
            except Cancelled:
                end = {"state": "cancelled"}
                if not stop.is_set():
                    end = {"state": "interrupted", "error": "the worker was stopped; resume the job"}
            except BaseException as error:  # also SystemExit: the queue continues after any failure
                end = {"state": "failed", "error": explain_failure(error, self.store.root), "traceback": ""}
                if not isinstance(error, BadInput):
                    end["traceback"] = traceback.format_exc()
        self.queue.end(job.key, **end)

    def _find_start(self, job: Job, spec: Spec) -> float:
        """The fraction of the job that its finished parts are, counted from its first start."""
        missing = sum_efforts(spec, self.store)
        whole = max(job.effort, missing)
        self.queue.update(job.key, effort=whole)
        return 1.0 - missing / whole if whole else 0.0


class ProgressWriter:
    """Collects the reports of a running job in memory and writes the newest to the queue every `TICK` seconds."""

    def __init__(self, queue: JobQueue, job: Job) -> None:
        self.queue, self.key = queue, job.key
        self.track, self.time_estimate = Track(queue.root, job.key), TimeEstimate()
        self._news: dict[str, Any] = {}
        self._numbers: dict[str, Any] = {}
        self._fraction = 0.0
        self._held = job.fraction if job.runs > 1 else 0.0  # shown until a resumed job is there again
        self._began = time.time()
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"progress of {job.key}", daemon=True)

    def __enter__(self) -> "ProgressWriter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._flush()

    def tell(self, fraction: float, message: str, numbers: dict[str, Any]) -> None:
        """Called by `Report`; does not access the disk."""
        now, numbers, self._fraction = time.time(), files.to_json_value(numbers), max(self._fraction, fraction)
        if self._held and (self._fraction >= self._held - NEAR or now - self._began > HOLD_SECONDS):
            self._held = 0.0
            self.time_estimate.restart(now)  # the checkpoint is read: what it holds took no time
        same_part = self._numbers.get("key") == numbers.get("key")
        self._numbers = (self._numbers if same_part else {}) | numbers
        shown = max(self._fraction, self._held)
        self.track.add(now, shown, message, numbers)
        eta = self.time_estimate(now, self._fraction, numbers.get("key", ""))
        eta = None if self._held else eta
        news = {"fraction": shown, "message": message, "numbers": self._numbers, "heartbeat": now, "eta": eta}
        with self._guard:
            self._news = news

    def _beat(self) -> None:
        while not self._ended.wait(TICK):
            self._flush()

    def _flush(self) -> None:
        with self._guard:
            news, self._news = self._news, {}
        try:
            if news:
                self.queue.update(self.key, **news)
                self.track.flush()
            elif (job := self.queue.job(self.key)) and job.cancelling:
                self.queue.stop(self.key).set()
        except Exception:  # a full or busy disk must not end the job
            log.exception("the progress of %s could not be written", self.key)
