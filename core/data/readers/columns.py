"""Chooses the columns of SMILES and of labels by name and content, with a reason for each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.chem import molecules as chem
from core.data.readers.decisions import Decision, require_decided
from core.data.readers.labels import read_labels
from core.data.readers.numbers import NUMBER
from core.engine.spec import BadInput

MEASUREMENT_WORDS = {  # words in the name of a measured column
    *("exp", "expt", "experimental", "measured", "label", "labels", "target", "targets", "y", "value", "response"),
    *("activity", "pic50", "pki", "pec50", "logs", "logd", "sol", "solubility"),
}
COMPUTED = {"pred", "predicted", "prediction", "calc", "calculated", "computed"}
IDENTITY = {"id", "ids", "idx", "index", "cid", "sid", "row", "cas", "rn", "key", "seed", "fold", "split", "unnamed"}
INDEX_WORDS = {*IDENTITY, "no", "nr", "number", "num", "entry", "rank", "order", "n"}
ABOUT_MEASUREMENTS = {  # words in the name of a column about the measurements, or of a property of the structure
    **dict.fromkeys(("rep", "reps", "nrep", "replicate", "replicates", "count", "counts", "n"), "counts measurements"),
    **dict.fromkeys(("year", "date", "day", "month", "time", "timestamp"), "is a date"),
    **dict.fromkeys(("batch", "plate", "well", "run", "lab", "page", "volume", "issue"), "says where it was measured"),
    **dict.fromkeys(("sd", "std", "stdev", "stderr", "sem", "error", "err", "uncertainty"), "is an error"),
    **dict.fromkeys(("mw", "molwt", "weight", "mass", "tpsa", "psa"), "is computed from the structure"),
    **dict.fromkeys(
        ("hbd", "hba", "rings", "rotatable", "heavy", "donors", "acceptors"), "counts parts of the structure"
    ),
}
DERIVED = {"scaffold", "murcko", "core", "fragment", "canonical", "isomeric", "std", "standardized", "standardised"}
DERIVED |= {"original", "raw", "clean", "cleaned", "parent", "washed", "can", "iso", "nostereo", "flat"}
SAMPLE_CELLS = 20
MAX_LOG_PAIRS = 30  # columns that are searched for a logarithm of another


@dataclass(frozen=True)
class TargetColumn:
    """A column that may hold labels: whether it is chosen, and why or why not."""

    name: str
    chosen: bool
    reason: str


def guess_smiles(frame: pd.DataFrame) -> str | None:
    """The column that looks most like SMILES, by its name and by cells that RDKit can parse; None if there is none."""
    candidates = _smiles_candidates(frame)
    return max(candidates, key=candidates.__getitem__) if candidates else None


def decide_smiles(frame: pd.DataFrame) -> Decision:
    """The column of SMILES as a `Decision`; undecided if several hold different molecules. Raises `BadInput` for none.

    Columns whose names say that they are derived (`scaffold`, `canonical` …) do not compete.
    """
    candidates = _smiles_candidates(frame)
    if not candidates:
        raise BadInput(f"no column holds SMILES; the table has {name_columns(frame)}: name one in `smiles`")
    best = max(candidates, key=candidates.__getitem__)
    exact = [
        name for name in candidates if _words(name) <= {"smiles", "smi", "canonical", "isomeric", "structure", "mol"}
    ]
    best = exact[0] if len(exact) == 1 else best
    rivals = [
        name
        for name in candidates
        if name != best
        and not _words(name) & DERIVED
        and (best not in exact or "smi" in str(name).lower())
        and not _same_molecules(frame[best], frame[name])
    ]
    if not rivals:
        reason = "it holds SMILES" if len(candidates) == 1 else f"its name; {len(candidates) - 1} more hold structures"
        return Decision("column of SMILES", best, reason, "smiles", tuple(map(str, candidates)))
    names = " and ".join(repr(str(name)) for name in (best, *rivals[:3]))
    reason = f"{names} hold different molecules, and a row has one molecule"
    return Decision("column of SMILES", "", reason, "smiles", (str(best), *map(str, rivals)), True)


def choose_smiles(frame: pd.DataFrame, wanted: str, file: str) -> str:
    """The column of SMILES, or `wanted`. Raises `BadInput` if there is none, or if several are possible."""
    if wanted:
        return require_column(frame, wanted)
    decision = decide_smiles(frame)
    require_decided(file, [decision])
    return decision.value


def _smiles_candidates(frame: pd.DataFrame) -> dict[str, float]:
    """Columns that may hold SMILES, and how likely."""
    candidates = {}
    for name in frame.columns:
        if pd.api.types.is_numeric_dtype(frame[name]) or pd.api.types.is_bool_dtype(frame[name]):
            continue
        words = str(name).lower()
        name_score = 1.0 if "smi" in words else 0.5 if words in ("mol", "molecule", "structure", "compound") else 0.0
        cells = _sample(frame[name])
        readable = sum(is_smiles(cell) for cell in cells) / len(cells) if cells else 0.0
        # Short words such as "C" or "NO" are valid SMILES: a column without a telling name needs longer cells.
        likely = readable >= 0.5 and (name_score or np.mean([len(cell) for cell in cells]) >= 3)
        if likely or name_score == 1.0:
            candidates[name] = readable + name_score
    return candidates


def _same_molecules(first: pd.Series, second: pd.Series) -> bool:
    """Whether nine in ten rows have the same molecule in both columns, ignoring stereochemistry."""
    rows = [row for row, cells in enumerate(zip(first, second, strict=True)) if all(map(str.strip, map(str, cells)))]
    rows = [rows[index] for index in np.unique(np.linspace(0, len(rows) - 1, SAMPLE_CELLS).astype(int))] if rows else []
    equal = 0
    for row in rows:
        try:
            names = [chem.stereo_free_smiles(str(column.iloc[row]).strip()) for column in (first, second)]
        except BadInput:
            continue
        equal += names[0] == names[1]
    return bool(rows) and equal >= 0.9 * len(rows)


def decide_targets(frame: pd.DataFrame, smiles: str | None = None) -> list[TargetColumn]:
    """The columns that may hold labels, in their order. Chosen are those named like measurements, else all numbers.

    Not chosen: identifiers, row numbers, columns about the measurements (number, year, error), properties computed from
    the structure, and values whose logarithm is another column.
    """
    values, numbers, near = {}, [], {}
    columns: dict[str, TargetColumn] = {}
    for name in frame.columns:
        if name == smiles:
            continue
        labels = read_labels(frame[name], str(name))
        measured = labels.values[~np.isnan(labels.values)]
        if not len(measured) or len(labels.text_rows) > len(measured):
            continue
        words = _words(name)
        if words & IDENTITY:
            columns[name] = TargetColumn(name, False, "it is named like an identifier")
        elif reason := _index_reason(measured, str(name), words):
            columns[name] = TargetColumn(name, False, reason)
        elif labels.is_text and not (words & MEASUREMENT_WORDS or labels.is_known_pair):
            columns[name] = TargetColumn(name, False, "it is text with two values")
        elif why := next((ABOUT_MEASUREMENTS[word] for word in sorted(words) if word in ABOUT_MEASUREMENTS), ""):
            near[name] = f"by its name it {why}"
        else:
            numbers.append(name)
            values[name] = labels.values
    preferred = [name for name in numbers if _words(name) & MEASUREMENT_WORDS and not _words(name) & COMPUTED]
    chosen = preferred or numbers
    raw = _find_raw_values({name: values[name] for name in chosen[:MAX_LOG_PAIRS]})
    for name in numbers:
        if name in raw:
            columns[name] = TargetColumn(name, False, f"{raw[name]!r} is its logarithm")
        elif name in chosen:
            reason = "its name says that it was measured" if preferred else "it holds numbers"
            columns[name] = TargetColumn(name, True, reason)
        else:
            others = "another column is named like a measurement"
            columns[name] = TargetColumn(
                name, False, "its name says it is computed" if _words(name) & COMPUTED else others
            )
    columns |= {name: TargetColumn(name, False, reason) for name, reason in near.items()}
    return [columns[name] for name in frame.columns if name in columns]


def guess_targets(frame: pd.DataFrame, smiles: str | None = None) -> tuple[str, ...]:
    """The columns of labels that `decide_targets` chooses."""
    return tuple(column.name for column in decide_targets(frame, smiles) if column.chosen)


def _index_reason(values: np.ndarray, name: str, words: set[str]) -> str:
    """Why a column numbers the rows; "" if it does not."""
    if len(values) < 3 or not (values == np.round(values)).all():
        return ""
    start = values.min()
    whole = start in (0, 1) and len(np.unique(values)) == len(values) and values.max() == start + len(values) - 1
    if whole and (re.fullmatch(r"column \d+( \(again\))*", name) or words & INDEX_WORDS):
        return f"it has every whole number from {start:.0f} to {values.max():.0f} once: a row number"
    if len(values) >= 10 and (np.diff(values) > 0).all():
        return "its whole numbers increase from row to row: a row number"
    return ""


def _find_raw_values(columns: dict[str, np.ndarray]) -> dict[str, str]:
    """Columns of positive values whose logarithm, up to sign and offset, is another column: its name."""
    raw = {}
    for name, values in columns.items():
        positive = values > 0
        if positive.sum() < 5 or (positive != ~np.isnan(values)).any() or np.ptp(np.log10(values[positive])) == 0:
            continue
        for other, logarithms in columns.items():
            both = positive & ~np.isnan(logarithms)
            if other == name or both.sum() < max(5, 0.5 * positive.sum()):
                continue
            x, y = np.log10(values[both]), logarithms[both]
            if np.ptp(x) > 0 and np.ptp(y) > 0 and abs(np.corrcoef(x, y)[0, 1]) > 0.999:
                slope = np.polyfit(x, y, 1)[0]
                if abs(abs(slope) - 1) < 0.02:
                    raw[name] = other
    return raw


def require_column(frame: pd.DataFrame, name: str) -> str:
    """The name, if the table has this column. Raises `BadInput` with the nearest name."""
    import difflib

    if name in frame.columns:
        return name
    lower = {str(column).lower(): str(column) for column in frame.columns}
    matches = difflib.get_close_matches(name.lower(), lower, 1, cutoff=0.5)
    hint = f"; did you mean {lower[matches[0]]!r}?" if matches else ""
    raise BadInput(f"there is no column {name!r}; the table has {name_columns(frame)}{hint}")


def name_columns(frame: pd.DataFrame) -> str:
    """The first twelve names of columns as text."""
    more = f" and {frame.shape[1] - 12} more" if frame.shape[1] > 12 else ""
    return ", ".join(repr(str(column)) for column in frame.columns[:12]) + more


def _words(name: object) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", str(name).lower())) - {""}


def _sample(column: pd.Series | Sequence[str]) -> list[str]:
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
