"""Predictions of a table by a fit: with intervals, what is like them, and errors where there are labels."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pandas as pd

from core.results.tabular import TabularResult
from core.stats.formatting import format_number

TASK_COLUMNS = ("label", "prediction", "low", "high", "spread")


class Predictions(TabularResult):
    """Predictions of molecules by a fit, in label units; probabilities for a binary task.

    `table`: a row a molecule. Of each task label, prediction, low, high (and of an ensemble spread), with `: <task>`
    behind the name where there are several; then `similarity` to the training molecule `nearest` (Tanimoto), `remote`,
    `part` (of the fit's own table that has the molecule, stereo marks left aside; "" for one that is new to it), and
    `caution`; then the table's own further columns.
    `record`: fit, level, tasks, kinds, unit, digests, what the test part says of the intervals, errors where there
    are labels, warnings.
    """

    headline_keys: ClassVar[tuple[str, ...]] = ("molecules", "width", "unit", "kinds")

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        """How many molecules, and half the width of the first task's intervals."""
        width, unit = summary["width"][0], summary["unit"][0]
        width_text = (
            f", ± {format_number(width['median'])} {unit}".rstrip() if width and summary["kinds"][0] != "binary" else ""
        )
        return f"{summary['molecules']:,} molecules{width_text}"

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.record["tasks"])

    def of(self, task: str) -> pd.DataFrame:
        """The table of one task, its columns without the task's name."""
        if len(self.tasks) == 1:
            return self.table
        task_columns = {column_name(name, task, self.tasks): name for name in TASK_COLUMNS}
        all_columns = {column_name(name, other, self.tasks) for name in TASK_COLUMNS for other in self.tasks}
        return self.table[[name for name in self.table if name in task_columns or name not in all_columns]].rename(
            columns=task_columns
        )


def column_name(what: str, task: str, tasks: tuple[str, ...]) -> str:
    """The column of a task."""
    return what if len(tasks) == 1 else f"{what}: {task}"
