"""The benchmark of a training: every way is timed, and told beside ours."""

import pytest

from core.bench import training

pytest.importorskip("accelerate", reason="transformers' Trainer wants it")


def test_a_training_is_timed_beside_the_trainer_and_the_floor(monkeypatch):
    monkeypatch.setattr(training, "MOLECULES", 24)
    monkeypatch.setattr(training, "BATCH", 8)
    monkeypatch.setattr(training, "REPEATS", 1)
    found = training.compare_with_trainer("molsway-tiny")
    assert found.pop("arithmetic") in ("float32", "bfloat16")
    assert len(found) == 5 and all(value > 0 for value in found.values())
