"""Which scores foretell retraining: a small network on descriptors of solubilities, retrained hundreds of times."""

from typing import Any

import numpy as np

from core.bench.timing import print_dot
from core.engine.report import SILENT_REPORT

SUBSETS, SEEDS = 200, 3


def run() -> dict[str, Any]:
    """Linear datamodelling scores with 95 % intervals of every solver, of plain similarity and of whole steps.

    200 random halves of a pool in which three labels of ten are another molecule's, retrained from the same start; the
    ceiling is the sum of what each molecule does when really added alone. Over three draws of everything.
    """
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(SEEDS):
        for name, value in _run_seed(seed).items():
            found.setdefault(name, []).append(value)
        print_dot()
    return {
        name: {
            "mean": round(float(np.mean([one["spearman"] for one in each])), 3),
            "intervals": [[round(one[end], 2) for end in ("low", "high")] for one in each],
        }
        for name, each in found.items()
    }


def _run_seed(seed: int) -> dict[str, dict[str, float]]:
    import torch

    from core.bench.small_network import POOL, RATE, STEPS, TARGET, TRAIN, make_small_network
    from core.influence.lds import datamodelling_score, random_subsets, retrain_many
    from core.influence.linearized import LinearizedModel, OutputsAndLabels
    from core.influence.solvers import CG, Dual, Exact, GradientSimilarity, LiSSA

    case = make_small_network(seed)
    network, x, y, train, target, pool = case.network, case.x, case.y, case.train, case.target, case.pool
    members = random_subsets(POOL, SUBSETS, seed=seed)
    taken = np.concatenate([np.zeros((1, POOL), bool), members, np.eye(POOL, dtype=bool)])
    weights = torch.ones(len(taken), TRAIN + POOL)
    weights[:, TRAIN:] = torch.tensor(taken, dtype=torch.float32)
    learned = np.concatenate([train, pool])
    outputs = retrain_many(case.initial, x[learned], y[learned], weights, STEPS, RATE)
    losses = ((outputs(x[target]) - y[target]) ** 2).mean(1).double().numpy()
    measured, single = losses[1 : 1 + SUBSETS] - losses[0], losses[1 + SUBSETS :] - losses[0]
    found = {"ceiling: sum of true additions": members @ single}
    curvature = case.curvature
    curvature.further_batches = [(x[np.concatenate([target, pool])], torch.ones(TARGET + POOL, 1))]
    with torch.no_grad():
        part = {
            name: OutputsAndLabels(network(x[rows]).double().numpy(), y[rows, None].double().numpy())
            for name, rows in (("target", target), ("pool", pool))
        }
    solvers = {
        "plain similarity": GradientSimilarity(),
        "lissa": LiSSA(depth=200),
        "cg": CG(),
        "dual": Dual(),
        "exact": Exact(most=case.view.d),
    }
    for name, solver in solvers.items():
        solution = solver(curvature, case.gradient, SILENT_REPORT)
        found[name] = members @ case.first_order_effects(solution.answer)
        if solution.spectrum is not None:
            goal = float(((network(x[target]).detach()[:, 0] - y[target]) ** 2).mean())
            own = (network(x[train])[:, 0] - y[train]).double().detach()
            matched = solution.spectrum.match_damping(lambda h, own=own: float((own / (1 - h)).square().mean()), goal)
            for ending, damping in {"": curvature.damping, ", matched damping": matched}.items():
                pairs = solution.spectrum.cross_kernel(damping).numpy()
                tangent = LinearizedModel(pairs, part["target"], part["pool"], np.array([False]), TRAIN)
                if ending:
                    found[f"first order{ending}"] = members @ tangent.first_order_effects().sum(1)
                found[f"whole steps{ending}"] = members @ tangent.change()
                found[f"whole steps, taken together{ending}"] = np.array(
                    [_joint_change(tangent, row) for row in members]
                )
    return {name: datamodelling_score(values, measured, seed) for name, values in found.items()}


def _joint_change(tangent: Any, members: np.ndarray) -> float:
    """What all members of a subset do in one step."""
    import copy

    model = copy.copy(tangent)
    before = model.error()
    model.take(np.flatnonzero(members))
    return model.error() - before
