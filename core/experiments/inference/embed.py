"""A trunk or any backbone applied to every row of a file: its embeddings, or what the heads of a mixture predict."""

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core.data.annotated_table import Annotation, annotate_table
from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, to_json
from core.experiments.inference.apply import name_products
from core.models.backbones import Pretrained
from core.models.backbones.checkpoint import Checkpoint
from core.models.baseline_model import BaselineModel
from core.models.ensemble import EnsembleModel, load_model
from core.results.fit import Fit

if TYPE_CHECKING:
    from torch import nn

BATCH_SIZE = 128  # molecules that go through the model at a time


def embed_file(store: Any, start: str, table: Path, out: Path, report: Report, smiles: str = "") -> dict[str, Any]:
    """Embeddings of every molecule of a file, in columns `embedding_0` … of float32.

    `start`: the key of a fit, of an adaptation or pre-training or of a trunk, or the name or folder of a checkpoint.
    Raises `BadInput` for a run that holds no backbone.
    """
    body, product = _backbone(store, start)

    def columns(chunk: Dataset, within: Report) -> dict[str, np.ndarray]:
        from core.models.embeddings import embed_by_backbone

        places, molecules = pd.factorize(chunk.smiles)  # each goes through the model once
        values = embed_by_backbone(body(), list(molecules), size=BATCH_SIZE, report=within).cpu().numpy()[places]
        return {f"embedding_{number}": values[:, number] for number in range(values.shape[1])}

    annotation = Annotation(
        columns, smiles=smiles, check=lambda molecules: body().check(molecules), product={"embeddings": product}
    )
    return annotate_table(table, out, annotation, report)


def predict_multitask_file(
    store: Any, spec: Spec, table: Path, out: Path, report: Report, smiles: str = ""
) -> dict[str, Any]:
    """What the heads of a trunk predict of every molecule of a file, in columns `<table>: <task>_predicted`.

    Label units, or probabilities; heads that learned atoms are left out.
    """
    trunk = store.get(spec)
    body, product = _backbone(store, spec.key)

    @functools.cache
    def heads() -> list[Any]:
        from core.models.heads import load_heads

        found = [head for head in load_heads(trunk.folder / "heads", body().width) if not head.learning.atoms]
        return [head.to(next(body().parameters()).device) for head in found]

    def columns(chunk: Dataset, within: Report) -> dict[str, np.ndarray]:
        import torch

        from core.models.embeddings import embed_by_backbone

        places, molecules = pd.factorize(chunk.smiles)
        embeddings = embed_by_backbone(body(), list(molecules), size=BATCH_SIZE, report=within)
        found = {}
        for head in heads():
            with torch.no_grad():
                values = head.to_label_units(head(embeddings)).double().cpu().numpy()[places]
            for column, task in enumerate(head.tasks):
                found[f"{head.learning.name}: {task}_predicted"] = values[:, column]
        return found

    annotation = Annotation(columns, smiles=smiles, check=lambda molecules: body().check(molecules), product=product)
    return annotate_table(table, out, annotation, report)


def _backbone(store: Any, start: str) -> tuple[Any, Any]:
    """What loads the backbone that is meant when it is first wanted, and what tells it from all others."""
    if not re.fullmatch("[0-9a-f]{4,16}", start):
        place = Pretrained(start).with_digests()
        return functools.cache(lambda: _move_to_device(place())), to_json(place)
    entry = store.find(start)
    made = store.product(entry)
    if not isinstance(made, (Checkpoint, Fit)):
        raise BadInput(
            f"{entry.key} is a run of kind {entry.kind!r}, which holds no backbone; give the key of a fit, of an "
            "adaptation or of a multitask training, or the name of a checkpoint"
        )
    if isinstance(made, Fit) and EnsembleModel.is_saved_in(made.folder / "predictor"):
        raise BadInput(f"{entry.key} is an ensemble, which has a backbone for each member; give the key of one of them")
    if isinstance(made, Fit) and BaselineModel.is_saved_in(made.folder / "predictor"):
        raise BadInput(f"{entry.key} is a baseline, which has no backbone; give the key of a fine-tuning")
    return functools.cache(lambda: _read_backbone(made)), name_products(store, entry.spec)


def _read_backbone(made: Checkpoint | Fit) -> "nn.Module":
    if isinstance(made, Checkpoint):
        return _move_to_device(made())
    return load_model(made.folder / "predictor").backbone


def _move_to_device(body: "nn.Module") -> "nn.Module":
    from core.models.devices import best_device

    return body.to(best_device())
