"""How sure a metric is on the molecules at hand: they are drawn anew, with replacement, and it is measured again.

A drawing is a count of each molecule; `core.stats.sample` has what that saves. Plain numpy.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from core.stats.metrics import auroc, compute_metrics, metrics_of
from core.stats.sample import Sample

RESAMPLES = 1000
LEVEL = 0.95  # of every interval
MIN_MOLECULES = 10  # molecules with a label: of fewer, drawings say little of those that are not there
MIN_DEFINED_SHARE = 0.95  # share of the drawings in which a metric has to be defined to have an interval
MAX_COUNTS = 1 << 22  # counts held at once

Interval = tuple[float, float]


def compute_intervals(
    tasks: Sequence[str], kinds: Sequence[str], labels: np.ndarray, predictions: np.ndarray
) -> dict[str, dict[str, Interval]]:
    """Of each task (n, t) the 95 % interval of every metric of `metrics.measure`, by percentiles of the drawings.

    It knows the noise of the molecules at hand alone: training with another seed moves a metric too. A metric that is
    undefined in more than a twentieth of the drawings (hardly one molecule of a class) has none, nor has a task with
    fewer than ten labels.
    """
    return {
        task: keep_defined_intervals(drawn)
        for task, drawn in zip(tasks, resample_metrics(kinds, labels, predictions), strict=True)
    }


def keep_defined_intervals(drawn: Mapping[str, np.ndarray]) -> dict[str, Interval]:
    """The intervals of those metrics that have one."""
    return {name: span for name, each in drawn.items() if (span := percentile_interval(each)) is not None}


def percentile_interval(drawn: np.ndarray) -> Interval | None:
    """The bounds of the middle 95 % of a metric's drawings (d,), NaN where it was undefined; None for too few."""
    defined = drawn[np.isfinite(drawn)]
    if len(defined) < max(2, MIN_DEFINED_SHARE * len(drawn)):
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
    """Of each task (n, t) every metric (draws,), with the same molecules drawn for all.

    NaN where it is undefined, and everywhere in a task that has too few labels. `molecule` (n,): the number of the
    molecule that a row belongs to, where rows are atoms. `label_sds` (t,): standard deviations of the training labels,
    for those metrics that need them.
    """
    rows = np.arange(len(labels)) if molecule is None else molecule
    blocks: list[list[dict[str, np.ndarray]]] = [[] for _ in kinds]
    for drawn in draw_counts(int(rows.max(initial=-1)) + 1, draws, seed):
        counts = drawn if molecule is None else drawn[:, rows]
        for task, kind in enumerate(kinds):
            measured = ~np.isnan(labels[:, task])
            if len(np.unique(rows[measured])) < MIN_MOLECULES:
                measured = np.zeros(len(labels), bool)
            label_sd = None if label_sds is None else float(label_sds[task])
            given = labels[measured, task], predictions[measured, task], counts[:, measured]
            blocks[task].append(compute_weighted_metrics(kind, *given, label_sd))
    return [{name: np.concatenate([block[name] for block in mine]) for name in mine[0]} for mine in blocks]


def compare_auroc(labels: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> tuple[float | None, Interval | None]:
    """AUROC of `ours` less that of `theirs` (n,), and its 95 % interval, both measured on every drawing.

    None where either is undefined, or there is no interval.
    """
    areas = [compute_metrics("binary", labels, one)["auroc"] for one in (ours, theirs)]
    drawn = resample_metrics(["binary"] * 2, np.stack([labels] * 2, 1), np.stack([ours, theirs], 1))
    span = percentile_interval(drawn[0]["auroc"] - drawn[1]["auroc"])
    return (None, None) if None in areas or span is None else (areas[0] - areas[1], span)


def draw_counts(n: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of n molecules was drawn, (block, n), as many rows in all as `draws`."""
    generator, size = np.random.default_rng([seed, 12]), max(1, MAX_COUNTS // max(n, 1))
    for start in range(0, draws, size):
        rows = min(size, draws - start)
        picks = generator.integers(n, size=(rows, n)) if n else np.zeros((rows, 0), int)
        picks += n * np.arange(rows)[:, None]
        yield np.bincount(picks.ravel(), minlength=rows * n).reshape(rows, n).astype(float)


def compute_weighted_metrics(
    kind: str, labels: np.ndarray, predictions: np.ndarray, counts: np.ndarray, label_sd: float | None = None
) -> dict[str, np.ndarray]:
    """The metrics of labels and predictions (n,), each there `counts` (d, n) times: (d,), NaN where undefined."""
    sample = Sample(labels.astype(float), predictions.astype(float), counts, label_sd)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {one.key: one.compute(sample) for one in metrics_of(kind, label_sd is not None)}


def compute_auroc_interval(
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
