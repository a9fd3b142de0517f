"""Why a number is missing: the reasons that stand beside an empty metric or interval, as short phrases.

A metric may be undefined on a set (AUROC without positives, R² of one row), or have no interval (few molecules). A
reader of a table, a JSON document or a page then finds the reason instead of a gap.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from core.stats.bootstrap import MIN_DEFINED_SHARE, MIN_MOLECULES
from core.stats.conformal import MIN_ERRORS
from core.stats.metrics import metrics_of

NAME = "undefined"  # of these reasons in a score card, a record, an answer


def explain_metrics(kind: str, labels: np.ndarray, predictions: np.ndarray, card: Mapping[str, Any]) -> dict[str, str]:
    """Why metrics of a score card are None, by metric; labels and predictions (n,), NaN where unmeasured."""
    measured = ~np.isnan(labels)
    y, p = labels[measured], predictions[measured]
    missing = [metric.key for metric in metrics_of(kind) if metric.key in card and card[metric.key] is None]
    return dict.fromkeys(missing, describe_sample(kind, y, p)) if missing else {}


def describe_sample(kind: str, labels: np.ndarray, predictions: np.ndarray) -> str:
    """What labels and predictions (n,), no gaps, lack for a metric to be defined."""
    n = len(labels)
    if not n:
        return "no molecule has a label"
    if not np.isfinite(predictions).all():
        return "a prediction is not finite"
    if kind == "binary":
        return describe_classes(labels) or "the metric is not finite"
    if n == 1:
        return "only one molecule has a label"
    if np.ptp(labels) == 0:
        return f"all {n} labels are equal"
    return f"all {n} predictions are equal" if np.ptp(predictions) == 0 else "the metric is not finite"


def describe_correlation(first: np.ndarray, second: np.ndarray, names: tuple[str, str]) -> str:
    """Why two series (n,), no gaps, have no rank correlation, by what they are called; "" where they have one."""
    n = len(first)
    if n < 2:
        return f"a correlation needs two molecules or more, there {'is' if n == 1 else 'are'} {n or 'none'}"
    constant = [name for name, values in zip(names, (first, second), strict=True) if np.ptp(values) == 0]
    return f"all {n} {constant[0]} are equal" if constant else ""


def describe_classes(labels: np.ndarray) -> str:
    """Which class labels (n,) of 0 and 1 lack; "" where both occur."""
    n, positive = len(labels), int((labels > 0.5).sum())
    if not n:
        return "no molecule has a label"
    if 0 < positive < n:
        return ""
    return f"none of {n} labelled molecules is {'negative' if positive else 'positive'}"


def explain_intervals(
    kind: str, labels: np.ndarray, card: Mapping[str, Any], intervals: Collection[str]
) -> dict[str, str]:
    """Why metrics with a value lack a bootstrap interval, by metric; `intervals`: the metrics that have one."""
    n = int((~np.isnan(labels)).sum())
    if n < MIN_MOLECULES:
        reason = f"{n} molecules with a label are too few for a bootstrap, at least {MIN_MOLECULES} are needed"
    else:
        share = 1 - MIN_DEFINED_SHARE
        reason = f"undefined in more than {share:.0%} of the resamples: too few molecules of a class, or equal labels"
    names = [metric.key for metric in metrics_of(kind) if card.get(metric.key) is not None]
    return {name: reason for name in names if name not in intervals}


def explain_prediction_intervals(kind: str, labels: np.ndarray, level: float) -> str:
    """Why validation labels (n,), NaN where unmeasured, give no prediction intervals; "" where they do."""
    y = labels[~np.isnan(labels)]
    if kind == "binary":
        lack = describe_classes(y)
        return f"no probability range: in the validation set {lack}" if lack else ""
    needed = count_needed_errors(level)
    if len(y) >= needed:
        return ""
    return f"no interval: the validation set has {len(y)} labels, an interval of level {level:g} needs {needed}"


def count_needed_errors(level: float) -> int:
    """Errors on the validation set that a finite conformal interval of `level` needs: the rank must not exceed n."""
    n = MIN_ERRORS
    while int(np.ceil((n + 1) * level)) > n:
        n += 1
    return n
