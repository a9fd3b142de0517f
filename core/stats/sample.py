"""Labels and predictions of one task, each row counted once or by bootstrap counts. Plain numpy.

A resampling is a count of each row (Efron 1979, doi:10.1214/aos/1176344552): a thousand of them are a few matrix
products, and values are sorted once. Metrics written with these methods need no second form for the bootstrap.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Sample:
    """Labels and predictions (n,) without gaps, and the counts (d, n) of the rows in d resamplings.

    Without counts every row counts once and d is 1; numpy's own sums are then used, which are more exact. `label_sd`:
    standard deviation of the training labels, if known. All results are (d,), NaN where undefined.
    """

    labels: np.ndarray
    predictions: np.ndarray
    counts: np.ndarray | None = None
    label_sd: float | None = None

    @cached_property
    def weights(self) -> np.ndarray:
        """The counts (d, n), ones where there are none."""
        return np.ones((1, len(self.labels))) if self.counts is None else self.counts

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Mean of values (n,)."""
        if self.counts is None:
            return np.array([np.mean(values)])
        return self.counts @ values.astype(float) / self.counts.sum(1)

    def variance(self, values: np.ndarray) -> np.ndarray:
        """Population variance of values (n,); NaN where constant."""
        if self.counts is None:
            return np.array([np.var(values) if np.ptp(values) > 0 else np.nan])
        around = _around_median(values)
        total = self.counts.sum(1)
        return _above_rounding(self.counts @ around**2 / total - (self.counts @ around / total) ** 2, around)

    def correlation(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Pearson's correlation of a and b, (n,), or (d, n) for one row per resampling; NaN if one is constant."""
        if self.counts is None:
            a, b = a.ravel(), b.ravel()
            return np.array([np.corrcoef(a, b)[0, 1] if np.ptp(a) > 0 and np.ptp(b) > 0 else np.nan])
        total = self.counts.sum(1, keepdims=True)
        a, b = (_around_median(side) if side.ndim == 1 else side for side in (a, b))
        a, b = (side - (self.counts * side).sum(1, keepdims=True) / total for side in (a, b))
        spreads = [_above_rounding((self.counts * side**2).sum(1), side) for side in (a, b)]
        return (self.counts * a * b).sum(1) / np.sqrt(spreads[0] * spreads[1])

    def ranks(self, values: np.ndarray) -> np.ndarray:
        """Ranks (d, n) of values (n,) among the rows of each resampling, ties get their mean rank."""
        groups = _sum_by_value(values, self.weights)
        _, group = np.unique(values, return_inverse=True)
        return (np.cumsum(groups, 1) - (groups - 1) / 2)[:, group]

    @cached_property
    def positive(self) -> np.ndarray:
        """Which rows (n,) are labelled 1."""
        return self.labels > 0.5

    @cached_property
    def class_counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Positives and negatives at each distinct prediction, lowest first: (d, groups) each."""
        yes, no = (_sum_by_value(self.predictions, self.weights * side) for side in (self.positive, ~self.positive))
        return yes, no

    @cached_property
    def mean_squared_error(self) -> np.ndarray:
        return self.mean((self.predictions - self.labels) ** 2)

    @cached_property
    def mean_absolute_error(self) -> np.ndarray:
        return self.mean(np.abs(self.predictions - self.labels))


def _around_median(values: np.ndarray) -> np.ndarray:
    """Values (n,) minus their median, so that squares of values far from zero lose no digits."""
    return values - np.median(values) if len(values) else values


def _sum_by_value(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Counts (d, n) summed over equal values, (d, groups), lowest value first."""
    if not len(values):
        return np.zeros((len(counts), 0))
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(values[order]) != 0))
    return np.add.reduceat(counts[:, order], starts, axis=1)


def _above_rounding(variance: np.ndarray, of: np.ndarray) -> np.ndarray:
    """A variance, NaN where it is only rounding."""
    scale = float(np.max(np.square(of), initial=0.0))
    return np.where(variance > 1e-12 * scale, variance, np.nan)
