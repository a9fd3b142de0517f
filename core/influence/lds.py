"""Whether scores foretell what training again does: the linear datamodelling score, and many small trainings at once.

A score is put to the test on random halves of a pool: train again with each half, and ask whether the halves from which
scores promise a lower target loss have one (Park et al. 2023, arXiv 2303.14186).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from core.stats.metrics import spearman

if TYPE_CHECKING:
    from torch import Tensor, nn

BOOTSTRAP_DRAWS = 1000  # of the bootstrap


def random_subsets(size: int, count: int, share: float = 0.5, seed: int = 0) -> np.ndarray:
    """(count, size) members of random subsets that hold this share of a pool each."""
    generator = np.random.default_rng([seed, 6])
    members = np.zeros((count, size), bool)
    for row in members:
        row[generator.permutation(size)[: max(1, round(share * size))]] = True
    return members


def datamodelling_score(predicted: np.ndarray, measured: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Spearman's correlation of predicted with measured target losses (K,) of the subsets, its 95 % bootstrap interval.

    An additive score predicts the sum over a subset's members.
    """
    generator = np.random.default_rng([seed, 7])
    drawn = generator.integers(len(measured), size=(BOOTSTRAP_DRAWS, len(measured)))
    values = np.array([spearman(predicted[rows], measured[rows]) or 0.0 for rows in drawn])
    low, high = np.quantile(values, [0.025, 0.975])
    return {"spearman": float(spearman(predicted, measured) or 0.0), "low": float(low), "high": float(high)}


def retrain_many(
    module: "nn.Module",
    inputs: "Tensor",
    targets: "Tensor",
    weights: "Tensor",
    steps: int,
    learning_rate: float,
    told: Callable[[int], None] = lambda step: None,
) -> "Callable[[Tensor], Tensor]":
    """Many trainings of a small network at once, from the same start, each with weights of its own for the molecules.

    `inputs` (n, p), `targets` (n,), `weights` (K, n): mean squared error Σ wᵢ rᵢ² / Σ wᵢ, Adam over all molecules at
    once. Gives a function from inputs (m, p) to outputs (K, m).
    """
    import torch
    from torch.func import functional_call, grad, vmap

    K = len(weights)
    params = {name: value.detach().expand(K, *value.shape).clone() for name, value in module.named_parameters()}

    def loss(own: dict, weight: "Tensor") -> "Tensor":
        outputs = functional_call(module, own, (inputs,))[:, 0]
        return (weight * (outputs - targets) ** 2).sum() / weight.sum()

    slopes = vmap(grad(loss))
    optimiser = torch.optim.Adam(params.values(), lr=learning_rate)
    for step in range(steps):
        for name, found in slopes(params, weights).items():
            params[name].grad = found
        optimiser.step()
        told(step)
    outputs = vmap(lambda own, given: functional_call(module, own, (given,))[:, 0], in_dims=(0, None))
    return torch.no_grad()(lambda given: outputs(params, given))
