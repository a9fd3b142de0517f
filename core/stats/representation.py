"""Comparison of embeddings (CKA) and linear probes. Plain numpy."""

from collections.abc import Sequence

import numpy as np

from core.stats.metrics import auroc

RIDGE_PENALTIES = np.logspace(-2, 5, 15)  # of the standardised embedding


def linear_cka(one: np.ndarray, other: np.ndarray) -> float:
    """Linear centred kernel alignment of two embeddings (n, h), (n, k) of the same molecules: 1 equal, 0 unrelated.

    Kornblith et al. 2019 (arXiv 1905.00414), with the unbiased HSIC estimate (Song et al. 2012,
    jmlr.org/papers/v13/song12a.html): the biased one is high for few molecules in many dimensions. NaN if one of the
    two is constant.
    """
    if len(one) < 4:
        return float("nan")
    grams = [_centred(values @ values.T) for values in (one.astype(float), other.astype(float))]
    both, first, second = (float((a * b).sum()) for a, b in ((grams[0], grams[1]), (grams[0],) * 2, (grams[1],) * 2))
    return both / (first * second) ** 0.5 if first > 0 and second > 0 else float("nan")


def _centred(gram: np.ndarray) -> np.ndarray:
    """U-centred (n, n): without its diagonal, so that the sum of products is the unbiased estimate."""
    n = len(gram)
    off = gram - np.diag(np.diag(gram))
    rows = off.sum(1, keepdims=True)
    centred = off - rows / (n - 2) - rows.T / (n - 2) + off.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centred, 0.0)
    return centred


def probe_representation(
    values: np.ndarray, labels: np.ndarray, kind: str, seeds: Sequence[int] = range(5), share: float = 0.2
) -> dict[str, float | None]:
    """Linear probe of labels (n,) from an embedding (n, h): mean and standard deviation over random splits.

    R² for regression, AUROC for classes, on the held-out `share`; ridge regression, its penalty chosen by the
    closed-form leave-one-out error on the rest. None where undefined.
    """
    measured = ~np.isnan(labels)
    x, y, values_by_seed = values[measured].astype(float), labels[measured], []
    for seed in seeds:
        order = np.random.default_rng([seed, 13]).permutation(len(y))
        test, train = np.split(order, [max(1, round(share * len(y)))])
        if len(train) < 10 or np.ptp(y[train]) == 0 or np.ptp(y[test]) == 0:
            continue
        predictions = _ridge(x[train], y[train], x[test])
        if kind == "binary":
            value = auroc(y[test] > 0.5, predictions)
        else:
            value = 1 - float(np.mean((predictions - y[test]) ** 2) / np.var(y[test]))
        if value is not None:
            values_by_seed.append(value)
    if not values_by_seed:
        return {"mean": None, "sd": None}
    return {
        "mean": float(np.mean(values_by_seed)),
        "sd": float(np.std(values_by_seed, ddof=1)) if len(values_by_seed) > 1 else None,
    }


def _ridge(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Predictions for `new` with the penalty of least leave-one-out error on `x` (n, h)."""
    centre, spread = x.mean(0), x.std(0)
    varying = spread > 1e-12
    z, z_new = (
        (x[:, varying] - centre[varying]) / spread[varying],
        (new[:, varying] - centre[varying]) / spread[varying],
    )
    mean = y.mean()
    left, singular, right = np.linalg.svd(z, full_matrices=False)
    projections, best = left.T @ (y - mean), (np.inf, None)
    for strength in RIDGE_PENALTIES:
        shrunk = singular**2 / (singular**2 + strength)
        residual = y - mean - left @ (shrunk * projections)
        leverage = (left**2) @ shrunk + 1 / len(y)
        error = float(np.mean((residual / np.maximum(1 - leverage, 1e-6)) ** 2))
        if error < best[0]:
            best = (error, right.T @ (singular / (singular**2 + strength) * projections))
    return mean + z_new @ best[1]
