"""A small network on descriptors of solubilities and a pool with label noise, small enough for exact answers."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from core.engine.report import SILENT_REPORT

if TYPE_CHECKING:
    from torch import Tensor, nn

    from core.influence.curvature import Curvature
    from core.influence.view import ParameterView

TRAIN, TARGET, POOL, WRONG = 400, 100, 200, 0.3
WIDTH, HIDDEN, STEPS, RATE = 64, 32, 100, 3e-3


class SmallNetwork(NamedTuple):
    """The network before (`initial`) and after training, with the linear system of its influence scores.

    `x` (n, 64) and `y` (n,) are of all molecules; `train`, `target` and `pool` are row numbers.
    """

    initial: "nn.Module"
    network: "nn.Module"
    x: "Tensor"
    y: "Tensor"
    train: np.ndarray
    target: np.ndarray
    pool: np.ndarray
    view: "ParameterView"
    curvature: "Curvature"
    gradient: "Tensor"

    def first_order_effects(self, answer: "Tensor") -> np.ndarray:
        """First-order effects on the target loss of upweighting each molecule of the pool (p,)."""
        import torch

        from core.influence.view import unflatten

        direction, inputs = unflatten(answer, self.view.params), self.x[self.pool]
        outputs, derivatives = torch.func.jvp(
            lambda params: self.view.predict(params, inputs), (self.view.params,), (direction,)
        )
        return (-2 * (outputs[:, 0] - self.y[self.pool]) * derivatives[:, 0]).double().numpy()


def make_small_network(seed: int) -> SmallNetwork:
    """Build everything from a seed. Damping: the mean of the nonzero eigenvalues."""
    import copy

    import torch

    from core.influence.curvature import Curvature
    from core.influence.view import ParameterView, target_gradient

    x, y = _table(seed)
    train, target, pool = np.split(np.arange(TRAIN + TARGET + POOL), [TRAIN, TRAIN + TARGET])
    torch.manual_seed(seed)
    initial = torch.nn.Sequential(torch.nn.Linear(WIDTH, HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, 1))
    network = copy.deepcopy(initial)
    for name, value in _train_weights(network, x, y, train).items():
        network.get_parameter(name).data.copy_(value)
    view = ParameterView(
        {name: value.detach() for name, value in network.named_parameters()},
        inputs=lambda batch: batch,
        predict=lambda params, batch: torch.func.functional_call(network, params, (batch,)),
        features=network[:-1],
        last=network[-1],
        binary=torch.tensor([False]),
        owner=network,
    )
    curvature = Curvature(view, [(x[part], y[part, None]) for part in np.array_split(train, 8)])
    curvature.damping = curvature.trace() / TRAIN
    gradient = target_gradient(view, [(x[target], y[target, None])])
    return SmallNetwork(initial, network, x, y, train, target, pool, view, curvature, gradient)


def _train_weights(network: Any, x: Any, y: Any, train: np.ndarray) -> dict[str, Any]:
    """The weights after training without the pool, with the optimiser of the retrainings."""
    import torch
    from torch.func import functional_call

    params = {name: value.detach().clone().requires_grad_() for name, value in network.named_parameters()}
    optimiser = torch.optim.Adam(params.values(), lr=RATE)
    for _ in range(STEPS):
        optimiser.zero_grad()
        ((functional_call(network, params, (x[train],))[:, 0] - y[train]) ** 2).mean().backward()
        optimiser.step()
    return {name: value.detach() for name, value in params.items()}


def _table(seed: int) -> tuple[Any, Any]:
    """Leading components of standardised descriptors (n, 64) and scaled solubilities (n,), noisy in the pool."""
    import torch

    from core.chem import molecules as chem
    from core.experiments import Load
    from core.influence.ridge import Standardizer

    table = Load("bundled:solubility").make(SILENT_REPORT)
    generator = np.random.default_rng([seed, 8])
    rows = generator.permutation(len(table))[: TRAIN + TARGET + POOL]
    raw = chem.descriptors(list(table.smiles[rows])).to_numpy(float)
    raw = np.where(np.isfinite(raw), raw, np.nanmedian(np.where(np.isfinite(raw), raw, np.nan), 0))
    scaled = np.clip(Standardizer.of(raw[:TRAIN])(raw)[:, :-1], -5, 5)
    _, _, basis = np.linalg.svd(scaled[:TRAIN] - scaled[:TRAIN].mean(0), full_matrices=False)
    x = (scaled - scaled[:TRAIN].mean(0)) @ basis[:WIDTH].T
    x /= x[:TRAIN].std()
    y = table.targets[rows, 0]
    wrong = TRAIN + TARGET + generator.permutation(POOL)[: round(WRONG * POOL)]
    y[wrong] = y[np.roll(wrong, 1)]
    y = (y - y[:TRAIN].mean()) / y[:TRAIN].std()
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
