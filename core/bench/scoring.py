"""What scoring a pool costs beside predicting it, route by route and in other programs, and how true the scores are."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scipy.stats import spearmanr

from core.bench.other_programs import OTHER_PROGRAMS, prepare_program
from core.bench.timing import print_dot, time_ratios

if TYPE_CHECKING:
    from torch import Tensor

    from core.bench.trained_predictor import TrainedPredictor

ROUTES = ("one-sided", "central", "forward-mode")
LOOP, MAPPED, SWEEP = "a backward pass for each molecule", "vmap of each molecule's gradient", "sweep"


@dataclass(frozen=True)
class BenchSizes:
    """Molecules of each part and of a batch, steps of training, and how often everything is timed.

    `loop_molecules`: molecules that the loop is timed on; `chunk`: molecules whose gradients vmap holds at once, and is timed
    on; `tolerance` of the linear system; `slow`: how often what takes gradients is timed.
    """

    train: int = 64
    target: int = 32
    pool: int = 512
    batch: int = 64
    steps: int = 20
    loop_molecules: int = 8
    chunk: int = 32
    tolerance: float = 0.05
    repeats: int = 7
    slow: int = 3
    other_programs: bool = True


LARGE = BenchSizes(
    train=16,
    target=16,
    pool=128,
    batch=16,
    steps=4,
    loop_molecules=4,
    chunk=8,
    tolerance=0.2,
    repeats=3,
    slow=2,
    other_programs=False,
)  # with 45 million weights


def run() -> dict[str, Any]:
    """`molsway-mini` as it is shipped, and the shape of `molformer-xl`; both have briefly learned logP."""
    from core.models.backbones import Pretrained, Untrained

    return {
        "molsway-mini": measure_scoring(Pretrained("molsway-mini"), BenchSizes()),
        "the shape of molformer-xl": measure_scoring(Untrained("molformer-xl"), LARGE),
    }


def measure_scoring(backbone: Any, amounts: BenchSizes) -> dict[str, Any]:
    """Of each route the forward passes a molecule takes beside its prediction, and its scores beside forward mode's.

    All along one solved vector and for one padded batch, but for the loop, where a molecule is as long as it is.
    """
    import torch

    from core.bench.trained_predictor import loss_rates, predict_batches, train_predictor
    from core.influence.directional import DirectionalDerivative, choose_step, score_smiles

    case = train_predictor(backbone, amounts.train, amounts.target, amounts.pool, amounts.batch, amounts.steps)
    print_dot()
    vector, residual = _solve(case, amounts.tolerance)
    print_dot()
    seen, inputs, n = case.view, case.pool[0][0], len(case.pool[0][1])
    steps = {route: choose_step(seen, vector, [inputs], route) for route in ROUTES}
    slopes = {route: DirectionalDerivative(seen, vector, step.size, step.route) for route, step in steps.items()}
    bases = predict_batches(seen, case.pool)

    @torch.no_grad()
    def forward() -> "Tensor":
        return seen.predict(seen.params, inputs)

    quick = {route: lambda way=way: way(inputs, bases[0]) for route, way in slopes.items()}
    quick[SWEEP] = lambda: score_smiles(case.predictor, seen, slopes["one-sided"], case.smiles[:n], n, False)
    slow = {
        LOOP: lambda: score_by_loop(case, vector, amounts.loop_molecules),
        MAPPED: lambda: score_by_vmap(case, vector, amounts.chunk, amounts.chunk),
    }
    counts = {LOOP: amounts.loop_molecules, MAPPED: amounts.chunk}  # the others are timed on the whole batch
    truth = loss_rates(seen, slopes["forward-mode"], case.pool, bases)
    near = {route: compare_scores(loss_rates(seen, slopes[route], case.pool, bases), truth) for route in ROUTES[:2]}
    near[LOOP] = compare_scores(score_by_loop(case, vector, n), truth[:n])
    near[MAPPED] = compare_scores(score_by_vmap(case, vector, n, amounts.chunk), truth[:n])
    told, about = {}, {}
    missing = (
        {} if amounts.other_programs else dict.fromkeys(OTHER_PROGRAMS, "not run at this size: it would take minutes")
    )
    with ExitStack() as stack:
        for name in OTHER_PROGRAMS if amounts.other_programs else ():
            print_dot()
            peer, result = prepare_program(name, case, vector, stack)
            if peer is None:
                missing[name] = result
                continue
            about[name] = peer.about
            true = loss_rates(
                seen, DirectionalDerivative(seen, peer.vector, 0.0, "forward-mode"), case.pool[:1], bases[:1]
            )
            near[name] = compare_scores(result, true[: len(result)])
            told[name] = lambda peer=peer: peer.score()[1] * n
        times = time_ratios(forward, quick, repeats=amounts.repeats) | time_ratios(forward, slow, told, amounts.slow)
    passes = {name: round(times[name] * n / counts.get(name, n), 2) for name in times}
    return {
        "weights": seen.d,
        "molecules that are timed": n,
        "tokens of the longest": inputs["input_ids"].shape[1],
        "residual of the solved vector": residual,
        "forward passes from SMILES to prediction and one-sided score": passes.pop(SWEEP),
        "extra forward passes a molecule": passes | missing,
        "scores beside those of forward mode": near,
        "step": {
            route: {"taken": step.route, "error": float(f"{step.error:.2g}"), "warnings": list(step.warnings)}
            for route, step in steps.items()
            if route != "forward-mode"
        },
        "what is timed": about,
    }


def _solve(case: "TrainedPredictor", tolerance: float) -> tuple["Tensor", float]:
    """The vector (d,) of a Gauss-Newton system damped as is the default, and the residual it leaves."""
    from core.influence.curvature import Curvature
    from core.influence.solvers import CG
    from core.influence.view import target_gradient

    curvature = Curvature(case.view, case.train)
    curvature.damping = curvature.trace(passes=4) / curvature.cells
    solution = CG(tolerance=tolerance)(curvature, target_gradient(case.view, case.target))
    return solution.answer, float(f"{solution.residual:.2g}")


def score_by_loop(case: "TrainedPredictor", vector: "Tensor", count: int) -> "Tensor":
    """Scores (count,) of the pool's first molecules by a backward pass for each, without padding."""
    import torch

    from core.influence.view import require_grad, summed_loss, unflatten

    seen, direction, found = case.view, unflatten(vector, case.view.params), []
    for row in range(count):
        leaves = require_grad(seen.params)
        outputs = seen.predict(leaves, seen.inputs(case.predictor.encode([case.smiles[row]])))
        loss = summed_loss(outputs, case.pool[0][1][row : row + 1], seen.binary)
        found.append(_inner_product(torch.autograd.grad(loss, list(leaves.values())), direction))
    return torch.stack(found).double().cpu()


