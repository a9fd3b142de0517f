"""Few: some molecules of a table, drawn by a seed; what is known when little has been measured."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings


@settings
class Subsample(Spec[Dataset]):
    """So many rows and tasks of a table, drawn; with one seed fewer are among the more.

    Which tasks are drawn depends on their names and the seed alone, so that the parts of a table keep the same.
    """

    kind: ClassVar[str] = "subsample"
    page: ClassVar[str] = "data"
    effort: ClassVar[float] = 0.05

    table: Spec[Dataset] = Field(description="the table that is drawn from")
    size: int = Field(default=0, ge=0, description="rows; 0: all")
    columns: int = Field(default=0, ge=0, description="tasks; 0: all")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of the draw")
    lenient: bool = Field(default=False, description="take all rows where there are fewer, in place of an error")

    @property
    def title(self) -> str:
        return f"{self.size or 'all'} of the {self.table.title}" + (f", {self.columns} tasks" * bool(self.columns))

    def make(self, report: Report, table: Dataset) -> Dataset:
        if self.columns:
            table = self.draw_rows(table)
        measured = np.flatnonzero(~np.isnan(table.targets).all(1)) if table.tasks else np.arange(len(table))
        if len(measured) < self.size and not self.lenient:
            raise BadInput(f"the {self.table.title} has {len(measured):,} measured rows, {self.size:,} are asked for")
        order = np.random.default_rng([self.seed, 11]).permutation(measured)
        return table.take(np.sort(order[: self.size or len(measured)]))

    def draw_rows(self, table: Dataset) -> Dataset:
        """The table with some of its tasks. Raises `BadInput` where it has not so many."""
        if len(table.tasks) < self.columns:
            raise BadInput(f"the {self.table.title} has {len(table.tasks)} tasks, {self.columns} are asked for")
        kept = np.sort(np.random.default_rng([self.seed, 12]).permutation(len(table.tasks))[: self.columns])
        return table.select_tasks(kept)
