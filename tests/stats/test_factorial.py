"""Effects of factors on an error."""

import numpy as np
import pytest

from core.stats.factorial import estimate_blend_effects, estimate_effects


def test_effects_are_recovered_with_seed_intercepts() -> None:
    generator = np.random.default_rng(0)
    seed = np.repeat([0, 1, 2], 30)
    scale, kinds = generator.integers(3, size=90).astype(float), generator.integers(1, 4, size=90).astype(float)
    error = np.array([1.0, 2.0, 3.0])[seed] - 0.2 * scale + 0.0 * kinds + generator.normal(size=90) * 0.05
    effects = estimate_effects(error, {"scale": scale, "kinds": kinds}, seed)
    assert effects["scale"]["low"] < -0.2 < effects["scale"]["high"] < 0
    assert effects["kinds"]["low"] < 0 < effects["kinds"]["high"] and abs(effects["kinds"]["mean"]) < 0.02
    assert effects["scale"]["mean"] == pytest.approx(-0.2, abs=0.02)


def test_effect_interval_coverage() -> None:
    generator, hits = np.random.default_rng(1), 0
    for _ in range(300):
        x = generator.normal(size=12)
        effects = estimate_effects(0.5 * x + generator.normal(size=12), {"x": x}, np.repeat([0, 1], 6))["x"]
        hits += effects["low"] < 0.5 < effects["high"]
    assert 0.91 < hits / 300 < 0.98


def test_constant_factor_is_nan() -> None:
    effects = estimate_effects(np.array([1.0, 2.0, 3.0]), {"a": np.ones(3), "b": np.arange(3.0)}, np.zeros(3))
    assert np.isnan(effects["a"]["mean"]) and effects["b"]["mean"] == pytest.approx(1)
    assert np.isnan(estimate_effects(np.ones(1), {"a": np.ones(1)}, np.zeros(1))["a"]["low"])


def test_blend_is_compared_with_the_mean_and_the_best_part() -> None:
    levels = {"kin": 1.0, "far": 3.0, "farther": 5.0}
    generator = np.random.default_rng(2)
    sets = [{"kin"}, {"far"}, {"farther"}, {"kin", "far"}, {"kin", "far", "farther"}]
    sets = [frozenset(one) for _ in range(6) for one in sets]
    repeat = [(seed, 100) for seed in range(6) for _ in range(5)]
    noise = generator.normal(size=30) * 0.05
    gain = 0.4 * np.array([len(one) > 1 for one in sets])
    error = np.array([np.mean([levels[name] for name in one]) for one in sets]) - gain
    effects = estimate_blend_effects(error + noise, sets, repeat)
    assert effects["all"]["low"] < -0.4 < effects["all"]["high"] < 0
    assert effects["best"]["mean"] == pytest.approx((2.0 + 3.0) / 2 - 1.0 - 0.4, abs=0.1), "less that of kin alone"
    assert 0 < effects["best"]["mean"] - effects["best"]["low"] < 0.1
    lone = estimate_blend_effects(error[:5], sets[:5], repeat[:5])
    assert np.isnan(lone["all"]["low"]) and np.isnan(lone["best"]["mean"])
    assert np.isnan(estimate_blend_effects(error[3:5], sets[3:5], repeat[3:5])["all"]["mean"]), (
        "no single part to compare with"
    )


def test_related_table_is_separated_from_variety() -> None:
    names = ("kin", "far", "farther")
    sets = [frozenset(name for bit, name in enumerate(names) if number >> bit & 1) for number in range(1, 8)] * 3
    seed = np.repeat([0, 1, 2], 7)
    error = np.array([0.9 if "kin" in one else 1.0 for one in sets]) + np.random.default_rng(3).normal(size=21) * 0.01
    variety = estimate_effects(error, {"tables": np.array([float(len(one)) for one in sets])}, seed)["tables"]
    assert variety["high"] < 0, "more tables hold the kin one more often"
    effects = estimate_effects(error, {name: np.array([float(name in one) for one in sets]) for name in names}, seed)
    assert effects["kin"]["low"] < -0.1 < effects["kin"]["high"]
    assert all(effects[name]["low"] < 0 < effects[name]["high"] for name in ("far", "farther"))


def test_blend_interval_coverage() -> None:
    sets = [frozenset(one) for _ in range(5) for one in ({"a"}, {"b"}, {"a", "b"})]
    repeat, generator = [(seed, 1) for seed in range(5) for _ in range(3)], np.random.default_rng(4)
    hits = sum(
        one["low"] < 0 < one["high"]
        for _ in range(300)
        for one in [estimate_blend_effects(generator.normal(size=15), sets, repeat)["all"]]
    )
    assert 0.91 < hits / 300 < 0.98
