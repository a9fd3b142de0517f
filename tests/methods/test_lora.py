"""LoRA: which matrices change, and that the change comes back from the disk."""

from pathlib import Path

import pytest
import torch

from core.backbones import Untrained
from core.methods import LoRA, adapters
from core.predictor import Predictor
from core.spec import BadInput

SMILES = ["CCO", "c1ccccc1", "CC(=O)Nc1ccc(O)cc1"]


def adapted(method: LoRA) -> Predictor:
    predictor = Predictor(Untrained("molsway-tiny")(), ["y"], ["regression"])
    method(predictor)
    with torch.no_grad():
        for name, weight in predictor.named_parameters():
            if ".lora_B." in name:
                weight.normal_(0, 0.5)
    return predictor


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("query", "attention.self.query"),
        ("attention output", "attention.output.dense"),
        ("feed-forward in", "intermediate.dense"),
        ("feed-forward out", "output.dense"),
    ],
)
def test_a_target_is_one_matrix_in_each_layer(target: str, place: str) -> None:
    found = adapters.weights(adapted(LoRA(rank=2, targets=(target,))).backbone)
    expected = {f"model.encoder.layer.{n}.{place}.lora_{m}.default.weight" for n in range(3) for m in "AB"}
    assert set(found) == expected


def test_saved_and_loaded_it_is_the_same_to_the_bit(tmp_path: Path) -> None:
    predictor = adapted(LoRA(rank=2, alpha=3))
    expected = predictor.predict(SMILES)
    predictor.save(tmp_path)
    again = Predictor.load(tmp_path, "cpu")
    assert (again.predict(SMILES) == expected).all() and again.adapter == LoRA(rank=2, alpha=3)
    moving = {name for name, weight in predictor.named_parameters() if weight.requires_grad}
    assert {name for name, weight in again.named_parameters() if weight.requires_grad} == moving
    again.save(tmp_path / "twice")
    assert (Predictor.load(tmp_path / "twice", "cpu").predict(SMILES) == expected).all()


def test_the_saved_backbone_is_the_one_it_began_from(tmp_path: Path) -> None:
    adapted(LoRA(rank=2)).save(tmp_path)
    plain = Predictor(Untrained("molsway-tiny")(), ["y"], ["regression"]).backbone.state_dict()
    from core import backbones

    kept = backbones.load(tmp_path / "backbone").state_dict()
    assert kept.keys() == plain.keys() and all(torch.equal(kept[name], plain[name]) for name in plain)


def test_no_target_is_refused() -> None:
    with pytest.raises(BadInput, match="targets"):
        LoRA(targets=())
    with pytest.raises(BadInput, match="targets"):
        LoRA(targets=("dense",))
