"""The benchmark `additivity` at a small size."""

import pytest

from core.bench import additivity, small_network


def test_every_score_is_compared_with_retraining(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TRAIN": 80, "TARGET": 40, "POOL": 24, "STEPS": 30, "HIDDEN": 4}.items():
        monkeypatch.setattr(small_network, name, value)
    for name, value in {"SUBSETS": 40, "SEEDS": 2}.items():
        monkeypatch.setattr(additivity, name, value)
    scores = additivity.run()
    assert {"sum of true single additions", "gradient similarity", "lissa", "cg", "dual", "exact"} <= set(scores)
    assert {"full updates summed", "joint full update", "first order, matched damping"} <= set(scores)
    for score in scores.values():
        assert len(score["intervals"]) == 2 and all(-1 <= low <= high <= 1 for low, high in score["intervals"])
    assert scores["dual"]["mean"] == pytest.approx(scores["exact"]["mean"], abs=0.02)
    assert scores["cg"]["mean"] == pytest.approx(scores["exact"]["mean"], abs=0.1)
    assert scores["sum of true single additions"]["mean"] > 0.3
