"""Guesses columns of SMILES and labels, and parses numbers."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from core.chem import molecules as chem
from core.engine.spec import BadInput

EMPTY = {"", "na", "n/a", "n.a.", "null", "none", "-", "--", "?", "missing", "nd", "n.d."}
NOT_A_NUMBER = {"nan", "+nan", "-nan", "#n/a", "#num!", "#value!", "#div/0!"}
TRUTH = {"true": 1.0, "false": 0.0}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
COMMA = r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?"
MEASUREMENT_WORDS = {  # words in the name of a measured column
    *("exp", "expt", "experimental", "measured", "label", "labels", "target", "targets", "y", "value", "response"),
    *("activity", "pic50", "pki", "pec50", "logs", "logd", "sol", "solubility"),
}
COMPUTED = {"pred", "predicted", "prediction", "calc", "calculated", "computed"}
IDENTITY = {"id", "ids", "idx", "index", "cid", "sid", "row", "cas", "rn", "key", "seed", "fold", "split", "unnamed"}
SAMPLE_CELLS = 20
MAX_LABEL = 1e30  # largest label: squares and sums must fit into single precision


def guess_smiles(frame: pd.DataFrame) -> str | None:
    """The column of SMILES, guessed from its name and from cells that RDKit can parse; None if there is none."""
    best, best_score = None, 0.0
    for name in frame.columns:
        if pd.api.types.is_numeric_dtype(frame[name]) or pd.api.types.is_bool_dtype(frame[name]):
            continue
        words = str(name).lower()
        name_score = 1.0 if "smi" in words else 0.5 if words in ("mol", "molecule", "structure", "compound") else 0.0
        cells = _sample(frame[name])
        readable = sum(is_smiles(cell) for cell in cells) / len(cells) if cells else 0.0
        # Short words such as "C" or "NO" are valid SMILES: a column without a telling name needs longer cells.
        likely = readable >= 0.5 and (name_score or np.mean([len(cell) for cell in cells]) >= 3)
        score = readable + name_score if likely or name_score == 1.0 else 0.0
        if score > best_score:
            best, best_score = name, score
    return best


def guess_targets(frame: pd.DataFrame, smiles: str | None = None) -> tuple[str, ...]:
    """Columns of measured numbers: those named like it (`exp`, `measured …`, `pIC50`), otherwise all but ids."""
    candidates = []
    for name in frame.columns:
        if name == smiles or _words(name) & IDENTITY:
            continue
        values, _, text = parse_numbers(frame[name])
        measured = values[~np.isnan(values)]
        if len(measured) and len(text) <= len(measured) and not _counts_up(measured):
            candidates.append(name)
    preferred = [name for name in candidates if _words(name) & MEASUREMENT_WORDS and not _words(name) & COMPUTED]
    return tuple(preferred or candidates)


def parse_numbers(cells: Sequence | pd.Series) -> tuple[np.ndarray, dict[int, str], list[int]]:
    """The numbers of a column (n,), NaN elsewhere; errors by row; and the rows that contain text.

    Empty cells and words for them (NA, null, -, ?) are missing values, not errors. NaN and infinity written as text,
    infinity as a number, and numbers beyond ±1e30 are errors. true and false are 1 and 0.
    """
    column = pd.Series(cells).reset_index(drop=True)
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        values = column.to_numpy(dtype=float, na_value=np.nan).copy()
        errors = {int(row): "is infinite" for row in np.flatnonzero(np.isinf(values))}
        values[list(errors)] = np.nan
        return _remove_huge(values, errors), errors, []
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan).copy()
    values[np.isinf(values)] = np.nan  # reported below
    errors: dict[int, str] = {}
    text_rows: list[int] = []
    cells = column.tolist()
    for row in np.flatnonzero(np.isnan(values)).tolist():
        if cells[row] == "":
            continue
        cell = _plain(cells[row])
        number = float(cell) if NUMBER.fullmatch(cell) else TRUTH.get(cell, np.nan)
        if np.isfinite(number):
            values[row] = number
        elif cell not in EMPTY:
            errors[row] = _explain_bad_cell(cell)
            text_rows.extend([row] * errors[row].startswith("is text"))
    return _remove_huge(values, errors), errors, text_rows


def _remove_huge(values: np.ndarray, errors: dict[int, str]) -> np.ndarray:
    """The values without those beyond ±`MAX_LABEL`, which are added to `errors`."""
    beyond = np.abs(values) > MAX_LABEL  # NaN is not
    errors |= {int(row): f"is {values[row]:g}, beyond ±{MAX_LABEL:g}" for row in np.flatnonzero(beyond)}
    return np.where(beyond, np.nan, values)


def count_decimal_commas(column: pd.Series) -> np.ndarray:
    """Counts of cells in a text column: decimal commas, decimal points, numbers without a point, not empty; int (4,).

    The counts of shards of a long table can be added.
    """
    cells = column.str.strip()
    commas = cells.str.fullmatch(COMMA)
    whole = cells.str.fullmatch(r"[+-]?\d+")
    points = cells.str.contains(r"\d\.\d", regex=True) & cells.str.fullmatch(NUMBER.pattern)
    return np.array([commas.sum(), points.sum(), (commas | whole).sum(), (cells != "").sum()], int)


def has_decimal_commas(counts: np.ndarray) -> bool:
    """Whether the commas of a column with these counts are decimal commas."""
    commas, points, numbers, filled = counts
    return bool(commas and not points and 2 * numbers >= filled)


def replace_decimal_commas(column: pd.Series) -> pd.Series:
    """The text column with decimal points in place of decimal commas."""
    return column.mask(column.str.strip().str.fullmatch(COMMA), column.str.strip().str.replace(",", ".", regex=False))


def _plain(cell: object) -> str:
    if cell is None or cell is pd.NA or (isinstance(cell, float) and np.isnan(cell)):
        return ""
    return str(cell).strip().lower().replace("\N{MINUS SIGN}", "-")


def _explain_bad_cell(cell: str) -> str:
    if cell in NOT_A_NUMBER:
        return "is NaN"
    if cell.lstrip("+-") in ("inf", "infinity") or NUMBER.fullmatch(cell):
        return "is infinite"
    if re.match(r"[<>~≤≥=]", cell):
        return f"is text: {cell[:40]!r} is a bound, not a measurement"
    return f"is text: {cell[:40]!r} is no number"


def _words(name: object) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", str(name).lower()))


def _sample(column: pd.Series) -> list[str]:
    filled = [cell for cell in column if isinstance(cell, str) and cell.strip()]
    return (
        [filled[index] for index in np.unique(np.linspace(0, len(filled) - 1, SAMPLE_CELLS).astype(int))]
        if filled
        else []
    )


def is_smiles(cell: str) -> bool:
    """Whether RDKit can parse a cell that is no number."""
    if NUMBER.fullmatch(cell.strip()):
        return False
    try:
        chem.parse(cell)
    except BadInput:
        return False
    return True


def _counts_up(values: np.ndarray) -> bool:
    """Whether the values are increasing integers, such as row numbers or ids."""
    return len(values) >= 10 and bool((values == np.round(values)).all() and (np.diff(values) > 0).all())
