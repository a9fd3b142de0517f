"""How well scores predict retraining: a small network on descriptors of solubilities, retrained hundreds of times."""

from typing import Any

import numpy as np

from core.bench.timing import print_dot
from core.engine.report import SILENT_REPORT

SUBSETS, SEEDS = 200, 3


def run() -> dict[str, Any]:
    """Linear datamodelling scores of every solver, of gradient similarity and of full updates, with 95 % intervals.

    Retrains from the same initial weights with 200 random halves of a pool with 30 % label noise. The upper bound is
    the sum of the effects of adding each molecule alone. Mean over three seeds of split, noise, weights and halves.
    """
    scores: dict[str, list[dict[str, float]]] = {}
    for seed in range(SEEDS):
        for name, value in _run_seed(seed).items():
            scores.setdefault(name, []).append(value)
        print_dot()
    return {
        name: {
            "mean": round(float(np.mean([score["spearman"] for score in each])), 3),
            "intervals": [[round(score[end], 2) for end in ("low", "high")] for score in each],
        }
        for name, each in scores.items()
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
    additions = np.concatenate([np.zeros((1, POOL), bool), members, np.eye(POOL, dtype=bool)])
    weights = torch.ones(len(additions), TRAIN + POOL)
    weights[:, TRAIN:] = torch.tensor(additions, dtype=torch.float32)
    training_rows = np.concatenate([train, pool])
    outputs = retrain_many(case.initial, x[training_rows], y[training_rows], weights, STEPS, RATE)
    losses = ((outputs(x[target]) - y[target]) ** 2).mean(1).double().numpy()
    measured, single = losses[1 : 1 + SUBSETS] - losses[0], losses[1 + SUBSETS :] - losses[0]
    predictions = {"sum of true single additions": members @ single}
    curvature = case.curvature
    curvature.further_batches = [(x[np.concatenate([target, pool])], torch.ones(TARGET + POOL, 1))]
    with torch.no_grad():
        set_outputs = {
            name: OutputsAndLabels(network(x[rows]).double().numpy(), y[rows, None].double().numpy())
            for name, rows in (("target", target), ("pool", pool))
        }
    solvers = {
        "gradient similarity": GradientSimilarity(),
        "lissa": LiSSA(depth=200),
        "cg": CG(),
        "dual": Dual(),
        "exact": Exact(most=case.view.d),
    }
    for name, solver in solvers.items():
        solution = solver(curvature, case.gradient, SILENT_REPORT)
        predictions[name] = members @ case.first_order_effects(solution.answer)
        if solution.spectrum is not None:
            target_error = float(((network(x[target]).detach()[:, 0] - y[target]) ** 2).mean())
            residuals = (network(x[train])[:, 0] - y[train]).double().detach()
            matched = solution.spectrum.match_damping(
                lambda h, r=residuals: float((r / (1 - h)).square().mean()), target_error
            )
            for ending, damping in {"": curvature.damping, ", matched damping": matched}.items():
                kernel = solution.spectrum.cross_kernel(damping).numpy()
                linearized = LinearizedModel(
                    kernel, set_outputs["target"], set_outputs["pool"], np.array([False]), TRAIN
                )
                if ending:
                    predictions[f"first order{ending}"] = members @ linearized.first_order_effects().sum(1)
                predictions[f"full updates summed{ending}"] = members @ linearized.change()
                predictions[f"joint full update{ending}"] = np.array(
                    [_joint_change(linearized, row) for row in members]
                )
    return {name: datamodelling_score(values, measured, seed) for name, values in predictions.items()}


def _joint_change(linearized: Any, members: np.ndarray) -> float:
    """Change of the target loss by one update with all members of a subset."""
    import copy

    model = copy.copy(linearized)
    before = model.error()
    model.add_rows(np.flatnonzero(members))
    return model.error() - before
