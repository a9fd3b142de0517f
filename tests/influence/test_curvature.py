"""Curvature against dense matrices, slopes against forward mode, scores against adding molecules."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.func import hessian, jacrev

from core.influence.curvature import Curvature
from core.influence.directional import DirectionalDerivative, choose_step, directional, score_smiles
from core.influence.solvers.cg import CG
from core.influence.solvers.solution import NotSolved
from core.influence.view import (
    drop_unused_weights,
    flatten,
    loss_derivatives,
    parameter_view,
    summed_loss,
    target_gradient,
    unflatten,
)
from core.models.predictor import Predictor
from core.stats.temperature import fit_temperatures
from tests.small_models import IdentityBackbone, dense_matrix, small_predictor, train_predictor

SMILES = [
    "CCO", "CCCO", "c1ccccc1", "CC(=O)O", "CCN", "CCCl", "C1CCCCC1", "CC(C)O", "CCOCC", "c1ccncc1", "CCS", "OCCO",
    "CC#N", "CCCCCC", "NCCO", "FC(F)F", "CC(N)=O", "COC", "c1ccoc1", "CBr",
]  # fmt: skip


def labels(kinds: tuple[str, ...], seed: int = 0) -> np.ndarray:
    """Labels (n, t) with a third of the cells missing where there are several tasks."""
    generator = np.random.default_rng(seed)
    values = generator.normal(3, 2, (len(SMILES), len(kinds)))
    for task, kind in enumerate(kinds):
        if kind == "binary":
            values[:, task] = values[:, task] > 3
    if len(kinds) > 1:
        values[generator.random(values.shape) < 0.33] = np.nan
    return values


def batches(predictor, view, targets, size=6):
    scaled = predictor.scale_labels(targets)
    rows = [list(range(start, min(start + size, len(SMILES)))) for start in range(0, len(SMILES), size)]
    return [(view.inputs(predictor.encode([SMILES[row] for row in part])), scaled[part]) for part in rows]


@pytest.mark.parametrize("scope", ["all", "head", "last layer"])
@pytest.mark.parametrize("kinds", [("regression",), ("regression", "binary", "regression")], ids=["one", "three"])
@pytest.mark.parametrize("form", ["gauss-newton", "hessian"])
def test_products_match_the_dense_matrix(scope, kinds, form):
    predictor = small_predictor(kinds, double=True)
    targets = labels(kinds)
    predictor.fit_scaler(targets)
    whole = parameter_view(predictor, scope)
    view = drop_unused_weights(whole, batches(predictor, whole, targets)[0][0])
    assert view.d == whole.d - (5 if scope == "all" else 0)  # without the unused weight
    curvature = Curvature(view, batches(predictor, view, targets), 0.07, form)
    inputs, scaled = batches(predictor, view, targets, len(SMILES))[0]
    theta = flatten(view.params)
    cells = int((~torch.isnan(scaled)).sum())

    def outputs(vector):
        return view.predict(unflatten(vector, view.params), inputs)

    if form == "hessian":
        true = hessian(lambda vector: summed_loss(outputs(vector), scaled, view.binary))(theta) / cells
    else:
        jacobian = jacrev(outputs)(theta)  # (b, t, d)
        _, second = loss_derivatives(outputs(theta), scaled, view.binary)
        true = torch.einsum("btd,bt,bte->de", jacobian, second, jacobian) / cells
    true = true + 0.07 * torch.eye(len(theta), dtype=torch.float64)
    assert torch.allclose(dense_matrix(curvature), true, atol=1e-10)


def test_the_loss_and_its_gradient_match_the_predictor():
    kinds = ("regression", "binary")
    predictor = small_predictor(kinds, double=True)
    targets = labels(kinds)
    predictor.fit_scaler(targets)
    scaled, batch = predictor.scale_labels(targets), predictor.encode(SMILES)
    predictor.loss(predictor(batch), scaled).backward()
    gradient = torch.cat([w.grad.reshape(-1) for name, w in predictor.named_parameters() if w.grad is not None])
    whole = parameter_view(predictor, "all")
    view = drop_unused_weights(whole, batch)
    assert torch.allclose(target_gradient(view, batches(predictor, view, targets)), gradient, atol=1e-12)
    outputs = predictor(batch)
    assert float(summed_loss(outputs, scaled, view.binary)) == pytest.approx(
        float(predictor.cell_loss(outputs, scaled).sum())
    )


def test_the_gradient_at_the_best_temperature_is_that_of_the_temperature_scaled_loss():
    kinds = ("regression", "binary")
    predictor = small_predictor(kinds, double=True)
    targets = labels(kinds)
    predictor.fit_scaler(targets)
    view, scaled = parameter_view(predictor, "last layer"), predictor.scale_labels(targets)
    view.params["weight"][1] *= 40.0  # very confident
    parts, known = batches(predictor, view, targets), ~np.isnan(targets[:, 1])

    def temperatures(outputs: torch.Tensor) -> torch.Tensor:
        logits, flags = outputs[:, 1].numpy()[known], targets[known, 1]
        return torch.tensor([1.0, fit_temperatures(logits[None], flags)[0]])

    def scaled_loss(weights: torch.Tensor) -> float:
        with torch.no_grad():
            outputs = torch.cat([view.predict(unflatten(weights, view.params), inputs) for inputs, _ in parts])
        return float(summed_loss(outputs / temperatures(outputs), scaled, view.binary)) / int(
            (~np.isnan(targets)).sum()
        )

    weights = flatten(view.params)
    with torch.no_grad():
        now = temperatures(torch.cat([view.predict(view.params, inputs) for inputs, _ in parts]))
    assert now[1] > 1.5
    gradient = target_gradient(view, parts, now)
    for seed in range(3):
        along = torch.randn(len(weights), generator=torch.Generator().manual_seed(seed)).to(weights) * 1e-5
        assert (scaled_loss(weights + along) - scaled_loss(weights - along)) / 2 == pytest.approx(
            float(gradient @ along), rel=1e-3
        )


def test_mini_batches_are_unbiased_and_reproducible():
    predictor = small_predictor(double=True)
    predictor.fit_scaler(labels(("regression",)))
    view = parameter_view(predictor, "head")
    curvature = Curvature(view, batches(predictor, view, labels(("regression",)), 6), 0.3)
    vector = flatten(view.params)
    generator = torch.Generator().manual_seed(0)
    mean = sum(curvature.sample(generator) @ vector for _ in range(400)) / 400
    whole = curvature @ vector
    assert float((mean - whole).norm() / whole.norm()) < 0.06
    assert torch.equal(
        curvature.sample(torch.Generator().manual_seed(3)) @ vector,
        curvature.sample(torch.Generator().manual_seed(3)) @ vector,
    )


def test_the_trace_estimate_matches_the_trace():
    predictor = small_predictor(double=True)
    predictor.fit_scaler(labels(("regression",)))
    view = parameter_view(predictor, "head")
    curvature = Curvature(view, batches(predictor, view, labels(("regression",)), 6))
    true = float(dense_matrix(curvature).trace())
    assert curvature.trace() == pytest.approx(true, rel=0.5)
    assert curvature.trace(passes=8000) == pytest.approx(true, rel=0.03)


def test_a_product_checks_for_cancellation_after_every_batch():
    predictor, calls = small_predictor(), []
    predictor.fit_scaler(labels(("regression",)))
    view = parameter_view(predictor, "head")
    parts = batches(predictor, view, labels(("regression",)), 6)
    Curvature(view, parts, check_cancelled=lambda: calls.append(1)) @ flatten(view.params)
    assert len(calls) == len(parts) == 4


def test_a_table_without_labels_raises():
    predictor = small_predictor()
    view = parameter_view(predictor, "head")
    empty = batches(predictor, view, np.full((len(SMILES), 1), np.nan))
    with pytest.raises(NotSolved, match="no measured label"):
        Curvature(view, empty)
    with pytest.raises(NotSolved, match="no measured label"):
        target_gradient(view, empty)


@pytest.mark.parametrize("route", ["one-sided", "central"])
@pytest.mark.parametrize("scope", ["all", "head"])
@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
def test_finite_differences_agree_with_forward_mode(route, scope, double):
    kinds = ("regression", "binary")
    predictor = train_predictor(small_predictor(kinds, double), SMILES, labels(kinds), 50)
    view = parameter_view(predictor, scope)
    inputs = [part for part, _ in batches(predictor, view, labels(kinds))]
    vector = (
        torch.randn(view.d, generator=torch.Generator().manual_seed(0)).to(flatten(view.params)) * 1e4
    )  # any length
    step = choose_step(view, vector, inputs, route)
    approximate, true = (
        directional(view, vector, inputs, way, known) for way, known in ((route, step), ("forward-mode", None))
    )
    assert float((approximate - true).abs().max() / true.square().mean().sqrt()) < 0.01
    assert step.error < 0.01 and step.forward_mode < 0.03 and step.route == route and not step.warnings


def test_one_pass_gives_outputs_slopes_and_features():
    predictor = small_predictor()
    view = parameter_view(predictor, "all")
    vector = torch.randn(view.d, generator=torch.Generator().manual_seed(0))
    derivative = DirectionalDerivative(view, vector, 1e-3, "one-sided")
    outputs, slopes, features = score_smiles(predictor, view, derivative, SMILES, 7, True)
    with torch.no_grad():
        batch = predictor.encode(SMILES)
        assert np.allclose(outputs, predictor(batch), atol=1e-6)
        assert np.allclose(features, predictor.last_features(batch), atol=1e-6)
        assert np.allclose(slopes, derivative(batch), atol=2e-3)


def test_a_vector_that_changes_no_prediction_raises():
    predictor = small_predictor()
    view = parameter_view(predictor, "all")
    still = {name: torch.zeros_like(value) for name, value in view.params.items()}
    still["backbone.idle"] += 1
    with pytest.raises(NotSolved, match="no prediction changes"):
        choose_step(view, flatten(still), [predictor.encode(SMILES)])


def test_a_copy_of_a_target_molecule_lowers_its_loss():
    """The sign of scores: weight on a molecule lowers its own loss."""
    targets = labels(("regression",))
    predictor = train_predictor(small_predictor(double=True), SMILES[:10], targets[:10], 100)
    whole = parameter_view(predictor, "all")
    scaled = predictor.scale_labels(targets)
    view = drop_unused_weights(whole, predictor.encode(SMILES))
    curvature = Curvature(view, [(predictor.encode(SMILES[:10]), scaled[:10])], 0.1)
    for row in range(10, 20):
        batch = predictor.encode([SMILES[row]])
        v = target_gradient(view, [(batch, scaled[row : row + 1])])
        slope = directional(view, CG(tolerance=1e-6)(curvature, v).answer, [batch], "forward-mode")
        with torch.no_grad():
            residual = predictor(batch) - scaled[row]
        assert float(-2 * residual * slope) < 0


def test_predicted_changes_match_adding_a_molecule():
    """A convex problem at its minimum: ridge regression, whose weight decay is the damping."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    n, damping = 400, 0.05
    x, v, z, truth = draw(n, 4), draw(50, 4), draw(30, 4), draw(4, 1)
    y, t, u = (part @ truth + 0.3 * draw(len(part), 1) for part in (x, v, z))
    predictor = Predictor(IdentityBackbone(8), ["task"], ["regression"]).double()
    view = parameter_view(predictor, "last layer")
    view = dataclasses.replace(
        view, params={"weight": view.params["weight"]}, inputs=lambda batch: batch, features=lambda f: f
    )

    def fit_ridge(x, y, weight):  # mean squared error + damping/2 |w|², by its normal equations
        scaled = x * weight
        return torch.linalg.solve(2 * scaled.T @ x / n + damping * torch.eye(4, dtype=x.dtype), 2 * scaled.T @ y / n)

    def loss(w):
        return float(((v @ w - t) ** 2).mean())

    w = fit_ridge(x, y, torch.ones(n, 1))
    view.params["weight"] = w.T.clone()
    predictor.head[-1].bias.data.zero_()
    v_gradient = target_gradient(view, [(v, t)])
    solution = CG(tolerance=1e-10)(Curvature(view, [(x, y)], damping), v_gradient).answer
    slopes = directional(view, solution, [z], "forward-mode")
    predicted = (-2 * (z @ w - u) * slopes / n)[:, 0].numpy()
    true = np.array(
        [
            loss(fit_ridge(torch.cat([x, z[k : k + 1]]), torch.cat([y, u[k : k + 1]]), torch.ones(n + 1, 1))) - loss(w)
            for k in range(30)
        ]
    )
    assert np.corrcoef(predicted, true)[0, 1] > 0.98
    large = np.abs(true) > np.median(np.abs(true)) / 4
    assert (np.sign(predicted) == np.sign(true))[large].all()
    assert np.polyfit(predicted, true, 1)[0] == pytest.approx(1, abs=0.15)  # the right unit
