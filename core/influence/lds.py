"""Linear datamodelling score (LDS): how well scores predict retraining; and many small trainings at once.

The model is retrained with random halves of a pool. The LDS is the rank correlation of the measured target losses with
those predicted by the scores (Park et al. 2023, arXiv 2303.14186).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from core.stats.metrics import spearman
from core.stats.undefined import NAME, describe_correlation

if TYPE_CHECKING:
    from torch import Tensor, nn

BOOTSTRAP_DRAWS = 1000


def random_subsets(size: int, count: int, share: float = 0.5, seed: int = 0) -> np.ndarray:
    """Masks (count, size) of random subsets, each with this share of a pool of `size` molecules."""
    generator = np.random.default_rng([seed, 6])
    masks = np.zeros((count, size), bool)
    for row in masks:
        row[generator.permutation(size)[: max(1, round(share * size))]] = True
    return masks


def datamodelling_score(predicted: np.ndarray, measured: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Spearman's correlation of predicted with measured target losses (K,) of K subsets, and its 95 % interval.

    The interval is a bootstrap over subsets. An additive score predicts the sum over the members of a subset. Equal
    losses predict nothing: they count as 0, with the reason in `undefined`.
    """
    generator = np.random.default_rng([seed, 7])
    samples = generator.integers(len(measured), size=(BOOTSTRAP_DRAWS, len(measured)))
    values = np.array([spearman(predicted[rows], measured[rows]) or 0.0 for rows in samples])
    low, high = np.quantile(values, [0.025, 0.975])
    score = {"spearman": float(spearman(predicted, measured) or 0.0), "low": float(low), "high": float(high)}
    reason = describe_correlation(predicted, measured, ("predicted losses", "measured losses"))
    return score | ({NAME: {"spearman": f"{reason}; counted as 0"}} if reason else {})


def retrain_many(
    module: "nn.Module",
    inputs: "Tensor",
    targets: "Tensor",
    weights: "Tensor",
    steps: int,
    learning_rate: float,
    on_step: Callable[[int], None] = lambda step: None,
) -> "Callable[[Tensor], Tensor]":
    """Train K copies of a small network at once, from the same start, each with its own weights of the molecules.

    `inputs` (n, p), `targets` (n,), `weights` (K, n): mean squared error Σ wᵢ rᵢ² / Σ wᵢ, full-batch
    Adam; `on_step(step)` is called after each. Returns a function from inputs (m, p) to outputs (K, m).
    """
    import torch
    from torch.func import functional_call, grad, vmap

    K = len(weights)
    params = {name: value.detach().expand(K, *value.shape).clone() for name, value in module.named_parameters()}

    def loss(params: dict, weight: "Tensor") -> "Tensor":
        outputs = functional_call(module, params, (inputs,))[:, 0]
        return (weight * (outputs - targets) ** 2).sum() / weight.sum()

    gradients = vmap(grad(loss))
    optimiser = torch.optim.Adam(params.values(), lr=learning_rate)
    for step in range(steps):
        for name, gradient in gradients(params, weights).items():
            params[name].grad = gradient
        optimiser.step()
        on_step(step)
    outputs = vmap(lambda weights, x: functional_call(module, weights, (x,))[:, 0], in_dims=(0, None))
    return torch.no_grad()(lambda x: outputs(params, x))
