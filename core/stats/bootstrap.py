"""Bootstrap intervals of metrics: molecules are resampled with replacement.

A resample is a count of each molecule; see `core.stats.sample`. Plain numpy.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from core.stats.metrics import auroc, compute_metrics, metrics_of
from core.stats.sample import Sample

RESAMPLES = 1000
LEVEL = 0.95  # of every interval
MIN_MOLECULES = 10  # molecules with a label: the bootstrap is unreliable for fewer
MIN_DEFINED_SHARE = 0.95  # share of the resamples in which a metric must be defined to have an interval
MAX_COUNTS = 1 << 22  # counts in memory at once

Interval = tuple[float, float]


def compute_intervals(
    tasks: Sequence[str], kinds: Sequence[str], labels: np.ndarray, predictions: np.ndarray
) -> dict[str, dict[str, Interval]]:
    """95 % percentile bootstrap intervals of every recorded metric of each task; labels and predictions (n, t).

    They cover the noise of the molecules only, not that of the training seed. A metric that is undefined in more than
    5 % of the resamples (for example, for one molecule of a class) has no interval, nor has a task with fewer than ten
    labels.
    """
    return {
        task: keep_defined_intervals(values)
        for task, values in zip(tasks, resample_metrics(kinds, labels, predictions), strict=True)
    }


def keep_defined_intervals(resampled: Mapping[str, np.ndarray]) -> dict[str, Interval]:
    """Intervals by metric, without metrics that have none."""
    return {name: span for name, values in resampled.items() if (span := percentile_interval(values)) is not None}


def percentile_interval(values: np.ndarray) -> Interval | None:
    """95 % percentile interval of a metric's resamples (d,), NaN where undefined; None if too few are defined."""
    defined = values[np.isfinite(values)]
    if len(defined) < max(2, MIN_DEFINED_SHARE * len(values)):
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def resample_metrics(
    kinds: Sequence[str],
    labels: np.ndarray,
    predictions: np.ndarray,
    molecule: np.ndarray | None = None,
    draws: int = RESAMPLES,
    seed: int = 0,
    label_sds: Sequence[float] | None = None,
) -> list[dict[str, np.ndarray]]:
    """Every metric (draws,) of each task, with the same resampled molecules for all; labels, predictions (n, t).

    NaN where undefined, and in a task with too few labels. `molecule` (n,): index of the molecule of a row, where rows
    are atoms. `label_sds` (t,): standard deviations of the training labels, for metrics that need them.
    """
    rows = np.arange(len(labels)) if molecule is None else molecule
    blocks: list[list[dict[str, np.ndarray]]] = [[] for _ in kinds]
    for molecule_counts in draw_counts(int(rows.max(initial=-1)) + 1, draws, seed):
        counts = molecule_counts if molecule is None else molecule_counts[:, rows]
        for task, kind in enumerate(kinds):
            measured = ~np.isnan(labels[:, task])
            if len(np.unique(rows[measured])) < MIN_MOLECULES:
                measured = np.zeros(len(labels), bool)
            label_sd = None if label_sds is None else float(label_sds[task])
            sample = labels[measured, task], predictions[measured, task], counts[:, measured]
            blocks[task].append(compute_weighted_metrics(kind, *sample, label_sd))
    return [
        {name: np.concatenate([block[name] for block in task_blocks]) for name in task_blocks[0]}
        for task_blocks in blocks
    ]


def compare_auroc(labels: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> tuple[float | None, Interval | None]:
    """AUROC of `ours` minus that of `theirs` (n,), and its paired 95 % bootstrap interval.

    (None, None) if either is undefined or there is no interval.
    """
    areas = [compute_metrics("binary", labels, predictions)["auroc"] for predictions in (ours, theirs)]
    resampled = resample_metrics(["binary"] * 2, np.stack([labels] * 2, 1), np.stack([ours, theirs], 1))
    span = percentile_interval(resampled[0]["auroc"] - resampled[1]["auroc"])
    return (None, None) if None in areas or span is None else (areas[0] - areas[1], span)


def draw_counts(n: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Bootstrap counts of n molecules in blocks (block, n), `draws` rows in total."""
    generator, size = np.random.default_rng([seed, 12]), max(1, MAX_COUNTS // max(n, 1))
    for start in range(0, draws, size):
        rows = min(size, draws - start)
        picks = generator.integers(n, size=(rows, n)) if n else np.zeros((rows, 0), int)
        picks += n * np.arange(rows)[:, None]
        yield np.bincount(picks.ravel(), minlength=rows * n).reshape(rows, n).astype(float)


def compute_weighted_metrics(
    kind: str, labels: np.ndarray, predictions: np.ndarray, counts: np.ndarray, label_sd: float | None = None
) -> dict[str, np.ndarray]:
    """Metrics (d,) of labels and predictions (n,) with counts (d, n); NaN where undefined."""
    sample = Sample(labels.astype(float), predictions.astype(float), counts, label_sd)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {metric.key: metric.compute(sample) for metric in metrics_of(kind, label_sd is not None)}


def compute_auroc_interval(
    flags: np.ndarray, score: np.ndarray, seed: int = 0, draws: int = 1000
) -> tuple[float, float, float] | None:
    """AUROC and its 95 % bootstrap interval over rows (percentile, resampled within each class); None for one class."""
    flags = np.asarray(flags, bool)
    value = auroc(flags, score)
    if value is None:
        return None
    generator, yes, no = np.random.default_rng(seed), np.flatnonzero(flags), np.flatnonzero(~flags)
    marks = np.arange(len(flags)) < len(yes)
    resampled = [
        auroc(marks, np.concatenate([score[generator.choice(yes, len(yes))], score[generator.choice(no, len(no))]]))
        for _ in range(draws)
    ]
    low, high = np.quantile(resampled, [0.025, 0.975])
    return value, float(low), float(high)
