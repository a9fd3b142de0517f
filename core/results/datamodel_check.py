"""Retraining with random subsets of a pool, and how well scores predict its result (datamodels)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from core.results.tabular import TabularResult
from core.stats.formatting import format_number


@dataclass(frozen=True, eq=False)
class SubsetLosses:
    """Losses of K trainings with random subsets of a pool.

    `members` (K, p): which molecules each training had; `losses` (K,) of the target, in `record["unit"]`; `predictions`
    (K, m, t) for the target, label units. The record has the loss without the pool, parts and digests.
    """

    headline_keys: ClassVar[tuple[str, ...]] = ("subsets",)

    members: np.ndarray
    losses: np.ndarray
    predictions: np.ndarray
    record: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        return self.record

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        return f"{summary['subsets']:,} retrainings"

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        arrays = {"members": self.members.astype(np.uint8), "losses": self.losses, "predictions": self.predictions}
        save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, folder / "arrays.safetensors")
        (folder / "record.json").write_text(json.dumps(self.record, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "SubsetLosses":
        from safetensors.numpy import load_file

        arrays = load_file(folder / "arrays.safetensors")
        record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
        return cls(arrays["members"].astype(bool), arrays["losses"], arrays["predictions"], record)


class DatamodelCheck(TabularResult):
    """Predicted against measured target losses of retrainings.

    `table`: one row per training: subset, measured (change of the target loss relative to training without the pool),
    and a column of predicted changes for each way to score. `record`: for each way its linear datamodelling score with
    its interval.
    """

    table_file: ClassVar[str] = "subsets.parquet"
    headline_keys: ClassVar[tuple[str, ...]] = ("ways", "subsets")

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        """The best correlation with retraining."""
        best = max((way["spearman"] for way in summary["ways"] if "spearman" in way), default=None)
        return f"ρ {format_number(best)} with {summary['subsets']:,} retrainings"
