"""Metrics against scikit-learn and scipy, and intervals against simulation."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from core.engine.spec import BadInput
from core.stats import bootstrap, differences, metrics


def test_regression_metrics_agree_with_scikit_learn_and_skip_gaps() -> None:
    generator = np.random.default_rng(0)
    y = np.round(generator.normal(size=60), 1)
    p = y + generator.normal(size=60)
    gaps = np.concatenate([y, [np.nan, np.nan]])
    results = metrics.compute_metrics("regression", gaps, np.concatenate([p, [50.0, -50.0]]))
    assert results["n"] == 60
    assert results["mse"] == pytest.approx(reference.mean_squared_error(y, p))
    assert results["rmse"] == pytest.approx(reference.mean_squared_error(y, p) ** 0.5)
    assert results["mae"] == pytest.approx(reference.mean_absolute_error(y, p))
    assert results["r2"] == pytest.approx(reference.r2_score(y, p))
    assert results["pearson"] == pytest.approx(stats.pearsonr(y, p)[0])
    assert results["spearman"] == pytest.approx(stats.spearmanr(y, p)[0])


def test_binary_metrics_agree_with_scikit_learn_with_ties() -> None:
    generator = np.random.default_rng(1)
    y = (generator.random(80) < 0.3).astype(float)
    p = np.round(np.clip(0.3 * y + 0.6 * generator.random(80), 0, 1), 1)
    results = metrics.compute_metrics("binary", y, p)
    assert results["auroc"] == pytest.approx(reference.roc_auc_score(y, p))
    assert results["average_precision"] == pytest.approx(reference.average_precision_score(y, p))
    assert results["accuracy"] == pytest.approx(np.mean((p > 0.5) == y))


def test_undefined_metric_is_none() -> None:
    assert metrics.compute_metrics("regression", np.array([1.0, 1.0]), np.array([1.0, 2.0]))["r2"] is None
    assert metrics.compute_metrics("regression", np.array([1.0, 2.0]), np.array([3.0, 3.0]))["spearman"] is None
    assert metrics.compute_metrics("binary", np.ones(3), np.array([0.2, 0.3, 0.4]))["auroc"] is None
    nothing = dict.fromkeys(one.key for one in metrics.metrics_of("regression")) | {"n": 0}
    assert metrics.compute_metrics("regression", np.array([np.nan]), np.array([3.0])) == nothing


def test_auroc_interval_contains_the_value() -> None:
    generator = np.random.default_rng(2)
    flags = np.arange(100) < 25
    score = generator.normal(size=100) + flags
    value, low, high = bootstrap.compute_auroc_interval(flags, score)
    assert low < value < high and low > 0.55 and high < 0.95


def arms(generator: np.random.Generator, gain: float, of_seed: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels (200,), and predictions (3, 200) of two arms whose errors differ in size and whose seeds differ in luck."""
    y = generator.normal(size=200)
    sizes = 1 + of_seed * generator.normal(size=(2, 3, 1))
    errors = generator.normal(size=(2, 3, 200)) * sizes
    return y, y + errors[0] * (1 + gain), y + errors[1]


def test_equal_arms_are_rarely_distinguished_and_different_ones_are() -> None:
    generator = np.random.default_rng(3)
    verdicts = [differences.paired_difference(*arms(generator, 0.0, 0.05), draws=200)["verdict"] for _ in range(60)]
    assert verdicts.count("not distinguishable") >= 52  # 95 % of 60 is 57
    assert differences.paired_difference(*arms(generator, -0.5, 0.05))["verdict"] == "better"
    assert differences.paired_difference(*arms(generator, 0.5, 0.05))["verdict"] == "worse"


def test_one_seed_gives_no_verdict() -> None:
    y, a, b = arms(np.random.default_rng(4), -0.5, 0.0)
    assert differences.paired_difference(y, a[:1], b[:1])["verdict"].startswith("one seed")


def test_one_test_molecule_is_refused() -> None:
    with pytest.raises(BadInput, match="1 test molecules have a label"):
        differences.paired_difference(np.array([1.0, np.nan]), np.zeros((2, 2)), np.ones((2, 2)))


def test_metric_names() -> None:
    assert [one.name for one in metrics.averaged_metrics(2)][:2] == ["MAE in standard deviations", "R²"]
    assert metrics.metric_name("rmse") == "RMSE" and metrics.metric_name("auroc", "binary") == "AUROC"
    assert metrics.metric_name("rmse", "binary") == "root Brier score"
