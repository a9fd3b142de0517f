"""The same thing for each of many molecules: on all cores, where there are enough of them to pay for processes."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from core.engine.report import SILENT_REPORT, Report

Answer = TypeVar("Answer")
MIN_TEXTS = 20_000  # texts from which processes pay for their start
CHUNK_TEXTS = 2000  # texts that a process takes at a time


def map_texts(
    function: Callable[[str], Answer],
    texts: Sequence[str],
    report: Report = SILENT_REPORT,
    words: str = "reading molecules",
) -> list[Answer]:
    """What a function of a module says of each text, in their order. It must not raise."""
    if len(texts) < MIN_TEXTS:
        found = []
        for place, text in enumerate(texts):
            if place % 500 == 0:
                report(place / len(texts), f"{words}, {place:,} of {len(texts):,}")
            found.append(function(text))
        return found
    from joblib import Parallel, delayed

    parts = [texts[start : start + CHUNK_TEXTS] for start in range(0, len(texts), CHUNK_TEXTS)]
    found = []
    with Parallel(n_jobs=-1, return_as="generator") as workers:
        for some in workers(delayed(_all)(function, part) for part in parts):
            found += some
            report(len(found) / len(texts), f"{words}, {len(found):,} of {len(texts):,}")
    return found


def _all(function: Callable[[str], Answer], texts: Sequence[str]) -> list[Answer]:
    return [function(text) for text in texts]
