"""Graphs of molecules: how fast they are drawn, and a training of ours beside a plain loop of `torch_geometric`.

The same network, molecules, batch size and optimiser; what either prepares once is not counted, what it does in every
epoch is. Seconds are the processor's own, so that what else runs is not counted.
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
RATE = 1e-5  # small: what is measured is time


def run() -> dict[str, Any]:
    """Molecules a CPU-second: drawn as graphs with both encodings, read in training by GINE; ratio to a plain loop."""
    import torch

    from core.models.backbones import Gnn
    from core.models.backbones.gnn import featurize as drawn
    from core.training.loop import count_parameters

    smiles, targets = load_molecules()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        drawn.random_walks("CC", 16)  # what is imported once
        seconds = []
        for _ in range(REPEATS):
            for remembered in (drawn.atoms_and_bonds, drawn.random_walks, drawn.laplacian_eigenvectors):
                remembered.cache_clear()
            seconds.append(time_work(lambda: drawn.build_graphs(smiles)))
            print_dot()
        made = drawn.get_graphs(smiles)
        ways = {"ours": lambda: time_ours(smiles, targets), "plain": lambda: time_plain_loop(made, targets)}
        middle = time_in_turn(ways, REPEATS)
        together = time_mixture()
    finally:
        torch.set_num_threads(threads)
    return {
        "weights": count_parameters(Gnn()())["parameters"],
        "graphs a CPU-second": round(len(smiles) / statistics.median(seconds)),
        "molecules a CPU-second, training": round(len(smiles) / middle["ours"]),
        "times a plain loop": round(middle["plain"] / middle["ours"], 2),
        "molecules a CPU-second, a mixture": round(together),
    }


def time_mixture() -> float:
    """Molecules a CPU-second of a mixture's training, its looks at the validation parts counted with it.

    The tables that come with the installation: 2,024 molecules of 15 atoms, three heads. Seconds are those that
    four epochs more take.
    """
    from core.engine.make import make
    from core.engine.report import Report
    from core.engine.store import Store
    from core.experiments.multitask.multitask import Multitask
    from core.experiments.presets.mixtures import bundled_mixture

    with TemporaryDirectory() as folder:
        store = Store(Path(folder))
        members = tuple(make(one, store, Report()) for one in bundled_mixture())

    def spent(epochs: int) -> float:
        with TemporaryDirectory() as folder:
            spec = Multitask(bundled_mixture(), epochs=epochs)
            return time_work(lambda: spec.make(Report(scratch=Path(folder)), members))

    spent(1)
    more = statistics.median(spent(5) - spent(1) for _ in range(REPEATS))
    return 4 * sum(len(one.parts["train"]) for one in members) / more


def load_molecules() -> tuple[list[str], np.ndarray]:
    """Drug molecules that come with the installation, and numbers to learn (n, 1)."""
    from core.engine.report import SILENT_REPORT
    from core.experiments import Load

    found = [one for one in Load("bundled:drugs").make(SILENT_REPORT).smiles if 20 <= len(one) <= 100][:MOLECULES]
    return found, np.random.default_rng(1).normal(size=(len(found), 1))


def time_work(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def time_ours(smiles: list[str], targets: np.ndarray) -> float:
    """Seconds of an epoch by the loop that every fine-tuning goes through."""
    from core.bench.training import make_train_step
    from core.engine.report import SILENT_REPORT
    from core.models.backbones import Gnn
    from core.models.predictor import Predictor
    from core.training.loop import train
    from core.training.optimisation import Plan

    predictor = Predictor(Gnn()(), ["y"], ["regression"], dropout=0.0)
    predictor.backbone.set_dropout(0.0)
    lengths, learned = predictor.backbone.lengths(smiles)[:, None], make_train_step(predictor, smiles, targets)
    plan = Plan(epochs=1, steps=None, evaluations=1, batch_size=BATCH, learning_rate=RATE, weight_decay=0.01,
                warmup=0.1, clip=1.0, patience=0, precision="float32", seed=0)  # fmt: skip
    return time_work(lambda: train(predictor, lengths, learned, lambda: {"valid_loss": 0.0}, plan, SILENT_REPORT))


def time_plain_loop(made: list["Graph"], targets: np.ndarray) -> float:
    """Seconds of an epoch of the same network as one would write it: a `DataLoader`, a loss, an optimiser.

    Matrices are multiplied by the library that torch takes by itself.
    """
    import torch
    from torch_geometric.loader import DataLoader

    from core.models.backbones import Gnn
    from core.models.matmul import default_backend
    from core.models.predictor import Predictor

    predictor = Predictor(Gnn()(), ["y"], ["regression"], dropout=0.0).train()
    forward = reference_forward(predictor.backbone.model)
    predictor.backbone.set_dropout(0.0)
    given = as_geometric_data(made, targets)
    optimiser = torch.optim.AdamW(predictor.parameters(), lr=RATE, fused=True)

    def epoch() -> None:
        for batch in DataLoader(given, BATCH, shuffle=True):
            predictor.loss(predictor.head(forward(batch)), batch.y).backward()
            torch.nn.utils.clip_grad_norm_(predictor.parameters(), 1.0, foreach=True)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    with default_backend():
        return time_work(epoch)


def reference_forward(model: "Network") -> Callable[[Any], "Tensor"]:
    """The network (GINE, summed) as one would write it with `torch_geometric`: embeddings of a `Batch` of its data."""
    import torch
    from torch_geometric.nn import GINEConv, global_add_pool

    convs = []
    for layer in model.layers:
        conv = GINEConv(copy.deepcopy(layer.conv.nn), train_eps=True, edge_dim=model.config.encoding_width)
        conv.nn, conv.lin, conv.eps = layer.conv.nn, layer.conv.lin, layer.conv.eps
        convs.append(conv)

    def forward(batch: Any) -> "Tensor":
        first, bent, second = model.spectrum
        pairs = bent(first(torch.stack([batch.vectors, batch.spectrum], 2)))
        places = model.walks(batch.walks) + second((pairs * (batch.spectrum > 0)[..., None]).sum(1))
        atoms = model.atoms(torch.cat([batch.x, places], 1))
        bonds = model.bonds(batch.edge_attr)
        for conv, layer in zip(convs, model.layers, strict=True):
            told = conv(atoms, batch.edge_index, bonds)
            atoms = atoms + layer.drop(torch.nn.functional.gelu(layer.norm(told)))
        return torch.nn.functional.gelu(model.out(global_add_pool(atoms, batch.batch, len(batch.y))))

    return forward


def as_geometric_data(made: list["Graph"], targets: np.ndarray) -> list[Any]:
    """The graphs as `torch_geometric` holds them, bonds told one by one."""
    import torch
    from torch_geometric.data import Data

    return [
        Data(
            x=torch.tensor(one.atoms), edge_index=torch.tensor(one.ends), edge_attr=torch.tensor(one.edge_features),
            walks=torch.tensor(one.walks), vectors=torch.tensor(one.vectors),
            spectrum=torch.tensor(one.values).expand(one.vectors.shape).clone(), y=torch.tensor(label)[None].float(),
        )
        for one, label in zip(made, targets, strict=True)
    ]  # fmt: skip
