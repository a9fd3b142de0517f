"""Specs that count, fail or wait for a file, for the tests of the job queue and the worker."""

import dataclasses
import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar, Literal

from core.engine.spec import BadInput, Spec, settings
from tests.waiting import until

TESTS = Path(__file__).parent


@dataclasses.dataclass
class Sum:
    """The total of the steps, and which of them this process did."""

    total: int
    did: list[int]

    def save(self, folder: Path) -> None:
        (folder / "sum.json").write_text(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def load(cls, folder: Path) -> "Sum":
        return cls(**json.loads((folder / "sum.json").read_text()))

    def summary(self) -> dict:
        return {"total": self.total}


@settings
class Count(Spec[Sum]):
    """Adds step numbers, with a checkpoint after each."""

    kind: ClassVar[str] = "jobs-count"
    steps: int = 3
    name: str = ""
    gate: str = ""  # a file to wait for in each step from number `free` on
    free: int = 0
    silent: bool = True  # whether to wait without reports

    def make(self, report):
        checkpoint, done, did = report.scratch / "checkpoint.json", [], []
        if checkpoint.exists():
            done = json.loads(checkpoint.read_text())
        for step in range(len(done), self.steps):
            report(step / self.steps, f"step {step}", epoch=step, train_loss=1.0 / (step + 1))
            while self.gate and step >= self.free and not Path(self.gate).exists():
                if not self.silent:
                    report(step / self.steps, f"step {step}", epoch=step, train_loss=1.0 / (step + 1))
                time.sleep(0.01)
            done.append(step)
            did.append(step)
            draft = checkpoint.with_suffix(".draft")
            draft.write_text(json.dumps(done))
            os.replace(draft, checkpoint)
        return Sum(sum(done), did)


class OutOfMemoryError(RuntimeError):
    """As torch.cuda names it."""


@settings
class Fail(Spec[Sum]):
    """Fails in one of several ways."""

    kind: ClassVar[str] = "jobs-fail"
    how: Literal["input", "bug", "memory", "cuda", "disk", "exit"] = "bug"

    def make(self, report):
        match self.how:
            case "input":
                raise BadInput("wants 3 rows, got 2; give one more")
            case "bug":
                raise KeyError("smiles")
            case "memory":
                raise MemoryError
            case "cuda":
                raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nmore lines")
            case "disk":
                raise OSError(errno.ENOSPC, "No space left on device")
            case "exit":
                raise SystemExit(3)


@settings
class Both(Spec[Sum]):
    """Several counts, made one after another."""

    kind: ClassVar[str] = "jobs-both"
    parts_: tuple[Spec[Sum], ...]

    def make(self, report, parts_):
        return Sum(sum(part.total for part in parts_), [])


def wait_until_ended(queue, spec):
    """The job of a spec once it has ended."""
    return until(lambda: (job := queue.job(spec.key)) and not job.is_active and job, f"the end of {spec.title}")


def start_process(root, code):
    """Another Python process that knows the specs of this file, with a queue as `queue`."""
    head = f"import sys; sys.path[:0] = [{str(TESTS.parent)!r}]; import time\n"
    head += "from tests.queue_specs import *; from core.engine.worker import CacheInUse, Worker, own_cache\n"
    head += "from core.engine.store import Store; from core.engine.job_queue import JobQueue\n"
    head += f"queue = JobQueue({str(root)!r})\n"
    return subprocess.Popen([sys.executable, "-c", head + code], stdout=subprocess.PIPE, text=True)
