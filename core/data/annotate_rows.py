"""What a shard of a table becomes: the given columns, and beside them what is found of each molecule."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from core.chem import molecules as chem
from core.data.dataset import Dataset
from core.data.readers import LongTable, numbers
from core.engine.report import SILENT, Report
from core.engine.spec import BadInput


@dataclass(frozen=True, eq=False)
class Rows:
    """How rows get their new columns.

    `columns` finds the numbers of molecules with their labels (those of `labels`, NaN where there are none); `check`
    says what it has against some, such as tokens the backbone does not know.
    """

    table: LongTable
    smiles: str  # the column of the SMILES
    labels: tuple[str, ...]  # the columns of the labels, one a task, or none
    tasks: tuple[str, ...]
    columns: Callable[[Dataset, Report], dict[str, np.ndarray]]
    check: Callable[[Sequence[str]], list[tuple[int, str]]]

    def shard(self, frame: pd.DataFrame, report: Report) -> tuple[pd.DataFrame, list[str], str, int]:
        """The frame with its new columns, their names, that of the given SMILES, and how many rows have a molecule.

        A given column that is called like a new one is kept as `<name> (given)`.
        """
        cells = [str(cell) for cell in frame[self.smiles]]
        known = {cell: _canonical(cell) for cell in set(cells)}
        named = [known[cell] for cell in cells]
        rows = np.flatnonzero([name is not None for name, _ in named])
        molecules = np.array([named[row][0] for row in rows], object)
        values: dict[str, np.ndarray] = {}
        if len(rows):
            values = self.columns(Dataset(molecules, self.targets(frame)[rows], self.tasks), report)
        new = {name: np.full(len(frame), np.nan) for name in values or self.names}
        for name, value in values.items():
            new[name][rows] = value
        new["caution"] = np.full(len(frame), "", object)
        new["caution"][rows] = self.cautions(molecules)
        new["unusable"] = np.array([reason or "" for _, reason in named], object)
        other = {name: kept_as(name, {*frame, *new}) for name in new if name in frame}
        whole = pd.concat([frame.rename(columns=other), pd.DataFrame(new, index=frame.index)], axis=1)
        return whole, list(new), other.get(self.smiles, self.smiles), len(rows)

    def targets(self, frame: pd.DataFrame) -> np.ndarray:
        """Labels (n, t) of a shard."""
        targets = np.full((len(frame), len(self.tasks)), np.nan)
        for task, name in enumerate(self.labels):
            targets[:, task] = numbers(frame[name])[0]
        return targets

    def cautions(self, molecules: np.ndarray) -> np.ndarray:
        """A sentence or more on each molecule, or ""."""
        places, distinct = pd.factorize(molecules)
        faults: list[list[str]] = [[] for _ in distinct]
        for place, fault in self.check(list(distinct)) if len(distinct) else ():
            faults[place].append(fault)
        return np.array(["; ".join(fault) for fault in faults], object)[places]

    def vet(self, refuse: Callable[[Dataset], None] | None) -> None:
        """Before any row is worked on: whether there is a molecule, and whether `refuse` takes all labels of molecules.

        Raises `BadInput`.
        """
        self.first()
        for frame in self.table.shards() if refuse else ():
            targets = self.targets(frame)
            try:
                refuse(Dataset(frame[self.smiles], targets, self.tasks))
            except BadInput:
                rows = np.flatnonzero([_canonical(str(cell))[0] is not None for cell in frame[self.smiles]])
                refuse(Dataset(frame[self.smiles].iloc[rows], targets[rows], self.tasks))

    def first(self) -> str:
        """The first molecule. Raises `BadInput` where there is none."""
        why = ""
        for frame in self.table.shards():
            for cell in frame[self.smiles]:
                name, reason = _canonical(str(cell))
                if name is not None:
                    return name
                why = why or reason
        rows = self.table.rows
        raise BadInput(f"none of {rows} rows has a molecule (row 1: {why}); name another column with --smiles")

    @cached_property
    def names(self) -> list[str]:
        """What the new columns are called, from the first molecule: for a shard that has none."""
        unlabelled = np.full((1, len(self.tasks)), np.nan)
        return list(self.columns(Dataset(np.array([self.first()], object), unlabelled, self.tasks), SILENT))


def _canonical(cell: str) -> tuple[str | None, str | None]:
    try:
        return chem.canonical(cell), None
    except BadInput as error:
        return None, str(error)


def kept_as(name: str, taken: Iterable[str]) -> str:
    """What a column of the table is called where a new one has its name."""
    while name in taken:
        name += " (given)"
    return name
