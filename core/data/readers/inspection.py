"""How a table is read: its columns of SMILES and labels, and every decision with its reason."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from core.data.readers.column_faults import find_faults, find_hidden_labels, find_hidden_smiles
from core.data.readers.columns import decide_smiles, decide_targets, guess_targets, require_column
from core.data.readers.decisions import Decision, Reading
from core.data.readers.hidden_cells import choose_hidden, find_hidden_guesses
from core.data.readers.labels import Labels, read_labels
from core.data.readers.numbers import MarkEvidence
from core.data.readers.raw_table import RawTable

MAX_EVIDENCE_ROWS, MAX_EVIDENCE_COLUMNS = 10_000, 50  # of other columns, for a mark that one does not prove


@dataclass(frozen=True, eq=False)
class TableInspection:
    """The cells of a table, its columns of SMILES ("" if undecided) and of labels, and how they are read."""

    frame: pd.DataFrame
    reasons: dict[int, str]  # row, from 0 → why it has no molecule
    smiles: str
    targets: tuple[str, ...]
    labels: list[Labels]  # one for each target
    decisions: list[Decision]
    notes: tuple[str, ...]


def inspect_table(
    raw: RawTable, reading: Reading, smiles: str = "", targets: tuple[str, ...] | None = None
) -> TableInspection:
    """Decide how a table is read; what nothing proves is undecided. `smiles`, `targets`: the columns, if known.

    Raises `BadInput` for columns that the table does not have.
    """
    raw, decisions = choose_hidden(raw, reading.hidden)
    frame, reasons = _remove_row_count(raw.frame, raw.reasons)
    if not smiles:
        decision = decide_smiles(frame)
        smiles = decision.value
        decisions += [*find_hidden_smiles(raw.faults, smiles), decision]
        decisions += find_hidden_guesses(raw, reading.hidden, [smiles])
        if not smiles:
            return TableInspection(frame, reasons, "", (), [], decisions, raw.notes)
    smiles = require_column(frame, smiles)
    if targets is None:
        candidates = decide_targets(frame, smiles)
        targets = tuple(column.name for column in candidates if column.chosen)
        for column in candidates:
            value = "a label" if column.chosen else "no label"
            decisions.append(Decision(f"column {column.name!r}", value, column.reason, "targets"))
        open_guesses = find_hidden_labels(frame, raw.faults, smiles, targets, guess_targets)
        open_guesses += find_hidden_guesses(raw, reading.hidden, targets)
        decisions += open_guesses
        targets = () if open_guesses else targets
    else:
        targets = tuple(require_column(frame, name) for name in targets)
    decisions += find_faults(frame, raw.faults, smiles, targets)
    labels = [_read_column(frame, target, smiles, reading, _convention(raw)) for target in targets]
    decisions += [one for column in labels for one in column.decisions]
    return TableInspection(frame, reasons, smiles, targets, labels, decisions, raw.notes)


def _convention(raw: RawTable) -> str:
    """Why a point in a number of this file is the decimal mark, if there is a reason."""
    if raw.kind in ("sdf", "smi"):
        return "a file of this kind has decimal points"
    return "cells are separated by commas" if raw.delimiter == "," else ""


def _read_column(frame: pd.DataFrame, target: str, smiles: str, reading: Reading, convention: str) -> Labels:
    """A label column; other columns may prove its decimal mark."""

    def evidence_of(column: str) -> MarkEvidence:
        evidence = MarkEvidence()
        evidence.add(frame[column].head(MAX_EVIDENCE_ROWS))
        return evidence

    others = [functools.partial(evidence_of, one) for one in frame.columns if one not in (smiles, target)]
    return read_labels(frame[target], target, reading, others[:MAX_EVIDENCE_COLUMNS], convention)


def _remove_row_count(frame: pd.DataFrame, reasons: Mapping[int, str]) -> tuple[pd.DataFrame, dict[int, str]]:
    """The table without the cells of a last row that is `N` with the number of rows above it, which is no ammonia."""
    reasons = dict(reasons)
    if len(frame) > 1:
        filled = [cell for cell in (str(cell).strip() for cell in frame.iloc[-1]) if cell]
        count = len(frame) - 1
        if filled[:1] == ["N"] and len(filled) > 1 and set(filled[1:]) <= {str(count), f"{count:,}"}:
            frame = frame.copy()
            frame.iloc[-1] = ""
            reasons[count] = f"'N, {count}' is the number of rows, not ammonia"
    return frame, reasons
