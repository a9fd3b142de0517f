"""Benchmarks: how fast, each figure a ratio of two things measured in one run, and how good, on tables held out."""

from collections.abc import Callable
from typing import Any

from core.bench import scoring, solving, speed, training, verifying
from core.spec import BadInput

BENCHES: dict[str, Callable[[], dict[str, Any]]] = {
    "products": speed.products,
    "scoring": scoring.run,
    "solvers": solving.run,
    "verification": verifying.run,
    "training": training.run,
}
QUALITY = "quality"  # takes hours, and tables: it is asked for by name alone


def run(name: str = "") -> dict[str, Any]:
    """One benchmark of speed, or all of them. Raises `BadInput` for an unknown name."""
    if name and name not in BENCHES:
        raise BadInput(f"there is no benchmark {name!r}; there are {', '.join((*BENCHES, QUALITY))}")
    return {chosen: BENCHES[chosen]() for chosen in ([name] if name else BENCHES)}
