"""Every method moves what it says, and nothing else."""

from typing import Any

import pytest
import torch

from core.backbones import Untrained
from core.methods import METHODS
from core.predictor import Predictor

TRAINABLE = {  # of molformer-xl under one head
    "full": 44_670_721,
    "head": 295_681,
    "lora": 295_681 + 589_824,
}
UNSTIRRED = {"lora": ".lora_A."}  # begins to get a gradient when its partner, 0 at first, has moved


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.kind)
def test_what_moves_gets_a_gradient_and_the_rest_stays(method: Any) -> None:
    predictor = Predictor(Untrained("molsway-tiny")(), ["y"], ["regression"])
    before = predictor.predict(["CCO", "c1ccccc1"])
    method()(predictor)
    assert (predictor.predict(["CCO", "c1ccccc1"]) == before).all()  # nothing has changed yet, to the bit
    smiles = ["CCO", "c1ccccc1O", "CC(=O)N", "ClCCBr"]
    predictor.train()
    frozen = {name: weight.clone() for name, weight in predictor.named_parameters() if not weight.requires_grad}
    optimiser = torch.optim.SGD([weight for weight in predictor.parameters() if weight.requires_grad], 0.1)
    for step in range(2):
        optimiser.zero_grad()
        predictor.loss(predictor(predictor.encode(smiles)), torch.tensor([[1.0], [2.0], [-1.0], [0.5]])).backward()
        for name, weight in predictor.named_parameters():
            assert (weight.grad is not None) == weight.requires_grad, name
            still = step == 0 and UNSTIRRED.get(method.kind, "nothing") in name
            assert not weight.requires_grad or still or weight.grad.abs().sum() > 0, name
        optimiser.step()
    for name, value in frozen.items():
        assert torch.equal(value, predictor.get_parameter(name)), name


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.kind)
def test_trainable_parameters_are_as_the_formula_says(method: Any) -> None:
    with torch.device("meta"):
        predictor = Predictor(Untrained("molformer-xl")(), ["y"], ["regression"])
    method()(predictor)
    assert sum(weight.numel() for weight in predictor.parameters() if weight.requires_grad) == TRAINABLE[method.kind]
