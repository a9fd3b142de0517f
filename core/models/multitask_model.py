"""A trunk: a backbone that has learned several tables, with what its heads predicted of them. Read without torch."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from core.models.backbones.checkpoint import Checkpoint
from core.stats.formatting import format_with_interval


@dataclass(frozen=True, eq=False)
class MultitaskModel(Checkpoint):
    """A `Checkpoint`, so that it is a backbone anywhere, that keeps its heads under `folder / "heads"`.

    `predictions`: a row a measured cell of the validation and test parts (member, part, row, smiles, task, label,
    prediction), label units. The record has for each member its metrics by part and task, and their means.
    """

    headline_keys: ClassVar[tuple[str, ...]] = ("members",)

    predictions: pd.DataFrame = field(default_factory=pd.DataFrame)

    def save(self, folder: Path) -> None:
        super().save(folder)
        shutil.copytree(self.folder / "heads", folder / "heads")
        self.predictions.to_parquet(folder / "predictions.parquet", index=False)

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        """What it reached on the test parts of its first three tables."""
        return f"test {', '.join(filter(None, map(_reached, summary['members'][:3])))}"

    @classmethod
    def load(cls, folder: Path) -> "MultitaskModel":
        curve = pd.read_parquet(folder / "curve.parquet")
        record = json.loads((folder / "record.json").read_text())
        return cls(curve, record, folder, pd.read_parquet(folder / "predictions.parquet"))


def _reached(member: Mapping[str, Any]) -> str:
    """The mean error of a table in its standard deviations, or the area under the curve of one of classes."""
    means, spans = member["means"]["test"], member.get("means_intervals", {})
    if means.get("mae_sd"):
        return f"MAE {format_with_interval(means['mae_sd'], spans.get('mae_sd'))} sd"
    return f"AUROC {format_with_interval(means['auroc'], spans.get('auroc'))}" if means.get("auroc") is not None else ""
