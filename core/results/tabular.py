"""Results that consist of a table of numbers and a record; those of multitask studies also as text."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import pandas as pd

from core.results.mixture_text import ablation_text, study_text, transfer_text


@dataclass(frozen=True, eq=False)
class TabularResult:
    """`table`: the numbers; `record`: means, differences with intervals, the verdict, digests, keys."""

    table_file: ClassVar[str] = "table.parquet"
    headline_keys: ClassVar[tuple[str, ...]] = ()

    table: pd.DataFrame
    record: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        return self.record

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        return ""

    def text(self) -> str:
        """The result as text for a terminal; "" if the summary is enough."""
        return ""

    def save(self, folder: Path) -> None:
        self.table.to_parquet(folder / self.table_file, index=False)
        (folder / "record.json").write_text(json.dumps(self.record, indent=1, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
        return cls(pd.read_parquet(folder / cls.table_file), record)


class MixtureComparison(TabularResult):
    """Single-task against multitask training: a row per backbone, arm, table, seed and test task, with all metrics."""

    headline_keys: ClassVar[tuple[str, ...]] = ("members",)

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        return f"{len(summary['members'])} tables"

    def text(self) -> str:
        return study_text(self.table, self.record)


class TransferCurve(TabularResult):
    """Transfer to a small table: one row per arm, size (0: all molecules) and seed, with its test metrics."""

    headline_keys: ClassVar[tuple[str, ...]] = ("points",)

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        arms, sizes = ({point.get(name) for point in summary["points"]} for name in ("arm", "size"))
        return f"{len(arms)} arms, {len(sizes)} sizes"

    def text(self) -> str:
        return transfer_text(self.record)


class AblationTable(TabularResult):
    """Diversity against scale: one row per multitask model (families, molecules, seed), with the error of its fit."""

    headline_keys: ClassVar[tuple[str, ...]] = ("trunks",)

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        return f"{len(summary['trunks'])} multitask models"

    def text(self) -> str:
        return ablation_text(self.record)


class RepresentationReport(TabularResult):
    """Probes of multitask models: one row per model, layer and property, with how well the layer predicts it."""

    headline_keys: ClassVar[tuple[str, ...]] = ("molecules",)

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        return f"{summary['molecules']:,} molecules"
