"""Which scores foretell retraining: a small network on descriptors of solubilities, retrained hundreds of times."""

import sys
from typing import Any

import numpy as np

from core.report import SILENT

TRAIN, TARGET, POOL, WRONG = 400, 100, 200, 0.3
WIDTH, HIDDEN, STEPS, RATE = 64, 32, 100, 3e-3
SUBSETS, SEEDS = 200, 3


def run() -> dict[str, Any]:
    """Linear datamodelling scores with 95 % intervals of every solver, of plain similarity and of whole steps.

    200 random halves of a pool in which three labels of ten are another molecule's, retrained from the same start; the
    ceiling is the sum of what each molecule does when really added alone. Over three draws of everything.
    """
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(SEEDS):
        for name, value in _one(seed).items():
            found.setdefault(name, []).append(value)
        print(".", end="", file=sys.stderr, flush=True)
    return {
        name: {
            "mean": round(float(np.mean([one["spearman"] for one in each])), 3),
            "intervals": [[round(one[end], 2) for end in ("low", "high")] for one in each],
        }
        for name, each in found.items()
    }


def _one(seed: int) -> dict[str, dict[str, float]]:
    import torch

    from core.influence import Curvature, View, target_gradient
    from core.solvers import CG, Dual, Exact, Identity, LiSSA
    from core.tangent import Part, Tangent
    from core.verification import datamodelling, halves, retrained

    x, y = _table(seed)
    train, target, pool = np.split(np.arange(TRAIN + TARGET + POOL), [TRAIN, TRAIN + TARGET])
    torch.manual_seed(seed)
    network = torch.nn.Sequential(torch.nn.Linear(WIDTH, HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, 1))
    members = halves(POOL, SUBSETS, seed=seed)
    alone = np.eye(POOL, dtype=bool)
    taken = np.concatenate([np.zeros((1, POOL), bool), members, alone])
    weights = torch.ones(len(taken), TRAIN + POOL)
    weights[:, TRAIN:] = torch.tensor(taken, dtype=torch.float32)
    learned = np.concatenate([train, pool])
    outputs = retrained(network, x[learned], y[learned], weights, STEPS, RATE)
    losses = ((outputs(x[target]) - y[target]) ** 2).mean(1).double().numpy()
    measured, single = losses[1 : 1 + SUBSETS] - losses[0], losses[1 + SUBSETS :] - losses[0]
    found = {"ceiling: sum of true additions": members @ single}
    for name, value in _base(network, x, y, train).items():
        network.get_parameter(name).data.copy_(value)
    params = {name: value.detach() for name, value in network.named_parameters()}
    seen = View(
        params,
        inputs=lambda batch: batch,
        predict=lambda given, batch: torch.func.functional_call(network, given, (batch,)),
        features=network[:-1],
        last=network[-1],
        binary=torch.tensor([False]),
        owner=network,
    )
    batches = [(x[part], y[part, None]) for part in np.array_split(train, 8)]
    gradient = target_gradient(seen, [(x[target], y[target, None])])
    curvature = Curvature(seen, batches)
    curvature.damping = curvature.trace() / TRAIN
    ones = torch.ones(TARGET + POOL, 1)
    curvature.beside = [(x[np.concatenate([target, pool])], ones)]
    with torch.no_grad():
        residual = (network(x[pool]) - y[pool, None])[:, 0].double().numpy()
        part = {
            name: Part(network(x[rows]).double().numpy(), y[rows, None].double().numpy())
            for name, rows in (("target", target), ("pool", pool))
        }
    solvers = {
        "plain similarity": Identity(),
        "lissa": LiSSA(depth=200),
        "cg": CG(),
        "dual": Dual(),
        "exact": Exact(most=WIDTH * HIDDEN + 2 * HIDDEN + 1),
    }
    for name, solver in solvers.items():
        solution = solver(curvature, gradient, SILENT)
        slopes = (
            torch.func.jvp(lambda given: seen.predict(given, x[pool]), (params,), (_like(solution.answer, params),))[1][
                :, 0
            ]
            .double()
            .numpy()
        )
        found[name] = members @ (-2 * residual * slopes)
        if solution.spectrum is not None:
            goal = float(((network(x[target]).detach()[:, 0] - y[target]) ** 2).mean())
            own = (network(x[train])[:, 0] - y[train]).double().detach()
            matched = solution.spectrum.matched(lambda h, own=own: float((own / (1 - h)).square().mean()), goal)
            for ending, damping in {"": curvature.damping, ", matched damping": matched}.items():
                pairs = solution.spectrum.pairs(damping).numpy()
                tangent = Tangent(pairs, part["target"], part["pool"], np.array([False]), TRAIN)
                if ending:
                    found[f"first order{ending}"] = members @ tangent.first_order().sum(1)
                found[f"whole steps{ending}"] = members @ tangent.change()
                found[f"whole steps, taken together{ending}"] = np.array([_together(tangent, row) for row in members])
    return {name: datamodelling(values, measured, seed) for name, values in found.items()}


def _together(tangent: Any, members: np.ndarray) -> float:
    """What all members of a subset do in one step."""
    import copy

    model = copy.copy(tangent)
    before = model.error()
    model.take(np.flatnonzero(members))
    return model.error() - before


def _like(vector: Any, params: dict[str, Any]) -> dict[str, Any]:
    from core.influence import unflatten

    return unflatten(vector, params)


def _base(network: Any, x: Any, y: Any, train: np.ndarray) -> dict[str, Any]:
    """The weights after training without the pool, in the very same way."""
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
    """Leading components of standardised descriptors (n, 64) and scaled solubilities (n,); pool labels exchanged."""
    import torch

    from core import chem
    from core.experiments import Load
    from core.last_layer import Standard

    table = Load("bundled:solubility").make(SILENT)
    generator = np.random.default_rng([seed, 8])
    rows = generator.permutation(len(table))[: TRAIN + TARGET + POOL]
    raw = chem.descriptors(list(table.smiles[rows])).to_numpy(float)
    raw = np.where(np.isfinite(raw), raw, np.nanmedian(np.where(np.isfinite(raw), raw, np.nan), 0))
    scaled = np.clip(Standard.of(raw[:TRAIN])(raw)[:, :-1], -5, 5)
    _, _, basis = np.linalg.svd(scaled[:TRAIN] - scaled[:TRAIN].mean(0), full_matrices=False)
    x = (scaled - scaled[:TRAIN].mean(0)) @ basis[:WIDTH].T
    x /= x[:TRAIN].std()
    y = table.targets[rows, 0]
    wrong = TRAIN + TARGET + generator.permutation(POOL)[: round(WRONG * POOL)]
    y[wrong] = y[np.roll(wrong, 1)]
    y = (y - y[:TRAIN].mean()) / y[:TRAIN].std()
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
