"""Molecular graphs: speed of their featurisation, and of training against a plain loop of `torch_geometric`.

Both train the same network with the same molecules, batch size and optimiser. One-time preparation is not counted.
Times are CPU-seconds, so that other programs do not count.
"""

import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from core.bench.timing import print_dot, time_in_turn

if TYPE_CHECKING:
    from torch import Tensor

    from core.models.backbones.gnn.featurize import Graph
    from core.models.backbones.gnn.model import Network

MOLECULES, BATCH, REPEATS = 1024, 64, 5
RATE = 1e-5  # learning rate; small, because only time is measured


def run() -> dict[str, Any]:
    """Molecules per CPU-second: featurised with both encodings, and in training a GINE; its ratio to a plain loop."""
    import torch

    from core.models.backbones import Gnn
    from core.models.backbones.gnn import featurize
    from core.training.loop import count_parameters

    smiles, targets = load_molecules()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        featurize.random_walks("CC", 16)  # imports are not timed
        seconds = []
        for _ in range(REPEATS):
            for cached in (featurize.atoms_and_bonds, featurize.random_walks, featurize.laplacian_eigenvectors):
                cached.cache_clear()
            seconds.append(time_work(lambda: featurize.build_graphs(smiles)))
            print_dot()
        molecule_graphs = featurize.get_graphs(smiles)
        loops = {"ours": lambda: time_ours(smiles, targets), "plain": lambda: time_plain_loop(molecule_graphs, targets)}
        medians = time_in_turn(loops, REPEATS)
        mixture_rate = time_mixture()
    finally:
        torch.set_num_threads(threads)
    return {
        "weights": count_parameters(Gnn()())["parameters"],
        "graphs a CPU-second": round(len(smiles) / statistics.median(seconds)),
        "molecules a CPU-second, training": round(len(smiles) / medians["ours"]),
        "times a plain loop": round(medians["plain"] / medians["ours"], 2),
        "molecules a CPU-second, a mixture": round(mixture_rate),
    }


def time_mixture() -> float:
    """Molecules per CPU-second of the training of a multitask model, validation included.

    The bundled tables: 2,024 molecules of 15 atoms, three heads. Timed is the difference between five epochs and one.
    """
    from core.engine.make import make
    from core.engine.report import Report
    from core.engine.store import Store
    from core.experiments.multitask.multitask import Multitask
    from core.experiments.presets.mixtures import bundled_mixture

    with TemporaryDirectory() as folder:
        store = Store(Path(folder))
        members = tuple(make(member, store, Report()) for member in bundled_mixture())

    def time_epochs(epochs: int) -> float:
        with TemporaryDirectory() as folder:
            spec = Multitask(bundled_mixture(), epochs=epochs)
            return time_work(lambda: spec.make(Report(scratch=Path(folder)), members))

    time_epochs(1)
    seconds = statistics.median(time_epochs(5) - time_epochs(1) for _ in range(REPEATS))
    return 4 * sum(len(member.parts["train"]) for member in members) / seconds


def load_molecules() -> tuple[list[str], np.ndarray]:
    """Bundled drug molecules and random labels (n, 1)."""
    from core.engine.report import SILENT_REPORT
    from core.experiments import Load

    smiles = [one for one in Load("bundled:drugs").make(SILENT_REPORT).smiles if 20 <= len(one) <= 100][:MOLECULES]
    return smiles, np.random.default_rng(1).normal(size=(len(smiles), 1))


def time_work(work: Callable[[], Any]) -> float:
    """CPU-seconds of a function."""
    began = time.process_time()
    work()
    return time.process_time() - began


