"""A two-dimensional map of molecules."""

from collections.abc import Mapping
from typing import Any, ClassVar

from core.results.tabular import TabularResult


class ProjectedMap(TabularResult):
    """Coordinates of molecules.

    `table`: one row per molecule: part, row (of its table), smiles, x, y. `record`: the method, the share of variance
    of two principal components, and how many molecules of each table were drawn.
    """

    table_file: ClassVar[str] = "map.parquet"
    headline_keys: ClassVar[tuple[str, ...]] = ("drawn",)

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        return f"{sum(summary['drawn'].values()):,} molecules"
