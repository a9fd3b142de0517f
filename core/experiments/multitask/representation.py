"""Representation: similarity of the layers of several backbones, and linear probes of each layer."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from core.chem import molecules as chem
from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings
from core.experiments.data.computed_labels import DESCRIPTORS
from core.experiments.training.finetune import BACKBONES_OR_CHECKPOINTS
from core.results.tabular import RepresentationReport
from core.stats.representation import linear_cka, probe_representation

BATCH_SIZE = 128  # molecules


@settings
class Representation(Spec[RepresentationReport]):
    """What do the layers of a backbone encode? Layers of several backbones are compared, and each is probed linearly.

    A layer is represented by its mean over atoms or tokens. Similarity is linear CKA on the same molecules. A probe is
    a ridge regression of a computed property or of a label of the table, evaluated on held-out molecules. A network
    with random weights is the control: what it predicts as well was not learned in training.
    """

    kind: ClassVar[str] = "representation"
    page: ClassVar[str] = "multitask"
    effort: ClassVar[float] = 2.0

    backbones: tuple[Annotated[Any, BACKBONES_OR_CHECKPOINTS], ...] = Field(
        description="backbones to compare, one with random weights among them as the control"
    )
    names: tuple[str, ...] = Field(default=(), description="names of the backbones; empty: their own names")
    table: Spec[Dataset] = Field(description="molecules; their labels are probed too")
    properties: tuple[str, ...] = Field(
        default=("MolLogP", "TPSA", "NumHDonors", "RingCount"), description="RDKit descriptors to probe"
    )
    molecules: int = Field(
        default=1000, ge=20, le=5000, description="largest number of molecules, a random sample of the table"
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed of the sample")

    def __post_init__(self) -> None:
        if len(self.backbones) < 2:
            raise BadInput(
                "`backbones` wants at least two backbones: one to examine, and one with random weights as control"
            )
        if len(set(self.called)) < len(self.backbones):
            raise BadInput(f"the backbones need different `names`, got {', '.join(self.called)}")
        if unknown := [name for name in self.properties if name not in DESCRIPTORS]:
            raise BadInput(f"`properties` wants names of RDKit descriptors such as MolLogP or TPSA, got {unknown}")

    @property
    def called(self) -> tuple[str, ...]:
        return self.names if len(self.names) == len(self.backbones) else tuple(start.called for start in self.backbones)

    @property
    def title(self) -> str:
        return f"representations of {self.table.title.removeprefix('load ')} by {', '.join(self.called)}"

    def parts(self) -> dict[str, Any]:
        trained = tuple(start for start in self.backbones if isinstance(start, Spec))
        return {"table": self.table} | ({"trained": trained} if trained else {})

    def make(self, report: Report, table: Dataset, trained: tuple[Callable[[], Any], ...] = ()) -> RepresentationReport:
        sample = np.sort(np.random.default_rng([self.seed, 14]).permutation(len(table))[: self.molecules])
        if len(sample) < 20:
            raise BadInput(f"the table has {len(sample)} molecules, at least 20 are needed; give a larger table")
        table = table.take(sample)
        smiles = list(table.smiles)
        backbones, layers, n_models = iter(trained), {}, len(self.backbones)
        for index, (name, start) in enumerate(zip(self.called, self.backbones, strict=True)):
            backbone = (next(backbones) if isinstance(start, Spec) else start)()
            layers[name] = embed_layers(
                backbone, smiles, report.part(0.5 * index / n_models, 0.5 * (index + 1) / n_models)
            )
        molecules = [chem.parse(text) for text in smiles]
        probes = {
            name: ("regression", np.array([DESCRIPTORS[name](molecule) for molecule in molecules]))
            for name in self.properties
        }
        for task, kind, values in zip(table.tasks, table.kinds, table.targets.T, strict=True):
            probes[f"{task} (measured)"] = (kind, values)
        rows, n_layers = [], sum(len(model_layers) for model_layers in layers.values())
        for name, model_layers in layers.items():
            for layer, values in enumerate(model_layers):
                report(0.5 + 0.4 * len(rows) / max(1, n_layers * len(probes)), f"probing layer {layer} of {name}")
                for probe, (kind, labels) in probes.items():
                    score = probe_representation(values, np.where(np.isfinite(labels), labels, np.nan), kind)
                    metric = "auroc" if kind == "binary" else "r2"
                    rows.append({"trunk": name, "layer": layer, "asked": probe, "metric": metric, **score})
        similarities = []
        for one in layers:
            for other in layers:
                report.check("comparing layers")
                similarities += [
                    {"one": one, "other": other, "layer": a, "other_layer": b, "cka": linear_cka(first, second)}
                    for a, first in enumerate(layers[one])
                    for b, second in enumerate(layers[other])
                    if one <= other
                ]
        probe_table = pd.DataFrame(rows)
        record = {
            "trunks": list(layers),
            "layers": {name: len(model_layers) for name, model_layers in layers.items()},
            "asked": list(probes),
            "molecules": len(smiles),
            "digest": table.digest,
            "seed": self.seed,
            "alike": similarities,
            "verdict": summarize_probes(probe_table, list(layers)),
        }
        return RepresentationReport(probe_table, record)


def embed_layers(backbone: Any, smiles: list[str], report: Report) -> list[np.ndarray]:
    """Embeddings (n, h) of every layer."""
    import torch

    from core.models.devices import best_device

    backbone.to(best_device()).eval()
    batches: list[list[np.ndarray]] = []
    for start in range(0, len(smiles), BATCH_SIZE):
        report(start / len(smiles), f"embedding by {backbone.name}, {start:,} of {len(smiles):,}")
        with torch.no_grad():
            values = backbone.embed_layers(backbone.batch(smiles[start : start + BATCH_SIZE]))
        batches.append([layer.float().cpu().numpy() for layer in values])
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def summarize_probes(table: pd.DataFrame, names: list[str]) -> str:
    """Sentences: which properties are probed best from which backbone, and from which layer."""
    sentences = []
    best = table.dropna(subset=["mean"]).sort_values("mean", ascending=False).groupby("asked", sort=False).head(1)
    for name in names:
        model_rows = best[best["trunk"] == name]
        probes = [f"{row.asked} (layer {row.layer}, {row.mean:.2f})" for row in model_rows.itertuples()]
        if probes:
            sentences.append(f"“{name}” gives the best probes of {', '.join(probes)}.")
    return " ".join(sentences)
