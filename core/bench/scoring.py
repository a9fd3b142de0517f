"""Cost and accuracy of scoring a pool, by route and in other programs, in units of a forward pass."""

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
    """Molecules of each set and of a batch, training steps, and repeats of each timing.

    `loop_molecules`: molecules to time the loop with. `chunk`: molecules of one vmap, also to time it with.
    `tolerance`: relative residual of the linear system. `slow`: repeats of the routes that take gradients.
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
)  # 45 million weights


def run() -> dict[str, Any]:
    """`molsway-mini` as shipped, and an untrained `molformer-xl`, both briefly trained on logP."""
    from core.models.backbones import Pretrained, Untrained

    return {
        "molsway-mini": measure_scoring(Pretrained("molsway-mini"), BenchSizes()),
        "the shape of molformer-xl": measure_scoring(Untrained("molformer-xl"), LARGE),
    }


def measure_scoring(backbone: Any, sizes: BenchSizes) -> dict[str, Any]:
    """For each route: forward passes per molecule in addition to its prediction, and agreement with forward mode.

    All use one solved vector and one padded batch; the loop alone has no padding.
    """
    import torch

    from core.bench.trained_predictor import loss_rates, predict_batches, train_predictor
    from core.influence.directional import DirectionalDerivative, choose_step, score_smiles

    case = train_predictor(backbone, sizes.train, sizes.target, sizes.pool, sizes.batch, sizes.steps)
    print_dot()
    vector, residual = _solve(case, sizes.tolerance)
    print_dot()
    view, inputs, n = case.view, case.pool[0][0], len(case.pool[0][1])
    steps = {route: choose_step(view, vector, [inputs], route) for route in ROUTES}
    derivatives = {route: DirectionalDerivative(view, vector, step.size, step.route) for route, step in steps.items()}
    bases = predict_batches(view, case.pool)

    @torch.no_grad()
    def forward() -> "Tensor":
        return view.predict(view.params, inputs)

    quick = {route: lambda way=way: way(inputs, bases[0]) for route, way in derivatives.items()}
    quick[SWEEP] = lambda: score_smiles(case.predictor, view, derivatives["one-sided"], case.smiles[:n], n, False)
    slow = {
        LOOP: lambda: score_by_loop(case, vector, sizes.loop_molecules),
        MAPPED: lambda: score_by_vmap(case, vector, sizes.chunk, sizes.chunk),
    }
    counts = {LOOP: sizes.loop_molecules, MAPPED: sizes.chunk}  # the other routes are timed on the full batch
    truth = loss_rates(view, derivatives["forward-mode"], case.pool, bases)
    agreement = {
        route: compare_scores(loss_rates(view, derivatives[route], case.pool, bases), truth) for route in ROUTES[:2]
    }
    agreement[LOOP] = compare_scores(score_by_loop(case, vector, n), truth[:n])
    agreement[MAPPED] = compare_scores(score_by_vmap(case, vector, n, sizes.chunk), truth[:n])
    program_clocks, about = {}, {}
    missing = (
        {} if sizes.other_programs else dict.fromkeys(OTHER_PROGRAMS, "not run at this size, where it takes minutes")
    )
    with ExitStack() as stack:
        for name in OTHER_PROGRAMS if sizes.other_programs else ():
            print_dot()
            program, result = prepare_program(name, case, vector, stack)
            if program is None:
                missing[name] = result
                continue
            about[name] = program.about
            true = loss_rates(
                view, DirectionalDerivative(view, program.vector, 0.0, "forward-mode"), case.pool[:1], bases[:1]
            )
            agreement[name] = compare_scores(result, true[: len(result)])
            program_clocks[name] = lambda peer=program: peer.score()[1] * n
        times = time_ratios(forward, quick, repeats=sizes.repeats) | time_ratios(
            forward, slow, program_clocks, sizes.slow
        )
    passes = {name: round(times[name] * n / counts.get(name, n), 2) for name in times}
    return {
        "weights": view.d,
        "molecules timed": n,
        "tokens of the longest": inputs["input_ids"].shape[1],
        "residual of the solved vector": residual,
        "forward passes from SMILES to prediction and one-sided score": passes.pop(SWEEP),
        "extra forward passes a molecule": passes | missing,
        "scores against forward mode": agreement,
        "step": {
            route: {"taken": step.route, "error": float(f"{step.error:.2g}"), "warnings": list(step.warnings)}
            for route, step in steps.items()
            if route != "forward-mode"
        },
        "what is timed": about,
    }


def _solve(case: "TrainedPredictor", tolerance: float) -> tuple["Tensor", float]:
    """The solution (d,) of the Gauss–Newton system with the default damping, and its relative residual."""
    from core.influence.curvature import Curvature
    from core.influence.solvers import CG
    from core.influence.view import target_gradient

    curvature = Curvature(case.view, case.train)
    curvature.damping = curvature.trace(passes=4) / curvature.cells
    solution = CG(tolerance=tolerance)(curvature, target_gradient(case.view, case.target))
    return solution.answer, float(f"{solution.residual:.2g}")


def score_by_loop(case: "TrainedPredictor", vector: "Tensor", count: int) -> "Tensor":
    """Scores (count,) of the first molecules of the pool by a backward pass for each, without padding."""
    import torch

    from core.influence.view import require_grad, summed_loss, unflatten

    view, direction, scores = case.view, unflatten(vector, case.view.params), []
    for row in range(count):
        leaves = require_grad(view.params)
        outputs = view.predict(leaves, view.inputs(case.predictor.encode([case.smiles[row]])))
        loss = summed_loss(outputs, case.pool[0][1][row : row + 1], view.binary)
        scores.append(_inner_product(torch.autograd.grad(loss, list(leaves.values())), direction))
    return torch.stack(scores).double().cpu()


def score_by_vmap(case: "TrainedPredictor", vector: "Tensor", count: int, chunk: int) -> "Tensor":
    """The same scores by vmap over gradients, `chunk` molecules at once."""
    from torch.func import grad, vmap

    from core.influence.view import summed_loss, unflatten

    view, direction, (inputs, targets) = case.view, unflatten(vector, case.view.params), case.pool[0]

    def score(molecule: dict[str, "Tensor"], target: "Tensor") -> "Tensor":
        def loss(params: dict[str, "Tensor"]) -> "Tensor":
            batch = {name: value[None] for name, value in molecule.items()}
            return summed_loss(view.predict(params, batch), target[None], view.binary)

        return _inner_product(grad(loss)(view.params).values(), direction)

    scores = vmap(score, chunk_size=chunk)({name: value[:count] for name, value in inputs.items()}, targets[:count])
    return scores.detach().double().cpu()


def _inner_product(gradient: Any, direction: dict[str, "Tensor"]) -> "Tensor":
    return sum((piece * part).sum() for piece, part in zip(gradient, direction.values(), strict=True))


def compare_scores(scores: "Tensor", true: "Tensor") -> dict[str, float]:
    """Spearman's correlation with the true scores, and the norm of the difference over that of the true scores."""
    error = float((scores - true).norm() / true.norm())
    return {
        "molecules": len(true),
        "spearman": round(float(spearmanr(scores, true).statistic), 6),
        "relative error": float(f"{error:.2g}"),
    }
