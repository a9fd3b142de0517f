"""Adds columns computed from the molecules to a table of any length; rows without a number say why.

The table is read twice, one shard at a time: first to check it, so that an error does not appear after hours, then to
compute. Finished shards are stored next to the output. A stopped run resumes after the last finished shard and ends
with the same file. Memory use is that of one shard.
"""

import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.chem import molecules as chem
from core.data.dataset import Dataset
from core.data.readers import (
    LongTable,
    MarkEvidence,
    NumberMarks,
    Reading,
    decide_marks,
    decide_smiles,
    guess_smiles,
    parse_numbers,
    read_long_table,
    require_decided,
)
from core.data.readers.column_faults import find_faults, find_hidden_smiles
from core.data.readers.decisions import AS_PROVEN
from core.data.readers.numbers import MARKS
from core.data.shard_store import join_shards, open_shards
from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import BadInput

SHARD = 10_000  # rows that are read, computed and stored at a time
REVISION = 4  # raised when the same input gives other numbers or columns
BEGUN, DONE = 0.02, 0.97  # progress when the model is loaded, and when all rows are computed


def nothing_undefined() -> str:
    """The default `undefined`: every number is there."""
    return ""


def no_cautions(molecules: Sequence[str]) -> list[tuple[int, str]]:
    """The default `check`: no warnings."""
    return []


@dataclass(frozen=True, eq=False)
class Annotation:
    """What is added to a table.

    `columns` computes the numbers of a shard of molecules with their labels (NaN where there are none). `check` returns
    warnings on single molecules, such as tokens unknown to the backbone. `undefined` says which numbers are empty in
    every row, and why; then there is a column of that name. `check_labels` gets all labels before any row is computed
    and may raise `BadInput`. `product` identifies what is applied (JSON): a run resumes only from shards
    of the same product.
    """

    columns: Callable[[Dataset, Report], dict[str, np.ndarray]]
    tasks: tuple[str, ...] = ()
    smiles: str = ""  # the column of the SMILES; "": guessed from names and content
    labels: Sequence[str] = ()  # the columns of the labels, one per task, or none
    reading: Reading = AS_PROVEN  # how the file is read
    check: Callable[[Sequence[str]], list[tuple[int, str]]] = no_cautions
    check_labels: Callable[[Dataset], None] | None = None
    undefined: Callable[[], str] = nothing_undefined
    product: Any = None
    top: int = 0  # how many of the most helpful and most harmful molecules the answer lists, if there are scores


def annotate_table(path: Path, out: Path, annotation: Annotation, report: Report) -> dict[str, Any]:
    """Write a table with its new columns to `out` (CSV or Parquet), rows in order; NaN for unusable rows.

    Columns of the file are written as `core.data.readers.long_table` reads them: text as it was, Parquet in its own
    types. A column with the name of a new one is renamed `<name> (given)`. `unusable` says why a row has no numbers,
    `caution` holds the warnings of `check`. In the answer, `seconds` and `molecules_per_second` are of this run,
    `resumed_rows` counts rows finished by an earlier run. Raises `BadInput`.
    """
    start_time, molecules = time.monotonic(), 0
    if out.suffix not in (".csv", ".parquet"):
        raise BadInput(f"--out must end in .csv or .parquet, got {out.name!r}")
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise BadInput(f"--out cannot be written: {out} is a folder, or its parent folder is missing or read-only")
    table = read_long_table(path, SHARD, report.part(0, 0), annotation.reading)
    annotator = RowAnnotator(table, _smiles_column(table, annotation.smiles), annotation)
    labels = list(annotation.labels)
    if missing := [name for name in labels if name not in table.first]:
        raise BadInput(
            f"{table.name!r} has no column {missing[0]!r} for the labels; it has {list_names(table.first.columns)}; "
            "name it with --labels"
        )
    require_decided(table.name, find_faults(table.first, table.whole.faults, annotator.smiles, labels))
    for note in table.whole.notes:
        report(0, note, stays=True)
    settings = {
        "smiles": annotator.smiles,
        "labels": labels,
        "tasks": annotation.tasks,
        "shard": SHARD,
        "revision": REVISION,
        "reading": dataclasses.asdict(annotation.reading),
    }
    work = {"table": table.digest, "product": annotation.product, **settings}
    annotator.check_table()
    with open_shards(out, work, SHARD, table.rows, report.part(0, 0)) as shards:
        resumed = shards.done_rows
        for frame in table.shards(shards.done):
            shard_report = _row_progress(report.part(BEGUN, DONE), shards.done_rows, len(frame), resumed, table.rows)
            start = shards.done_rows
            reasons = {row - start: reason for row, reason in table.whole.reasons.items() if row >= start}
            *shard, usable = annotator.annotate_shard(frame, shard_report, reasons)
            shards.append(*shard)
            molecules += usable
        answer = join_shards(shards, out, annotation.top, report.part(DONE, 1))
    seconds = time.monotonic() - start_time
    pace = {"seconds": seconds, "molecules_per_second": molecules / seconds, "resumed_rows": resumed}
    return answer | {"out": str(out)} | pace


