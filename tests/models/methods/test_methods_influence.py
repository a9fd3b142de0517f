"""Curvature products and directional derivatives of every method against plain Jacobians."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.func import jacrev

from core.influence.curvature import Curvature
from core.influence.directional import DirectionalDerivative
from core.influence.view import drop_unused_weights, flatten, parameter_view, unflatten
from core.models.backbones.molformer.untrained import UntrainedMolformer
from core.models.backbones.molformer.vocabulary import FIXED_VOCABULARY
from core.models.method_check import apply_and_check
from core.models.methods import METHODS, DoRA, FourierFT
from core.models.predictor import Predictor

LOOSE = {
    FourierFT: 0.1,  # computes in float32: a small step is lost in rounding
    DoRA: 0.05,  # its gradient treats row norms as constant, as in its paper
}
SMILES = ["CCO", "c1ccccc1O", "CC(=O)N", "ClCCBr", "CCN"]


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.kind)
def test_gauss_newton_products_and_directional_derivatives_match_the_jacobian(method: Any) -> None:
    torch.manual_seed(0)
    body = UntrainedMolformer(name="odd", width=16, depth=2, heads=2, inner=24, features=8)(FIXED_VOCABULARY)
    body.model.lm_head = None
    predictor = Predictor(body, ["y"], ["regression"])
    apply_and_check(method(), predictor, SMILES)
    with torch.no_grad():
        for weight in predictor.parameters():
            weight.add_(torch.randn(weight.shape) * 0.05 * weight.requires_grad)
    predictor.double().eval()
    targets = predictor.scale_labels(np.arange(5.0)[:, None])
    moving = [name for name, weight in predictor.named_parameters() if weight.requires_grad]
    batch = predictor.encode(SMILES)
    view = drop_unused_weights(parameter_view(predictor, "all", moving), batch)
    assert list(view.params) == moving
    jacobian = jacrev(lambda theta: view.predict(unflatten(theta, view.params), batch))(flatten(view.params))[:, 0]
    vector = torch.randn(view.d, dtype=torch.float64)
    product = Curvature(view, [(view.inputs(batch), targets)], 0.0) @ vector
    expected = 2 * jacobian.T @ (jacobian @ vector) / 5
    near = {"rtol": 1e-4, "atol": 1e-5} if method is FourierFT else {"rtol": 1e-8, "atol": 1e-10}  # computes in float32
    assert torch.allclose(product, expected, **near)
    ahead = DirectionalDerivative(view, vector, 1e-4, "forward-mode")(batch)[:, 0]
    assert torch.allclose(ahead, jacobian @ vector, **near)
    across = DirectionalDerivative(view, vector, 1e-5, "central")(batch)[:, 0]
    off = float((across - ahead).norm() / ahead.norm())
    assert off < LOOSE.get(method, 1e-4)
