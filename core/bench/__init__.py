"""Benchmarks of speed (each figure a ratio of two measurements in one run) and of accuracy (on public tables)."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from core.bench import additivity, graphs, intervals, label_noise, lds, quality, scoring, solvers, timing, training
from core.engine.spec import BadInput

BENCHES: dict[str, Callable[[], dict[str, Any]]] = {
    "products": timing.time_curvature_products,
    "scoring": scoring.run,
    "solvers": solvers.run,
    "additivity": additivity.run,
    "training": training.run,
    "graphs": graphs.run,
}
# Each takes hours and runs only by name. A module has `CHOICES` for the options, `run`, and `as_text` and `as_json`,
# which format the rows that `run` returns.
LONG: dict[str, ModuleType] = {"quality": quality, "label-noise": label_noise, "lds": lds, "intervals": intervals}
RENAMED = {"verification": "additivity", "planted": "label-noise", "foretelling": "lds"}


def run(name: str = "") -> dict[str, Any]:
    """Run one benchmark of speed, or all. Raises `BadInput` for an unknown name."""
    if name in RENAMED:
        raise BadInput(f"the benchmark {name!r} is now called {RENAMED[name]!r}")
    if name and name not in BENCHES:
        raise BadInput(f"there is no benchmark {name!r}; there are {', '.join((*BENCHES, *LONG))}")
    return {chosen: BENCHES[chosen]() for chosen in ([name] if name else BENCHES)}
