"""The metrics of predictions: name, unit, function and explanation of each.

Score cards, bootstrap intervals, pages, charts and studies use `METRICS`, in this order. To add a metric, write a
function of a `Sample` and add a `Metric`; runs stored before show "–" for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from core.stats.formatting import format_with_interval
from core.stats.sample import Sample

CLIP = 1e-7  # probabilities in a log loss are clipped to [CLIP, 1 − CLIP]
COMPARED = "rmse"  # the metric of the paired differences of arms; of probabilities it is the root Brier score


@dataclass(frozen=True)
class Metric:
    """One metric of one kind of task.

    `compute`: the metric (d,) of a sample: its value without counts, its bootstrap with them. `help`: its explanation.
    `needs`: what it needs to be defined. `unit`: none, the label's, or the square of that.
    """

    key: str
    name: str
    kind: Literal["regression", "binary"]
    compute: Callable[[Sample], np.ndarray]
    help: str
    needs: str = "a measured value"
    lower_is_better: bool = False
    unit: Literal["none", "label", "squared label"] = "none"
    needs_label_sd: bool = False  # the standard deviation of the training labels
    is_headline: bool = False  # shown in lists and comparisons of its kind
    on_card: bool = True  # shown first on a model's page; all are in tables and exports
    averaged: bool = True  # a mean over many tasks is shown
    recorded: bool = True  # in a model's score card; otherwise studies compute it where they compare

    def value(self, labels: np.ndarray, predictions: np.ndarray, label_sd: float | None = None) -> float | None:
        """The metric of labels and predictions (n,), no gaps; None where it is undefined."""
        return self.value_of(Sample(labels.astype(float), predictions.astype(float), label_sd=label_sd))

    def value_of(self, sample: Sample) -> float | None:
        """The metric of a sample whose rows all count once; None where it is undefined."""
        if not len(sample.labels):
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            (value,) = self.compute(sample)
        return float(value) if np.isfinite(value) else None

    def unit_text(self, label_unit: str) -> str:
        """Its unit for labels in `label_unit`; "" for none."""
        if not label_unit or self.unit == "none":
            return ""
        return label_unit if self.unit == "label" else f"({label_unit})²"

    def title(self, label_unit: str = "") -> str:
        """`RMSE (logS)`."""
        unit = self.unit_text(label_unit)
        return f"{self.name} ({unit})" if unit else self.name

    def format_value(self, value: float | None, interval: Sequence[float] | None = None) -> str:
        """`0.82 (0.76 to 0.88)`; "–" if undefined or not stored."""
        return format_with_interval(value, None if value is None else interval)


def root_mean_squared_error(sample: Sample) -> np.ndarray:
    return np.sqrt(sample.mean_squared_error)


def standardised_error(sample: Sample) -> np.ndarray:
    return sample.mean_absolute_error / sample.label_sd


def determination(sample: Sample) -> np.ndarray:
    return 1 - sample.mean_squared_error / sample.variance(sample.labels)


def pearson(sample: Sample) -> np.ndarray:
    return sample.correlation(sample.labels, sample.predictions)


def rank_correlation(sample: Sample) -> np.ndarray:
    return sample.correlation(sample.ranks(sample.labels), sample.ranks(sample.predictions))


def area_under_roc(sample: Sample) -> np.ndarray:
    yes, no = sample.class_counts
    below = np.cumsum(no, 1) - no
    return (yes * (below + no / 2)).sum(1) / (yes.sum(1) * no.sum(1))


def mean_precision(sample: Sample) -> np.ndarray:
    """Mean precision at each positive, best score first; tied scores form one threshold."""
    yes, no = (side[:, ::-1] for side in sample.class_counts)
    hits = np.cumsum(yes, 1)
    selected = hits + np.cumsum(no, 1)
    gains = np.divide(yes * hits, selected, out=np.zeros_like(hits), where=selected > 0)
    return gains.sum(1) / yes.sum(1)


def accuracy(sample: Sample) -> np.ndarray:
    return sample.mean((sample.predictions > 0.5) == sample.positive)


def log_loss(sample: Sample) -> np.ndarray:
    y, q = sample.labels, np.clip(sample.predictions, CLIP, 1 - CLIP)
    return -sample.mean(y * np.log(q) + (1 - y) * np.log(1 - q))


METRICS = (
    Metric(
        "mae_sd",
        "MAE in standard deviations",
        "regression",
        standardised_error,
        "Mean absolute error over the standard deviation of the training labels; predicting the mean scores about 0.8.",
        lower_is_better=True,
        needs_label_sd=True,
    ),
    Metric(
        "rmse",
        "RMSE",
        "regression",
        root_mean_squared_error,
        "Root mean squared error, in the label's unit; large errors weigh most.",
        lower_is_better=True,
        unit="label",
        is_headline=True,
    ),
    Metric(
        "mae",
        "MAE",
        "regression",
        lambda sample: sample.mean_absolute_error,
        "Mean absolute error, in the label's unit.",
        lower_is_better=True,
        unit="label",
    ),
    Metric(
        "mse",
        "MSE",
        "regression",
        lambda sample: sample.mean_squared_error,
        "Mean squared error: what training on squared errors lowers.",
        lower_is_better=True,
        unit="squared label",
        on_card=False,
        averaged=False,
    ),
    Metric(
        "r2",
        "R²",
        "regression",
        determination,
        "Share of the labels' variance that the predictions explain; 0 for predicting the mean, negative for worse.",
        needs="two different labels",
    ),
    Metric(
        "pearson",
        "Pearson r",
        "regression",
        pearson,
        "Linear correlation of predictions and labels.",
        needs="two different labels and predictions",
        on_card=False,
    ),
    Metric(
        "spearman",
        "Spearman ρ",
        "regression",
        rank_correlation,
        "Rank correlation: 1 where predictions order the molecules as the labels do.",
        needs="two different labels and predictions",
    ),
    Metric(
        "rmse",
        "root Brier score",
        "binary",
        root_mean_squared_error,
        "Root mean squared difference of predicted probabilities from the labels 0 and 1.",
        lower_is_better=True,
        on_card=False,
        averaged=False,
        recorded=False,
    ),
    Metric(
        "auroc",
        "AUROC",
        "binary",
        area_under_roc,
        "The probability that a random positive gets a higher score than a random negative; 0.5 for guessing.",
        needs="both classes",
        is_headline=True,
    ),
    Metric(
        "average_precision",
        "average precision",
        "binary",
        mean_precision,
        "Mean precision over the positives, best score first; the share of positives for guessing.",
        needs="a positive",
    ),
    Metric(
        "accuracy",
        "accuracy",
        "binary",
        accuracy,
        "Share of molecules on the right side of probability one half.",
        averaged=False,
    ),
    Metric(
        "log_loss",
        "log loss",
        "binary",
        log_loss,
        "Mean cross-entropy of the predicted probabilities, in nats.",
        lower_is_better=True,
        averaged=False,
    ),
)


def metrics_of(kind: str, label_sd: bool = False) -> tuple[Metric, ...]:
    """The recorded metrics of a kind of task; with `label_sd` also those that need it."""
    return tuple(
        metric
        for metric in METRICS
        if metric.kind == kind and metric.recorded and (label_sd or not metric.needs_label_sd)
    )


def find_metric(key: str, kind: str = "regression") -> Metric:
    """A metric by its key, that of `kind` if both kinds have one. Raises `KeyError` for an unknown key."""
    matches = [metric for metric in METRICS if metric.key == key]
    if not matches:
        raise KeyError(
            f"there is no metric {key!r}; there are {', '.join(dict.fromkeys(metric.key for metric in METRICS))}"
        )
    return next((metric for metric in matches if metric.kind == kind), matches[0])


def headline_metric(kind: str) -> Metric:
    """The metric that lists and comparisons of a kind of task show."""
    return next(metric for metric in METRICS if metric.kind == kind and metric.is_headline)


def card_metrics(kind: str) -> tuple[Metric, ...]:
    """The metrics that the page of a model shows first."""
    return tuple(metric for metric in metrics_of(kind) if metric.on_card)


def unrecorded_metrics(kind: str) -> tuple[Metric, ...]:
    """The metrics of a kind of task that score cards lack; studies compute them."""
    return tuple(metric for metric in METRICS if metric.kind == kind and not metric.recorded)


def averaged_metrics(tasks: int = 1) -> tuple[Metric, ...]:
    """The metrics with a mean over tasks; for several tasks none in label units, which differ by task."""
    return tuple(
        metric for metric in METRICS if metric.averaged and metric.recorded and (tasks < 2 or metric.unit == "none")
    )


def metrics_in(card: Mapping[str, Any], kind: str) -> tuple[Metric, ...]:
    """The metrics of a kind of task that a stored score card or the card of an arm has."""
    return tuple(metric for metric in METRICS if metric.kind == kind and metric.key in card)


def metric_name(key: str, kind: str = "regression") -> str:
    """The name of a metric; its key if it is unknown (stored by another version)."""
    return find_metric(key, kind).name if any(metric.key == key for metric in METRICS) else key


def compute_metrics(
    kind: str, labels: np.ndarray, predictions: np.ndarray, label_sd: float | None = None
) -> dict[str, float | int | None]:
    """Every recorded metric of one task over all its measured rows.

    `labels`, `predictions`: (n,), in label units, or for a "binary" task 0/1 and probabilities. A metric that is
    undefined on these rows (a constant, a single class) is None.
    """
    measured = ~np.isnan(labels)
    sample = Sample(labels[measured].astype(float), predictions[measured].astype(float), label_sd=label_sd)
    return {metric.key: metric.value_of(sample) for metric in metrics_of(kind, label_sd is not None)} | {
        "n": int(measured.sum())
    }


def spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """Rank correlation; None where either side is constant."""
    return find_metric("spearman").value(np.asarray(a), np.asarray(b))


def auroc(flags: np.ndarray, score: np.ndarray) -> float | None:
    """Chance that a flagged row scores above an unflagged one, ties half (Mann–Whitney); None with one class only."""
    return find_metric("auroc").value(np.asarray(flags, bool), np.asarray(score))
