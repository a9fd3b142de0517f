"""Mistakes of other influence packages: batches of unequal size, masks, padding, dropout, autograd graphs."""

import dataclasses
import gc
import weakref

import numpy as np
import pytest
import torch
from torch.func import jacrev

from core.influence.curvature import Curvature
from core.influence.directional import DirectionalDerivative, directional
from core.influence.solvers import CG, Dual, Exact, LiSSA
from core.influence.view import ParameterView, drop_unused_weights, flatten, parameter_view, target_gradient, unflatten
from core.models.backbones import Untrained
from core.models.predictor import Predictor
from tests.influence.test_curvature import SMILES, labels
from tests.small_models import small_predictor, train_predictor

EXACT_SOLVERS = {"cg": CG(tolerance=1e-11, steps=5000), "dual": Dual(tolerance=1e-11), "exact": Exact(tolerance=1e-11)}


def split(predictor: Predictor, view: ParameterView, targets: np.ndarray, count: int) -> list:
    """All molecules in `count` batches, of unequal sizes if they do not divide evenly."""
    scaled = predictor.scale_labels(targets)
    rows = np.array_split(np.arange(len(SMILES)), count)
    return [(view.inputs(predictor.encode([SMILES[row] for row in part])), scaled[part]) for part in rows]


@pytest.fixture(scope="module", params=[("regression",), ("regression", "binary")], ids=["one", "gaps"])
def system(request: pytest.FixtureRequest) -> tuple[Predictor, ParameterView, np.ndarray]:
    """A trained small predictor in float64; with two tasks a third of the cells has no label, so batches differ."""
    targets = labels(request.param)
    predictor = train_predictor(small_predictor(request.param, double=True), SMILES, targets, 60)
    predictor.zero_grad(set_to_none=True)
    return predictor, parameter_view(predictor, "head"), targets


@pytest.mark.parametrize("name", EXACT_SOLVERS)
def test_the_answer_does_not_depend_on_batches(system, name):
    """The curvature is the mean over cells, not over batches."""
    predictor, view, targets = system
    inputs, scaled = split(predictor, view, targets, 1)[0]
    jacobian = jacrev(lambda theta: view.predict(unflatten(theta, view.params), inputs))(flatten(view.params))
    chance = torch.sigmoid(view.predict(view.params, inputs))
    second = torch.where(view.binary, chance * (1 - chance), 2.0).masked_fill(torch.isnan(scaled), 0)
    matrix = torch.einsum("btd,bt,bte->de", jacobian, second, jacobian) / int((~torch.isnan(scaled)).sum())
    damping = float(matrix.trace()) / len(SMILES)
    vector = target_gradient(view, [(inputs[:8], scaled[:8])])
    true = torch.linalg.solve(matrix + damping * torch.eye(view.d, dtype=matrix.dtype), vector)
    for count in (1, 2, 7):
        computed = EXACT_SOLVERS[name](Curvature(view, split(predictor, view, targets, count), damping), vector)
        assert float((computed.answer - true).norm() / true.norm()) < 1e-8, f"{count} batches"


def test_the_target_gradient_and_the_scores_do_not_depend_on_batches(system):
    predictor, view, targets = system
    whole, vector = split(predictor, view, targets, 1), torch.linspace(-1, 1, view.d, dtype=torch.float64)
    for count in (2, 7):
        parts = split(predictor, view, targets, count)
        assert torch.allclose(target_gradient(view, parts), target_gradient(view, whole), atol=1e-13)
        slopes = [directional(view, vector, [batch for batch, _ in each], "forward-mode") for each in (parts, whole)]
        assert torch.allclose(*slopes, atol=1e-12)


@pytest.mark.parametrize("solver", [*EXACT_SOLVERS.values(), LiSSA(depth=40)], ids=[*EXACT_SOLVERS, "lissa"])
def test_answers_hold_no_autograd_graph(system, solver):
    predictor, view, targets = system
    curvature = Curvature(view, split(predictor, view, targets, 2), 1.0)
    vector = target_gradient(view, curvature.batches)
    product, answer = curvature @ vector, solver(curvature, vector).answer
    slopes = directional(view, answer, [batch for batch, _ in curvature.batches], "forward-mode")
    assert not any(computed.requires_grad or computed.grad_fn for computed in (vector, product, answer, slopes))
    assert not any(weight.requires_grad or weight.grad is not None for weight in predictor.parameters())


