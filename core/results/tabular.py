"""What an experiment finds: a table of numbers, and a record of what they say; those on mixtures also as text."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd

from core.results.mixture_text import ablation_text, text, transfer_text


@dataclass(frozen=True, eq=False)
class Tabled:
    """`table`: the numbers, a row each; `record`: means, differences with intervals, the verdict, digests, keys."""

    table: pd.DataFrame
    record: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        return self.record

    def save(self, folder: Path) -> None:
        self.table.to_parquet(folder / "table.parquet", index=False)
        (folder / "record.json").write_text(json.dumps(self.record, indent=1, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
        return cls(pd.read_parquet(folder / "table.parquet"), record)


class MixtureComparison(Tabled):
    """Tables alone and together: a row a backbone, arm, member, seed and task of the test part, with every metric."""

    def text(self) -> str:
        """What it found, for people who read a terminal."""
        return text(self.table, self.record)


class TransferCurve(Tabled):
    """Starts on a small table: a row an arm, size (0: the whole part) and seed, with the metrics of its test part."""

    def text(self) -> str:
        """What it found, for people who read a terminal."""
        return transfer_text(self.record)


class Ablated(Tabled):
    """Diversity against scale: a row a trunk (families, molecules, seed), with the error of the fit from it."""

    def text(self) -> str:
        """What it found, for people who read a terminal."""
        return ablation_text(self.record)


class Represented(Tabled):
    """What trunks hold: a row a trunk, layer and thing that is asked of it, with how well it can be read there."""
