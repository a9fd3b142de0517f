"""The check of methods finds faulty ones."""

from typing import Any, ClassVar

import pytest
import torch

from core.models.backbones import Untrained
from core.models.method_check import MethodCheckFailed, apply_and_check
from core.models.methods import IA3, BitFit, Full, Head, LoRA
from core.models.predictor import Predictor

SMILES = ["CCO", "c1ccccc1O", "CC(=O)N", "ClCCBr", "CCN", "CCCl"]


def predictor() -> Predictor:
    return Predictor(Untrained("molsway-tiny")(), ["y", "z"], ["regression", "binary"])


class Faulty:
    """A method with a fault, applied after it or in its place."""

    name: ClassVar[str] = "faulty"

    def __init__(self, method: Any, fault: Any) -> None:
        self.method, self.fault = method, fault

    def count_trainable(self, backbone: Any) -> int:
        return self.method.count_trainable(backbone)

    def __call__(self, predictor: Predictor) -> None:
        self.method(predictor)
        self.fault(predictor)


def freeze_the_vectors(predictor: Predictor) -> None:
    for name, weight in predictor.backbone.named_parameters():
        if "ia3_l" in name:
            weight.requires_grad_(False)


def freeze_the_head(predictor: Predictor) -> None:
    predictor.head.requires_grad_(False)


def scale_a_vector(predictor: Predictor) -> None:
    with torch.no_grad():
        next(w for name, w in predictor.backbone.named_parameters() if "ia3_l" in name).mul_(1.001)


def detach_the_embedding(predictor: Predictor) -> None:
    embed = predictor.backbone.embed
    predictor.backbone.embed = lambda batch: embed(batch).detach()


def one_too_many(predictor: Predictor) -> None:
    next(predictor.backbone.parameters()).requires_grad_(True)


@pytest.mark.parametrize(
    ("method", "fault", "message"),
    [
        (IA3(), freeze_the_vectors, "0 weights of the backbone are trainable, its formula says 1,536"),
        (BitFit(), one_too_many, "weights of the backbone are trainable, its formula says"),
        (Head(), freeze_the_head, "the head is not fully trainable"),
        (IA3(), scale_a_vector, "embeddings changed by up to .* before the first step"),
        (LoRA(), detach_the_embedding, "24 trainable tensors get no gradient"),
        (Full(), detach_the_embedding, "get no gradient"),
    ],
    ids=["frozen (IA)³", "a weight too many", "frozen head", "changed at once", "no gradient", "no gradient, full"],
)
def test_faulty_methods_are_found(method: Any, fault: Any, message: str) -> None:
    with pytest.raises(MethodCheckFailed, match=message):
        apply_and_check(Faulty(method, fault), predictor(), SMILES)


@pytest.mark.parametrize("method", [Full(), LoRA(), IA3()], ids=lambda method: method.kind)
def test_checking_does_not_change_the_predictor(method: Any) -> None:
    checked, plain = predictor(), predictor()
    for model, apply in ((plain, method), (checked, lambda p: apply_and_check(method, p, SMILES))):
        torch.manual_seed(3)
        apply(model)
    assert checked.state_dict().keys() == plain.state_dict().keys()
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in checked.state_dict().items())
    assert all(weight.grad is None for weight in checked.parameters())


def test_a_changed_frozen_weight_is_found() -> None:
    model = predictor()
    check = apply_and_check(LoRA(), model, SMILES)
    assert check.check(model)["tensors_with_gradient"] == 24 + 4
    with torch.no_grad():
        model.get_parameter("backbone.model.LayerNorm.weight")[0] += 1e-6
    with pytest.raises(
        MethodCheckFailed,
        match=r"1 frozen tensors have changed in training, the first is 'backbone.model.LayerNorm.weight'",
    ):
        check.check(model)


def test_a_redrawn_feature_map_is_found() -> None:
    model = predictor()
    check = apply_and_check(Full(), model, SMILES)
    model.backbone.model.draw_features(torch.Generator().manual_seed(9))
    with pytest.raises(MethodCheckFailed, match="3 frozen tensors have changed"):
        check.check(model)