def time_ours(smiles: list[str], targets: np.ndarray) -> float:
    """CPU-seconds of an epoch by the training loop of fine-tuning."""
    from core.bench.training import make_train_step
    from core.engine.report import SILENT_REPORT
    from core.models.backbones import Gnn
    from core.models.predictor import Predictor
    from core.training.loop import train
    from core.training.optimisation import Plan

    predictor = Predictor(Gnn()(), ["y"], ["regression"], dropout=0.0)
    predictor.backbone.set_dropout(0.0)
    lengths, train_step = predictor.backbone.lengths(smiles)[:, None], make_train_step(predictor, smiles, targets)
    plan = Plan(epochs=1, steps=None, evaluations=1, batch_size=BATCH, learning_rate=RATE, weight_decay=0.01,
                warmup=0.1, clip=1.0, patience=0, precision="float32", seed=0)  # fmt: skip
    return time_work(lambda: train(predictor, lengths, train_step, lambda: {"valid_loss": 0.0}, plan, SILENT_REPORT))


def time_plain_loop(molecule_graphs: list["Graph"], targets: np.ndarray) -> float:
    """CPU-seconds of an epoch of the same network in a plain loop: a `DataLoader`, a loss, an optimiser.

    Matrices are multiplied by torch's default library.
    """
    import torch
    from torch_geometric.loader import DataLoader

    from core.models.backbones import Gnn
    from core.models.matmul import default_backend
    from core.models.predictor import Predictor

    predictor = Predictor(Gnn()(), ["y"], ["regression"], dropout=0.0).train()
    forward = reference_forward(predictor.backbone.model)
    predictor.backbone.set_dropout(0.0)
    dataset = as_geometric_data(molecule_graphs, targets)
    optimiser = torch.optim.AdamW(predictor.parameters(), lr=RATE, fused=True)

    def epoch() -> None:
        for batch in DataLoader(dataset, BATCH, shuffle=True):
            predictor.loss(predictor.head(forward(batch)), batch.y).backward()
            torch.nn.utils.clip_grad_norm_(predictor.parameters(), 1.0, foreach=True)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    with default_backend():
        return time_work(epoch)


def reference_forward(model: "Network") -> Callable[[Any], "Tensor"]:
    """The same network (GINE, sum pooling) from layers of `torch_geometric`: embeddings of a `Batch` of its data."""
    import torch
    from torch_geometric.nn import GINEConv, global_add_pool

    convs = []
    for layer in model.layers:
        conv = GINEConv(copy.deepcopy(layer.conv.nn), train_eps=True, edge_dim=model.config.encoding_width)
        conv.nn, conv.lin, conv.eps = layer.conv.nn, layer.conv.lin, layer.conv.eps
        convs.append(conv)

    def forward(batch: Any) -> "Tensor":
        first, activation, second = model.spectrum
        spectral = activation(first(torch.stack([batch.vectors, batch.spectrum], 2)))
        positions = model.walks(batch.walks) + second((spectral * (batch.spectrum > 0)[..., None]).sum(1))
        atoms = model.atoms(torch.cat([batch.x, positions], 1))
        bonds = model.bonds(batch.edge_attr)
        for conv, layer in zip(convs, model.layers, strict=True):
            messages = conv(atoms, batch.edge_index, bonds)
            atoms = atoms + layer.drop(torch.nn.functional.gelu(layer.norm(messages)))
        return torch.nn.functional.gelu(model.out(global_add_pool(atoms, batch.batch, len(batch.y))))

    return forward


def as_geometric_data(molecule_graphs: list["Graph"], targets: np.ndarray) -> list[Any]:
    """The graphs as `Data` of `torch_geometric`, with features for each directed bond."""
    import torch
    from torch_geometric.data import Data

    return [
        Data(
            x=torch.tensor(graph.atoms), edge_index=torch.tensor(graph.ends),
            edge_attr=torch.tensor(graph.edge_features), walks=torch.tensor(graph.walks),
            vectors=torch.tensor(graph.vectors),
            spectrum=torch.tensor(graph.values).expand(graph.vectors.shape).clone(),
            y=torch.tensor(label)[None].float(),
        )
        for graph, label in zip(molecule_graphs, targets, strict=True)
    ]  # fmt: skip
