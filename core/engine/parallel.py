"""One function for many molecules, on all cores where there are enough to pay for processes."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from core.engine.report import SILENT_REPORT, Report

Result = TypeVar("Result")
MIN_TEXTS = 20_000  # texts from which processes pay for their start
CHUNK_TEXTS = 2000  # texts that a process takes at a time


def map_texts(
    function: Callable[[str], Result],
    texts: Sequence[str],
    report: Report = SILENT_REPORT,
    words: str = "reading molecules",
) -> list[Result]:
    """Results of a function for each text, in order. The function is of a module (picklable) and must not raise."""
    if len(texts) < MIN_TEXTS:
        results = []
        for index, text in enumerate(texts):
            if index % 500 == 0:
                report(index / len(texts), f"{words}, {index:,} of {len(texts):,}")
            results.append(function(text))
        return results
    from joblib import Parallel, delayed

    parts = [texts[start : start + CHUNK_TEXTS] for start in range(0, len(texts), CHUNK_TEXTS)]
    results = []
    with Parallel(n_jobs=-1, return_as="generator") as workers:
        for chunk in workers(delayed(_all)(function, part) for part in parts):
            results += chunk
            report(len(results) / len(texts), f"{words}, {len(results):,} of {len(texts):,}")
    return results


def _all(function: Callable[[str], Result], texts: Sequence[str]) -> list[Result]:
    return [function(text) for text in texts]
