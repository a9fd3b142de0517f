"""What each of several factors does to an error, the others held: a linear model with intervals over repeats."""

from collections.abc import Mapping

import numpy as np


def effects(
    error: np.ndarray, factors: Mapping[str, np.ndarray], seed: np.ndarray, level: float = 0.95
) -> dict[str, dict[str, float]]:
    """Of each factor (n,) what a unit more of it does to the error (n,), with an interval.

    Least squares with an intercept for each `seed` (n,), which share molecules and weights; the interval is Student's,
    over the residuals that are left. A factor that does not vary has NaN.
    """
    from scipy.stats import t as student

    own = np.unique(seed)
    columns = [(seed == one).astype(float) for one in own]
    varied = [name for name, values in factors.items() if np.ptp(values) > 0]
    design = np.column_stack([*columns, *(factors[name] for name in varied)])
    found = {name: dict.fromkeys(("mean", "low", "high"), float("nan")) for name in factors}
    freedom = len(error) - np.linalg.matrix_rank(design)
    if freedom < 1:
        return found
    answer, *_ = np.linalg.lstsq(design, error, rcond=None)
    left = error - design @ answer
    spread = float(left @ left) / freedom * np.linalg.pinv(design.T @ design)
    for place, name in enumerate(varied, len(own)):
        half = float(student.ppf((1 + level) / 2, freedom) * max(spread[place, place], 0.0) ** 0.5)
        mean = float(answer[place])
        found[name] = {"mean": mean, "low": mean - half, "high": mean + half}
    return found
