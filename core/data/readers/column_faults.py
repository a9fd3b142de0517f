"""Columns whose cells do not say what was measured: formulas without a value, dates among numbers, mixed formats.

Such a column may be left alone, but it is no column of labels. A guess that would be another one without the fault is
none.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.data.readers.decisions import Decision

Guess = Callable[[pd.DataFrame, str], Sequence[str]]


@dataclass(frozen=True)
class ColumnFault:
    """What is wrong with a column.

    `hides_label`: without the fault it may be a column of numbers. `spans`: first and last row of cells that stand for
    several rows, which is no fault where these have the same molecule; empty for other faults.
    """

    reason: str  # a sentence with the first cell
    hides_label: bool = True
    spans: tuple[tuple[int, int], ...] = ()


def find_faults(
    frame: pd.DataFrame, faults: Mapping[str, ColumnFault], smiles: str, targets: Sequence[str]
) -> list[Decision]:
    """The faults of the columns that were chosen, as decisions that nothing but another column or file decides."""
    decisions = []
    for column in (smiles, *targets):
        fault = faults.get(column)
        if fault and not (fault.spans and (column == smiles or _has_one_molecule_each(frame[smiles], fault.spans))):
            decisions.append(_undecided(column, fault))
    return decisions


def find_hidden_labels(
    frame: pd.DataFrame, faults: Mapping[str, ColumnFault], smiles: str, targets: Sequence[str], guess: Guess
) -> list[Decision]:
    """The columns that `guess` would have chosen besides `targets` if they had no fault."""
    names = [name for name, fault in faults.items() if fault.hides_label and not fault.spans and name in frame]
    names = [name for name in names if name not in (smiles, *targets)]
    if not names:
        return []
    numbers = [f"{value:.4f}" for value in np.sin(np.arange(len(frame)) + 1)]
    intact = guess(frame.assign(**dict.fromkeys(names, numbers)), smiles)
    return [
        _undecided(name, faults[name], "; or name other label columns (--target)") for name in names if name in intact
    ]


def find_hidden_smiles(faults: Mapping[str, ColumnFault], smiles: str) -> list[Decision]:
    """The columns that are called SMILES and have a fault, if the guess `smiles` is another one or "" for none."""
    if "smi" in smiles.lower():
        return []
    advice = "; or name another SMILES column (--smiles)"
    return [
        _undecided(name, fault, advice)
        for name, fault in faults.items()
        if "smi" in name.lower() and not fault.spans and name != smiles
    ]


def _undecided(column: str, fault: ColumnFault, advice: str = "") -> Decision:
    return Decision(f"column {column!r}", "", f"{fault.reason}{advice}", undecided=True)


def _has_one_molecule_each(smiles: pd.Series, spans: Sequence[tuple[int, int]]) -> bool:
    return all(smiles.iloc[first : last + 1].nunique() <= 1 for first, last in spans)
