"""Solvers on all weights of `molsway-mini` against the dual, which is exact up to rounding, and on its head."""

import time
from typing import Any

from scipy.stats import spearmanr

from core.bench.timing import print_dot
from core.engine.report import Report

TRAIN, TARGET, POOL, BATCH = 256, 64, 128, 32
DEPTH = 60  # steps of LiSSA, a mini-batch each
LISSA_STEPS = 200  # steps of LiSSA on the small network
HEAD = 3400  # training molecules for the head
STEPS = 60  # optimiser steps of the training


def run() -> dict[str, Any]:
    """For each solver: residual, steps, and time and pool scores against those of the dual (Spearman's correlation).

    Bundled drug molecules with their computed logP as label. Damping: the mean of the nonzero eigenvalues.
    """
    from core.bench.trained_predictor import loss_rates, train_predictor
    from core.influence.curvature import Curvature
    from core.influence.directional import DirectionalDerivative
    from core.influence.solvers import CG, Dual, GradientSimilarity, LiSSA
    from core.influence.view import target_gradient
    from core.models.backbones import Pretrained

    case = train_predictor(Pretrained("molsway-mini"), TRAIN, TARGET, POOL, BATCH, STEPS)
    view, gradient = case.view, target_gradient(case.view, case.target)
    curvature = Curvature(view, case.train)
    curvature.damping = curvature.trace() / TRAIN
    solvers = {
        "dual": Dual(),
        "cg to 1e-2": CG(),
        f"cg to 1e-2, {TRAIN // 4} cells first": CG(preconditioner=TRAIN // 4),
        "lissa": LiSSA(depth=DEPTH, repeats=1),
        "gradient-similarity": GradientSimilarity(),
    }
    scores, results = {}, {}
    for name, solver in solvers.items():
        solution = solver(curvature, gradient, Report())
        scores[name] = loss_rates(view, DirectionalDerivative(view, solution.answer, 0.0, "forward-mode"), case.pool)
        results[name] = {
            "residual": float(f"{solution.residual:.2g}"),
            "steps": solution.steps,
            "times the dual's seconds": solution.seconds,
            "spearman with the dual": round(float(spearmanr(scores[name], scores["dual"]).statistic), 4),
        }
        print_dot()
    unit = results["dual"]["times the dual's seconds"]
    for result in results.values():
        result["times the dual's seconds"] = round(result["times the dual's seconds"] / unit, 2)
    return {
        "training molecules": TRAIN,
        "weights": view.d,
        **results,
        "head, after the feature pass": _head(case),
        "small network": _small(),
    }


def _small() -> dict[str, Any]:
    """Solvers on the small network against a dense solve; LiSSA with five seeds."""
    from core.bench.small_network import make_small_network
    from core.influence.solvers import CG, Dual, Exact, GradientSimilarity, LiSSA

    case = make_small_network(0)
    curvature, gradient = case.curvature, case.gradient
    dense = Exact(most=case.view.d)(curvature, gradient, Report())
    scores = case.first_order_effects(dense.answer)
    solvers = {"dual": Dual(), "cg to 1e-2": CG(), "gradient-similarity": GradientSimilarity()}
    solvers["cg to 1e-2, 100 cells first"] = CG(preconditioner=100)
    solvers |= {f"lissa, seed {seed}": LiSSA(depth=LISSA_STEPS, seed=seed) for seed in range(5)}
    results: dict[str, Any] = {"weights": case.view.d}
    for name, solver in solvers.items():
        solution = solver(curvature, gradient, Report())
        correlation = float(spearmanr(case.first_order_effects(solution.answer), scores).statistic)
        results[name] = {
            "residual": float(f"{solution.residual:.2g}"),
            "steps": solution.steps,
            "times the dense solver's seconds": round(solution.seconds / dense.seconds, 2),
            "spearman with the dense answer": round(correlation, 4),
        }
        print_dot()
    return results


def _head(case: Any) -> dict[str, Any]:
    """The dual on the head only, with `HEAD` molecules: noisy copies of the pool's embeddings, with their labels."""
    import torch

    from core.influence.curvature import Curvature
    from core.influence.solvers import Dual
    from core.influence.view import parameter_view, target_gradient

    view, generator = parameter_view(case.predictor, "head"), torch.Generator().manual_seed(0)
    with torch.no_grad():
        embedded = [(case.predictor.embed(inputs), targets) for inputs, targets in case.pool]
    features, targets = (torch.cat([part[k] for part in embedded]) for k in (0, 1))
    rows = torch.randint(len(features), (HEAD,), generator=generator)
    noise = torch.randn(HEAD, features.shape[1], generator=generator).to(features)
    noisy = features[rows] + 0.3 * features.std(0) * noise
    batches = list(zip(noisy.split(256), targets[rows].split(256), strict=True))
    gradient = target_gradient(view, [(features, targets)])
    curvature = Curvature(view, batches)
    curvature.damping = curvature.trace(passes=8) / HEAD
    began = time.process_time()
    solution = Dual()(curvature, gradient, Report())
    seconds = time.process_time() - began
    return {
        "molecules": HEAD,
        "weights": view.d,
        "CPU seconds": round(seconds, 2),
        "residual": float(f"{solution.residual:.2g}"),
    }
