"""Prediction intervals from the errors on molecules outside the training set.

Conformal prediction (Vovk, Gammerman & Shafer 2005; Lei et al. 2018, arXiv:1604.04173): for exchangeable molecules an
interval of level 0.9 contains 90 % of the labels, whatever the model. The width grows with signs of difficulty, so that
coverage is about the same far from the training set. For probabilities, Venn–Abers prediction (Vovk & Petej 2014,
arXiv:1211.0025) gives a lower and an upper bound of the calibrated probability.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

MIN_ERRORS = 20  # fewer errors give no intervals
FOLDS = 5
RIDGE_PENALTY = 0.05  # ridge penalty for each error: shrinks towards one width for all
ERROR_FLOOR = 0.1  # times the median error, added to each error before its logarithm


@dataclass(frozen=True, eq=False)
class ConformalIntervals:
    """Half-width of an interval of `level`, in label units, as a function of `k` signs of difficulty."""

    level: float
    n: int  # calibration errors
    factor: float  # conformal quantile of |error| / typical error
    centre: np.ndarray  # (k,)
    scale: np.ndarray  # (k,)
    least: np.ndarray  # (k,), of the scaled signs: outside this range the width is constant
    most: np.ndarray  # (k,)
    slopes: np.ndarray  # (k,), of log |error|, nonnegative
    base: float  # log |error| at the centre

    @classmethod
    def of(cls, errors: np.ndarray, signs: np.ndarray, level: float, seed: int = 0) -> "ConformalIntervals | None":
        """From |errors| (n,) of molecules outside the training set and their signs of difficulty (n, k).

        A nonnegative ridge regression predicts log |error| from the signs. The quantile is that of errors divided by
        their predictions from the other four fifths (cross-conformal), so that an uninformative sign costs little.
        None with fewer than 20 errors, or fewer than a finite interval of this level needs.
        """
        n, k = signs.shape
        rank = int(np.ceil((n + 1) * level))
        if n < MIN_ERRORS or rank > n:
            return None
        centre, scale = signs.mean(0), signs.std(0)
        scale = np.where(scale > 1e-12, scale, 1.0)
        scaled = (signs - centre) / scale
        typical = np.log(errors + max(ERROR_FLOOR * float(np.median(errors)), 1e-12))
        folds = np.random.default_rng(seed).permutation(n) % FOLDS
        predicted = np.empty(n)
        for fold in range(FOLDS):
            in_fold = folds == fold
            slopes, base = _ridge(scaled[~in_fold], typical[~in_fold])
            predicted[in_fold] = scaled[in_fold] @ slopes + base
        factor = float(np.partition(errors / np.exp(predicted), rank - 1)[rank - 1])
        slopes, base = _ridge(scaled, typical)
        empty = np.zeros(0)
        least, most = (scaled.min(0), scaled.max(0)) if k else (empty, empty)
        return cls(level, n, factor, centre, scale, least, most, slopes, base)

    def half_width(self, signs: np.ndarray) -> np.ndarray:
        """Half-widths (m,) at signs of difficulty (m, k)."""
        scaled = np.clip((signs - self.centre) / self.scale, self.least, self.most)
        return self.factor * np.exp(scaled @ self.slopes + self.base)


def _ridge(signs: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, float]:
    from sklearn.linear_model import Ridge

    if not signs.shape[1]:
        return np.zeros(0), float(values.mean())
    model = Ridge(alpha=RIDGE_PENALTY * len(values), positive=True).fit(signs, values)
    return model.coef_, float(model.intercept_)


def venn_abers(
    labels: np.ndarray, known_probabilities: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds (m,) of the calibrated probability, for predicted probabilities `wanted` (m,).

    `labels` (n,) of 0 and 1 and predictions `known_probabilities` (n,) are of molecules outside the training set. The
    bounds are isotonic regressions with the new molecule added as a 0 and as a 1.
    """
    from sklearn.isotonic import IsotonicRegression

    order = np.unique(known_probabilities)
    gap = np.searchsorted(order, wanted, "left") + np.searchsorted(order, wanted, "right")
    _, first, back = np.unique(gap, return_index=True, return_inverse=True)  # all values in a gap have the same bounds
    bounds = np.empty((2, len(first)))
    for label in (0, 1):
        for index, value in enumerate(wanted[first]):
            isotonic = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
            isotonic.fit(np.append(known_probabilities, value), np.append(labels, label))
            bounds[label, index] = isotonic.predict([value])[0]
    return bounds[0][back], bounds[1][back]


def merge_probabilities(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """One probability for each pair of bounds of `venn_abers`: the minimax one for log loss."""
    return high / (1 - low + high)


def estimate_share(flags: np.ndarray) -> dict[str, Any]:
    """Share of true flags (n,), with Wilson's 95 % interval."""
    from scipy.stats import binomtest

    n, count = len(flags), int(np.sum(flags))
    if not n:
        return {"n": 0, "share": None, "low": None, "high": None}
    low, high = binomtest(count, n).proportion_ci(method="wilson")
    return {"n": n, "share": count / n, "low": float(low), "high": float(high)}
