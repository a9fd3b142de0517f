"""The benchmark `training`: every loop is timed and compared with ours."""

import pytest

from core.bench import training

pytest.importorskip("accelerate", reason="transformers' Trainer needs it")


def test_training_is_compared_with_the_trainer_and_forward_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "MOLECULES", 24)
    monkeypatch.setattr(training, "BATCH", 8)
    monkeypatch.setattr(training, "REPEATS", 1)
    figures = training.compare_with_trainer("molsway-tiny")
    assert figures.pop("arithmetic") in ("float32", "bfloat16")
    assert len(figures) == 5 and all(value > 0 for value in figures.values())
