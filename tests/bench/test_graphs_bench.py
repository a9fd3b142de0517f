"""The benchmark of graphs: what it measures is there, and both loops train the same network."""

import numpy as np
import pytest
import torch

from core.backbones import Gnn
from core.backbones.graphs import graph
from core.bench import graphs
from core.predictor import Predictor


def test_graphs_and_both_loops_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOLECULES", 24)
    monkeypatch.setattr(graphs, "BATCH", 8)
    monkeypatch.setattr(graphs, "REPEATS", 1)
    threads = torch.get_num_threads()
    found = graphs.run()
    assert 100_000 < found["weights"] < 180_000 and torch.get_num_threads() == threads
    assert found["graphs a CPU-second"] > 0 and found["molecules a CPU-second, training"] > 0
    assert found["times a plain loop"] > 0


def test_the_plain_loop_reads_what_ours_reads() -> None:
    """The flat arrays of a plain loop give the embedding that our batches give."""
    from torch_geometric.data import Batch, Data

    smiles = ["CCO", "c1ccccc1O", "[Na+].[Cl-]"]
    predictor = Predictor(Gnn()(), ["y"], ["regression"]).eval()
    made = [graph(one) for one in smiles]
    batch = Batch.from_data_list(
        [Data(x=torch.tensor(one.atoms), edge_index=torch.tensor(one.ends), num_nodes=len(one)) for one in made]
    )
    given = {"atoms": batch.x, "ends": batch.edge_index, "molecule": batch.batch}
    given |= {
        name: torch.tensor(np.concatenate([getattr(one, name) for one in made]))
        for name in ("bonds", "walks", "vectors")
    }
    given["values"] = torch.cat([torch.tensor(one.values).expand(one.vectors.shape) for one in made])
    with torch.no_grad():
        torch.testing.assert_close(
            predictor.backbone.model.flat(given, 3), predictor.backbone.embed(predictor.backbone.batch(smiles))
        )
