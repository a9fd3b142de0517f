"""Represent: trunks and a table of molecules → how alike their layers are, and what can be read from each."""

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

BATCH_SIZE = 128  # molecules that go through a model at a time


@settings
class Representation(Spec[RepresentationReport]):
    """What does a trunk know, and in which layer? Two trunks are compared layer by layer, and each is asked linearly.

    Every layer's mean over atoms or tokens. Likeness is linear CKA, on the same molecules; a probe is a ridge
    regression of a computed property or of one of the table's own labels, told on molecules left out. A network with
    random weights among the trunks is the control: what can be read from that has not been learned.
    """

    kind: ClassVar[str] = "representation"
    page: ClassVar[str] = "multitask"
    effort: ClassVar[float] = 2.0

    trunks: tuple[Annotated[Any, BACKBONES_OR_CHECKPOINTS], ...] = Field(
        description="the models, a random one among them as the control"
    )
    names: tuple[str, ...] = Field(default=(), description="what they are called; empty: as themselves")
    table: Spec[Dataset] = Field(description="molecules, whose labels are asked for too")
    properties: tuple[str, ...] = Field(
        default=("MolLogP", "TPSA", "NumHDonors", "RingCount"), description="RDKit's descriptors that are asked for"
    )
    molecules: int = Field(default=1000, ge=20, le=5000, description="of the table, drawn, at most")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of the draw")

    def __post_init__(self) -> None:
        if len(self.trunks) < 2:
            raise BadInput("`trunks` wants two models at least: one to look at, and one with random weights beside it")
        if len(set(self.called)) < len(self.trunks):
            raise BadInput(f"the trunks want different `names`; they are called {', '.join(self.called)}")
        if unknown := [name for name in self.properties if name not in DESCRIPTORS]:
            raise BadInput(f"`properties` wants names of RDKit's descriptors such as MolLogP or TPSA; got {unknown}")

    @property
    def called(self) -> tuple[str, ...]:
        return self.names if len(self.names) == len(self.trunks) else tuple(one.called for one in self.trunks)

    @property
    def title(self) -> str:
        return f"what {', '.join(self.called)} hold of {self.table.title.removeprefix('load ')}"

    def parts(self) -> dict[str, Any]:
        made = tuple(one for one in self.trunks if isinstance(one, Spec))
        return {"table": self.table} | ({"made": made} if made else {})

    def make(self, report: Report, table: Dataset, made: tuple[Callable[[], Any], ...] = ()) -> RepresentationReport:
        drawn = np.sort(np.random.default_rng([self.seed, 14]).permutation(len(table))[: self.molecules])
        if len(drawn) < 20:
            raise BadInput(f"the table has {len(drawn)} molecules; 20 at least are needed to tell likeness from chance")
        table = table.take(drawn)
        smiles = list(table.smiles)
        ready, layers, many = iter(made), {}, len(self.trunks)
        for place, (name, start) in enumerate(zip(self.called, self.trunks, strict=True)):
            body = (next(ready) if isinstance(start, Spec) else start)()
            layers[name] = embed_layers(body, smiles, report.part(0.5 * place / many, 0.5 * (place + 1) / many))
        molecules = [chem.parse(one) for one in smiles]
        asked = {
            name: ("regression", np.array([DESCRIPTORS[name](one) for one in molecules])) for name in self.properties
        }
        for task, kind, values in zip(table.tasks, table.kinds, table.targets.T, strict=True):
            asked[f"{task} (measured)"] = (kind, values)
        rows, count = [], sum(len(one) for one in layers.values())
        for name, mine in layers.items():
            for layer, values in enumerate(mine):
                report(0.5 + 0.4 * len(rows) / max(1, count * len(asked)), f"asking layer {layer} of {name}")
                for what, (kind, labels) in asked.items():
                    found = probe_representation(values, np.where(np.isfinite(labels), labels, np.nan), kind)
                    metric = "auroc" if kind == "binary" else "r2"
                    rows.append({"trunk": name, "layer": layer, "asked": what, "metric": metric, **found})
        alike = []
        for one in layers:
            for other in layers:
                report.check("comparing layers")
                alike += [
                    {"one": one, "other": other, "layer": a, "other_layer": b, "cka": linear_cka(mine, theirs)}
                    for a, mine in enumerate(layers[one])
                    for b, theirs in enumerate(layers[other])
                    if one <= other
                ]
        told = pd.DataFrame(rows)
        record = {
            "trunks": list(layers),
            "layers": {name: len(mine) for name, mine in layers.items()},
            "asked": list(asked),
            "molecules": len(smiles),
            "digest": table.digest,
            "seed": self.seed,
            "alike": alike,
            "verdict": summarize_probes(told, list(layers)),
        }
        return RepresentationReport(told, record)


def embed_layers(body: Any, smiles: list[str], report: Report) -> list[np.ndarray]:
    """What every layer makes of molecules (n, h)."""
    import torch

    from core.models.devices import best_device

    body.to(best_device()).eval()
    found: list[list[np.ndarray]] = []
    for start in range(0, len(smiles), BATCH_SIZE):
        report(start / len(smiles), f"{body.name} has read {start:,} of {len(smiles):,}")
        with torch.no_grad():
            values = body.embed_layers(body.batch(smiles[start : start + BATCH_SIZE]))
        found.append([one.float().cpu().numpy() for one in values])
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def summarize_probes(table: pd.DataFrame, names: list[str]) -> str:
    """Of each thing, from which trunk it is read best, in words."""
    said = []
    best = table.dropna(subset=["mean"]).sort_values("mean", ascending=False).groupby("asked", sort=False).head(1)
    for name in names:
        mine = best[best["trunk"] == name]
        told = [f"{row.asked} (layer {row.layer}, {row.mean:.2f})" for row in mine.itertuples()]
        if told:
            said.append(f"From “{name}” are best read {', '.join(told)}.")
    return " ".join(said)
