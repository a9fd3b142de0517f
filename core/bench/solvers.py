"""How the solvers do: on all weights of `molsway-mini` beside the dual, which leaves rounding only, and on its head."""

import time
from typing import Any

from scipy.stats import spearmanr

from core.bench.timing import print_dot
from core.engine.report import Report

TRAIN, TARGET, POOL, BATCH = 256, 64, 128, 32
DEPTH = 60  # of LiSSA: a mini-batch a step
LISSA_STEPS = 200  # of LiSSA on the small network
HEAD = 3400  # training molecules of the head
STEPS = 60  # of training


def run() -> dict[str, Any]:
    """Of each solver: residual, steps, seconds over the dual's, Spearman's correlation of a pool's scores with its own.

    Drug molecules that come with the installation, their logP to learn; damping: the mean of the eigenvalues that are
    not zero.
    """
    from core.bench.trained_predictor import loss_rates, train_predictor
    from core.influence.curvature import Curvature
    from core.influence.directional import DirectionalDerivative
    from core.influence.solvers import CG, Dual, GradientSimilarity, LiSSA
    from core.influence.view import target_gradient
    from core.models.backbones import Pretrained

    case = train_predictor(Pretrained("molsway-mini"), TRAIN, TARGET, POOL, BATCH, STEPS)
    seen, gradient = case.view, target_gradient(case.view, case.target)
    curvature = Curvature(seen, case.train)
    curvature.damping = curvature.trace() / TRAIN
    solvers = {
        "dual": Dual(),
        "cg to 1e-2": CG(),
        f"cg to 1e-2, {TRAIN // 4} cells first": CG(preconditioner=TRAIN // 4),
        "lissa": LiSSA(depth=DEPTH, repeats=1),
        "gradient-similarity": GradientSimilarity(),
    }
    scores, found = {}, {}
    for name, solver in solvers.items():
        solution = solver(curvature, gradient, Report())
        scores[name] = loss_rates(seen, DirectionalDerivative(seen, solution.answer, 0.0, "forward-mode"), case.pool)
        found[name] = {
            "residual": float(f"{solution.residual:.2g}"),
            "steps": solution.steps,
            "times the dual's seconds": solution.seconds,
            "spearman with the dual": round(float(spearmanr(scores[name], scores["dual"]).statistic), 4),
        }
        print_dot()
    unit = found["dual"]["times the dual's seconds"]
    for one in found.values():
        one["times the dual's seconds"] = round(one["times the dual's seconds"] / unit, 2)
    return {
        "training molecules": TRAIN,
        "weights": seen.d,
        **found,
        "head, after the feature pass": _head(case),
        "small network": _small(),
    }


def _small() -> dict[str, Any]:
    """Beside the dense answer; of five seeds of mini-batches LiSSA's worst."""
    from core.bench.small_network import make_small_network
    from core.influence.solvers import CG, Dual, Exact, GradientSimilarity, LiSSA

    case = make_small_network(0)
    curvature, gradient = case.curvature, case.gradient
    dense = Exact(most=case.view.d)(curvature, gradient, Report())
    scores = case.first_order_effects(dense.answer)
    solvers = {"dual": Dual(), "cg to 1e-2": CG(), "gradient-similarity": GradientSimilarity()}
    solvers["cg to 1e-2, 100 cells first"] = CG(preconditioner=100)
    solvers |= {f"lissa, seed {seed}": LiSSA(depth=LISSA_STEPS, seed=seed) for seed in range(5)}
    found: dict[str, Any] = {"weights": case.view.d}
    for name, solver in solvers.items():
        solution = solver(curvature, gradient, Report())
        order = float(spearmanr(case.first_order_effects(solution.answer), scores).statistic)
        found[name] = {
            "residual": float(f"{solution.residual:.2g}"),
            "steps": solution.steps,
            "times the dense solver's seconds": round(solution.seconds / dense.seconds, 2),
            "spearman with the dense answer": round(order, 4),
        }
        print_dot()
    return found


def _head(case: Any) -> dict[str, Any]:
    """The head alone, of as many molecules as a table has: features of the pool's with noise, labels with them."""
    import torch

    from core.influence.curvature import Curvature
    from core.influence.solvers import Dual
    from core.influence.view import parameter_view, target_gradient

    seen, generator = parameter_view(case.predictor, "head"), torch.Generator().manual_seed(0)
    with torch.no_grad():
        known = [(case.predictor.embed(inputs), targets) for inputs, targets in case.pool]
    features, targets = (torch.cat([part[k] for part in known]) for k in (0, 1))
    rows = torch.randint(len(features), (HEAD,), generator=generator)
    noise = torch.randn(HEAD, features.shape[1], generator=generator).to(features)
    given = features[rows] + 0.3 * features.std(0) * noise
    batches = list(zip(given.split(256), targets[rows].split(256), strict=True))
    gradient = target_gradient(seen, [(features, targets)])
    curvature = Curvature(seen, batches)
    curvature.damping = curvature.trace(passes=8) / HEAD
    began = time.process_time()
    solution = Dual()(curvature, gradient, Report())
    seconds = time.process_time() - began
    return {
        "molecules": HEAD,
        "weights": seen.d,
        "CPU seconds": round(seconds, 2),
        "residual": float(f"{solution.residual:.2g}"),
    }
