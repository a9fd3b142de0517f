"""Gradual unfreezing: layers are trained one after another from the top."""

import numpy as np
import pytest
import torch

from core.engine.report import SILENT_REPORT
from core.models.backbones import Gnn, Untrained
from core.models.methods import Gradual
from core.models.predictor import Predictor
from core.training.cuda_graphs import TrainStep
from core.training.loop import train
from core.training.optimisation import Plan

SMILES = ["C" * n + end for n in range(1, 9) for end in ("", "O")]
STARTS = {"gnn": Gnn(width=8, depth=3, walk=4, eigenvectors=2), "transformer": Untrained("molsway-tiny")}


@pytest.mark.parametrize("name", STARTS)
def test_lower_layers_start_later(name: str) -> None:
    predictor = Predictor(STARTS[name](), ["y"], ["regression"])
    begins = Gradual(unfrozen_by=0.6).first_steps(predictor)
    shares = {
        weight: next(share for start, share in begins if weight.startswith(start))
        for weight, _ in predictor.named_parameters()
    }
    assert {share for weight, share in shares.items() if weight.startswith("head.")} == {0.0}
    layers = predictor.backbone.layers
    by_layer = []
    for layer in layers:
        weights = {id(weight) for weight in layer.parameters()}
        (share,) = {shares[weight] for weight, value in predictor.named_parameters() if id(value) in weights}
        by_layer.append(share)
    assert by_layer == sorted(by_layer, reverse=True) and len(set(by_layer)) == len(layers)
    after = {id(weight) for weight in predictor.backbone.final_modules.parameters()}
    assert {shares[weight] for weight, value in predictor.named_parameters() if id(value) in after} <= {by_layer[-1]}
    assert max(shares.values()) == 0.6 > by_layer[0]


def test_weights_are_frozen_until_their_start() -> None:
    predictor = Predictor(STARTS["gnn"](), ["y"], ["regression"])
    Gradual(unfrozen_by=1.0)(predictor)
    before = {weight: value.detach().clone() for weight, value in predictor.named_parameters()}
    labels = torch.arange(float(len(SMILES)))[:, None] / 8 - 1

    def build_batch(rows: np.ndarray, variant_index: np.ndarray, step: int) -> dict[str, torch.Tensor]:
        return predictor.encode([SMILES[row] for row in rows]) | {"targets": labels[rows]}

    train_step = TrainStep(
        build_batch, lambda batch: predictor.loss(predictor(batch), batch["targets"]), is_steady=False
    )
    plan = Plan(
        epochs=1, steps=8, evaluations=1, batch_size=16, learning_rate=1e-2, weight_decay=0.1, warmup=0.0, clip=1.0,
        patience=0, precision="float32", seed=0, start_shares=Gradual(unfrozen_by=1.0).first_steps(predictor),
    )  # fmt: skip
    lengths = predictor.backbone.lengths(SMILES)[:, None]
    train(predictor, lengths, train_step, lambda: {"valid_loss": 0.0}, plan, SILENT_REPORT)
    moved = {weight for weight, value in predictor.named_parameters() if not torch.equal(value, before[weight])}
    assert any(weight.startswith("head.") for weight in moved)
    assert any(weight.startswith("backbone.model.layers.2") for weight in moved)
    assert not any(weight.startswith(("backbone.model.atoms", "backbone.model.walks")) for weight in moved)