def test_a_product_frees_its_outputs(system):
    predictor, view, targets = system
    curvature = Curvature(view, split(predictor, view, targets, 2), 1.0)
    outputs_seen: list[weakref.ref] = []
    predict = view.predict

    def record_outputs(params, inputs):
        outputs = predict(params, inputs)
        outputs_seen.append(weakref.ref(outputs))
        return outputs

    object.__setattr__(view, "predict", record_outputs)
    try:
        curvature @ target_gradient(view, curvature.batches)
    finally:
        object.__setattr__(view, "predict", predict)
    gc.collect()
    assert len(outputs_seen) >= 6 and not any(one() is not None for one in outputs_seen)


DRUGS = ["CC(=O)Oc1ccccc1C(=O)O", "CCO", "CN1C=NC2=C1C(=O)N(C)C(=O)N2C", "c1ccncc1"]


@pytest.fixture(scope="module")
def molformer() -> tuple[Predictor, ParameterView, torch.Tensor]:
    """A MoLFormer in float64 with much dropout, in training mode; and a vector."""
    predictor = Predictor(Untrained("molsway-tiny")(), ["y"], ["regression"], dropout=0.5).double()
    predictor.backbone.set_dropout(0.5)
    generator = torch.Generator().manual_seed(0)
    for weight in predictor.parameters():
        # So that no bias is zero.
        weight.data += 0.02 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    predictor.train()
    assert not torch.equal(predictor(predictor.encode(DRUGS)), predictor(predictor.encode(DRUGS)))
    view = drop_unused_weights(parameter_view(predictor, "all"), predictor.encode(DRUGS))
    vector = torch.randn(view.d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return predictor, view, vector / vector.norm()


def all_products(view: ParameterView, vector: torch.Tensor, inputs: dict) -> list[torch.Tensor]:
    """Slopes by two routes, target gradient and curvature product."""
    targets = torch.linspace(-1, 1, len(DRUGS), dtype=torch.float64)[:, None]
    derivatives = [
        DirectionalDerivative(view, vector, 1e-5, "central"),
        DirectionalDerivative(view, vector, 0.0, "forward-mode"),
    ]
    return [
        *(way(inputs) for way in derivatives),
        target_gradient(view, [(inputs, targets)]),
        Curvature(view, [(inputs, targets)], 0.1) @ vector,
    ]


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8, torch.bool], ids=str)
def test_the_type_of_the_mask_does_not_matter(molformer, dtype):
    predictor, view, vector = molformer
    inputs = predictor.encode(DRUGS)
    other = inputs | {"attention_mask": inputs["attention_mask"].to(dtype)}
    for computed, true in zip(all_products(view, vector, other), all_products(view, vector, inputs), strict=True):
        assert torch.equal(computed, true)


def test_padding_does_not_matter(molformer):
    predictor, view, vector = molformer
    inputs, padding = predictor.encode(DRUGS), predictor.backbone.tokenizer.pad_token_id
    wider = {
        "input_ids": torch.nn.functional.pad(inputs["input_ids"], (0, 9), value=padding),
        "attention_mask": torch.nn.functional.pad(inputs["attention_mask"], (0, 9)),
    }
    for computed, true in zip(all_products(view, vector, wider), all_products(view, vector, inputs), strict=True):
        assert torch.allclose(computed, true, rtol=1e-6, atol=1e-9)


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_other_kernels_change_only_rounding(molformer):
    predictor, view, vector = molformer
    inputs = predictor.encode(DRUGS)
    single = dataclasses.replace(view, params={name: value.float() for name, value in view.params.items()})
    computed = []
    for enabled in (True, False):
        with torch.backends.mkldnn.flags(enabled=enabled):
            computed.append(DirectionalDerivative(single, vector.float(), 0.0, "forward-mode")(inputs))
    true = DirectionalDerivative(view, vector, 0.0, "forward-mode")(inputs)
    assert all(torch.allclose(slopes.double(), true, rtol=1e-3, atol=1e-5) for slopes in computed)


def test_dropout_is_off_for_a_predictor_in_training_mode(molformer):
    predictor, view, vector = molformer
    assert not any(module.training for module in predictor.modules())
    inputs = predictor.encode(DRUGS)
    first, second = (all_products(view, vector, inputs) for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
    predictor.train()
    again = drop_unused_weights(parameter_view(predictor, "all"), inputs)  # a view sets evaluation mode
    assert all(torch.equal(*pair) for pair in zip(all_products(again, vector, inputs), first, strict=True))
