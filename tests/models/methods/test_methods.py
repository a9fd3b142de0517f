"""Every method on every backbone: trainable weights, saving, merging, errors."""

import functools
from pathlib import Path
from typing import Any

import pytest
import torch

from core.engine.spec import BadInput, to_json
from core.models import backbones
from core.models.backbones import Pretrained, Untrained
from core.models.method_check import apply_and_check
from core.models.methods import IA3, METHODS, OFT, FourierFT, LastLayers, peft_adapters
from core.models.predictor import Predictor

SMILES = ["CCO", "c1ccccc1O", "CC(=O)N", "ClCCBr"]
HEAD = 295_681  # of molformer-xl, one task
TRAINABLE = {  # trainable weights of molformer-xl, computed by hand for default settings
    "full": 44_375_040,
    "gradual": 44_375_040,
    "last-layers": 2 * 3_546_624 + 1_536,
    "lora": 589_824,
    "dora": 589_824 + 4 * 12 * 768,
    "ia3": 27_648,
    "bitfit": 74_496,
    "ln-tuning": 25 * 2 * 768,
    "vera": 4 * 12 * (256 + 768),
    "oft": 4 * 12 * 48 * 120,
    "fourierft": 4 * 12 * 256,
    "miss": 4 * 12 * 8 * 768,
    "head": 0,
}
BACKBONES = {
    "random": lambda: Untrained("molsway-tiny")(),
    "pre-trained": lambda: Pretrained("molsway-mini")(),
    "odd widths": lambda: backbones.load_backbone(odd()),
}
grid = pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.kind)
on_each = pytest.mark.parametrize("name", BACKBONES)


@functools.cache
def odd() -> Path:
    """A saved backbone whose feed-forward width differs from its hidden width."""
    from tempfile import mkdtemp

    from core.models.backbones.molformer.untrained import UntrainedMolformer
    from core.models.backbones.molformer.vocabulary import FIXED_VOCABULARY

    folder = Path(mkdtemp(prefix="molsway-test-"))
    UntrainedMolformer(name="odd", width=32, depth=2, heads=2, inner=80, features=8)(FIXED_VOCABULARY).save(folder)
    return folder


def predictor_of(name: str) -> Predictor:
    return Predictor(BACKBONES[name](), ["y"], ["regression"])


def perturbed_predictor(method: Any, name: str) -> Predictor:
    """A predictor with randomly changed trainable weights."""
    predictor = predictor_of(name)
    apply_and_check(method, predictor, SMILES)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in predictor.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.02)
    return predictor


@grid
@on_each
def test_trainable_weights_get_gradients_and_others_stay(method: Any, name: str) -> None:
    predictor = predictor_of(name)
    before = predictor.predict(SMILES)
    proof = apply_and_check(method(), predictor, SMILES)
    assert (predictor.predict(SMILES) == before).all()  # nothing has changed yet, to the bit
    predictor.train()
    frozen = {name: weight.clone() for name, weight in predictor.named_parameters() if not weight.requires_grad}
    optimiser = torch.optim.SGD([weight for weight in predictor.parameters() if weight.requires_grad], 0.01)
    for _ in range(2):
        optimiser.zero_grad()
        predictor.loss(predictor(predictor.encode(SMILES)), torch.tensor([[1.0], [2.0], [-1.0], [0.5]])).backward()
        for path, weight in predictor.named_parameters():
            assert (weight.grad is not None) == weight.requires_grad, path
        optimiser.step()
    for path, value in frozen.items():
        assert torch.equal(value, predictor.get_parameter(path)), path
    assert proof.check(predictor)["trainable"] == sum(w.numel() for w in predictor.parameters() if w.requires_grad)


@grid
def test_trainable_weights_match_the_formula(method: Any) -> None:
    with torch.device("meta"):
        predictor = Predictor(Untrained("molformer-xl")(), ["y"], ["regression"])
    expected = method().count_trainable(predictor.backbone)
    method()(predictor)
    moving = {name: weight.numel() for name, weight in predictor.named_parameters() if weight.requires_grad}
    assert sum(moving.values()) == HEAD + expected


