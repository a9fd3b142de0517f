"""The benchmark `graphs`: every measurement is made, and both loops train the same network."""

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from core.bench import graphs
from core.models.backbones import Gnn
from core.models.backbones.gnn.featurize import get_graphs
from core.models.predictor import Predictor


def test_graphs_and_both_loops_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOLECULES", 24)
    monkeypatch.setattr(graphs, "BATCH", 8)
    monkeypatch.setattr(graphs, "REPEATS", 1)
    threads = torch.get_num_threads()
    rates = graphs.run()
    assert 100_000 < rates["weights"] < 180_000 and torch.get_num_threads() == threads
    assert rates["graphs a CPU-second"] > 0 and rates["molecules a CPU-second, training"] > 0
    assert rates["times a plain loop"] > 0


def test_the_plain_loop_has_the_same_embeddings_and_gradients() -> None:
    """Embeddings and gradients from lists of bonds equal those from our batches."""
    smiles = ["CCO", "c1ccccc1O", "[Na+].[Cl-]"]
    predictor = Predictor(Gnn()(), ["y"], ["regression"]).eval()
    model = predictor.backbone.model
    batch = next(iter(DataLoader(graphs.as_geometric_data(get_graphs(smiles), np.zeros((3, 1))), 3)))
    theirs, ours = graphs.reference_forward(model)(batch), predictor.backbone.embed(predictor.backbone.batch(smiles))
    torch.testing.assert_close(theirs, ours)
    weights = dict(model.named_parameters())
    gradients = [torch.autograd.grad(out.square().sum(), list(weights.values())) for out in (theirs, ours)]
    for name, first, second in zip(weights, *gradients, strict=True):
        torch.testing.assert_close(first, second, msg=name, rtol=1e-4, atol=1e-5 * float(first.abs().max()))
        assert first.any(), name
