"""The orchestrator: loads the product of a spec from the store, or makes and stores it, parts first."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from core.engine import memory
from core.engine.failures import explain_failure
from core.engine.files import StoreFull, is_disk_full
from core.engine.report import Cancelled, Report, Share
from core.engine.spec import BadInput, FailedPart, Spec
from core.engine.store import Store


def make(spec: Spec, store: Store, report: Report) -> Any:
    """The product of `spec`: from the store, or made after its parts and stored.

    A shared part is made once. Input that cannot work is refused before anything costly is made (`validate_early`).
    `report` gets fractions of the whole tree, weighted by `effort`.
    """
    maker = _TreeMaker.of(spec, store, report)
    maker.validate_early(spec)
    return maker.make(spec)


def validate_early(spec: Spec, store: Store, report: Report) -> None:
    """Make the `cheap_parts` of all specs of the tree and let each spec check them. Raises `BadInput`.

    Parts of a tolerant spec are not checked.
    """
    _TreeMaker.of(spec, store, report).validate_early(spec)


def _looking_ahead(spec: Spec, store: Store) -> Iterator[Spec]:
    """The missing specs of a tree that have `cheap_parts`, each once."""
    visited: set[str] = set()

    def visit(node: Spec) -> Iterator[Spec]:
        if node.key in visited or store.has(node):
            return
        visited.add(node.key)
        if node.cheap_parts():
            yield node
        if not node.tolerant:
            for part in node.iterate_parts():
                yield from visit(part)

    yield from visit(spec)


@dataclasses.dataclass
class _TreeMaker:
    """Makes one tree of specs."""

    store: Store
    report: Report
    share: dict[str, Share]
    failed: dict[str, str] = dataclasses.field(default_factory=dict)  # reasons by key: a shared part is not tried twice

    @classmethod
    def of(cls, spec: Spec, store: Store, report: Report) -> "_TreeMaker":
        share, files = plan_shares(spec, store), store.files
        plan = {key: Share(part.kind, report.at(part.start), report.at(part.stop)) for key, part in share.items()}
        report.on_plan(plan)
        return cls(store, dataclasses.replace(report, files=files), share)

    def validate_early(self, spec: Spec) -> None:
        """See `validate_early`."""
        for checked in _looking_ahead(spec, self.store):
            checked.validate_early(**{name: self.make(part) for name, part in checked.cheap_parts().items()})

    def make(self, spec: Spec) -> Any:
        store = self.store
        if not store.has(spec):
            if spec.key in self.failed:
                raise BadInput(self.failed[spec.key])
            get = self.try_make if spec.tolerant else self.make
            parts = {name: _each(part, get) for name, part in spec.parts().items()}
            share = self.share.get(spec.key, Share(spec.kind, 0.0, 0.0))  # none: deleted since the start
            here = self.report.part(
                share.start, share.stop, store.scratch(spec), kind=spec.kind, title=spec.title, key=spec.key
            )
            here(0.0, f"starting {spec.title}")
            began = time.monotonic()
            try:
                product = spec.make(here, **parts)
            except Exception as error:
                if isinstance(error, BadInput):
                    with contextlib.suppress(OSError):  # checkpoints stay; an empty folder is removed
                        if here.scratch is not None:
                            here.scratch.rmdir()
                self.failed[spec.key] = explain_failure(error, store.root)
                raise
            store.put(spec, product, time.monotonic() - began)
        return store.get(spec)

    def try_make(self, spec: Spec) -> Any:
        """As `make`, but a failure gives a `FailedPart`, and its memory is released.

        A cancelled job and a full disk still raise.
        """
        try:
            return self.make(spec)
        except (Cancelled, StoreFull):
            raise
        except Exception as error:
            if is_disk_full(error):
                raise
            reason = explain_failure(error, self.store.root)
        memory.release_memory()  # after the handler, when the error no longer holds arrays
        return FailedPart(reason)


def plan_shares(spec: Spec, store: Store) -> dict[str, Share]:
    """Each missing spec's share of the work by key, in the order of making."""
    efforts: dict[str, tuple[str, float]] = {}

    def visit(node: Spec) -> None:
        if node.key not in efforts and not store.has(node):
            for part in node.iterate_parts():
                visit(part)
            efforts[node.key] = node.kind, max(node.effort, 0.0)

    for checked in _looking_ahead(spec, store):
        for part in checked.cheap_parts().values():
            visit(part)
    visit(spec)
    total, done, shares = math.fsum(effort for _, effort in efforts.values()) or 1.0, 0.0, {}
    for key, (kind, effort) in efforts.items():
        shares[key] = Share(kind, min(done / total, 1.0), min((done + effort) / total, 1.0))
        done += effort
    return shares


def sum_efforts(spec: Spec, store: Store) -> float:
    """The effort of everything in a tree that is not in the store yet."""
    efforts: dict[str, float] = {}

    def visit(node: Spec) -> None:
        if node.key not in efforts and not store.has(node):
            efforts[node.key] = max(node.effort, 0.0)
            for part in node.iterate_parts():
                visit(part)

    visit(spec)
    return math.fsum(efforts.values())


def _each(part: Any, change: Callable[[Spec], Any]) -> Any:
    return tuple(_each(inner, change) for inner in part) if isinstance(part, tuple) else change(part)
