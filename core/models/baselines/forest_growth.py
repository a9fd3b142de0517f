"""Trees in slices: so that a long growth tells how far it is, and stops when someone cancels."""

from typing import Any

import numpy as np

from core.engine.report import Report

GROWTH_STEPS = 10  # each slice of boosting bins all columns anew, about 2 % of the whole


def fit_in_slices(model: Any, size: str, trees: int, rows: np.ndarray, labels: np.ndarray, report: Report) -> Any:
    """`model` fitted with `trees` trees, slice by slice: the same trees as at once, bit for bit.

    `size`: what scikit-learn calls the number of trees of this model.
    """
    model.set_params(warm_start=True)
    done = 0
    for many in sorted({-(-trees * part // GROWTH_STEPS) for part in range(1, GROWTH_STEPS + 1)}):
        report(done / trees, f"growing trees, {done:,} of {trees:,}")
        model.set_params(**{size: many}).fit(rows, labels)
        done = many
    return model
