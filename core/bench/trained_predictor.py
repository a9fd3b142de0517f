"""A briefly trained predictor and molecules that it has not seen, for the benchmarks of solvers and scoring."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from core.influence.view import Batches, ParameterView
    from core.models.predictor import Predictor

RATE = 1e-4  # learning rate of a short training; an untrained model has another curvature


@dataclass(frozen=True, eq=False)
class TrainedPredictor:
    """A predictor, the view of all weights it uses, and the batches of each set: inputs and scaled labels (b, 1)."""

    predictor: "Predictor"
    view: "ParameterView"
    train: "Batches"
    target: "Batches"
    pool: "Batches"
    smiles: list[str]  # of the pool


def train_predictor(backbone: Any, train: int, target: int, pool: int, batch: int, steps: int) -> TrainedPredictor:
    """Train for `steps` steps on the logP of bundled drug molecules.

    `backbone`: a member of that family; `train`, `target`, `pool`: molecules of each set; `batch`: of a batch.
    """
    import torch

    from core.bench.timing import drug_molecules
    from core.chem import descriptors
    from core.influence.view import drop_unused_weights, parameter_view
    from core.models.devices import best_device
    from core.models.predictor import Predictor

    smiles = drug_molecules(train + target + pool)
    column = descriptors.descriptor_names().index("MolLogP")
    values = descriptors.compute_descriptors(smiles)[:, column : column + 1].astype(float)
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
    view = parameter_view(predictor, "all")

    def batches(first: int, count: int) -> "Batches":
        starts = range(first, first + count, batch)
        parts = [slice(start, min(start + batch, first + count)) for start in starts]
        return [(view.inputs(predictor.encode(smiles[part])), targets[part]) for part in parts]

    parts = [batches(first, count) for first, count in ((0, train), (train, target), (train + target, pool))]
    return TrainedPredictor(predictor, drop_unused_weights(view, parts[0][0][0]), *parts, smiles[train + target :])


def loss_rates(
    view: "ParameterView", derivative: Any, batches: "Batches", base_outputs: "list[Tensor] | None" = None
) -> "Tensor":
    """Derivative of the loss of each molecule (n,) along the vector of `derivative`: minus its influence.

    `base_outputs`: the predictions for the batches, if they are known.
    """
    import torch

    from core.influence.view import loss_derivatives

    rates = []
    for (inputs, targets), outputs in zip(batches, base_outputs or predict_batches(view, batches), strict=True):
        rates.append((loss_derivatives(outputs, targets, view.binary)[0] * derivative(inputs, outputs)).sum(1))
    return torch.cat(rates).double().cpu()


def predict_batches(view: "ParameterView", batches: "Batches") -> "list[Tensor]":
    """The scaled outputs (b, 1) of each batch."""
    import torch

    with torch.no_grad():
        return [view.predict(view.params, inputs) for inputs, _ in batches]
