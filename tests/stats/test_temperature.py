"""Temperatures against a general minimiser, and their bounds."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from core.stats.temperature import MAX_TEMPERATURE, cross_entropies, fit_temperatures, sigmoid


def table(sure: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits (300,) that are `sure` times the logits of the labels."""
    generator = np.random.default_rng(seed)
    true = generator.normal(size=300) * 1.5
    return sure * true, (generator.random(300) < sigmoid(true)).astype(float)


@pytest.mark.parametrize("sure", [1.6, 4.0, 20.0])
def test_over_confident_logits_get_the_best_temperature(sure: float) -> None:
    logits, labels = table(sure)
    (temperature,) = fit_temperatures(logits[None], labels)
    best = minimize_scalar(
        lambda t: cross_entropies(logits / np.exp(t), labels).mean(), bounds=(0, 4), method="bounded"
    )
    assert temperature == pytest.approx(np.exp(best.x), rel=1e-3)
    assert cross_entropies(logits / temperature, labels).mean() <= best.fun + 1e-9
    both = fit_temperatures(np.stack([logits, 2 * logits]), labels)
    assert both[1] == pytest.approx(2 * both[0])


def test_temperature_bounds() -> None:
    logits, labels = table(0.3)
    assert fit_temperatures(logits[None], labels).tolist() == [1.0]  # not sure enough
    right = np.where(labels == 1, 3.0, -3.0)
    assert fit_temperatures(right[None], labels).tolist() == [1.0]  # all right: the surer the better
    assert fit_temperatures(-right[None], labels)[0] == pytest.approx(MAX_TEMPERATURE)  # all wrong
    assert fit_temperatures(np.zeros((2, 0)), np.zeros(0)).tolist() == [1.0, 1.0]
