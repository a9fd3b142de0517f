"""The benchmark of what foretells retraining, at a small size."""

import pytest

from core.bench import additivity, small_network


def test_every_score_is_put_to_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TRAIN": 80, "TARGET": 40, "POOL": 24, "STEPS": 30, "HIDDEN": 4}.items():
        monkeypatch.setattr(small_network, name, value)
    for name, value in {"SUBSETS": 40, "SEEDS": 2}.items():
        monkeypatch.setattr(additivity, name, value)
    found = additivity.run()
    assert {"ceiling: sum of true additions", "plain similarity", "lissa", "cg", "dual", "exact"} <= set(found)
    assert {"whole steps", "whole steps, taken together", "first order, matched damping"} <= set(found)
    for one in found.values():
        assert len(one["intervals"]) == 2 and all(-1 <= low <= high <= 1 for low, high in one["intervals"])
    assert found["dual"]["mean"] == pytest.approx(found["exact"]["mean"], abs=0.02)
    assert found["cg"]["mean"] == pytest.approx(found["exact"]["mean"], abs=0.1)
    assert found["ceiling: sum of true additions"]["mean"] > 0.3
