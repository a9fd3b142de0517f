"""Difference of two arms of a comparison, with an interval over seeds and test molecules."""

from typing import Any

import numpy as np

from core.engine.spec import BadInput


def paired_difference(
    labels: np.ndarray, ours: np.ndarray, theirs: np.ndarray, seed: int = 0, draws: int = 1000
) -> dict[str, Any]:
    """Difference in RMSE of two arms, `ours` − `theirs`, with a 95 % interval over seeds and test molecules.

    `labels` (n,) of one task; `ours`, `theirs` (s, n): predictions of the same s seeds on the same n test molecules.
    The variance is the sum of two parts: that of the mean of the s paired differences, and that over test molecules
    (bootstrap of the mean difference). The degrees of freedom are Welch–Satterthwaite's. With one seed the first part
    is unknown: `repeats` is 1 and there is no verdict. Raises `BadInput` with fewer
    than two test molecules.
    """
    measured = ~np.isnan(labels)
    y, a, b = labels[measured], ours[:, measured], theirs[:, measured]
    n = a.shape[1]
    if n < 2:
        raise BadInput(f"{n} test molecules have a label, a difference needs at least 2; enlarge the test set")
    differences = _rmse(y, a) - _rmse(y, b)  # (s,)
    generator = np.random.default_rng(seed)
    picks = generator.integers(n, size=(draws, n))
    squared_a, squared_b = (a - y) ** 2, (b - y) ** 2
    resampled = np.mean(
        [np.sqrt(sa[picks].mean(1)) - np.sqrt(sb[picks].mean(1)) for sa, sb in zip(squared_a, squared_b, strict=True)],
        0,
    )
    return estimate_difference(differences, float(np.var(resampled, ddof=1)), n)


def student_half_width(values: np.ndarray, level: float = 0.95) -> float | None:
    """Half-width of Student's interval of the mean of independent values (n,); None for one value."""
    from scipy.stats import t as student

    n = len(values)
    return float(student.ppf((1 + level) / 2, n - 1) * values.std(ddof=1) / n**0.5) if n > 1 else None


def estimate_difference(differences: np.ndarray, of_molecules: float, n: int) -> dict[str, Any]:
    """Mean of paired differences (s,), lower is better, with a 95 % interval over repeats and test molecules.

    The variance is that of the mean of the differences plus `of_molecules`, that over the n test molecules. The degrees
    of freedom are Welch–Satterthwaite's. With one repeat the first part is unknown.
    """
    from scipy.stats import t as student  # imported here: it takes half a second

    repeats = len(differences)
    of_repeats = float(np.var(differences, ddof=1)) / repeats if repeats > 1 else 0.0
    total = of_molecules + of_repeats
    freedom = n - 1.0
    if repeats > 1 and total > 0:
        freedom = total**2 / (of_repeats**2 / (repeats - 1) + of_molecules**2 / (n - 1))
    mean = float(differences.mean())
    half = float(student.ppf(0.975, max(freedom, 1.0)) * total**0.5) if total > 0 else 0.0
    return {
        "mean": mean,
        "low": mean - half,
        "high": mean + half,
        "repeats": repeats,
        "verdict": _verdict(mean - half, mean + half, repeats),
    }


def _verdict(low: float, high: float, repeats: int) -> str:
    if repeats < 2:
        return "one seed: noise unknown"
    return "better" if high < 0 else "worse" if low > 0 else "not distinguishable"


def _rmse(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Root mean squared error along the last axis."""
    return np.sqrt(np.mean((predictions - labels) ** 2, axis=-1))
