"""How good predictions are, and how sure we can be of a difference. Plain numpy; gaps (NaN labels) never count."""

from typing import Any

import numpy as np

from core.engine.spec import BadInput

REGRESSION = ("rmse", "mse", "mae", "r2", "pearson", "spearman")
BINARY = ("auroc", "average_precision", "accuracy", "log_loss")
CLIP = 1e-7  # how near to 0 and 1 a probability may come in a log loss
WORDS = {  # what a reader calls them
    **{"rmse": "RMSE", "mae": "MAE", "mse": "MSE", "r2": "R²", "pearson": "Pearson r", "spearman": "Spearman ρ"},
    **{"auroc": "AUROC", "average_precision": "average precision", "accuracy": "accuracy", "log_loss": "log loss"},
}
LOWER_IS_BETTER = {"rmse", "mse", "mae", "log_loss"}


def called(metric: str, kind: str = "regression") -> str:
    """What a metric of a task of some kind is called: the RMSE of probabilities is the root of the Brier score."""
    return "root Brier score" if (metric, kind) == ("rmse", "binary") else WORDS.get(metric, metric)


def measure(kind: str, labels: np.ndarray, predictions: np.ndarray) -> dict[str, float | int | None]:
    """Every metric of one task over its measured rows, pooled, never averaged over batches.

    `labels`, `predictions`: (n,), in label units, or for a "binary" task 0/1 and probabilities. A metric that is
    undefined on these rows (a constant, a single class) is None.
    """
    measured = ~np.isnan(labels)
    y, p = labels[measured].astype(float), predictions[measured].astype(float)
    found = _binary(y, p) if kind == "binary" else _regression(y, p)
    return {
        name: None if value is None or not np.isfinite(value) else float(value) for name, value in found.items()
    } | {"n": int(measured.sum())}


def _regression(y: np.ndarray, p: np.ndarray) -> dict[str, float | None]:
    if not len(y):
        return dict.fromkeys(REGRESSION)
    squared = float(np.mean((p - y) ** 2))
    varied = len(y) > 1 and np.ptp(y) > 0
    both = varied and np.ptp(p) > 0
    return {
        "rmse": squared**0.5,
        "mse": squared,
        "mae": float(np.mean(np.abs(p - y))),
        "r2": 1 - squared / float(np.var(y)) if varied else None,
        "pearson": float(np.corrcoef(y, p)[0, 1]) if both else None,
        "spearman": spearman(y, p) if both else None,
    }


def _binary(y: np.ndarray, p: np.ndarray) -> dict[str, float | None]:
    if not len(y):
        return dict.fromkeys(BINARY)
    q = np.clip(p, CLIP, 1 - CLIP)
    return {
        "auroc": auroc(y > 0.5, p),
        "average_precision": average_precision(y > 0.5, p),
        "accuracy": float(np.mean((p > 0.5) == (y > 0.5))),
        "log_loss": float(-np.mean(y * np.log(q) + (1 - y) * np.log(1 - q))),
    }


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks 1 … n of `values` (n,), ties sharing their mean rank."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[place]


def spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """Rank correlation; None where either side is constant."""
    x, y = ranks(a), ranks(b)
    return None if np.ptp(x) == 0 or np.ptp(y) == 0 else float(np.corrcoef(x, y)[0, 1])


def auroc(flags: np.ndarray, score: np.ndarray) -> float | None:
    """Chance that a flagged row scores above an unflagged one, ties half (Mann–Whitney); None with one class only."""
    flags = np.asarray(flags, bool)
    positive, negative = int(flags.sum()), int((~flags).sum())
    if not positive or not negative:
        return None
    return float((ranks(score)[flags].sum() - positive * (positive + 1) / 2) / (positive * negative))


def average_precision(flags: np.ndarray, score: np.ndarray) -> float | None:
    """Mean precision at each flagged row, best score first, tied scores taken together; None without a flagged row."""
    flags = np.asarray(flags, bool)
    if not flags.any():
        return None
    order = np.argsort(-score, kind="stable")
    hits, score = flags[order].cumsum(), score[order]
    ends = np.flatnonzero(np.append(np.diff(score) != 0, True))
    gained = np.diff(hits[ends], prepend=0)
    return float(np.sum(gained * hits[ends] / (ends + 1)) / hits[-1])


def auroc_interval(
    flags: np.ndarray, score: np.ndarray, seed: int = 0, draws: int = 1000
) -> tuple[float, float, float] | None:
    """AUROC and its 95 % bootstrap interval over rows (percentile, drawn within each class)."""
    flags = np.asarray(flags, bool)
    value = auroc(flags, score)
    if value is None:
        return None
    generator, yes, no = np.random.default_rng(seed), np.flatnonzero(flags), np.flatnonzero(~flags)
    marks = np.arange(len(flags)) < len(yes)
    drawn = [
        auroc(marks, np.concatenate([score[generator.choice(yes, len(yes))], score[generator.choice(no, len(no))]]))
        for _ in range(draws)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return value, float(low), float(high)


def rmse(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Root mean square error along the last axis."""
    return np.sqrt(np.mean((predictions - labels) ** 2, axis=-1))


def paired_difference(
    labels: np.ndarray, ours: np.ndarray, theirs: np.ndarray, seed: int = 0, draws: int = 1000
) -> dict[str, Any]:
    """Difference in RMSE of two arms, `ours` − `theirs`, with a 95 % interval that knows both noises.

    `labels` (n,) of one task; `ours`, `theirs` (s, n): predictions of the same s seeds on the same n test molecules.
    The variance has two parts: of repeating (the s paired differences, over s) and of the test molecules at hand
    (bootstrap over molecules of the mean difference). They add; the degrees of freedom are Welch–Satterthwaite's.
    With one seed the first is unknown: `repeats` is then 1 and no verdict should be drawn. Raises `BadInput` with fewer
    than two test molecules.
    """
    measured = ~np.isnan(labels)
    y, a, b = labels[measured], ours[:, measured], theirs[:, measured]
    n = a.shape[1]
    if n < 2:
        raise BadInput(f"{n} test molecules have a label, a difference needs at least 2; enlarge the test part")
    differences = rmse(y, a) - rmse(y, b)  # (s,)
    generator = np.random.default_rng(seed)
    picks = generator.integers(n, size=(draws, n))
    squared_a, squared_b = (a - y) ** 2, (b - y) ** 2
    drawn = np.mean(
        [np.sqrt(sa[picks].mean(1)) - np.sqrt(sb[picks].mean(1)) for sa, sb in zip(squared_a, squared_b, strict=True)],
        0,
    )
    return with_interval(differences, float(np.var(drawn, ddof=1)), n)


def with_interval(differences: np.ndarray, of_molecules: float, n: int) -> dict[str, Any]:
    """The mean of paired differences (s,), less is better, with a 95 % interval that knows two noises.

    That of repeating is theirs over s; `of_molecules`: the variance that the n test molecules at hand bring. They add;
    the degrees of freedom are Welch–Satterthwaite's. With one repeat its noise is unknown.
    """
    from scipy.stats import t as student

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
