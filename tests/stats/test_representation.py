"""CKA of embeddings, and linear probes."""

import numpy as np
import pytest

from core.stats.representation import linear_cka, probe_representation

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(200, 10)) * np.linspace(3, 0.3, 10)


def test_cka_ignores_rotation_scale_and_offset() -> None:
    turn, _ = np.linalg.qr(GENERATOR.normal(size=(10, 10)))
    assert linear_cka(X, X) == pytest.approx(1) and linear_cka(X, 5 * X @ turn + 3) == pytest.approx(1)
    other = np.concatenate([X, GENERATOR.normal(size=(200, 5))], 1)
    assert linear_cka(X, other) == pytest.approx(linear_cka(other, X)) and 0.5 < linear_cka(X, other) < 1


def test_cka_of_unrelated_embeddings_is_about_zero() -> None:
    similarities = [linear_cka(GENERATOR.normal(size=(30, 200)), GENERATOR.normal(size=(30, 150))) for _ in range(40)]
    assert abs(np.mean(similarities)) < 3 * np.std(similarities) / 40**0.5 + 0.01, (
        "the biased estimate would be about 0.8"
    )
    assert np.isnan(linear_cka(np.ones((30, 3)), X[:30])) and np.isnan(linear_cka(X[:3], X[:3]))


def test_probe_finds_only_what_is_encoded() -> None:
    wide = np.concatenate([X, GENERATOR.normal(size=(200, 300))], 1)
    labels = X[:, 0] - 2 * X[:, 9] + GENERATOR.normal(size=200) * 0.1
    clean = probe_representation(X, labels, "regression")
    assert (
        clean["mean"] > 0.99
        and clean["sd"] < 0.01
        and probe_representation(X + 0.0 * labels[:, None], labels, "regression") == clean
    )
    assert 0.5 < probe_representation(wide, labels, "regression")["mean"] < clean["mean"], (
        "the strength is chosen, not overfitted"
    )
    nothing = probe_representation(X, GENERATOR.normal(size=200), "regression")
    assert nothing["mean"] < 0.1
    flags = (X[:, 0] > 0).astype(float)
    assert probe_representation(X, flags, "binary")["mean"] > 0.97


def test_probe_skips_gaps_and_constants() -> None:
    labels = X[:, 0].copy()
    labels[::3] = np.nan
    assert probe_representation(X, labels, "regression")["mean"] > 0.99
    assert probe_representation(X, np.ones(200), "regression") == {"mean": None, "sd": None}


def test_penalty_has_the_least_leave_one_out_error() -> None:
    from core.stats.representation import RIDGE_PENALTIES, _ridge

    x, y = X[:40], X[:40, 0] + GENERATOR.normal(size=40)
    z = (x - x.mean(0)) / x.std(0)

    def left_out(strength: float) -> float:
        errors = []
        for row in range(40):
            others = np.arange(40) != row
            z_others, labels = z[others], y[others]
            weights = np.linalg.solve(z_others.T @ z_others + strength * np.eye(10), z_others.T @ (labels - y.mean()))
            errors.append((y[row] - y.mean() - z[row] @ weights) ** 2)
        return float(np.mean(errors))

    best = min(RIDGE_PENALTIES, key=left_out)
    weights = np.linalg.solve(z.T @ z + best * np.eye(10), z.T @ (y - y.mean()))
    assert np.corrcoef(_ridge(x, y, x), y.mean() + z @ weights)[0, 1] > 0.9999
