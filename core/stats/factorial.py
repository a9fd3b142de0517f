"""What each of several factors does to an error, the others held, and what a blend does beside its parts."""

from collections.abc import Mapping, Sequence

import numpy as np

from core.stats.differences import student_half_width


def estimate_effects(
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


def estimate_blend_effects(
    error: np.ndarray, parts: Sequence[frozenset[str]], repeat: Sequence[tuple], level: float = 0.95
) -> dict[str, dict[str, float]]:
    """The error of a blend of several `parts` less that of the parts alone, with an interval.

    `error` (n,); `parts`: what each training learned; `repeat`: its molecules and weights, alike where two are
    compared. "all": less the mean of its parts alone; "best": less that of them with the lowest mean error, which is
    chosen by the same errors and so leans against the blend. Student's interval over the repeats, each the mean of all
    its blends. NaN where no repeat has both, or one repeat alone.
    """
    known = {(some, place): value for some, place, value in zip(parts, repeat, error, strict=True)}
    alone = {
        name: np.mean([value for (some, _), value in known.items() if some == {name}])
        for name in {name for some in parts if len(some) == 1 for name in some}
    }
    found = {}
    for name in ("all", "best"):
        apart: dict[tuple, list[float]] = {}
        for (some, place), value in known.items():
            beside = [one for one in some if (frozenset([one]), place) in known]
            if len(some) > 1 and len(beside) == len(some):
                beside = [min(beside, key=lambda one: alone[one])] if name == "best" else beside
                apart.setdefault(place, []).append(
                    value - float(np.mean([known[frozenset([one]), place] for one in beside]))
                )
        means = np.array([np.mean(mine) for mine in apart.values()])
        half = student_half_width(means, level) if len(means) else None
        if half is None:
            found[name] = dict.fromkeys(("mean", "low", "high"), float("nan"))
            continue
        found[name] = {
            "mean": float(means.mean()),
            "low": float(means.mean()) - half,
            "high": float(means.mean()) + half,
        }
    return found
