"""Mapped: molecules with places on a map."""

from collections.abc import Mapping
from typing import Any, ClassVar

from core.results.tabular import TabularResult


class ProjectedMap(TabularResult):
    """`table`: a row a molecule: part, row (of its table), smiles, x, y. `record`: how, and what share of the variance
    two principal components hold; how many of each table were drawn.
    """

    table_file: ClassVar[str] = "map.parquet"
    headline_keys: ClassVar[tuple[str, ...]] = ("drawn",)

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        return f"{sum(summary['drawn'].values()):,} molecules"
