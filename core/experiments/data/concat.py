"""Concat: several tables with the same tasks as one table."""

from collections import Counter
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings


@settings
class Concat(Spec[Dataset]):
    """Rows of several tables, one table after the other.

    Tasks and units must be the same. A molecule in two tables stays in two rows.
    """

    kind: ClassVar[str] = "concat"
    page: ClassVar[str] = "data"
    effort: ClassVar[float] = 0.05

    tables: tuple[Spec[Dataset], ...] = Field(description="tables with the same tasks, in order")

    @field_validator("tables")
    @classmethod
    def _check_count(cls, tables: tuple) -> tuple:
        if not tables:
            raise BadInput("wants at least one table; got none")
        return tables

    @property
    def title(self) -> str:
        return " + ".join(table.title for table in self.tables)

    def make(self, report: Report, tables: tuple[Dataset, ...]) -> Dataset:
        report(0, "joining tables")
        return concatenate(tables)


def concatenate(tables: tuple[Dataset, ...]) -> Dataset:
    """Rows of several tables, one after the other. Raises `BadInput` where their tasks or units differ."""
    first = tables[0]
    check_same_tasks(tables)
    kinds = {table.kinds for table in tables}
    names = list(dict.fromkeys(name for table in tables for name in table.columns))
    table_counts = Counter(smiles for table in tables for smiles in set(table.smiles))
    return Dataset(
        smiles=np.concatenate([table.smiles for table in tables]),
        targets=np.concatenate([table.targets for table in tables]),
        tasks=first.tasks,
        unit=first.unit,
        columns={name: np.concatenate([_unify_column(t, name, tables) for t in tables]) for name in names},
        dropped=pd.concat([table.dropped for table in tables], ignore_index=True),
        provenance={
            "joined": [{**table.provenance, "rows": len(table), "digest": table.digest} for table in tables],
            "in several tables": sum(count > 1 for count in table_counts.values()),
            **({"kinds": list(first.kinds)} if len(kinds) == 1 else {}),
        },
    )


def check_same_tasks(tables: tuple[Dataset, ...]) -> None:
    """Raises `BadInput` unless all tables have the same tasks in the same units."""
    first = tables[0]
    for number, table in enumerate(tables[1:], 2):
        for noun, expected, actual in (("tasks", first.tasks, table.tasks), ("units", first.unit, table.unit)):
            if expected != actual:
                raise BadInput(
                    f"joined tables want the same {noun}: the first has {_join_words(expected)}, table {number} has "
                    f"{_join_words(actual)}; set `tasks` and `unit` where they are loaded"
                )


def _unify_column(table: Dataset, name: str, tables: tuple[Dataset, ...]) -> np.ndarray:
    """A column of one table with the data type that all tables share; missing values are empty, False or NaN."""
    kinds = {other.columns[name].dtype.kind for other in tables if name in other.columns}
    values: Any = table.columns.get(name)
    if values is None and name.startswith("measured:") and name.removeprefix("measured:") in table.tasks:
        return table.targets[
            :, table.tasks.index(name.removeprefix("measured:"))
        ]  # a table without label noise: its labels are the measured ones
    if kinds == {"b"}:
        return np.zeros(len(table), bool) if values is None else values
    if kinds <= set("biuf"):
        complete = all(name in other.columns for other in tables) and "f" not in kinds
        dtype = np.int64 if complete and "b" not in kinds else np.float64
        return np.full(len(table), np.nan) if values is None else values.astype(dtype)
    empty = np.full(len(table), "", object)
    return empty if values is None else values.astype(str).astype(object)


def _join_words(words: tuple[str, ...]) -> str:
    return ", ".join(repr(word) for word in words) or "none"
