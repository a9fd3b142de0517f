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
GROWTH = 0.75  # of the typical error: the power of 1 + the distance beyond the training range (docs/log)
ERROR_FLOOR = 0.1  # times the median error, added to each error before its logarithm


@dataclass(frozen=True, eq=False)
class ConformalIntervals:
    """Half-width of an interval of `level`, in label units, as a function of `k` signs of difficulty.

    The width also grows with the distance `beyond` the range of the training set, in its standard deviations: the
    typical error is taken to be (1 + `beyond`)^¾ times as large, and with `beyond` from 0 to 1 the signs count less and
    less as evidence that a molecule is easy; from 1 on it is at least of average difficulty by each of them.
    """

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
    def of(
        cls, errors: np.ndarray, signs: np.ndarray, level: float, beyond: np.ndarray | None = None, seed: int = 0
    ) -> "ConformalIntervals | None":
        """From |errors| (n,) of molecules outside the training set, their signs (n, k) and `beyond` (n,), None: zeros.

        A nonnegative ridge regression predicts log |error| from the signs. The quantile is that of errors divided by
        their predictions from the other four fifths (cross-conformal), so that an uninformative sign costs little.
        How the width grows with `beyond` is not fitted to errors, so coverage is that of the level in any case. None
        with fewer than 20 errors, or fewer than a finite interval of this level needs.
        """
        n, k = signs.shape
        rank = int(np.ceil((n + 1) * level))
        if n < MIN_ERRORS or rank > n:
            return None
        beyond = np.zeros(n) if beyond is None else beyond
        centre, scale = signs.mean(0), signs.std(0)
        scale = np.where(scale > 1e-12, scale, 1.0)
        scaled = (signs - centre) / scale
        empty = np.zeros(0)
        least, most = (scaled.min(0), scaled.max(0)) if k else (empty, empty)
        scaled, growth = _harden(scaled, beyond), GROWTH * np.log1p(beyond)
        typical = np.log(errors + max(ERROR_FLOOR * float(np.median(errors)), 1e-12)) - growth
        folds = np.random.default_rng(seed).permutation(n) % FOLDS
        predicted = np.empty(n)
        for fold in range(FOLDS):
            in_fold = folds == fold
            slopes, base = _ridge(scaled[~in_fold], typical[~in_fold])
            predicted[in_fold] = scaled[in_fold] @ slopes + base
        factor = float(np.partition(errors / np.exp(predicted + growth), rank - 1)[rank - 1])
        slopes, base = _ridge(scaled, typical)
        return cls(level, n, factor, centre, scale, least, most, slopes, base)

    def half_width(self, signs: np.ndarray, beyond: np.ndarray | None = None) -> np.ndarray:
        """Half-widths (m,) at signs of difficulty (m, k) and distances `beyond` (m,) the range, zeros if None."""
        beyond = np.zeros(len(signs)) if beyond is None else beyond
        scaled = np.clip((signs - self.centre) / self.scale, self.least, self.most)
        scaled = _harden(scaled, beyond)
        return self.factor * np.exp(scaled @ self.slopes + self.base) * (1 + beyond) ** GROWTH


def _harden(scaled: np.ndarray, beyond: np.ndarray) -> np.ndarray:
    """Scaled signs (n, k) of an easy molecule moved to the mean, 0, all the way at a distance `beyond` (n,) of 1."""
    return scaled + np.minimum(beyond, 1)[:, None] * np.maximum(-scaled, 0)


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


def widen_probabilities(low: np.ndarray, high: np.ndarray, beyond: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (n,) of probabilities moved towards 0 and 1 with the distance `beyond` (n,) the range; half way at 1."""
    certainty = 1 / (1 + beyond)
    return low * certainty, 1 - (1 - high) * certainty


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
