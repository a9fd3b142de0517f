"""Mapped: molecules with places on a map."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd


@dataclass(frozen=True, eq=False)
class Mapped:
    """`table`: a row a molecule: part, row (of its table), smiles, x, y. `record`: how, and what share of the variance
    two principal components hold; how many of each table were drawn.
    """

    table: pd.DataFrame
    record: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        return self.record

    def save(self, folder: Path) -> None:
        self.table.to_parquet(folder / "map.parquet")
        (folder / "record.json").write_text(json.dumps(self.record, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Mapped":
        record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
        return cls(pd.read_parquet(folder / "map.parquet"), record)
