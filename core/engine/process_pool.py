"""Makes several specs of a tree in parallel, each in its own process, such as the trainings of a study.

A process of the pool reads specs from its standard input, one line of JSON each, and makes them through the shared
store. It writes its progress and results to its standard output, one line of JSON each.
"""

import contextlib
import importlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.engine import memory
from core.engine.make import make, validate_early
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, read_spec_json
from core.engine.store import Store

TICK = 0.25  # seconds between checks for cancellation, and between progress messages of a process
END_TIMEOUT = 10.0  # seconds for a process to end after SIGTERM


def parse_workers(text: str) -> int:
    """The number of parallel processes from text. Raises `BadInput`."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise BadInput(f"the number of parallel processes must be an integer, 1 or more; got {text!r:.80}")
    return int(text)


def make_parallel(spec: Spec, store: Store, report: Report, workers: int, kinds: str) -> Any:
    """As `make`, but with up to `workers` parts of the tree in parallel. The root is made in this process, by `make`.

    If a part of a tolerant spec fails, the others are still made; `make` tries it once more and reports why. Raises
    `Cancelled`; unfinished parts resume from their checkpoints. `kinds` is the module that registers the spec kinds.
    """
    if workers > 1 and len((tree := PartTree.of(spec, store)).missing) > 2:
        validate_early(spec, store, report)
        ProcessPool(tree, store, report.part(0, 0.98), kinds).work(min(workers, len(tree.missing) - 1))
        report = report.part(0.98, 1)
    return make(spec, store, report)


@dataclass
class PartTree:
    """The missing specs of a tree by key; the root is the last of `missing`."""

    root: str
    missing: dict[str, Spec]
    parts: dict[str, set[str]]  # missing parts of each spec
    users: dict[str, set[str]]  # specs that need it

    @classmethod
    def of(cls, spec: Spec, store: Store) -> "PartTree":
        missing: dict[str, Spec] = {}
        parts: dict[str, set[str]] = {}

        def visit(node: Spec) -> None:
            if node.key in parts or store.has(node):
                return
            parts[node.key] = set()
            for part in node.iterate_parts():
                visit(part)
                parts[node.key] |= {part.key} & set(parts)
            missing[node.key] = node

        visit(spec)
        users = {key: {user for user, needed in parts.items() if key in needed} for key in missing}
        return cls(spec.key, missing, parts, users)

    def critical_path(self) -> dict[str, float]:
        """Effort of the longest path from each spec to the root; the longest is made first."""
        lengths: dict[str, float] = {}
        for key in reversed(self.missing):  # its users come later in `missing`
            lengths[key] = self.missing[key].effort + max((lengths[user] for user in self.users[key]), default=0.0)
        return lengths

    def is_fatal(self, key: str) -> bool:
        """Whether no tolerant spec lies between a failed part and the root."""
        if key == self.root:
            return True
        return any(not self.missing[user].tolerant and self.is_fatal(user) for user in self.users[key])


@dataclass
class ProcessPool:
    """Processes that make the parts of a tree."""

    tree: PartTree
    store: Store
    report: Report
    kinds: str
    done: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    at_work: dict[int, tuple[str, float]] = field(default_factory=dict)  # by process: key and fraction done

    def work(self, workers: int) -> None:
        """Make all parts that can be made, except the root. Raises `Cancelled`."""
        lengths, waiting = self.tree.critical_path(), set(self.tree.missing) - {self.tree.root}
        messages: queue.SimpleQueue = queue.SimpleQueue()
        with _processes([str(self.store.root), self.kinds], workers, messages) as processes:
            while (waiting or self.at_work) and processes:
                ready = [key for key in waiting if self.tree.parts[key] <= self.done]
                ready.sort(key=lambda key: (-lengths[key], key))
                for number, key in zip([idle for idle in processes if idle not in self.at_work], ready, strict=False):
                    waiting.discard(key)
                    self.at_work[number] = (key, 0.0)
                    _send(processes[number], self.tree.missing[key].text)
                if not self.at_work:  # the rest needs failed parts
                    return
                if not self._receive(messages, processes):
                    return

    def _receive(self, messages: queue.SimpleQueue, processes: dict[int, subprocess.Popen]) -> bool:
        """Handle one message of a process; False once a fatal part has failed."""
        with contextlib.suppress(queue.Empty):
            number, message = messages.get(timeout=TICK)
            key, _ = self.at_work.get(number, ("", 0.0))
            if message is None:  # its process ended, perhaps out of memory: `make` tries its part again
                processes.pop(number, None)
            elif "fraction" in message and key:
                self.at_work[number] = (key, message["fraction"])
                self._report(f"{self.tree.missing[key].title}: {message['message']}")
                return True
            if key and (message is None or "made" in message):
                del self.at_work[number]
                (self.done if message and message["made"] else self.failed).add(key)
                return not (key in self.failed and self.tree.is_fatal(key))
        self.report.check()
        return True

    def _report(self, message: str) -> None:
        efforts = {key: max(part.effort, 0.0) for key, part in self.tree.missing.items()}
        done = sum(efforts[key] for key in self.done) + sum(
            efforts[key] * fraction for key, fraction in self.at_work.values()
        )
        count = f"{len(self.done)} of {len(efforts) - 1} made, {len(self.at_work)} at once; "
        self.report(done / (sum(efforts.values()) or 1.0), count + message)


@contextlib.contextmanager
def _processes(arguments: list[str], count: int, messages: queue.SimpleQueue) -> Iterator[dict[int, subprocess.Popen]]:
    """The processes by number, each with its share of the cores; all are ended on exit."""
    share = max(1, (os.cpu_count() or 1) // count)
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"OMP_NUM_THREADS": str(share), "PYTHONPATH": os.pathsep.join(paths)}
    started = {
        number: subprocess.Popen(
            [sys.executable, "-m", "core.engine.process_pool", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, encoding="utf-8",
        )
        for number in range(count)
    }  # fmt: skip
    for number, process in started.items():
        threading.Thread(target=_read_messages, args=(number, process, messages), daemon=True).start()
    try:
        yield dict(started)
    finally:
        for process in started.values():
            process.terminate()
        for process in started.values():
            try:
                process.wait(END_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()


def _send(process: subprocess.Popen, text: str) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # it has ended; its reader reports that
        process.stdin.write(text + "\n")
        process.stdin.flush()


def _read_messages(number: int, process: subprocess.Popen, messages: queue.SimpleQueue) -> None:
    assert process.stdout is not None
    with contextlib.suppress(OSError, ValueError):
        for line in process.stdout:
            messages.put((number, json.loads(line)))
    messages.put((number, None))


def run_process(root: str, kinds: str) -> None:
    """One process of the pool, until its standard input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # keeps prints of libraries out of the messages
    importlib.import_module(kinds)
    store, last = Store(root), 0.0

    def send(**message: Any) -> None:
        print(json.dumps(message, ensure_ascii=False), file=answers, flush=True)

    def send_progress(fraction: float, message: str, numbers: dict[str, Any]) -> None:
        nonlocal last
        if time.monotonic() - last > TICK:
            last = time.monotonic()
            send(fraction=fraction, message=message)

    for line in sys.stdin:
        try:
            make(read_spec_json(line), store, Report(send_progress, files=store.files))
            send(made=True)
        except Exception:  # `make` of the root reports it in full
            send(made=False)
        memory.release_memory()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        run_process(*sys.argv[1:])
