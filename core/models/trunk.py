"""A trunk: a backbone that has learned several tables, with what its heads predicted of them. Read without torch."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from core.models.backbones.checkpoint import Checkpoint


@dataclass(frozen=True, eq=False)
class Trunk(Checkpoint):
    """A `Checkpoint`, so that it is a backbone anywhere, that keeps its heads under `folder / "heads"`.

    `predictions`: a row a measured cell of the validation and test parts (member, part, row, smiles, task, label,
    prediction), label units. The record has for each member its metrics by part and task, and their means.
    """

    predictions: pd.DataFrame = field(default_factory=pd.DataFrame)

    def save(self, folder: Path) -> None:
        super().save(folder)
        shutil.copytree(self.folder / "heads", folder / "heads")
        self.predictions.to_parquet(folder / "predictions.parquet", index=False)

    @classmethod
    def load(cls, folder: Path) -> "Trunk":
        curve = pd.read_parquet(folder / "curve.parquet")
        record = json.loads((folder / "record.json").read_text())
        return cls(curve, record, folder, pd.read_parquet(folder / "predictions.parquet"))
