"""One head of a multitask model with the shared backbone, as a model for the tasks of one table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.engine.report import SILENT_REPORT, Report
from core.models import backbones
from core.models.devices import best_device
from core.models.embeddings import embed_by_backbone
from core.models.heads import HEADS_FILE, Head, load_heads, save_heads

BATCH_SIZE = 128  # molecules


class SingleHeadModel:
    """The counterpart of `core.models.predictor.Predictor` for a multitask model: it has `predict` and `check`."""

    def __init__(self, backbone: Any, head: Head) -> None:
        self.backbone, self.head = backbone, head

    def predict(self, smiles: Sequence[str], report: Report = SILENT_REPORT) -> np.ndarray:
        """Predictions (n, t): label units for regression, probabilities for binary tasks."""
        embeddings = embed_by_backbone(self.backbone, smiles, size=BATCH_SIZE, report=report)
        with torch.no_grad():
            return self.head.to_label_units(self.head(embeddings)).double().cpu().numpy()

    def check(self, smiles: Sequence[str]) -> list[tuple[int, str]]:
        """Warnings of the backbone about molecules: (row, sentence)."""
        return self.backbone.check(smiles)

    @staticmethod
    def is_saved_in(folder: Path) -> bool:
        return (folder / HEADS_FILE).is_file()

    def save(self, folder: Path) -> None:
        """Write the backbone as a checkpoint, and the head."""
        self.backbone.save(folder / "backbone")
        save_heads([self.head], folder)

    @classmethod
    def load(cls, folder: Path) -> "SingleHeadModel":
        device = best_device()
        backbone = backbones.load_backbone(folder / "backbone").to(device).eval()
        (head,) = load_heads(folder, backbone.width)
        return cls(backbone, head.to(device))
