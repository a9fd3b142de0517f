"""What a factor does to an error, the others held."""

import numpy as np
import pytest

from core.stats.factorial import estimate_blend_effects, estimate_effects


def test_effects_are_found_again_with_the_seeds_own_levels() -> None:
    generator = np.random.default_rng(0)
    seed = np.repeat([0, 1, 2], 30)
    scale, kinds = generator.integers(3, size=90).astype(float), generator.integers(1, 4, size=90).astype(float)
    error = np.array([1.0, 2.0, 3.0])[seed] - 0.2 * scale + 0.0 * kinds + generator.normal(size=90) * 0.05
    found = estimate_effects(error, {"scale": scale, "kinds": kinds}, seed)
    assert found["scale"]["low"] < -0.2 < found["scale"]["high"] < 0
    assert found["kinds"]["low"] < 0 < found["kinds"]["high"] and abs(found["kinds"]["mean"]) < 0.02
    assert found["scale"]["mean"] == pytest.approx(-0.2, abs=0.02)


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    generator, held = np.random.default_rng(1), 0
    for _ in range(300):
        x = generator.normal(size=12)
        found = estimate_effects(0.5 * x + generator.normal(size=12), {"x": x}, np.repeat([0, 1], 6))["x"]
        held += found["low"] < 0.5 < found["high"]
    assert 0.91 < held / 300 < 0.98


def test_a_factor_that_does_not_vary_is_not_told() -> None:
    found = estimate_effects(np.array([1.0, 2.0, 3.0]), {"a": np.ones(3), "b": np.arange(3.0)}, np.zeros(3))
    assert np.isnan(found["a"]["mean"]) and found["b"]["mean"] == pytest.approx(1)
    assert np.isnan(estimate_effects(np.ones(1), {"a": np.ones(1)}, np.zeros(1))["a"]["low"])


def test_a_blend_stands_beside_the_mean_and_the_best_of_its_parts() -> None:
    levels = {"kin": 1.0, "far": 3.0, "farther": 5.0}
    generator = np.random.default_rng(2)
    sets = [{"kin"}, {"far"}, {"farther"}, {"kin", "far"}, {"kin", "far", "farther"}]
    sets = [frozenset(one) for _ in range(6) for one in sets]
    repeat = [(seed, 100) for seed in range(6) for _ in range(5)]
    noise = generator.normal(size=30) * 0.05
    gain = 0.4 * np.array([len(one) > 1 for one in sets])
    error = np.array([np.mean([levels[name] for name in one]) for one in sets]) - gain
    found = estimate_blend_effects(error + noise, sets, repeat)
    assert found["all"]["low"] < -0.4 < found["all"]["high"] < 0
    assert found["best"]["mean"] == pytest.approx((2.0 + 3.0) / 2 - 1.0 - 0.4, abs=0.1), "less that of kin alone"
    assert 0 < found["best"]["mean"] - found["best"]["low"] < 0.1
    lone = estimate_blend_effects(error[:5], sets[:5], repeat[:5])
    assert np.isnan(lone["all"]["low"]) and np.isnan(lone["best"]["mean"])
    assert np.isnan(estimate_blend_effects(error[3:5], sets[3:5], repeat[3:5])["all"]["mean"]), (
        "nothing alone to stand beside"
    )


def test_a_table_that_is_kin_is_not_taken_for_variety() -> None:
    names = ("kin", "far", "farther")
    sets = [frozenset(name for bit, name in enumerate(names) if number >> bit & 1) for number in range(1, 8)] * 3
    seed = np.repeat([0, 1, 2], 7)
    error = np.array([0.9 if "kin" in one else 1.0 for one in sets]) + np.random.default_rng(3).normal(size=21) * 0.01
    variety = estimate_effects(error, {"tables": np.array([float(len(one)) for one in sets])}, seed)["tables"]
    assert variety["high"] < 0, "more tables hold the kin one more often"
    own = estimate_effects(error, {name: np.array([float(name in one) for one in sets]) for name in names}, seed)
    assert own["kin"]["low"] < -0.1 < own["kin"]["high"]
    assert all(own[name]["low"] < 0 < own[name]["high"] for name in ("far", "farther"))


def test_intervals_of_blends_hold_the_truth_as_often_as_they_say() -> None:
    sets = [frozenset(one) for _ in range(5) for one in ({"a"}, {"b"}, {"a", "b"})]
    repeat, generator = [(seed, 1) for seed in range(5) for _ in range(3)], np.random.default_rng(4)
    held = sum(
        one["low"] < 0 < one["high"]
        for _ in range(300)
        for one in [estimate_blend_effects(generator.normal(size=15), sets, repeat)["all"]]
    )
    assert 0.91 < held / 300 < 0.98
