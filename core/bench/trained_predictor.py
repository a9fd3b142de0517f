"""A predictor that has learned something, and molecules it has not seen: what solving and scoring are measured on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from core.influence.view import Batches, ParameterView
    from core.models.predictor import Predictor

RATE = 1e-4  # of a short training: a curvature is of a model that has learned something


@dataclass(frozen=True, eq=False)
class TrainedPredictor:
    """A predictor over all the weights it uses; of each part the batches: inputs and scaled labels (b, 1)."""

    predictor: "Predictor"
    view: "ParameterView"
    train: "Batches"
    target: "Batches"
    pool: "Batches"
    smiles: list[str]  # of the pool


def train_predictor(backbone: Any, train: int, target: int, pool: int, batch: int, steps: int) -> TrainedPredictor:
    """Drug molecules that come with the installation, so many of each part, their logP learned in `steps` steps.

    `backbone`: a member of that family.
    """
    import torch

    from core.bench.timing import drug_molecules
    from core.chem import descriptors
    from core.influence.view import drop_unused_weights, parameter_view
    from core.models.devices import best_device
    from core.models.predictor import Predictor

    smiles = drug_molecules(train + target + pool)
    place = descriptors.descriptor_names().index("MolLogP")
    values = descriptors.compute_descriptors(smiles)[:, place : place + 1].astype(float)
    predictor = Predictor(backbone(), ["logP"], ["regression"], dropout=0.0).to(best_device())
    predictor.backbone.set_dropout(0.0)
    predictor.fit_scaler(values[:train])
    targets = predictor.scale_labels(values)
    optimiser = torch.optim.AdamW(predictor.requires_grad_(True).parameters(), lr=RATE)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        rows = torch.randperm(train, generator=generator)[:batch].tolist()
        optimiser.zero_grad()
        predictor.loss(predictor(predictor.encode([smiles[row] for row in rows])), targets[rows]).backward()
        optimiser.step()
    whole = parameter_view(predictor, "all")

    def batches(first: int, count: int) -> "Batches":
        starts = range(first, first + count, batch)
        parts = [slice(start, min(start + batch, first + count)) for start in starts]
        return [(whole.inputs(predictor.encode(smiles[part])), targets[part]) for part in parts]

    parts = [batches(first, count) for first, count in ((0, train), (train, target), (train + target, pool))]
    return TrainedPredictor(predictor, drop_unused_weights(whole, parts[0][0][0]), *parts, smiles[train + target :])


def loss_rates(seen: "ParameterView", slopes: Any, batches: "Batches", bases: "list[Tensor] | None" = None) -> "Tensor":
    """How fast the loss of each molecule (n,) changes along the vector of `slopes`: its influence, but for the sign.

    `bases`: what is predicted of the batches, where it is known.
    """
    import torch

    from core.influence.view import loss_derivatives

    found = []
    for (inputs, targets), outputs in zip(batches, bases or predict_batches(seen, batches), strict=True):
        found.append((loss_derivatives(outputs, targets, seen.binary)[0] * slopes(inputs, outputs)).sum(1))
    return torch.cat(found).double().cpu()


def predict_batches(seen: "ParameterView", batches: "Batches") -> "list[Tensor]":
    """The scaled outputs (b, 1) of each batch."""
    import torch

    with torch.no_grad():
        return [seen.predict(seen.params, inputs) for inputs, _ in batches]
