"""How the solvers do on one system: `molsway-mini`, all weights; each beside the dual, which leaves rounding only."""

import sys
from typing import Any

from scipy.stats import spearmanr

from core.report import Report

TRAIN, TARGET, POOL, BATCH = 256, 64, 128, 32
DEPTH = 200  # of LiSSA: a mini-batch a step, 25 times through the training molecules
STEPS, RATE = 60, 1e-4  # of a short training: a curvature is of a model that has learned something


def run() -> dict[str, Any]:
    """Of each solver: residual, steps, seconds over the dual's, Spearman's correlation of a pool's scores with its own.

    Drug molecules that come with the installation, their logP to learn; damping: the mean of the eigenvalues that are
    not zero.
    """
    from core.directional import Slopes
    from core.influence import Curvature, target_gradient, used, view
    from core.solvers import CG, Dual, LiSSA

    predictor, smiles, targets = _learned()
    seen = view(predictor, "all")
    batches = _batches(predictor, seen, smiles, targets, range(TRAIN))
    seen = used(seen, batches[0][0])
    aims = _batches(predictor, seen, smiles, targets, range(TRAIN, TRAIN + TARGET))
    pool = _batches(predictor, seen, smiles, targets, range(TRAIN + TARGET, TRAIN + TARGET + POOL))
    gradient = target_gradient(seen, aims)
    curvature = Curvature(seen, batches)
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
        slopes = Slopes(seen, solution.answer, 0.0, "forward-mode")
        scores[name] = _scores(seen, slopes, pool)
        found[name] = {
            "residual": float(f"{solution.residual:.2g}"),
            "steps": solution.steps,
            "times the dual's seconds": solution.seconds,
            "spearman with the dual": round(float(spearmanr(scores[name], scores["dual"]).statistic), 4),
        }
        print(".", end="", file=sys.stderr, flush=True)
    unit = found["dual"]["times the dual's seconds"]
    for one in found.values():
        one["times the dual's seconds"] = round(one["times the dual's seconds"] / unit, 2)
    return {"training molecules": TRAIN, "weights": seen.d, **found}


def _learned() -> tuple[Any, list[str], Any]:
    """A predictor, briefly trained, its molecules and their scaled labels (n, 1)."""
    import torch

    from core import properties
    from core.backbones import Pretrained
    from core.bench.speed import molecules
    from core.devices import best_device
    from core.predictor import Predictor

    smiles = molecules(TRAIN + TARGET + POOL)
    place = properties.names().index("MolLogP")
    values = properties.measured(smiles)[:, place : place + 1].astype(float)
    predictor = Predictor(Pretrained("molsway-mini")(), ["logP"], ["regression"], dropout=0.0).to(best_device())
    predictor.backbone.thin(0.0)
    predictor.fit_scaler(values[:TRAIN])
    targets = predictor.scaled(values)
    optimiser = torch.optim.AdamW(predictor.requires_grad_(True).parameters(), lr=RATE)
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        rows = torch.randperm(TRAIN, generator=generator)[:BATCH].tolist()
        optimiser.zero_grad()
        predictor.loss(predictor(predictor.encode([smiles[row] for row in rows])), targets[rows]).backward()
        optimiser.step()
    return predictor, smiles, targets


def _batches(predictor: Any, seen: Any, smiles: list[str], targets: Any, rows: range) -> list[tuple[Any, Any]]:
    parts = [list(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)]
    return [(seen.inputs(predictor.encode([smiles[row] for row in part])), targets[part]) for part in parts]


def _scores(seen: Any, slopes: Any, pool: list[tuple[Any, Any]]) -> list[float]:
    """−2 r · slope of each molecule: its influence, but for a factor that all share."""
    import torch

    found = []
    with torch.no_grad():
        for inputs, targets in pool:
            residual = seen.predict(seen.params, inputs) - targets
            found += (-2 * residual * slopes(inputs))[:, 0].tolist()
    return found