@pytest.mark.parametrize("kind", TRAINABLE)
def test_formulas_match_counts_by_hand(kind: str) -> None:
    with torch.device("meta"):
        backbone = Untrained("molformer-xl")()
    assert METHODS[kind]().count_trainable(backbone) == TRAINABLE[kind]


@grid
@on_each
def test_save_and_load_are_bit_exact(method: Any, name: str, tmp_path: Path) -> None:
    predictor = perturbed_predictor(method(), name)
    expected = predictor.predict(SMILES)
    predictor.save(tmp_path / "once")
    again = Predictor.load(tmp_path / "once", "cpu")
    assert (again.predict(SMILES) == expected).all()
    moving = {path for path, weight in predictor.named_parameters() if weight.requires_grad}
    assert {path for path, weight in again.named_parameters() if weight.requires_grad} == moving
    again.save(tmp_path / "twice")
    assert (Predictor.load(tmp_path / "twice", "cpu").predict(SMILES) == expected).all()


@grid
@on_each
def test_merging_keeps_the_embeddings(method: Any, name: str) -> None:
    predictor = perturbed_predictor(method(), name)
    plain = predictor_of(name).backbone
    batch = predictor.encode(SMILES)
    with torch.no_grad():
        here, before = predictor.backbone.embed(batch), plain.embed(batch)
        merged = peft_adapters.copy_with_adapter_merged(predictor.backbone)
        there = merged.embed(batch)
    assert merged.state_dict().keys() == plain.state_dict().keys()
    assert torch.allclose(here, there, atol=2e-5, rtol=1e-4)
    if method.kind != "head":
        assert not torch.allclose(here, before, atol=1e-4)
    assert torch.equal(predictor.backbone.embed(batch), here)  # the original is unchanged


@grid
@on_each
def test_removing_an_adapter_restores_the_backbone(method: Any, name: str) -> None:
    predictor = perturbed_predictor(method(), name)
    if predictor.adapter is None:
        assert not peft_adapters.adapter_weights(predictor.backbone)
        return
    plain, removed = (
        predictor_of(name).backbone.state_dict(),
        peft_adapters.copy_without_adapter(predictor.backbone).state_dict(),
    )
    assert removed.keys() == plain.keys() and all(torch.equal(removed[path], plain[path]) for path in plain)
    assert sum(
        value.numel() for value in peft_adapters.adapter_weights(predictor.backbone).values()
    ) >= method().count_trainable(peft_adapters.copy_without_adapter(predictor.backbone))


def test_too_many_layers_are_refused() -> None:
    with pytest.raises(BadInput, match=r"at most 3 layers of molsway-tiny .*, got 4"):
        LastLayers(layers=4)(predictor_of("random"))


def test_invalid_blocks_and_coefficients_are_refused() -> None:
    with pytest.raises(BadInput, match=r"blocks of 24 inputs, .* a matrix with 128"):
        OFT(block=24)(predictor_of("random"))
    with pytest.raises(BadInput, match="at most 16384 coefficients"):
        FourierFT(coefficients=20_000)(predictor_of("random"))


def test_missing_target_modules_are_refused() -> None:
    predictor = predictor_of("random")
    predictor.backbone.target_patterns = {"convolution": "conv"}
    with pytest.raises(BadInput, match="has no 'key', 'value', 'feed-forward out'; it has 'convolution'"):
        IA3()(predictor)


@pytest.mark.parametrize("wrong", ["biffit", "LORA", "", None, 3, {"kind": "lora", "ranks": 8}])
def test_an_unknown_method_or_setting_is_refused(wrong: Any) -> None:
    with pytest.raises(BadInput):
        METHODS.read(wrong)


@grid
def test_methods_round_trip_through_json(method: Any) -> None:
    assert METHODS.read(to_json(method())) == method()
