"""A predictor that has learned something, and molecules it has not seen: what solving and scoring are measured on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from core.influence.view import Batches, View
    from core.models.predictor import Predictor

RATE = 1e-4  # of a short training: a curvature is of a model that has learned something


@dataclass(frozen=True, eq=False)
class Trained:
    """A predictor over all the weights it uses; of each part the batches: inputs and scaled labels (b, 1)."""

    predictor: "Predictor"
    seen: "View"
    train: "Batches"
    target: "Batches"
    pool: "Batches"
    smiles: list[str]  # of the pool


def trained(backbone: Any, train: int, target: int, pool: int, batch: int, steps: int) -> Trained:
    """Drug molecules that come with the installation, so many of each part, their logP learned in `steps` steps.

    `backbone`: a member of that family.
    """
    import torch

    from core.bench.speed import molecules
    from core.chem import descriptors
    from core.influence.view import used, view
    from core.models.devices import best_device
    from core.models.predictor import Predictor

    smiles = molecules(train + target + pool)
    place = descriptors.names().index("MolLogP")
    values = descriptors.measured(smiles)[:, place : place + 1].astype(float)
    predictor = Predictor(backbone(), ["logP"], ["regression"], dropout=0.0).to(best_device())
    predictor.backbone.thin(0.0)
    predictor.fit_scaler(values[:train])
    targets = predictor.scaled(values)
    optimiser = torch.optim.AdamW(predictor.requires_grad_(True).parameters(), lr=RATE)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        rows = torch.randperm(train, generator=generator)[:batch].tolist()
        optimiser.zero_grad()
        predictor.loss(predictor(predictor.encode([smiles[row] for row in rows])), targets[rows]).backward()
        optimiser.step()
    whole = view(predictor, "all")

    def batches(first: int, count: int) -> "Batches":
        starts = range(first, first + count, batch)
        parts = [slice(start, min(start + batch, first + count)) for start in starts]
        return [(whole.inputs(predictor.encode(smiles[part])), targets[part]) for part in parts]

    parts = [batches(first, count) for first, count in ((0, train), (train, target), (train + target, pool))]
    return Trained(predictor, used(whole, parts[0][0][0]), *parts, smiles[train + target :])


def rates(seen: "View", slopes: Any, batches: "Batches", bases: "list[Tensor] | None" = None) -> "Tensor":
    """How fast the loss of each molecule (n,) changes along the vector of `slopes`: its influence, but for the sign.

    `bases`: what is predicted of the batches, where it is known.
    """
    import torch

    from core.influence.view import bends

    found = []
    for (inputs, targets), outputs in zip(batches, bases or predicted(seen, batches), strict=True):
        found.append((bends(outputs, targets, seen.binary)[0] * slopes(inputs, outputs)).sum(1))
    return torch.cat(found).double().cpu()


def predicted(seen: "View", batches: "Batches") -> "list[Tensor]":
    """The scaled outputs (b, 1) of each batch."""
    import torch

    with torch.no_grad():
        return [seen.predict(seen.params, inputs) for inputs, _ in batches]
