"""Fits tree ensembles in slices, for progress reports and cancelling."""

from typing import Any

import numpy as np

from core.engine.report import Report

GROWTH_STEPS = 10  # slices; in boosting each bins all columns again, about 2 % of the total time


def fit_in_slices(model: Any, size: str, trees: int, rows: np.ndarray, labels: np.ndarray, report: Report) -> Any:
    """Fit `model` with `trees` trees, slice by slice: the same trees, bit for bit, as in one call.

    `size`: scikit-learn's parameter for the number of trees of this model.
    """
    model.set_params(warm_start=True)
    done = 0
    for count in sorted({-(-trees * part // GROWTH_STEPS) for part in range(1, GROWTH_STEPS + 1)}):
        report(done / trees, f"growing trees, {done:,} of {trees:,}")
        model.set_params(**{size: count}).fit(rows, labels)
        done = count
    return model
