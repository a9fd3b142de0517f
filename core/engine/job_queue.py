"""The job queue on disk, shared by all processes that open it: waiting, running and ended jobs."""

import dataclasses
import threading
import time
from pathlib import Path
from typing import Any

from core.engine import key_value
from core.engine.progress import Track
from core.engine.spec import BadInput, Spec
from core.engine.store import Store, check_key

ENDED_STATES = ("done", "failed", "cancelled", "interrupted")


@dataclasses.dataclass(frozen=True)
class Job:
    """Progress of a spec. Times are Unix seconds (0.0: not yet); `eta` is the seconds left (None: unknown)."""

    key: str
    kind: str
    title: str
    spec: str  # JSON
    state: str = "waiting"  # running, done, failed, cancelled, interrupted
    cancelling: bool = False  # it stops at its next report
    fraction: float = 0.0
    message: str = ""
    numbers: dict[str, Any] = dataclasses.field(
        default_factory=dict
    )  # the latest, with kind, title and key of the part
    submitted: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    heartbeat: float = 0.0  # time of its last report
    eta: float | None = None
    error: str = ""
    traceback: str = ""
    runs: int = 0  # number of starts
    effort: float = 0.0  # of everything that was missing at its first start (`Spec.effort`)

    @property
    def is_active(self) -> bool:
        return self.state not in ENDED_STATES

    @classmethod
    def read(cls, row: dict[str, Any]) -> "Job":
        return cls(**{field.name: row[field.name] for field in dataclasses.fields(cls) if field.name in row})


class JobQueue:
    """The jobs of the cache folder `root`. Every method may be called from any thread and any process."""

    def __init__(self, root: Path | str) -> None:
        self.store = Store(root)
        self.root = self.store.root
        self._rows = key_value.open_database(self.root / "line")
        self._wake_up = threading.Event()  # set when there is a new job
        self._stops: dict[str, threading.Event] = {}  # stop events of the jobs that run in this process

    def submit(self, spec: Spec) -> Job:
        """Add a spec to the queue. An active job is unchanged; one whose run is in the store is done at once."""
        with self._rows.transact(retry=True):
            job = self._submit(spec)
        self._wake_for(job)
        return job

    def resume(self, key: str) -> Job:
        """Put a failed, cancelled or interrupted job back in the queue; it resumes from its checkpoint."""
        with self._rows.transact(retry=True):
            job = self._existing_job(key)
            if job.state in ENDED_STATES and job.state != "done":
                job = self._append(job, fraction=job.fraction, effort=job.effort)
        self._wake_for(job)
        return job

    def cancel(self, key: str) -> Job:
        """Cancel a job: a waiting one at once, a running one at its next report; an ended one is unchanged."""
        with self._rows.transact(retry=True):
            job = self._existing_job(key)
            if job.state == "waiting":
                self._waiting([other for other in self._waiting() if other != key])
                job = self._write(job, state="cancelled", ended=time.time(), message="cancelled before it began")
            elif job.state == "running":
                job = self._write(job, cancelling=True)
        if job.cancelling and (stop := self._stops.get(key)):
            stop.set()
        return job

    def remove(self, key: str) -> None:
        """Remove an ended job, its track and its checkpoints, not its run. Raises `BadInput` if it is active."""
        with self._rows.transact(retry=True):
            if self._existing_job(key).is_active:
                raise BadInput(f"the job {key} has not ended; cancel it first")
            self._rows.delete(["job", key])
        Track(self.root, key).clear()
        self.store.remove(key)

    def job(self, key: str) -> Job | None:
        row = self._rows.get(["job", check_key(key)])
        return None if row is None else Job.read(row)

    def jobs(self) -> list[Job]:
        """All jobs, newest first."""
        jobs = (self.job(name[1]) for name in list(self._rows) if name[0] == "job")
        return sorted((job for job in jobs if job), key=lambda job: (job.submitted, job.key), reverse=True)

    def position(self, key: str) -> int | None:
        """Number of waiting jobs before this one; None if it does not wait."""
        waiting = self._waiting()
        return waiting.index(key) if key in waiting else None

    def track(self, key: str) -> list[dict[str, Any]]:
        """Progress points of a job (Unix time in s, fraction, message, numbers), oldest first."""
        return Track(self.root, check_key(key)).points()

    def close(self) -> None:
        self._rows.close()

    # Called only by the worker that owns the folder.

    def start_next(self) -> Job | None:
        """Mark the next waiting job as running and return it; None if there is none."""
        if not self._waiting():
            return None
        with self._rows.transact(retry=True):
            key, *others = self._waiting() or [""]
            self._waiting(others)
            job = self.job(key) if key else None
            if job is None:
                return None
            self._stops[key] = threading.Event()
            now = time.time()
            return self._write(job, state="running", started=now, heartbeat=now, runs=job.runs + 1, message="beginning")

    def update(self, key: str, **news: Any) -> Job:
        """Write the progress of a job, and set its stop event if another process cancelled it."""
        with self._rows.transact(retry=True):
            job = self._write(self._existing_job(key), **news)
        if job.cancelling:
            self.stop(key).set()
        return job

    def stop(self, key: str) -> threading.Event:
        """The event that is set when the running job must stop."""
        return self._stops.setdefault(key, threading.Event())

    def end(self, key: str, state: str, **news: Any) -> Job:
        self._stops.pop(key, None)
        return self.update(key, state=state, cancelling=False, ended=time.time(), eta=None, **news)

    def interrupt(self) -> list[Job]:
        """Mark the jobs that an ended worker left running."""
        orphans = [job for job in self.jobs() if job.state == "running"]
        for job in orphans:
            if job.cancelling:
                self.end(job.key, "cancelled")
            else:
                self.end(job.key, "interrupted", error="the process that ran it ended; resume the job")
        return orphans

    def wait(self, seconds: float) -> None:
        """Wait until a job is submitted in this process, for at most `seconds`."""
        self._wake_up.wait(seconds)
        self._wake_up.clear()

    def wake(self) -> None:
        self._wake_up.set()

    def _wake_for(self, job: Job) -> None:
        """Wake the worker, after the commit: before it, the worker would not see the job and would wait again."""
        if job.state == "waiting":
            self.wake()

    def _submit(self, spec: Spec) -> Job:
        old, now, in_store = self.job(spec.key), time.time(), self.store.has(spec)
        if old and (old.is_active or (old.state == "done" and in_store)):
            return old
        job = Job(spec.key, spec.kind, spec.title, spec.text, submitted=now, runs=old.runs if old else 0)
        if in_store:
            return self._write(job, state="done", fraction=1.0, started=now, ended=now)
        if old and old.state == "done":  # its product was deleted
            Track(self.root, spec.key).clear()
        return self._append(job)

    def _existing_job(self, key: str) -> Job:
        job = self.job(key)
        if job is None:
            raise BadInput(f"the queue has no job with key {key}")
        return job

    def _append(self, job: Job, fraction: float = 0.0, effort: float = 0.0) -> Job:
        self._waiting([*self._waiting(), job.key])
        fresh = Job(job.key, job.kind, job.title, job.spec, submitted=time.time(), runs=job.runs)
        return self._write(fresh, fraction=fraction, effort=effort)

    def _write(self, job: Job, **news: Any) -> Job:
        job = dataclasses.replace(job, **news)
        self._rows.set(["job", job.key], dataclasses.asdict(job))
        return job

    def _waiting(self, keys: list[str] | None = None) -> list[str]:
        if keys is not None:
            self._rows.set("waiting", keys)
        waiting: list[str] = self._rows.get("waiting", [])
        return waiting
