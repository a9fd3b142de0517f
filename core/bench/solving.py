"""How the solvers do on one system: `molsway-mini`, all weights; each beside the dual, which leaves rounding only."""

from typing import Any

from scipy.stats import spearmanr

from core.bench.speed import dot
from core.report import Report

TRAIN, TARGET, POOL, BATCH = 256, 64, 128, 32
DEPTH = 200  # of LiSSA: a mini-batch a step, 25 times through the training molecules
STEPS = 60  # of training


def run() -> dict[str, Any]:
    """Of each solver: residual, steps, seconds over the dual's, Spearman's correlation of a pool's scores with its own.

    Drug molecules that come with the installation, their logP to learn; damping: the mean of the eigenvalues that are
    not zero.
    """
    from core.backbones import Pretrained
    from core.bench.trained import rates, trained
    from core.directional import Slopes
    from core.influence import Curvature, target_gradient
    from core.solvers import CG, Dual, LiSSA

    case = trained(Pretrained("molsway-mini"), TRAIN, TARGET, POOL, BATCH, STEPS)
    seen, gradient = case.seen, target_gradient(case.seen, case.target)
    curvature = Curvature(seen, case.train)
    curvature.damping = curvature.trace() / TRAIN
    solvers = {
        "dual": Dual(),
        "cg to 1e-2": CG(),
        "cg to 1e-3": CG(tolerance=1e-3),
        "lissa": LiSSA(depth=DEPTH, repeats=1),
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
    return {"training molecules": TRAIN, "weights": seen.d, **found}
