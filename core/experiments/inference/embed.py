"""Apply a backbone to every row of a file: its embeddings, or the predictions of the heads of a multitask model."""

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core.data.annotated_table import Annotation, annotate_table
from core.data.dataset import Dataset
from core.data.readers.decisions import AS_PROVEN, Reading
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

BATCH_SIZE = 128  # molecules in a batch


def embed_file(
    store: Any,
    source: str,
    table: Path,
    out: Path,
    report: Report,
    smiles: str = "",
    reading: Reading = AS_PROVEN,
) -> dict[str, Any]:
    """Write the embedding of every molecule of a file into columns `embedding_0` … of float32.

    `source`: the key of a fine-tuning, an adaptation, a pre-training or a multitask model, or the name or folder of a
    checkpoint. Returns the counts of rows. Raises `BadInput` for a run without a backbone.
    """
    load_backbone, product = _find_backbone(store, source)

    def columns(chunk: Dataset, progress: Report) -> dict[str, np.ndarray]:
        from core.models.embeddings import embed_by_backbone

        indices, molecules = pd.factorize(chunk.smiles)  # each molecule is embedded once
        embeddings = embed_by_backbone(load_backbone(), list(molecules), size=BATCH_SIZE, report=progress)
        values = embeddings.cpu().numpy()[indices]
        return {f"embedding_{number}": values[:, number] for number in range(values.shape[1])}

    annotation = Annotation(
        columns,
        smiles=smiles,
        reading=reading,
        check=lambda molecules: load_backbone().check(molecules),
        product={"embeddings": product},
    )
    return annotate_table(table, out, annotation, report)


def predict_multitask_file(
    store: Any,
    spec: Spec,
    table: Path,
    out: Path,
    report: Report,
    smiles: str = "",
    reading: Reading = AS_PROVEN,
) -> dict[str, Any]:
    """Write the predictions of the heads of a multitask model into columns `<table>: <task>_predicted`.

    In label units, or probabilities. Heads for labels of atoms are left out. Returns the counts of rows.
    """
    multitask_model = store.get(spec)
    load_backbone, product = _find_backbone(store, spec.key)

    @functools.cache
    def load_molecule_heads() -> list[Any]:
        from core.models.heads import load_heads

        heads = load_heads(multitask_model.folder / "heads", load_backbone().width)
        device = next(load_backbone().parameters()).device
        return [head.to(device) for head in heads if not head.learning.atoms]

    def columns(chunk: Dataset, progress: Report) -> dict[str, np.ndarray]:
        import torch

        from core.models.embeddings import embed_by_backbone

        indices, molecules = pd.factorize(chunk.smiles)
        embeddings = embed_by_backbone(load_backbone(), list(molecules), size=BATCH_SIZE, report=progress)
        predictions = {}
        for head in load_molecule_heads():
            with torch.no_grad():
                values = head.to_label_units(head(embeddings)).double().cpu().numpy()[indices]
            for column, task in enumerate(head.tasks):
                predictions[f"{head.learning.name}: {task}_predicted"] = values[:, column]
        return predictions

    annotation = Annotation(
        columns,
        smiles=smiles,
        reading=reading,
        check=lambda molecules: load_backbone().check(molecules),
        product=product,
    )
    return annotate_table(table, out, annotation, report)


def _find_backbone(store: Any, source: str) -> tuple[Any, Any]:
    """A function that loads the backbone on the first call, and what identifies the backbone in the output file."""
    if not re.fullmatch("[0-9a-f]{4,16}", source):
        checkpoint = Pretrained(source).with_digests()
        return functools.cache(lambda: _move_to_device(checkpoint())), to_json(checkpoint)
    entry = store.find(source)
    product = store.product(entry)
    if not isinstance(product, (Checkpoint, Fit)):
        raise BadInput(
            f"{entry.key} is a run of kind {entry.kind!r}, which has no backbone; give the key of a "
            "fine-tuning, an adaptation or a multitask model, or the name of a checkpoint"
        )
    if isinstance(product, Fit) and EnsembleModel.is_saved_in(product.folder / "predictor"):
        raise BadInput(f"{entry.key} is an ensemble, which has a backbone for each member; give the key of a member")
    if isinstance(product, Fit) and BaselineModel.is_saved_in(product.folder / "predictor"):
        raise BadInput(f"{entry.key} is a baseline, which has no backbone; give the key of a fine-tuning")
    return functools.cache(lambda: _read_backbone(product)), name_products(store, entry.spec)


def _read_backbone(product: Checkpoint | Fit) -> "nn.Module":
    if isinstance(product, Checkpoint):
        return _move_to_device(product())
    return load_model(product.folder / "predictor").backbone


def _move_to_device(backbone: "nn.Module") -> "nn.Module":
    from core.models.devices import best_device

    return backbone.to(best_device())
