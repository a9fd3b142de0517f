"""What a factor does to an error, the others held."""

import numpy as np
import pytest

from core.factors import effects


def test_effects_are_found_again_with_the_seeds_own_levels() -> None:
    generator = np.random.default_rng(0)
    seed = np.repeat([0, 1, 2], 30)
    scale, kinds = generator.integers(3, size=90).astype(float), generator.integers(1, 4, size=90).astype(float)
    error = np.array([1.0, 2.0, 3.0])[seed] - 0.2 * scale + 0.0 * kinds + generator.normal(size=90) * 0.05
    found = effects(error, {"scale": scale, "kinds": kinds}, seed)
    assert found["scale"]["low"] < -0.2 < found["scale"]["high"] < 0
    assert found["kinds"]["low"] < 0 < found["kinds"]["high"] and abs(found["kinds"]["mean"]) < 0.02
    assert found["scale"]["mean"] == pytest.approx(-0.2, abs=0.02)


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    generator, held = np.random.default_rng(1), 0
    for _ in range(300):
        x = generator.normal(size=12)
        found = effects(0.5 * x + generator.normal(size=12), {"x": x}, np.repeat([0, 1], 6))["x"]
        held += found["low"] < 0.5 < found["high"]
    assert 0.91 < held / 300 < 0.98


def test_a_factor_that_does_not_vary_is_not_told() -> None:
    found = effects(np.array([1.0, 2.0, 3.0]), {"a": np.ones(3), "b": np.arange(3.0)}, np.zeros(3))
    assert np.isnan(found["a"]["mean"]) and found["b"]["mean"] == pytest.approx(1)
    assert np.isnan(effects(np.ones(1), {"a": np.ones(1)}, np.zeros(1))["a"]["low"])
