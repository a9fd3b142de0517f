"""What influence functions of other programs were found to do wrong, asked of ours: batches, masks, modes, graphs."""

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

EXACT = {"cg": CG(tolerance=1e-11, steps=5000), "dual": Dual(tolerance=1e-11), "exact": Exact(tolerance=1e-11)}


def split(predictor: Predictor, seen: ParameterView, targets: np.ndarray, count: int) -> list:
    """All molecules in so many batches, of unequal sizes where they do not divide."""
    scaled = predictor.scale_labels(targets)
    rows = np.array_split(np.arange(len(SMILES)), count)
    return [(seen.inputs(predictor.encode([SMILES[row] for row in part])), scaled[part]) for part in rows]


@pytest.fixture(scope="module", params=[("regression",), ("regression", "binary")], ids=["one", "gaps"])
def system(request: pytest.FixtureRequest) -> tuple[Predictor, ParameterView, np.ndarray]:
    """A trained stand-in in float64; with a second task a third of the cells has no label, so batches weigh unequally."""
    targets = labels(request.param)
    predictor = train_predictor(small_predictor(request.param, double=True), SMILES, targets, 60)
    predictor.zero_grad(set_to_none=True)
    return predictor, parameter_view(predictor, "head"), targets


@pytest.mark.parametrize("name", EXACT)
def test_the_answer_is_of_the_mean_curvature_however_the_training_part_is_split(system, name):
    """And of the mean from the first batch on: the sum over cells is divided by how many there are."""
    predictor, seen, targets = system
    inputs, scaled = split(predictor, seen, targets, 1)[0]
    jacobian = jacrev(lambda theta: seen.predict(unflatten(theta, seen.params), inputs))(flatten(seen.params))
    chance = torch.sigmoid(seen.predict(seen.params, inputs))
    second = torch.where(seen.binary, chance * (1 - chance), 2.0).masked_fill(torch.isnan(scaled), 0)
    matrix = torch.einsum("btd,bt,bte->de", jacobian, second, jacobian) / int((~torch.isnan(scaled)).sum())
    damping = float(matrix.trace()) / len(SMILES)
    vector = target_gradient(seen, [(inputs[:8], scaled[:8])])
    true = torch.linalg.solve(matrix + damping * torch.eye(seen.d, dtype=matrix.dtype), vector)
    for count in (1, 2, 7):
        found = EXACT[name](Curvature(seen, split(predictor, seen, targets, count), damping), vector)
        assert float((found.answer - true).norm() / true.norm()) < 1e-8, f"{count} batches"


def test_the_target_gradient_and_the_scores_do_not_depend_on_batches(system):
    predictor, seen, targets = system
    whole, vector = split(predictor, seen, targets, 1), torch.linspace(-1, 1, seen.d, dtype=torch.float64)
    for count in (2, 7):
        parts = split(predictor, seen, targets, count)
        assert torch.allclose(target_gradient(seen, parts), target_gradient(seen, whole), atol=1e-13)
        slopes = [directional(seen, vector, [batch for batch, _ in each], "forward-mode") for each in (parts, whole)]
        assert torch.allclose(*slopes, atol=1e-12)


@pytest.mark.parametrize("solver", [*EXACT.values(), LiSSA(depth=40)], ids=[*EXACT, "lissa"])
def test_no_answer_holds_a_graph(system, solver):
    predictor, seen, targets = system
    curvature = Curvature(seen, split(predictor, seen, targets, 2), 1.0)
    vector = target_gradient(seen, curvature.batches)
    product, answer = curvature @ vector, solver(curvature, vector).answer
    slopes = directional(seen, answer, [batch for batch, _ in curvature.batches], "forward-mode")
    assert not any(found.requires_grad or found.grad_fn for found in (vector, product, answer, slopes))
    assert not any(weight.requires_grad or weight.grad is not None for weight in predictor.parameters())


