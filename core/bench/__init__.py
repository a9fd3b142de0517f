"""Benchmarks: how fast, each figure a ratio of two things measured in one run, and how good, on tables held out."""

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

from core.bench import graphs, scoring, solving, speed, training, verifying
from core.engine.spec import BadInput

BENCHES: dict[str, Callable[[], dict[str, Any]]] = {
    "products": speed.products,
    "scoring": scoring.run,
    "solvers": solving.run,
    "verification": verifying.run,
    "training": training.run,
    "graphs": graphs.run,
}
LONG = ("quality", "planted", "foretelling", "intervals")  # take hours, and tables: each is asked for by name alone


def run(name: str = "") -> dict[str, Any]:
    """One benchmark of speed, or all of them. Raises `BadInput` for an unknown name."""
    if name and name not in BENCHES:
        raise BadInput(f"there is no benchmark {name!r}; there are {', '.join((*BENCHES, *LONG))}")
    return {chosen: BENCHES[chosen]() for chosen in ([name] if name else BENCHES)}


def long(name: str) -> ModuleType:
    """A benchmark of `LONG`: what can be asked of it (`ASKED`), `run`, and its rows `told` or as an `answer`."""
    return importlib.import_module(f"core.bench.{name}")
