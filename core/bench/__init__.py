"""Benchmarks: of speed, each figure a ratio of two things measured in one run, and of accuracy, on public tables."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from core.bench import foretelling, graphs, intervals, planted, quality, scoring, solving, speed, training, verifying
from core.engine.spec import BadInput

BENCHES: dict[str, Callable[[], dict[str, Any]]] = {
    "products": speed.products,
    "scoring": scoring.run,
    "solvers": solving.run,
    "additivity": verifying.run,
    "training": training.run,
    "graphs": graphs.run,
}
# Each takes hours and is run by its name alone. A module has `ASKED`, what can be chosen of it, `run`, and its rows as
# a text (`told`) or as JSON (`answer`).
LONG: dict[str, ModuleType] = {"quality": quality, "label-noise": planted, "lds": foretelling, "intervals": intervals}
RENAMED = {"verification": "additivity", "planted": "label-noise", "foretelling": "lds"}


def run(name: str = "") -> dict[str, Any]:
    """One benchmark of speed, or all of them. Raises `BadInput` for an unknown name."""
    if name in RENAMED:
        raise BadInput(f"the benchmark {name!r} is now called {RENAMED[name]!r}")
    if name and name not in BENCHES:
        raise BadInput(f"there is no benchmark {name!r}; there are {', '.join((*BENCHES, *LONG))}")
    return {chosen: BENCHES[chosen]() for chosen in ([name] if name else BENCHES)}
