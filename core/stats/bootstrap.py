"""How sure a metric is on the molecules at hand: they are drawn anew, with replacement, and it is measured again.

A drawing is a count of each molecule (Efron 1979, doi:10.1214/aos/1176344552), so that a metric of a thousand drawings
is a few products of matrices, and nothing is sorted more than once. Plain numpy.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from core.stats.metrics import BINARY, CLIP, REGRESSION, measure

DRAWS = 1000
LEVEL = 0.95  # of every interval
FEWEST = 10  # molecules with a label: of fewer, drawings say little of those that are not there
DEFINED = 0.95  # share of the drawings in which a metric has to be defined to have an interval
BLOCK = 1 << 22  # counts held at once

Span = tuple[float, float]


def intervals(
    tasks: Sequence[str], kinds: Sequence[str], labels: np.ndarray, predictions: np.ndarray
) -> dict[str, dict[str, Span]]:
    """Of each task (n, t) the 95 % interval of every metric of `metrics.measure`, by percentiles of the drawings.

    It knows the noise of the molecules at hand alone: training with another seed moves a metric too. A metric that is
    undefined in more than a twentieth of the drawings (hardly one molecule of a class) has none, nor has a task with
    fewer than ten labels.
    """
    return {task: known(drawn) for task, drawn in zip(tasks, values(kinds, labels, predictions), strict=True)}


def known(drawn: Mapping[str, np.ndarray]) -> dict[str, Span]:
    """The intervals of those metrics that have one."""
    return {name: span for name, each in drawn.items() if (span := between(each)) is not None}


def between(drawn: np.ndarray) -> Span | None:
    """The bounds of the middle 95 % of a metric's drawings (d,), NaN where it was undefined; None for too few."""
    defined = drawn[np.isfinite(drawn)]
    if len(defined) < max(2, DEFINED * len(drawn)):
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def values(
    kinds: Sequence[str],
    labels: np.ndarray,
    predictions: np.ndarray,
    molecule: np.ndarray | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[dict[str, np.ndarray]]:
    """Of each task (n, t) every metric (draws,), with the same molecules drawn for all.

    NaN where it is undefined, and everywhere in a task that has too few labels. `molecule` (n,): the number of the
    molecule that a row belongs to, where rows are atoms.
    """
    rows = np.arange(len(labels)) if molecule is None else molecule
    found: list[dict[str, list[np.ndarray]]] = [
        {name: [] for name in (BINARY if kind == "binary" else REGRESSION)} for kind in kinds
    ]
    for drawn in drawings(int(rows.max(initial=-1)) + 1, draws, seed):
        counts = drawn if molecule is None else drawn[:, rows]
        for task, kind in enumerate(kinds):
            measured = ~np.isnan(labels[:, task])
            if len(np.unique(rows[measured])) < FEWEST:
                measured = np.zeros(len(labels), bool)
            told = weighted(kind, labels[measured, task], predictions[measured, task], counts[:, measured])
            for name, value in told.items():
                found[task][name].append(value)
    return [{name: np.concatenate(parts) for name, parts in one.items()} for one in found]


def areas_apart(labels: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> tuple[float | None, Span | None]:
    """AUROC of `ours` less that of `theirs` (n,), and its 95 % interval, both measured on every drawing.

    None where either is undefined, or there is no interval.
    """
    areas = [measure("binary", labels, one)["auroc"] for one in (ours, theirs)]
    drawn = values(["binary"] * 2, np.stack([labels] * 2, 1), np.stack([ours, theirs], 1))
    span = between(drawn[0]["auroc"] - drawn[1]["auroc"])
    return (None, None) if None in areas or span is None else (areas[0] - areas[1], span)


def drawings(n: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of n molecules was drawn, (block, n), as many rows in all as `draws`."""
    generator, size = np.random.default_rng([seed, 12]), max(1, BLOCK // max(n, 1))
    for start in range(0, draws, size):
        rows = min(size, draws - start)
        picks = generator.integers(n, size=(rows, n)) if n else np.zeros((rows, 0), int)
        picks += n * np.arange(rows)[:, None]
        yield np.bincount(picks.ravel(), minlength=rows * n).reshape(rows, n).astype(float)


def weighted(kind: str, y: np.ndarray, p: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """What `metrics.measure` finds for labels and predictions (n,), of which each is there `counts` (d, n) times: (d,).

    NaN where it is undefined.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return (_binary if kind == "binary" else _regression)(y.astype(float), p.astype(float), counts)


def _regression(y: np.ndarray, p: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    total = counts.sum(1)
    squared = counts @ (p - y) ** 2 / total
    around = _around(y)
    variance = _positive(counts @ around**2 / total - (counts @ around / total) ** 2, around)
    return {
        "rmse": np.sqrt(squared),
        "mse": squared,
        "mae": counts @ np.abs(p - y) / total,
        "r2": 1 - squared / variance,
        "pearson": _correlation(around, _around(p), counts),
        "spearman": _correlation(_ranks(y, counts), _ranks(p, counts), counts),
    }


def _binary(y: np.ndarray, p: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    total, flags, q = counts.sum(1), y > 0.5, np.clip(p, CLIP, 1 - CLIP)
    yes, no = (_by_value(p, counts * side) for side in (flags, ~flags))  # (d, groups), lowest score first
    below = np.cumsum(no, 1) - no
    hits = np.cumsum(yes[:, ::-1], 1)
    seen = hits + np.cumsum(no[:, ::-1], 1)
    precise = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    return {
        "auroc": (yes * (below + no / 2)).sum(1) / (yes.sum(1) * no.sum(1)),
        "average_precision": (yes[:, ::-1] * precise).sum(1) / yes.sum(1),
        "accuracy": counts @ ((p > 0.5) == flags).astype(float) / total,
        "log_loss": -counts @ (y * np.log(q) + (1 - y) * np.log(1 - q)) / total,
    }


def _around(values: np.ndarray) -> np.ndarray:
    """Values (n,) less their median: far from zero, squares of them would lose their digits."""
    return values - np.median(values) if len(values) else values


def _by_value(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Counts (d, n) added up over equal values, (d, groups), the lowest value first."""
    if not len(values):
        return np.zeros((len(counts), 0))
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(values[order]) != 0))
    return np.add.reduceat(counts[:, order], starts, axis=1)


def _ranks(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Ranks (d, n) of values (n,) among those drawn, ties sharing their mean rank."""
    groups = _by_value(values, counts)
    _, place = np.unique(values, return_inverse=True)
    return (np.cumsum(groups, 1) - (groups - 1) / 2)[:, place]


def _correlation(a: np.ndarray, b: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Pearson's correlation (d,) of a and b, (n,) or (d, n); NaN where either is constant."""
    total = counts.sum(1, keepdims=True)
    a, b = (side - (counts * side).sum(1, keepdims=True) / total for side in (a, b))
    spreads = [_positive((counts * side**2).sum(1), side) for side in (a, b)]
    return (counts * a * b).sum(1) / np.sqrt(spreads[0] * spreads[1])


def _positive(variance: np.ndarray, of: np.ndarray) -> np.ndarray:
    """A variance, NaN where it is nothing but rounding."""
    scale = float(np.max(np.square(of), initial=0.0))
    return np.where(variance > 1e-12 * scale, variance, np.nan)
