"""What embeddings hold: how alike two of them are, and how well a thing can be read from one. Plain numpy."""

from collections.abc import Sequence

import numpy as np

from core.stats.metrics import auroc

RIDGE_PENALTIES = np.logspace(-2, 5, 15)  # of the ridge, in units of the embedding's variance times rows


def linear_cka(one: np.ndarray, other: np.ndarray) -> float:
    """Linear centred kernel alignment of two embeddings (n, h), (n, k) of the same molecules: 1 alike, 0 unrelated.

    Kornblith et al. 2019 (arXiv 1905.00414), by the unbiased estimate of its parts (Song et al. 2012,
    jmlr.org/papers/v13/song12a.html), so that few molecules in many dimensions are not alike by themselves. NaN where
    one of the two does not vary.
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
    found = off - rows / (n - 2) - rows.T / (n - 2) + off.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(found, 0.0)
    return found


def probe_representation(
    values: np.ndarray, labels: np.ndarray, kind: str, seeds: Sequence[int] = range(5), share: float = 0.2
) -> dict[str, float | None]:
    """How well a linear map reads labels (n,) from an embedding (n, h): mean and sd over random splits.

    R² of a regression, AUROC of flags, on the `share` that is left out; ridge, its strength chosen by the closed-form
    leave-one-out error of the rest. None where it is undefined.
    """
    known = ~np.isnan(labels)
    x, y, found = values[known].astype(float), labels[known], []
    for seed in seeds:
        order = np.random.default_rng([seed, 13]).permutation(len(y))
        test, train = np.split(order, [max(1, round(share * len(y)))])
        if len(train) < 10 or np.ptp(y[train]) == 0 or np.ptp(y[test]) == 0:
            continue
        read = _ridge(x[train], y[train], x[test])
        if kind == "binary":
            value = auroc(y[test] > 0.5, read)
        else:
            value = 1 - float(np.mean((read - y[test]) ** 2) / np.var(y[test]))
        if value is not None:
            found.append(value)
    if not found:
        return {"mean": None, "sd": None}
    return {"mean": float(np.mean(found)), "sd": float(np.std(found, ddof=1)) if len(found) > 1 else None}


def _ridge(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Predictions for `new` by the strength with the least leave-one-out error over `x` (n, h)."""
    centre, spread = x.mean(0), x.std(0)
    kept = spread > 1e-12
    z, others = (x[:, kept] - centre[kept]) / spread[kept], (new[:, kept] - centre[kept]) / spread[kept]
    mean = y.mean()
    left, singular, right = np.linalg.svd(z, full_matrices=False)
    along, best = left.T @ (y - mean), (np.inf, None)
    for strength in RIDGE_PENALTIES:
        shrunk = singular**2 / (singular**2 + strength)
        residual = y - mean - left @ (shrunk * along)
        leverage = (left**2) @ shrunk + 1 / len(y)
        error = float(np.mean((residual / np.maximum(1 - leverage, 1e-6)) ** 2))
        if error < best[0]:
            best = (error, right.T @ (singular / (singular**2 + strength) * along))
    return mean + others @ best[1]