def score_by_vmap(case: "TrainedPredictor", vector: "Tensor", count: int, chunk: int) -> "Tensor":
    """The same by vmap over gradients, of `chunk` molecules at once."""
    from torch.func import grad, vmap

    from core.influence.view import summed_loss, unflatten

    seen, direction, (inputs, targets) = case.view, unflatten(vector, case.view.params), case.pool[0]

    def score(one: dict[str, "Tensor"], target: "Tensor") -> "Tensor":
        def loss(params: dict[str, "Tensor"]) -> "Tensor":
            batch = {name: value[None] for name, value in one.items()}
            return summed_loss(seen.predict(params, batch), target[None], seen.binary)

        return _inner_product(grad(loss)(seen.params).values(), direction)

    found = vmap(score, chunk_size=chunk)({name: value[:count] for name, value in inputs.items()}, targets[:count])
    return found.detach().double().cpu()


def _inner_product(gradient: Any, direction: dict[str, "Tensor"]) -> "Tensor":
    return sum((piece * part).sum() for piece, part in zip(gradient, direction.values(), strict=True))


def compare_scores(found: "Tensor", true: "Tensor") -> dict[str, float]:
    """Spearman's correlation of scores with the true ones, and the rms of their difference over that of the true."""
    error = float((found - true).norm() / true.norm())
    return {
        "molecules": len(true),
        "spearman": round(float(spearmanr(found, true).statistic), 6),
        "relative error": float(f"{error:.2g}"),
    }
