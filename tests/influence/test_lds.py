"""Trainings at once against single ones; the linear datamodelling score on simulated losses."""

import numpy as np
import pytest
import torch

from core.influence.lds import datamodelling_score, random_subsets, retrain_many


def test_subsets_are_random_and_of_the_right_size() -> None:
    members = random_subsets(11, 200)
    assert members.shape == (200, 11) and (members.sum(1) == 6).all()
    assert np.abs(members.mean(0) - 6 / 11).max() < 0.12 and len(np.unique(members, axis=0)) > 100
    assert (random_subsets(11, 200) == members).all() and (random_subsets(11, 200, seed=1) != members).any()
    assert (random_subsets(10, 3, share=0.2).sum(1) == 2).all()


def test_the_score_is_one_for_perfect_predictions_and_zero_for_noise() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(size=150)
    same = datamodelling_score(truth**3, truth)
    assert same["spearman"] == pytest.approx(1) and same["low"] > 0.99
    none = datamodelling_score(generator.normal(size=150), truth)
    assert none["low"] < 0 < none["high"] and abs(none["spearman"]) < 0.3
    assert "undefined" not in none
    constant = datamodelling_score(np.zeros(150), truth)
    assert constant["spearman"] == 0 and constant["undefined"] == {
        "spearman": "all 150 predicted losses are equal; counted as 0"
    }
    half = datamodelling_score(truth + generator.normal(size=150), truth)
    assert half["low"] < half["spearman"] < half["high"] and 0.4 < half["spearman"] < 0.9


def test_trainings_at_once_match_single_trainings() -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)).double()
    x, y = torch.randn(20, 4).double(), torch.randn(20).double()
    weights = torch.ones(3, 20).double()
    weights[1, 5:9], weights[2, 15:] = 0, 0
    start = {name: value.detach().clone() for name, value in module.named_parameters()}
    outputs = retrain_many(module, x, y, weights, 30, 1e-2)(x)
    assert outputs.shape == (3, 20)
    assert all(torch.equal(start[name], value) for name, value in module.named_parameters()), "the module is unchanged"
    for row in range(3):
        module.load_state_dict(start)
        optimiser, selected = torch.optim.Adam(module.parameters(), lr=1e-2), weights[row] > 0
        for _ in range(30):
            optimiser.zero_grad()
            ((module(x[selected])[:, 0] - y[selected]) ** 2).mean().backward()
            optimiser.step()
        assert torch.allclose(outputs[row], module(x)[:, 0], atol=1e-9)
