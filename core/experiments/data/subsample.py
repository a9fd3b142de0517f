"""Subsample: random rows and tasks of a table, to simulate a small dataset."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings


@settings
class Subsample(Spec[Dataset]):
    """Random rows and tasks of a table. With one seed a smaller sample is a subset of a larger one.

    The selected tasks depend on the number of tasks and the seed alone, so they are the same in all sets of a split.
    """

    kind: ClassVar[str] = "subsample"
    page: ClassVar[str] = "data"
    effort: ClassVar[float] = 0.05

    table: Spec[Dataset] = Field(description="the table to sample from")
    size: int = Field(default=0, ge=0, description="number of rows; 0: all")
    columns: int = Field(default=0, ge=0, description="number of tasks; 0: all")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed of the sample")
    lenient: bool = Field(default=False, description="take all rows if there are fewer, instead of an error")

    @property
    def title(self) -> str:
        return f"{self.size or 'all'} of the {self.table.title}" + (f", {self.columns} tasks" * bool(self.columns))

    def make(self, report: Report, table: Dataset) -> Dataset:
        if self.columns:
            table = self.sample_tasks(table)
        measured = np.flatnonzero(~np.isnan(table.targets).all(1)) if table.tasks else np.arange(len(table))
        if len(measured) < self.size and not self.lenient:
            raise BadInput(
                f"the {self.table.title} has {len(measured):,} measured rows, {self.size:,} are requested; lower `size`"
            )
        order = np.random.default_rng([self.seed, 11]).permutation(measured)
        return table.take(np.sort(order[: self.size or len(measured)]))

    def sample_tasks(self, table: Dataset) -> Dataset:
        """The table with `columns` random tasks. Raises `BadInput` where it has fewer."""
        if len(table.tasks) < self.columns:
            raise BadInput(
                f"the {self.table.title} has {len(table.tasks)} tasks, {self.columns} are requested; lower `columns`"
            )
        columns = np.sort(np.random.default_rng([self.seed, 12]).permutation(len(table.tasks))[: self.columns])
        return table.select_tasks(columns)
