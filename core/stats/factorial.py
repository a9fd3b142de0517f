"""Effects of several factors on an error, and the effect of a blend compared with its parts."""

from collections.abc import Mapping, Sequence

import numpy as np

from core.stats.differences import student_half_width


def estimate_effects(
    error: np.ndarray, factors: Mapping[str, np.ndarray], seed: np.ndarray, level: float = 0.95
) -> dict[str, dict[str, float]]:
    """Effect of one unit of each factor (n,) on the error (n,), the others fixed, with Student's interval.

    Least squares with an intercept for each `seed` (n,); runs of one seed share molecules and weights. A constant
    factor has NaN.
    """
    from scipy.stats import t as student

    seeds = np.unique(seed)
    columns = [(seed == value).astype(float) for value in seeds]
    varying = [name for name, values in factors.items() if np.ptp(values) > 0]
    design = np.column_stack([*columns, *(factors[name] for name in varying)])
    effects = {name: dict.fromkeys(("mean", "low", "high"), float("nan")) for name in factors}
    freedom = len(error) - np.linalg.matrix_rank(design)
    if freedom < 1:
        return effects
    coefficients, *_ = np.linalg.lstsq(design, error, rcond=None)
    residuals = error - design @ coefficients
    covariance = float(residuals @ residuals) / freedom * np.linalg.pinv(design.T @ design)
    for column, name in enumerate(varying, len(seeds)):
        half = float(student.ppf((1 + level) / 2, freedom) * max(covariance[column, column], 0.0) ** 0.5)
        mean = float(coefficients[column])
        effects[name] = {"mean": mean, "low": mean - half, "high": mean + half}
    return effects


def estimate_blend_effects(
    error: np.ndarray, parts: Sequence[frozenset[str]], repeat: Sequence[tuple], level: float = 0.95
) -> dict[str, dict[str, float]]:
    """Error of blends of several `parts` minus the error of single parts, with an interval.

    `error` (n,); `parts`: the tables of each training; `repeat`: its molecules and weights, equal for trainings that
    are compared. "all": minus the mean of its single parts; "best": minus the single part with the lowest mean error,
    chosen by the same errors and so biased against the blend. Student's interval over repeats, each the mean of its
    blends. NaN if no repeat has both, or for one repeat.
    """
    errors = {(names, repetition): value for names, repetition, value in zip(parts, repeat, error, strict=True)}
    single_errors = {
        name: np.mean([value for (names, _), value in errors.items() if names == {name}])
        for name in {name for names in parts if len(names) == 1 for name in names}
    }
    effects = {}
    for name in ("all", "best"):
        differences: dict[tuple, list[float]] = {}
        for (names, repetition), value in errors.items():
            singles = [single for single in names if (frozenset([single]), repetition) in errors]
            if len(names) > 1 and len(singles) == len(names):
                singles = [min(singles, key=lambda one: single_errors[one])] if name == "best" else singles
                differences.setdefault(repetition, []).append(
                    value - float(np.mean([errors[frozenset([single]), repetition] for single in singles]))
                )
        means = np.array([np.mean(values) for values in differences.values()])
        half = student_half_width(means, level) if len(means) else None
        if half is None:
            effects[name] = dict.fromkeys(("mean", "low", "high"), float("nan"))
            continue
        effects[name] = {
            "mean": float(means.mean()),
            "low": float(means.mean()) - half,
            "high": float(means.mean()) + half,
        }
    return effects