def _smiles_column(table: LongTable, requested: str) -> str:
    if requested and requested not in table.first:
        raise BadInput(
            f"no column of SMILES named {requested!r}; the table has {list_names(table.first.columns)}; "
            "name it with --smiles"
        )
    if requested:
        return requested
    if guess_smiles(table.first) is None:
        raise BadInput(
            f"no column of SMILES was found; the table has {list_names(table.first.columns)}; name it with --smiles"
        )
    decision = decide_smiles(table.first)
    require_decided(table.name, find_hidden_smiles(table.whole.faults, decision.value))
    if decision.undecided:
        raise BadInput(f"{table.name!r}: {decision.reason}; name the column with --smiles")
    return decision.value


@dataclass(frozen=True, eq=False)
class RowAnnotator:
    """Computes the new columns of a table, one shard at a time; `smiles`: the column of the SMILES."""

    table: LongTable
    smiles: str
    annotation: Annotation

    def annotate_shard(
        self, frame: pd.DataFrame, report: Report, reasons: Mapping[int, str]
    ) -> tuple[pd.DataFrame, list[str], str, int]:
        """The frame with its new columns, their names, the name of the SMILES column, and the number of usable rows.

        `reasons`: row of the frame → why its record is no molecule, if not by its SMILES. A column with the name of a
        new one is renamed `<name> (given)`.
        """
        cells = [str(cell) for cell in frame[self.smiles]]
        parsed_cells = {cell: _canonical(cell) for cell in set(cells)}
        parsed = [parsed_cells[cell] for cell in cells]
        rows = np.flatnonzero([name is not None for name, _ in parsed])
        molecules = np.array([parsed[row][0] for row in rows], object)
        values: dict[str, np.ndarray] = {}
        if len(rows):
            values = self.numbers_of(molecules, self.targets(frame)[rows], report)
        new_columns = {name: np.full(len(frame), np.nan) for name in values or self.names}
        for name, value in values.items():
            new_columns[name][rows] = value
        new_columns["caution"] = np.full(len(frame), "", object)
        new_columns["caution"][rows] = self.cautions(molecules)
        if undefined := self.annotation.undefined():
            new_columns["undefined"] = np.full(len(frame), "", object)
            new_columns["undefined"][rows] = undefined
        unusable = [reasons.get(row, reason or "") if reason else "" for row, (_, reason) in enumerate(parsed)]
        new_columns["unusable"] = np.array(unusable, object)
        renamed = {name: free_column_name(name, {*frame, *new_columns}) for name in new_columns if name in frame}
        annotated = pd.concat([frame.rename(columns=renamed), pd.DataFrame(new_columns, index=frame.index)], axis=1)
        return annotated, list(new_columns), renamed.get(self.smiles, self.smiles), len(rows)

    def targets(self, frame: pd.DataFrame) -> np.ndarray:
        """Labels (n, t) of a shard."""
        targets = np.full((len(frame), len(self.annotation.tasks)), np.nan)
        for task, name in enumerate(self.annotation.labels):
            targets[:, task] = parse_numbers(frame[name], self.marks[name], self.annotation.reading.missing)[0]
        return targets

    @cached_property
    def marks(self) -> dict[str, NumberMarks]:
        """The decimal mark of each column of labels, proven by all its rows. Raises `BadInput` if nothing proves it."""
        evidence = {name: MarkEvidence() for name in self.annotation.labels}
        for frame in self.table.shards() if evidence else ():
            for name, one in evidence.items():
                one.add(frame[name])
        wanted = self.annotation.reading.decimal
        decisions = {name: decide_marks(name, one, wanted) for name, one in evidence.items()}
        require_decided(self.table.name, decisions.values())
        return {name: NumberMarks(MARKS[decision.value]) for name, decision in decisions.items()}

    def cautions(self, molecules: np.ndarray) -> np.ndarray:
        """Warnings on each molecule (n,), joined; "" where there is none."""
        molecule_index, distinct = pd.factorize(molecules)
        messages: list[list[str]] = [[] for _ in distinct]
        for index, message in self.annotation.check(list(distinct)) if len(distinct) else ():
            messages[index].append(message)
        return np.array(["; ".join(message) for message in messages], object)[molecule_index]

    def check_table(self) -> None:
        """Check before computing that there is a molecule and that all labels of molecules are accepted.

        Raises `BadInput`.
        """
        self.first_molecule()
        check_labels = self.annotation.check_labels
        for frame in self.table.shards() if check_labels else ():
            targets = self.targets(frame)
            try:
                check_labels(Dataset(frame[self.smiles], targets, self.annotation.tasks))
            except BadInput:
                rows = np.flatnonzero([_canonical(str(cell))[0] is not None for cell in frame[self.smiles]])
                check_labels(Dataset(frame[self.smiles].iloc[rows], targets[rows], self.annotation.tasks))

    def first_molecule(self) -> str:
        """The first molecule. Raises `BadInput` where there is none."""
        first_reason = ""
        for frame in self.table.shards():
            for cell in frame[self.smiles]:
                name, reason = _canonical(str(cell))
                if name is not None:
                    return name
                first_reason = first_reason or reason
        rows, first_reason = self.table.rows, self.table.whole.reasons.get(0, first_reason)
        raise BadInput(f"none of {rows} rows has a molecule (row 1: {first_reason}); name another column with --smiles")

    @cached_property
    def names(self) -> list[str]:
        """Names of the new columns, computed from the first molecule; needed for a shard without one."""
        unlabelled = np.full((1, len(self.annotation.tasks)), np.nan)
        return list(self.numbers_of(np.array([self.first_molecule()], object), unlabelled, SILENT_REPORT))

    def numbers_of(self, molecules: np.ndarray, targets: np.ndarray, report: Report) -> dict[str, np.ndarray]:
        """New columns of molecules (n,) with labels (n, t)."""
        return self.annotation.columns(Dataset(molecules, targets, self.annotation.tasks), report)


def _canonical(cell: str) -> tuple[str | None, str | None]:
    try:
        return chem.canonical_smiles(cell), None
    except BadInput as error:
        return None, str(error)


def free_column_name(name: str, existing: Iterable[str]) -> str:
    """A name for a column of the table whose own name a new column takes."""
    while name in existing:
        name += " (given)"
    return name


def _row_progress(report: Report, start: int, count: int, resumed: int, rows: int) -> Report:
    """Progress of one shard as rows of the table; the fraction is of the rows that this run has to compute."""

    def tell(fraction: float, message: str, numbers: dict[str, Any]) -> None:
        done = start + fraction * count
        report((done - resumed) / (rows - resumed), f"{int(done):,} of {rows:,} rows", rows=int(done))

    return Report(tell=tell, cancelled=report.cancelled)


def list_names(names: Iterable[Any]) -> str:
    """Names of columns or tasks as text; only the first twelve of many."""
    texts = [str(name) for name in names]
    return ", ".join(texts[:12]) + (f" and {len(texts) - 12} more" if len(texts) > 12 else "")