def test_a_product_leaves_nothing_behind(system):
    predictor, seen, targets = system
    curvature = Curvature(seen, split(predictor, seen, targets, 2), 1.0)
    kept: list[weakref.ref] = []
    predict = seen.predict

    def watched(params, inputs):
        outputs = predict(params, inputs)
        kept.append(weakref.ref(outputs))
        return outputs

    object.__setattr__(seen, "predict", watched)
    try:
        curvature @ target_gradient(seen, curvature.batches)
    finally:
        object.__setattr__(seen, "predict", predict)
    gc.collect()
    assert len(kept) >= 6 and not any(one() is not None for one in kept)


DRUGS = ["CC(=O)Oc1ccccc1C(=O)O", "CCO", "CN1C=NC2=C1C(=O)N(C)C(=O)N2C", "c1ccncc1"]


@pytest.fixture(scope="module")
def real() -> tuple[Predictor, ParameterView, torch.Tensor]:
    """A MoLFormer in float64 whose dropout is large, left in training mode, and a vector."""
    predictor = Predictor(Untrained("molsway-tiny")(), ["y"], ["regression"], dropout=0.5).double()
    predictor.backbone.set_dropout(0.5)
    generator = torch.Generator().manual_seed(0)
    for weight in predictor.parameters():
        weight.data += 0.02 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)  # no bias is zero
    predictor.train()
    assert not torch.equal(predictor(predictor.encode(DRUGS)), predictor(predictor.encode(DRUGS)))
    seen = drop_unused_weights(parameter_view(predictor, "all"), predictor.encode(DRUGS))
    vector = torch.randn(seen.d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return predictor, seen, vector / vector.norm()


def everything(seen: ParameterView, vector: torch.Tensor, inputs: dict) -> list[torch.Tensor]:
    """Slopes by both kinds of route, gradient and product of the curvature."""
    targets = torch.linspace(-1, 1, len(DRUGS), dtype=torch.float64)[:, None]
    ways = [
        DirectionalDerivative(seen, vector, 1e-5, "central"),
        DirectionalDerivative(seen, vector, 0.0, "forward-mode"),
    ]
    return [
        *(way(inputs) for way in ways),
        target_gradient(seen, [(inputs, targets)]),
        Curvature(seen, [(inputs, targets)], 0.1) @ vector,
    ]


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8, torch.bool], ids=str)
def test_the_type_of_the_mask_changes_nothing(real, dtype):
    predictor, seen, vector = real
    inputs = predictor.encode(DRUGS)
    other = inputs | {"attention_mask": inputs["attention_mask"].to(dtype)}
    for found, true in zip(everything(seen, vector, other), everything(seen, vector, inputs), strict=True):
        assert torch.equal(found, true)


def test_padding_changes_nothing(real):
    predictor, seen, vector = real
    inputs, padding = predictor.encode(DRUGS), predictor.backbone.tokenizer.pad_token_id
    wider = {
        "input_ids": torch.nn.functional.pad(inputs["input_ids"], (0, 9), value=padding),
        "attention_mask": torch.nn.functional.pad(inputs["attention_mask"], (0, 9)),
    }
    for found, true in zip(everything(seen, vector, wider), everything(seen, vector, inputs), strict=True):
        assert torch.allclose(found, true, rtol=1e-6, atol=1e-9)


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_the_kernels_of_the_products_change_rounding_only(real):
    predictor, seen, vector = real
    inputs = predictor.encode(DRUGS)
    single = dataclasses.replace(seen, params={name: value.float() for name, value in seen.params.items()})
    found = []
    for enabled in (True, False):
        with torch.backends.mkldnn.flags(enabled=enabled):
            found.append(DirectionalDerivative(single, vector.float(), 0.0, "forward-mode")(inputs))
    true = DirectionalDerivative(seen, vector, 0.0, "forward-mode")(inputs)
    assert all(torch.allclose(slopes.double(), true, rtol=1e-3, atol=1e-5) for slopes in found)


def test_dropout_is_off_though_the_predictor_was_left_in_training_mode(real):
    predictor, seen, vector = real
    assert not any(module.training for module in predictor.modules())
    inputs = predictor.encode(DRUGS)
    first, second = (everything(seen, vector, inputs) for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
    predictor.train()
    again = drop_unused_weights(
        parameter_view(predictor, "all"), inputs
    )  # whoever takes a view has it in evaluation mode
    assert all(torch.equal(*pair) for pair in zip(everything(again, vector, inputs), first, strict=True))
