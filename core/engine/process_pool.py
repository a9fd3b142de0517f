"""Several recipes of a tree at once, each in a process of its own: a study's trainings do not wait for each other.

A process of the crew reads recipes from its standard input, a line of JSON each, makes them through the store that all
share, and says on its standard output how far it is and what came of it, a line of JSON each.
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

TICK = 0.25  # seconds between two looks at whether someone cancelled, and between two words of a process
END_TIMEOUT = 10.0  # seconds that a process has to end when it is told to


def parse_workers(text: str) -> int:
    """How many processes work at once, as someone wrote it. Raises `BadInput`."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise BadInput(f"how many processes work at once is a whole number, 1 or more; got {text!r:.80}")
    return int(text)


def make_parallel(spec: Spec, store: Store, report: Report, workers: int, kinds: str) -> Any:
    """As `make`, but with up to `workers` parts of the tree at once. The recipe itself is made here, by `make`.

    A part that fails does not keep others from being made where a tolerant recipe can do without it; `make` tries it
    once more and says why. Raises `Cancelled`; what was begun resumes from its checkpoints. `kinds` is the module that
    knows the recipes.
    """
    if workers > 1 and len((tree := PartTree.of(spec, store)).missing) > 2:
        validate_early(spec, store, report)
        ProcessPool(tree, store, report.part(0, 0.98), kinds).work(min(workers, len(tree.missing) - 1))
        report = report.part(0.98, 1)
    return make(spec, store, report)


@dataclass
class PartTree:
    """What a recipe is made from, and is not there yet, by key; the recipe itself is the last of `missing`."""

    root: str
    missing: dict[str, Spec]
    parts: dict[str, set[str]]  # of each its missing parts
    users: dict[str, set[str]]  # and who is made from it

    @classmethod
    def of(cls, spec: Spec, store: Store) -> "PartTree":
        missing: dict[str, Spec] = {}
        parts: dict[str, set[str]] = {}

        def visit(one: Spec) -> None:
            if one.key in parts or store.has(one):
                return
            parts[one.key] = set()
            for part in one.iterate_parts():
                visit(part)
                parts[one.key] |= {part.key} & set(parts)
            missing[one.key] = one

        visit(spec)
        users = {key: {user for user, mine in parts.items() if key in mine} for key in missing}
        return cls(spec.key, missing, parts, users)

    def critical_path(self) -> dict[str, float]:
        """Of each the effort from there to the root, the longest way: what has the longest goes first."""
        found: dict[str, float] = {}
        for key in reversed(self.missing):  # whoever is made from it comes later in `missing`
            found[key] = self.missing[key].effort + max((found[user] for user in self.users[key]), default=0.0)
        return found

    def is_fatal(self, key: str) -> bool:
        """Whether nothing tolerant stands between a part that failed and the root."""
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
    made: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    at_work: dict[int, tuple[str, float]] = field(default_factory=dict)  # by process: what it makes, how far it is

    def work(self, workers: int) -> None:
        """Make everything but the root that can be made. Raises `Cancelled`."""
        way, waiting = self.tree.critical_path(), set(self.tree.missing) - {self.tree.root}
        news: queue.SimpleQueue = queue.SimpleQueue()
        with _processes([str(self.store.root), self.kinds], workers, news) as processes:
            while (waiting or self.at_work) and processes:
                able = [key for key in waiting if self.tree.parts[key] <= self.made]
                able.sort(key=lambda key: (-way[key], key))
                for number, key in zip([one for one in processes if one not in self.at_work], able, strict=False):
                    waiting.discard(key)
                    self.at_work[number] = (key, 0.0)
                    _say(processes[number], self.tree.missing[key].text)
                if not self.at_work:  # what is left waits for what failed
                    return
                if not self._receive(news, processes):
                    return

    def _receive(self, news: queue.SimpleQueue, processes: dict[int, subprocess.Popen]) -> bool:
        """Take in what the processes say; False once nothing that they could still do would help."""
        with contextlib.suppress(queue.Empty):
            number, word = news.get(timeout=TICK)
            key, _ = self.at_work.get(number, ("", 0.0))
            if word is None:  # its process is gone, killed for memory perhaps: what it made is made here, if need be
                processes.pop(number, None)
            elif "fraction" in word and key:
                self.at_work[number] = (key, word["fraction"])
                self._report(f"{self.tree.missing[key].title}: {word['message']}")
                return True
            if key and (word is None or "made" in word):
                del self.at_work[number]
                (self.made if word and word["made"] else self.failed).add(key)
                return not (key in self.failed and self.tree.is_fatal(key))
        self.report.check()
        return True

    def _report(self, message: str) -> None:
        efforts = {key: max(one.effort, 0.0) for key, one in self.tree.missing.items()}
        done = sum(efforts[key] for key in self.made) + sum(efforts[key] * far for key, far in self.at_work.values())
        count = f"{len(self.made)} of {len(efforts) - 1} made, {len(self.at_work)} at once; "
        self.report(done / (sum(efforts.values()) or 1.0), count + message)


@contextlib.contextmanager
def _processes(told: list[str], count: int, news: queue.SimpleQueue) -> Iterator[dict[int, subprocess.Popen]]:
    """The processes by number, each with its share of the cores; at the end none is left."""
    share = max(1, (os.cpu_count() or 1) // count)
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    surroundings = os.environ | {"OMP_NUM_THREADS": str(share), "PYTHONPATH": os.pathsep.join(paths)}
    started = {
        number: subprocess.Popen(
            [sys.executable, "-m", "core.engine.process_pool", *told],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=surroundings, text=True, encoding="utf-8",
        )
        for number in range(count)
    }  # fmt: skip
    for number, process in started.items():
        threading.Thread(target=_listen, args=(number, process, news), daemon=True).start()
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


def _say(process: subprocess.Popen, text: str) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # it is gone, and will be heard to be
        process.stdin.write(text + "\n")
        process.stdin.flush()


def _listen(number: int, process: subprocess.Popen, news: queue.SimpleQueue) -> None:
    assert process.stdout is not None
    with contextlib.suppress(OSError, ValueError):
        for line in process.stdout:
            news.put((number, json.loads(line)))
    news.put((number, None))


def run_process(root: str, kinds: str) -> None:
    """One process of a crew, until its standard input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    importlib.import_module(kinds)
    store, last = Store(root), 0.0

    def say(**word: Any) -> None:
        print(json.dumps(word, ensure_ascii=False), file=answers, flush=True)

    def tell(fraction: float, message: str, numbers: dict[str, Any]) -> None:
        nonlocal last
        if time.monotonic() - last > TICK:
            last = time.monotonic()
            say(fraction=fraction, message=message)

    for line in sys.stdin:
        try:
            make(read_spec_json(line), store, Report(tell, files=store.files))
            say(made=True)
        except Exception:  # told, and in full, when the whole is made
            say(made=False)
        memory.release_memory()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        run_process(*sys.argv[1:])
