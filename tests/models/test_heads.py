"""Heads over a shared backbone: masked losses against loops, scalers, bins, absent tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from core.data.dataset import Dataset
from core.engine.spec import BadInput
from core.models.heads import Head, HeadBatch, Heads, load_heads
from core.results.mixture import LEFT_OUT, MixtureParts, TaskSettings


class Mean(nn.Module):
    """A backbone that embeds a molecule as counts of its letters."""

    width, name, reads_atoms = 4, "mean", False

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(3, 4).double()

    def batch(self, smiles: list[str]) -> torch.Tensor:
        return torch.tensor([[float(one.count(letter)) for letter in "CON"] for one in smiles]).double()

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.net(batch))


def tables(name: str, targets: np.ndarray, **settings: object) -> MixtureParts:
    smiles = ["C" * n for n in range(1, len(targets) + 1)]
    table = Dataset(smiles, targets, tuple(f"{name}{k}" for k in range(targets.shape[1])))
    return MixtureParts(dict.fromkeys(("train", "valid", "test"), table), TaskSettings(name, **settings),
                  pd.DataFrame(columns=list(LEFT_OUT)))  # fmt: skip


def heads(*members: MixtureParts, weighting: str = "equal") -> Heads:
    model = Heads(Mean(), members, weighting, dropout=0.0)
    for head in model.heads:
        head.net.double()
    for head, one in zip(model.heads, members, strict=True):
        head.fit_scaler(one.parts["train"].targets)
    return model


LABELS = np.array([[0.5, np.nan], [2.0, 1.0], [np.nan, 3.0], [4.0, 5.0], [1.0, np.nan]])
FLAGS = np.array([[0.0], [1.0], [np.nan], [1.0], [0.0]])


@pytest.mark.parametrize("loss", ["mae", "mse", "huber"])
def test_masked_losses_match_a_loop_over_measured_cells(loss: str) -> None:
    model = heads(tables("a", LABELS, loss=loss), tables("b", FLAGS))
    embedded = model.embed(["C", "CC", "CO", "N", "CCN"])
    batches = [
        HeadBatch(torch.arange(5), head.scale_labels(values))
        for head, values in zip(model.heads, (LABELS, FLAGS), strict=True)
    ]
    losses = model.losses(embedded, batches)
    cells = []
    outputs = model.heads[0](embedded[0])
    for row, column in zip(*np.nonzero(~np.isnan(LABELS)), strict=True):
        centre, spread = np.nanmean(LABELS[:, column]), np.nanstd(LABELS[:, column])
        apart = outputs[row, column].item() - (LABELS[row, column] - centre) / spread
        huber = 0.5 * apart**2 if abs(apart) < 1 else abs(apart) - 0.5
        cells.append({"mae": abs(apart), "mse": apart**2, "huber": huber}[loss])
    assert losses[0].item() == pytest.approx(np.mean(cells))
    logits = model.heads[1](embedded[0])[:, 0].detach().numpy()
    chance = 1 / (1 + np.exp(-logits))
    present = ~np.isnan(FLAGS[:, 0])
    entropy = -np.where(FLAGS[:, 0] == 1, np.log(chance), np.log(1 - chance))[present].mean()
    assert losses[1].item() == pytest.approx(entropy)
    assert model.total(losses, embedded[0]).item() == pytest.approx((np.mean(cells) + entropy) / 2)


def test_a_table_absent_from_a_batch_gets_no_gradient() -> None:
    model = heads(tables("a", LABELS, loss="mse"), tables("b", FLAGS))
    none = torch.full((2, 1), torch.nan).double()
    for absent in (None, HeadBatch(torch.arange(2), none)):
        model.zero_grad()
        labels = model.heads[0].scale_labels(LABELS[[1, 3]])
        embedded = model.embed(["C", "CC"])
        losses = model.losses(embedded, [HeadBatch(torch.arange(2), labels), absent])
        assert losses[1] is None
        model.total(losses, embedded[0]).backward()
        assert all(weight.grad is None or not weight.grad.any() for weight in model.heads[1].parameters())
        assert all(weight.grad.any() for weight in model.heads[0].parameters())
    model.zero_grad()
    embedded = model.embed(["C", "CC"])
    nothing = model.total(model.losses(embedded, [None, None]), embedded[0])
    nothing.backward()
    assert nothing.item() == 0 and not any(w.grad is not None and w.grad.any() for w in model.parameters())


def test_a_missing_label_gives_no_gradient() -> None:
    model = heads(tables("a", LABELS))
    labels = model.heads[0].scale_labels(np.array([[1.0, np.nan], [2.0, np.nan]]))
    embedded = model.embed(["C", "N"])
    model.total(model.losses(embedded, [HeadBatch(torch.arange(2), labels)]), embedded[0]).backward()
    last = model.heads[0].net[-1]
    assert last.weight.grad[0].any() and not last.weight.grad[1].any() and not last.bias.grad[1]
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters() if weight.grad is not None)


@pytest.mark.parametrize(
    ("weighting", "wanted"), [("equal", [1 / 3, 2 / 3]), ("count", [7 / 15, 8 / 15]), ("learned", [1 / 3, 2 / 3])]
)
def test_table_weights(weighting: str, wanted: list[float]) -> None:
    model = heads(tables("a", LABELS), tables("b", FLAGS, weight=2.0), weighting=weighting)
    assert model.weights.tolist() == pytest.approx(wanted)
    if weighting == "learned":
        one, other = torch.tensor(2.0).double(), torch.tensor(3.0).double()
        model.variances.data = torch.tensor([0.0, 1.0]).double()
        assert model.total([one, other], torch.zeros(1)).item() == pytest.approx(2 / 3 + (3 * np.exp(-1) + 1) * 2 / 3)


@pytest.mark.parametrize("scaler", ["standard", "robust", "none"])
def test_label_scaling_is_invertible(scaler: str) -> None:
    head = Head(TaskSettings("a", loss="mse", scaler=scaler), ("x", "y"), ("regression", "regression"), 4, 0.0)
    values = np.concatenate([LABELS, [[800.0, 2.0]]])
    head.fit_scaler(values)
    assert np.allclose(head.to_label_units(head.scale_labels(values)).numpy(), values, equal_nan=True, atol=1e-4)
    measured = values[~np.isnan(values[:, 0]), 0]
    low, high = np.quantile(measured, [0.25, 0.75])
    wanted = {"standard": measured.std(), "robust": (high - low) / 1.349, "none": 1.0}[scaler]
    assert float(head.spread[0]) == pytest.approx(wanted)
    assert float(head.deviation[0]) == pytest.approx(measured.std()), "deviations do not depend on the scaler"


def test_binned_predictions_are_means_over_bins() -> None:
    head = Head(TaskSettings("a", loss="binned", bins=4), ("x",), ("regression",), 4, 0.0).double()
    labels = np.arange(40.0)[:, None]
    head.fit_scaler(labels)
    outputs = torch.full((40, 1, 4), -50.0).double()
    outputs[torch.arange(40), 0, torch.arange(40) // 10] = 50.0
    assert float(head.cell_losses(outputs, head.scale_labels(labels)).max()) < 1e-9, "quantiles of ten labels each"
    predictions = head.to_label_units(outputs).numpy()[:, 0]
    assert predictions == pytest.approx(np.repeat([4.5, 14.5, 24.5, 34.5], 10))
    even = torch.zeros(1, 1, 4).double()
    assert float(head.to_label_units(even)) == pytest.approx(19.5)
    assert float(head.cell_losses(even, head.scale_labels(np.array([[3.0]])))) == pytest.approx(np.log(4))
    assert float(head.cell_losses(even, head.scale_labels(np.array([[np.nan]])))) == 0


def test_a_task_without_two_different_labels_is_refused() -> None:
    head = Head(TaskSettings("mine"), ("x",), ("regression",), 4, 0.0)
    for values in ([[1.0], [1.0]], [[np.nan], [2.0]]):
        with pytest.raises(BadInput, match=r"mine: the training part has . labels of 'x', all equal"):
            head.fit_scaler(np.array(values))


def test_atom_labels_need_a_graph_backbone() -> None:
    with pytest.raises(BadInput, match="mean reads tokens; use a gnn"):
        heads(tables("a", LABELS, atoms="logP"))


def test_heads_save_and_load(tmp_path: Path) -> None:
    model = heads(tables("a", LABELS), tables("b", FLAGS, hidden=8), tables("c", LABELS, loss="binned", bins=2))
    for head in model.heads:
        head.net.float()
    model.save(tmp_path)
    again = load_heads(tmp_path, 4)
    embeddings = torch.randn(3, 4)
    for original, other in zip(model.heads, again, strict=True):
        assert torch.equal(original.to_label_units(original(embeddings)), other.to_label_units(other(embeddings)))
        assert original.learning == other.learning and original.tasks == other.tasks
