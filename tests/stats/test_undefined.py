"""Reasons of missing numbers: every None of a score card has one, and no value has."""

import numpy as np
import pytest

from core.results.fit import compute_task_intervals, compute_task_metrics
from core.stats import undefined
from core.stats.conformal import MIN_ERRORS, ConformalIntervals
from core.stats.metrics import metrics_of


def card_of(kind: str, labels: list, predictions: list) -> dict:
    labels, predictions = (np.array(values, float)[:, None] for values in (labels, predictions))
    return compute_task_metrics(("y",), (kind,), labels, predictions)["y"]


@pytest.mark.parametrize(
    ("kind", "labels", "predictions", "missing"),
    [
        ("binary", [0, 0, 0], [0.1, 0.2, 0.3], {"auroc": "none of 3 labelled molecules is positive"}),
        ("binary", [1, 1, np.nan], [0.1, 0.2, 0.3], {"auroc": "none of 2 labelled molecules is negative"}),
        ("binary", [1, 0], [0.4, 0.4], {}),
        (
            "regression",
            [2.5],
            [2.0],
            {"r2": "only one molecule has a label", "spearman": "only one molecule has a label"},
        ),
        ("regression", [2, 2, 2], [1, 2, 3], {"r2": "all 3 labels are equal", "pearson": "all 3 labels are equal"}),
        ("regression", [1, 2, 3], [2, 2, 2], {"spearman": "all 3 predictions are equal"}),
        ("regression", [1, 2], [np.nan, 2], {"rmse": "a prediction is not finite"}),
        ("regression", [np.nan, np.nan], [1, 2], {"rmse": "no molecule has a label", "r2": "no molecule has a label"}),
        ("binary", [np.nan], [0.5], {"accuracy": "no molecule has a label"}),
        ("regression", [1, 2, 4], [1, 2, 3], {}),
    ],
)
def test_every_missing_metric_has_its_reason(kind: str, labels: list, predictions: list, missing: dict) -> None:
    card = card_of(kind, labels, predictions)
    reasons = card.get("undefined", {})
    assert set(reasons) == {metric.key for metric in metrics_of(kind) if card[metric.key] is None}
    assert missing.items() <= reasons.items() and bool(missing) == bool(reasons)


@pytest.mark.parametrize(
    ("kind", "labels", "words"),
    [
        ("regression", np.arange(9.0), "9 molecules with a label are too few for a bootstrap, at least 10"),
        ("binary", np.array([1.0] + [0.0] * 29), "undefined in more than 5% of the resamples"),
        ("regression", np.arange(30.0), ""),
    ],
)
def test_every_missing_interval_has_its_reason(kind: str, labels: np.ndarray, words: str) -> None:
    labels, predictions = labels[:, None], np.linspace(0.1, 0.9, len(labels))[:, None]
    cards = compute_task_metrics(("y",), (kind,), labels, predictions)
    answer = compute_task_intervals(("y",), (kind,), labels, predictions, cards)
    reasons = answer["undefined_intervals"].get("y", {})
    valued = {metric.key for metric in metrics_of(kind) if cards["y"][metric.key] is not None}
    assert set(answer["intervals"]["y"]) | set(reasons) == valued and not set(answer["intervals"]["y"]) & set(reasons)
    assert all(words in reason for reason in reasons.values()) and bool(reasons) == bool(words)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95, 0.97, 0.99])
def test_the_number_of_errors_that_a_level_needs_is_the_least_that_gives_intervals(level: float) -> None:
    needed = undefined.count_needed_errors(level)
    rng = np.random.default_rng(0)

    def intervals(n: int) -> ConformalIntervals | None:
        return ConformalIntervals.of(np.abs(rng.normal(size=n)), rng.random((n, 2)), level)

    assert needed >= MIN_ERRORS and intervals(needed) is not None and intervals(needed - 1) is None
    labels = np.arange(float(needed))
    assert undefined.explain_prediction_intervals("regression", labels, level) == ""
    reason = undefined.explain_prediction_intervals("regression", labels[1:], level)
    assert f"has {needed - 1} labels, an interval of level {level:g} needs {needed}" in reason


def test_probability_ranges_need_both_classes() -> None:
    one = np.array([1.0, 1.0, np.nan])
    assert "none of 2 labelled molecules is negative" in undefined.explain_prediction_intervals("binary", one, 0.9)
    assert undefined.explain_prediction_intervals("binary", np.array([1.0, 0.0]), 0.9) == ""
