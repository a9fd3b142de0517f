"""Single-task against multitask training: differences of errors for each table of a mixture, with intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.stats.differences import estimate_difference
from core.stats.metrics import find_metric

DRAWS = 200  # bootstrap resamples of the test molecules


def task_error(labels: np.ndarray, predictions: np.ndarray, kind: str, spread: float) -> float | None:
    """The error by which models are compared in a task (n,): MAE in standard deviations, or 1 − AUROC; lower is better.

    None if it is undefined.
    """
    measured = ~np.isnan(labels)
    metric = find_metric("auroc" if kind == "binary" else "mae_sd")
    value = metric.value(labels[measured], predictions[measured], spread)
    return value if value is None or metric.lower_is_better else 1 - value


def mean_error(
    labels: np.ndarray,
    predictions: np.ndarray,
    kinds: Sequence[str],
    spread: np.ndarray,
    rows: np.ndarray | None = None,
) -> float:
    """Mean `task_error` over the tasks (n, t) where it is defined; `rows`: molecules to use, repeats allowed."""
    selected = slice(None) if rows is None else rows
    errors = [
        task_error(labels[selected, task], predictions[selected, task], kind, float(spread[task]))
        for task, kind in enumerate(kinds)
    ]
    defined = [value for value in errors if value is not None]
    return float(np.mean(defined)) if defined else np.nan


def paired_difference_of_means(
    labels: np.ndarray,
    ours: Sequence[np.ndarray],
    theirs: Sequence[np.ndarray],
    kinds: Sequence[str],
    spread: np.ndarray,
    seed: int = 0,
) -> dict[str, Any]:
    """Mean error of `ours` minus that of `theirs`, predictions (n, t) of the same seeds for the same molecules.

    The interval covers the noise of seeds and of test molecules (bootstrap; `differences.estimate_difference`).
    """
    pairs = list(zip(ours, theirs, strict=True))
    seed_differences = [
        mean_error(labels, one, kinds, spread) - mean_error(labels, other, kinds, spread) for one, other in pairs
    ]
    generator, n = np.random.default_rng([seed, 10]), len(labels)
    resampled = []
    for rows in (generator.integers(n, size=n) for _ in range(DRAWS)):
        values = [
            mean_error(labels, one, kinds, spread, rows) - mean_error(labels, other, kinds, spread, rows)
            for one, other in pairs
        ]
        resampled.append(np.mean(values))
    return estimate_difference(np.array(seed_differences), float(np.nanvar(resampled, ddof=1)), n)
