"""Influence against stored arrays of a small model's head, and LiSSA against the recursion of the paper."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.influence.curvature import Curvature
from core.influence.directional import directional
from core.influence.solvers.cg import CG
from core.influence.solvers.exact import Exact
from core.influence.solvers.lissa import LiSSA
from core.influence.solvers.solution import NotSolved
from core.influence.view import flatten, parameter_view, require_grad, summed_loss, target_gradient, vjp
from core.models.predictor import Predictor
from tests.small_models import IdentityBackbone, dense_matrix

GOLDEN = Path(__file__).parents[1] / "golden" / "molformer"


@pytest.fixture(scope="module")
def golden():
    arrays, meta = load_file(GOLDEN / "outputs.safetensors"), json.loads((GOLDEN / "meta.json").read_text())
    pooled, targets = arrays["pooled.f64"], arrays["influence.targets"][:, None]
    predictor = Predictor(IdentityBackbone(64), ["task"], ["regression"]).double()
    predictor.head.load_state_dict({k: v.double() for k, v in load_file(GOLDEN / "head.safetensors").items()})
    rows = meta["influence"]
    view = parameter_view(predictor, "head")
    parts = {name: (pooled[rows[f"{name}_rows"]], targets[rows[f"{name}_rows"]]) for name in ("train", "val", "ext")}
    assert torch.equal(flatten(view.params), arrays["influence.theta"])
    return view, parts, arrays, meta


def close(values, true):
    return float((values - true).abs().max() / true.abs().max()) < 1e-8


def gradients_by_molecule(view, part):
    """Gradient (b, d) of each molecule's squared error."""
    leaves = require_grad(view.params)
    return torch.stack(
        [
            vjp(summed_loss(view.predict(leaves, x[None]), y[None], view.binary), leaves)
            for x, y in zip(*part, strict=True)
        ]
    )


def test_golden_influence_by_gauss_newton(golden):
    view, parts, arrays, _ = golden
    v = target_gradient(view, [parts["val"]])
    assert close(v, arrays["influence.grad_val"])
    assert close(gradients_by_molecule(view, parts["ext"]), arrays["influence.grad_ext"])
    curvature = Curvature(view, [parts["train"]])
    assert close(curvature @ v, arrays["influence_gn.gn_times_grad_val"])
    curvature.damping = 0.1
    solution = CG(tolerance=1e-12, steps=200)(curvature, v)
    assert solution.converged and close(solution.answer, arrays["influence_gn.ihvp"])
    slopes = directional(view, solution.answer, [parts["ext"][0]], "forward-mode")
    residuals = view.predict(view.params, parts["ext"][0]) - parts["ext"][1]
    assert close((-2 * residuals * slopes)[:, 0], arrays["influence_gn.I_up_loss"])


def test_golden_influence_by_the_exact_hessian(golden):
    view, parts, arrays, meta = golden
    v = arrays["influence.grad_val"]
    curvature = Curvature(view, [parts["train"]], 0.1, "hessian")
    assert close(curvature @ v - 0.1 * v, arrays["influence.hvp_of_grad_val"])
    matrix = dense_matrix(curvature)
    answer = torch.linalg.solve(matrix, v)
    assert close(answer, arrays["influence.ihvp"])
    influence = -arrays["influence.grad_ext"] @ answer
    assert close(influence, arrays["influence.I_up_loss"])
    n_train = len(meta["influence"]["train_rows"])
    assert close(influence / n_train, arrays["influence.predicted_loss_change_if_added"])


@pytest.mark.parametrize("solver", [CG(), LiSSA(depth=400), Exact()], ids=["cg", "lissa", "exact"])
def test_golden_indefinite_hessian_raises_with_its_eigenvalue(golden, solver):
    view, parts, arrays, meta = golden
    lowest = meta["influence"]["hessian_eig_min"]
    curvature = Curvature(view, [parts["train"]], 0.1, "hessian")
    with pytest.raises(NotSolved, match=rf"from {lowest:.4g} to 86.8.*raise `damping` above {-1.2 * lowest:.4g}"):
        curvature.refuse_if_indefinite()
    with pytest.raises(NotSolved, match=rf"from {lowest + 0.1:.4g} to 86.9"):
        solver(curvature, arrays["influence.grad_val"])
    curvature.damping = 30.0
    assert curvature.refuse_if_indefinite() == pytest.approx(lowest, rel=1e-6)


@pytest.mark.parametrize("depth", [1, 10, 100, 1000, 5000])
def test_golden_lissa_iterates(golden, depth):
    """The paper's recursion, h ← v + (1 − d)h − GN h / scale, has the damping scale · d."""
    view, parts, arrays, meta = golden
    scale = meta["lissa_gn"]["scale"]
    curvature = Curvature(view, [parts["train"]], scale * meta["lissa_gn"]["damping"])
    solver = LiSSA(depth=depth, scale=scale, average=False, repeats=1, tolerance=1e-300)
    solution = solver(curvature, arrays["influence.grad_val"])
    assert solution.steps == depth and close(solution.answer, arrays[f"lissa_gn.T{depth}"])
    error = (solution.answer - arrays["lissa_gn.closed_form"]).norm() / arrays["lissa_gn.closed_form"].norm()
    assert float(error) == pytest.approx(meta["lissa_gn"]["rel_err_vs_closed"][str(depth)], rel=1e-6, abs=1e-12)


def test_golden_closed_form_by_the_exact_solver(golden):
    view, parts, arrays, meta = golden
    curvature = Curvature(view, [parts["train"]], meta["lissa_gn"]["scale"] * meta["lissa_gn"]["damping"])
    solution = Exact()(curvature, arrays["influence.grad_val"])
    assert solution.converged and close(solution.answer, arrays["lissa_gn.closed_form"])
