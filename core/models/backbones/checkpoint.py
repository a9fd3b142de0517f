"""A backbone's weights as a product: what adapting or pre-training leaves. Read without torch."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from torch import nn


CARD = "card.json"  # beside pre-trained weights: what they have read, how, and how well
KEYS = "corpus_keys.safetensors"  # and which molecules that were


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights of a backbone under `folder / "backbone"`, the curve of what made them, and a record of it.

    Called, it gives the live backbone, as a member of the backbone family does.
    """

    curve: pd.DataFrame
    record: dict[str, Any]
    folder: Path

    def __call__(self, mlm_head: bool = False) -> "nn.Module":
        from core.models.backbones import load

        return load(self.folder / "backbone", mlm_head)

    def summary(self) -> dict[str, Any]:
        return self.record

    def save(self, folder: Path) -> None:
        self.curve.to_parquet(folder / "curve.parquet")
        (folder / "record.json").write_text(json.dumps(self.record, indent=1))
        shutil.copytree(self.folder / "backbone", folder / "backbone")

    @classmethod
    def load(cls, folder: Path) -> "Checkpoint":
        curve = pd.read_parquet(folder / "curve.parquet")
        return cls(curve, json.loads((folder / "record.json").read_text()), folder)
