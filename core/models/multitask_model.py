"""The product of multitask training: a shared backbone with its heads and predictions. Needs no torch."""

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
    """A `Checkpoint`, so it can be used as a backbone, with its heads under `folder / "heads"`.

    `predictions`: a row per label of the validation and test parts (member, part, row, smiles, task, label,
    prediction), in label units. The record has the metrics of each member by part and task, and their means.
    """

    headline_keys: ClassVar[tuple[str, ...]] = ("members",)

    predictions: pd.DataFrame = field(default_factory=pd.DataFrame)

    def save(self, folder: Path) -> None:
        super().save(folder)
        shutil.copytree(self.folder / "heads", folder / "heads")
        self.predictions.to_parquet(folder / "predictions.parquet", index=False)

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        """The mean test metrics of its first three tables."""
        return f"test {', '.join(filter(None, map(_format_result, summary['members'][:3])))}"

    @classmethod
    def load(cls, folder: Path) -> "MultitaskModel":
        curve = pd.read_parquet(folder / "curve.parquet")
        record = json.loads((folder / "record.json").read_text())
        return cls(curve, record, folder, pd.read_parquet(folder / "predictions.parquet"))


def _format_result(member: Mapping[str, Any]) -> str:
    """Mean absolute error of a table in standard deviations of its labels, or the AUROC of a classification table."""
    means, spans = member["means"]["test"], member.get("means_intervals", {})
    if means.get("mae_sd"):
        return f"MAE {format_with_interval(means['mae_sd'], spans.get('mae_sd'))} sd"
    return f"AUROC {format_with_interval(means['auroc'], spans.get('auroc'))}" if means.get("auroc") is not None else ""
