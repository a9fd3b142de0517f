"""How the solvers do: on all weights of `molsway-mini` beside the dual, which leaves rounding only, and on its head."""

import time
from typing import Any

from scipy.stats import spearmanr

from core.bench.speed import dot
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
    from core.bench.trained import rates, trained
    from core.influence.curvature import Curvature
    from core.influence.directional import Slopes
    from core.influence.solvers import CG, Dual, Identity, LiSSA
    from core.influence.view import target_gradient
    from core.models.backbones import Pretrained

    case = trained(Pretrained("molsway-mini"), TRAIN, TARGET, POOL, BATCH, STEPS)
    seen, gradient = case.seen, target_gradient(case.seen, case.target)
    curvature = Curvature(seen, case.train)
    curvature.damping = curvature.trace() / TRAIN
    solvers = {
        "dual": Dual(),
        "cg to 1e-2": CG(),
        f"cg to 1e-2, {TRAIN // 4} cells first": CG(preconditioner=TRAIN // 4),
        "lissa": LiSSA(depth=DEPTH, repeats=1),
        "identity": Identity(),
    }
    scores, found = {}, {}
    for name, solver in solvers.items():
        solution = solver(curvature, gradient, Report())
        scores[name] = rates(seen, Slopes(seen, solution.answer, 0.0, "forward-mode"), case.pool)
        found[name] = {
            "residual": float(f"{solution.residual:.2g}"),
            "steps": solution.steps,
            "times the dual's seconds": solution.seconds,
            "spearman with the dual": round(float(spearmanr(scores[name], scores["dual"]).statistic), 4),
        }
        dot()
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
    from core.bench.small import small
    from core.influence.solvers import CG, Dual, Exact, Identity, LiSSA

    case = small(0)
    curvature, gradient = case.curvature, case.gradient
    dense = Exact(most=case.seen.d)(curvature, gradient, Report())
    scores = case.first_order(dense.answer)
    solvers = {"dual": Dual(), "cg to 1e-2": CG(), "identity": Identity()}
    solvers["cg to 1e-2, 100 cells first"] = CG(preconditioner=100)
    solvers |= {f"lissa, seed {seed}": LiSSA(depth=LISSA_STEPS, seed=seed) for seed in range(5)}
    found: dict[str, Any] = {"weights": case.seen.d}
    for name, solver in solvers.items():
        solution = solver(curvature, gradient, Report())
        order = float(spearmanr(case.first_order(solution.answer), scores).statistic)
        found[name] = {
            "residual": float(f"{solution.residual:.2g}"),
            "steps": solution.steps,
            "times the dense solver's seconds": round(solution.seconds / dense.seconds, 2),
            "spearman with the dense answer": round(order, 4),
        }
        dot()
    return found


def _head(case: Any) -> dict[str, Any]:
    """The head alone, of as many molecules as a table has: features of the pool's with noise, labels with them."""
    import torch

    from core.influence.curvature import Curvature
    from core.influence.solvers import Dual
    from core.influence.view import target_gradient, view

    seen, generator = view(case.predictor, "head"), torch.Generator().manual_seed(0)
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
