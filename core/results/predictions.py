"""Predictions of a fit for a table: intervals, applicability domain, and errors if there are labels."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pandas as pd

from core.results.tabular import TabularResult
from core.stats.formatting import format_number

TASK_COLUMNS = ("label", "prediction", "low", "high", "spread")


class Predictions(TabularResult):
    """Predictions of a fit in label units; probabilities for a binary task.

    `table`: one row per molecule. For each task label, prediction, low, high (and spread for an ensemble), with the
    suffix `: <task>` if there are several; then `similarity` (Tanimoto, of counts) to the training molecule
    `nearest`, `remote` (outside the applicability domain), `outside` (what is beyond the range of the training set, in
    words), `part` (the split of the fit that contains the molecule, ignoring stereo; "" if new), and `caution`; then
    further columns of the table.
    `record`: fit, level, tasks, kinds, unit, digests, coverage of the intervals on the test set, errors if there are
    labels, warnings.
    """

    headline_keys: ClassVar[tuple[str, ...]] = ("molecules", "width", "unit", "kinds")

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        """The number of molecules, and half the median width of the first task's intervals."""
        width, unit = summary["width"][0], summary["unit"][0]
        width_text = (
            f", ± {format_number(width['median'])} {unit}".rstrip() if width and summary["kinds"][0] != "binary" else ""
        )
        return f"{summary['molecules']:,} molecules{width_text}"

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.record["tasks"])

    def of(self, task: str) -> pd.DataFrame:
        """The table of one task, with the task's name removed from the columns."""
        if len(self.tasks) == 1:
            return self.table
        task_columns = {column_name(name, task, self.tasks): name for name in TASK_COLUMNS}
        all_columns = {column_name(name, other, self.tasks) for name in TASK_COLUMNS for other in self.tasks}
        return self.table[[name for name in self.table if name in task_columns or name not in all_columns]].rename(
            columns=task_columns
        )


def column_name(what: str, task: str, tasks: tuple[str, ...]) -> str:
    """The name of a column for a task."""
    return what if len(tasks) == 1 else f"{what}: {task}"
