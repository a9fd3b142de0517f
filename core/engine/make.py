"""The orchestrator: the product of a recipe from the store, or made, its parts first, and kept."""

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
    """The product of `spec`: from the store, or made, its parts first, and kept. The only orchestrator.

    A part that several need is made once. What can be known to be no use is said before anything costly is made.
    `report` gets fractions of the whole tree, shared out by `effort`.
    """
    making = _Making.of(spec, store, report)
    making.validate_early(spec)
    return making.make(spec)


def validate_early(spec: Spec, store: Store, report: Report) -> None:
    """Make what recipes of the tree want to see `cheap_parts`, and ask them. Raises `BadInput`.

    Not of the parts that a tolerant recipe can do without.
    """
    _Making.of(spec, store, report).validate_early(spec)


def _looking_ahead(spec: Spec, store: Store) -> Iterator[Spec]:
    """The recipes of a tree, each once, that are missing and want to see something early."""
    seen: set[str] = set()

    def visit(one: Spec) -> Iterator[Spec]:
        if one.key in seen or store.has(one):
            return
        seen.add(one.key)
        if one.cheap_parts():
            yield one
        if not one.tolerant:
            for part in one.iterate_parts():
                yield from visit(part)

    yield from visit(spec)


@dataclasses.dataclass
class _Making:
    """One tree of recipes on its way."""

    store: Store
    report: Report
    share: dict[str, Share]
    failed: dict[str, str] = dataclasses.field(default_factory=dict)  # why, by key: what arms share is not tried twice

    @classmethod
    def of(cls, spec: Spec, store: Store, report: Report) -> "_Making":
        share, files = plan_shares(spec, store), store.files
        at = {key: Share(one.kind, report.at(one.start), report.at(one.stop)) for key, one in share.items()}
        report.on_plan(at)
        return cls(store, dataclasses.replace(report, files=files), share)

    def validate_early(self, spec: Spec) -> None:
        """See `validate_early`."""
        for one in _looking_ahead(spec, self.store):
            one.validate_early(**{name: self.make(part) for name, part in one.cheap_parts().items()})

    def make(self, spec: Spec) -> Any:
        store = self.store
        if not store.has(spec):
            if spec.key in self.failed:
                raise BadInput(self.failed[spec.key])
            get = self.try_make if spec.tolerant else self.make
            parts = {name: _each(part, get) for name, part in spec.parts().items()}
            share = self.share.get(spec.key, Share(spec.kind, 0.0, 0.0))  # none: deleted since the work began
            here = self.report.part(
                share.start, share.stop, store.scratch(spec), kind=spec.kind, title=spec.title, key=spec.key
            )
            here(0.0, f"beginning {spec.title}")
            began = time.monotonic()
            try:
                product = spec.make(here, **parts)
            except Exception as error:
                if isinstance(error, BadInput):
                    with contextlib.suppress(OSError):  # checkpoints stay; where nothing was begun, no folder does
                        if here.scratch is not None:
                            here.scratch.rmdir()
                self.failed[spec.key] = explain_failure(error, store.root)
                raise
            store.put(spec, product, time.monotonic() - began)
        return store.get(spec)

    def try_make(self, spec: Spec) -> Any:
        """As `make`, but what cannot be made is `FailedPart`, and its memory is free for the next one.

        A job that was cancelled, and a disk that is full, end everything all the same.
        """
        try:
            return self.make(spec)
        except (Cancelled, StoreFull):
            raise
        except Exception as error:
            if is_disk_full(error):
                raise
            reason = explain_failure(error, self.store.root)
        memory.release_memory()  # out here, where the error no longer holds what it failed with
        return FailedPart(reason)


def plan_shares(spec: Spec, store: Store) -> dict[str, Share]:
    """For each recipe of the tree that is missing, in the order of making, its share of the work."""
    efforts: dict[str, tuple[str, float]] = {}

    def visit(one: Spec) -> None:
        if one.key not in efforts and not store.has(one):
            for part in one.iterate_parts():
                visit(part)
            efforts[one.key] = one.kind, max(one.effort, 0.0)

    for one in _looking_ahead(spec, store):
        for part in one.cheap_parts().values():
            visit(part)
    visit(spec)
    whole, done, found = math.fsum(effort for _, effort in efforts.values()) or 1.0, 0.0, {}
    for key, (kind, effort) in efforts.items():
        found[key] = Share(kind, min(done / whole, 1.0), min((done + effort) / whole, 1.0))
        done += effort
    return found


def _each(part: Any, change: Callable[[Spec], Any]) -> Any:
    return tuple(_each(inner, change) for inner in part) if isinstance(part, tuple) else change(part)
