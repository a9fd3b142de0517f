"""How far a prediction may be off, from what the fit got wrong of molecules that it had not learned from.

Conformal prediction (Vovk, Gammerman & Shafer 2005; Lei et al. 2018, arXiv:1604.04173): where new molecules are drawn
like those, an interval of level 0.9 holds nine in ten labels, whatever the model is. Its width follows how hard a
molecule looks, so that it also holds about as many of the molecules far from the training part. For probabilities
Venn–Abers (Vovk & Petej 2014, arXiv:1211.0025) says between which two numbers a calibrated one lies.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

MIN_ERRORS = 20  # errors from which intervals are told
FOLDS = 5
RIDGE_PENALTY = 0.05  # of a ridge penalty, for each error: towards one width for all
ERROR_FLOOR = 0.1  # of the median error, below which an error says no more of a molecule


@dataclass(frozen=True, eq=False)
class ConformalIntervals:
    """Half the width of an interval of `level` as it grows with `k` signs of difficulty, in label units."""

    level: float
    n: int  # errors it is from
    factor: float  # conformal quantile of |error| / typical error
    centre: np.ndarray  # (k,)
    scale: np.ndarray  # (k,)
    least: np.ndarray  # (k,), of the scaled signs: beyond what was seen the width stays
    most: np.ndarray  # (k,)
    slopes: np.ndarray  # (k,), of log |error|, 0 at least
    base: float  # log |error| at the centre

    @classmethod
    def of(cls, errors: np.ndarray, signs: np.ndarray, level: float, seed: int = 0) -> "ConformalIntervals | None":
        """From |errors| (n,) of molecules that were not learned from and their signs of difficulty (n, k).

        A ridge regression foretells log |error| from the signs, none of which can narrow an interval; the quantile is
        of errors over what they were foretold to be by the other four fifths (cross-conformal), so that a sign that
        says nothing costs little. None with fewer than 20 errors, or fewer than the level needs to be finite.
        """
        n, k = signs.shape
        place = int(np.ceil((n + 1) * level))
        if n < MIN_ERRORS or place > n:
            return None
        centre, scale = signs.mean(0), signs.std(0)
        scale = np.where(scale > 1e-12, scale, 1.0)
        scaled = (signs - centre) / scale
        typical = np.log(errors + max(ERROR_FLOOR * float(np.median(errors)), 1e-12))
        folds = np.random.default_rng(seed).permutation(n) % FOLDS
        foretold = np.empty(n)
        for fold in range(FOLDS):
            mine = folds == fold
            slopes, base = _ridge(scaled[~mine], typical[~mine])
            foretold[mine] = scaled[mine] @ slopes + base
        factor = float(np.partition(errors / np.exp(foretold), place - 1)[place - 1])
        slopes, base = _ridge(scaled, typical)
        empty = np.zeros(0)
        least, most = (scaled.min(0), scaled.max(0)) if k else (empty, empty)
        return cls(level, n, factor, centre, scale, least, most, slopes, base)

    def half_width(self, signs: np.ndarray) -> np.ndarray:
        """Half the width (m,) at signs of difficulty (m, k)."""
        scaled = np.clip((signs - self.centre) / self.scale, self.least, self.most)
        return self.factor * np.exp(scaled @ self.slopes + self.base)


def _ridge(signs: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, float]:
    from sklearn.linear_model import Ridge

    if not signs.shape[1]:
        return np.zeros(0), float(values.mean())
    found = Ridge(alpha=RIDGE_PENALTY * len(values), positive=True).fit(signs, values)
    return found.coef_, float(found.intercept_)


def venn_abers(labels: np.ndarray, known: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Between which numbers a calibrated probability lies, (m,) and (m,), for predicted ones `wanted` (m,).

    `labels` (n,) of 0 and 1 and `known` (n,): molecules that were not learned from and their predicted probabilities.
    Each is what isotonic regression gives where the new molecule is added as a 0 or as a 1.
    """
    from sklearn.isotonic import IsotonicRegression

    order = np.unique(known)
    gap = np.searchsorted(order, wanted, "left") + np.searchsorted(order, wanted, "right")
    _, first, back = np.unique(gap, return_index=True, return_inverse=True)  # within a gap all are told the same
    found = np.empty((2, len(first)))
    for label in (0, 1):
        for place, value in enumerate(wanted[first]):
            isotonic = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
            isotonic.fit(np.append(known, value), np.append(labels, label))
            found[label, place] = isotonic.predict([value])[0]
    return found[0][back], found[1][back]


def merge_probabilities(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """One probability for each range that `venn_abers` tells: the one with the least log loss at worst."""
    return high / (1 - low + high)


def estimate_share(held: np.ndarray) -> dict[str, Any]:
    """How many of some (n,) are so, with Wilson's 95 % interval of the share."""
    from scipy.stats import binomtest

    n, count = len(held), int(np.sum(held))
    if not n:
        return {"n": 0, "share": None, "low": None, "high": None}
    low, high = binomtest(count, n).proportion_ci(method="wilson")
    return {"n": n, "share": count / n, "low": float(low), "high": float(high)}
