"""Cleaning: raw cells of a table → a Dataset; every removed row is listed with its reason."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from core.chem import molecules as chem
from core.data.dataset import Dataset, is_binary
from core.data.readers import Labels, parse_numbers
from core.engine import parallel
from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import BadInput

DuplicateRule = Literal["median", "mean", "first", "drop-if-spread"]
MIN_UNREADABLE = 3  # cells from which a rule by size can be seen
MIN_ROWS_TO_VANISH = 20
MAX_VANISHING_SHARE = 0.5  # molecules per row below which merging is no detail
MIN_WITHIN_VARIANCE = 0.25  # variance of labels of one molecule, relative to all, above which they are not repeats
LONG_SMILES = 200  # characters of a SMILES above which a note is made: backbones have limits


@dataclass(frozen=True)
class CleaningRules:
    """How repeat measurements and molecules without a label are treated.

    Rows of one molecule (same canonical isomeric SMILES) are merged into one, with the median, mean or first of their
    labels for each task. With `drop-if-spread` all rows of a molecule are removed if its labels differ by more than
    `spread` (label units). Classes 0 and 1 are decided by majority; a tie is removed.
    """

    duplicates: DuplicateRule = "median"
    spread: float = 0.0
    labels_wanted: bool = True
    merge_all: bool = False  # even if most rows vanish and the labels of one molecule differ as much as all labels


@dataclass(frozen=True)
class TableContext:
    """What a table has in addition to SMILES and targets: further columns (n,), and its provenance.

    `reasons`: why rows (counted from 0) have no SMILES. `labels`: the label columns as they were read; without them,
    targets are parsed as numbers with a decimal point.
    """

    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    reasons: Mapping[int, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    labels: Sequence[Labels] = ()


def clean_table(
    smiles: Sequence[Any],
    targets: Any = None,
    tasks: Sequence[str] = (),
    unit: str | Sequence[str] = (),
    rules: CleaningRules = CleaningRules(),
    context: TableContext = TableContext(),
    report: Report = SILENT_REPORT,
) -> Dataset:
    """Clean raw cells: SMILES (n,) and targets (n, t) of text or numbers.

    Removed, with a reason: molecules that RDKit cannot read, cells that are no number (text, NaN, infinity), and, if
    labels are required, molecules without any. Raises `BadInput` for a column that is mostly text, and if no molecule
    is left.
    """
    cells = pd.DataFrame(targets, dtype=object) if len(tasks) else pd.DataFrame(index=range(len(smiles)))
    if cells.shape != (len(smiles), len(tasks)):
        raise BadInput(f"{len(smiles)} SMILES and {len(tasks)} tasks do not fit targets of shape {cells.shape}")
    raw_smiles = [text.strip() if isinstance(text, str) else "" for text in smiles]
    names, unreadable = _canonicalise(raw_smiles, context.reasons, report)
    labels, cell_errors = _parse_labels(cells, tasks, context.labels)
    dropped = [(row, raw_smiles[row], "molecule", reason) for row, reason in unreadable.items()]
    for row in range(len(raw_smiles)):
        if row in unreadable:
            continue
        if rules.labels_wanted and len(tasks) and np.isnan(labels[row]).all():
            reason = "; ".join(cell_errors.get(row, ("every target is empty",)))
            dropped.append((row, raw_smiles[row], "molecule", f"no label: {reason}"))
            names[row] = ""
        else:
            dropped += [(row, raw_smiles[row], "label", reason) for reason in cell_errors.get(row, ())]
    replicates = _replicate_statistics(names, labels, tuple(tasks))
    if not rules.merge_all:
        _refuse_vanishing_rows(names, labels, tuple(tasks))
    remaining = _merge_duplicates(names, labels, raw_smiles, dropped, tuple(tasks), rules)
    table = pd.DataFrame(dropped, columns=["row", "smiles", "what", "reason"]).astype({"row": np.int64})
    table = table.assign(row=table["row"] + 1).sort_values("row", kind="stable", ignore_index=True)
    if not remaining:
        first = f"row {table['row'][0]}: {table['reason'][0]}" if len(table) else "there are no rows"
        raise BadInput(f"none of {len(raw_smiles)} rows is left ({first}); choose other columns or correct the table")
    long_rows = [row + 1 for row in remaining if len(names[row]) > LONG_SMILES]
    notes = list(context.provenance.get("notes", ()))
    if long_rows:
        rows = ", ".join(map(str, long_rows[:10])) + " …" * (len(long_rows) > 10)
        notes.append(f"{len(long_rows)} SMILES have more than {LONG_SMILES} characters (rows {rows})")
    dataset = Dataset(
        smiles=[names[row] for row in remaining],
        targets=labels[remaining],
        tasks=tuple(tasks),
        unit=(unit,) * len(tasks) if isinstance(unit, str) else tuple(unit),
        columns={"row": np.array(remaining) + 1} | {k: np.asarray(v)[remaining] for k, v in context.columns.items()},
        dropped=table,
        provenance={**context.provenance, "rows_read": len(raw_smiles), "duplicates": rules.duplicates, "notes": notes},
    )
    dataset.provenance["kinds"] = list(dataset.kinds)
    if replicates:
        dataset.provenance["replicates"] = replicates
    return dataset


def _canonicalise(raw: list[str], reasons: Mapping[int, str], report: Report) -> tuple[list[str], dict[int, str]]:
    """Canonical SMILES (n,), "" for unreadable rows, and by row why it cannot be read."""
    texts = list(dict.fromkeys(raw))
    parsed = dict(zip(texts, parallel.map_texts(chem.try_canonical_smiles, texts, report), strict=True))
    names = [parsed[text][0] for text in raw]
    unreadable = {row: reasons.get(row, parsed[text][1]) for row, text in enumerate(raw) if not parsed[text][0]}
    return names, unreadable


def _parse_labels(
    cells: pd.DataFrame, tasks: Sequence[str], read: Sequence[Labels] = ()
) -> tuple[np.ndarray, dict[int, tuple[str, ...]]]:
    """Labels (n, t), NaN where there is none, and by row what is wrong with its cells. Raises `BadInput`."""
    labels = np.full(cells.shape, np.nan)
    cell_errors: dict[int, tuple[str, ...]] = {}
    for column, task in enumerate(tasks):
        if read:
            values, errors, text_rows = read[column].values, read[column].errors, read[column].text_rows
        else:
            values, errors, text_rows = parse_numbers(cells.iloc[:, column].infer_objects())
        labels[:, column] = values
        filled = len(errors) + int((~np.isnan(values)).sum())
        if 2 * len(text_rows) > filled:
            raise BadInput(
                f"column {task!r} is text in {len(text_rows)} of its {filled} filled cells (row {text_rows[0] + 1}: "
                f"{errors[text_rows[0]].removeprefix('is text: ')}); choose a column of numbers"
            )
        _refuse_drop_by_size(task, cells.iloc[:, column], values, text_rows)
        for row, reason in errors.items():
            cell_errors[row] = (*cell_errors.get(row, ()), f"{task} {reason}")
    return labels, cell_errors


def _refuse_drop_by_size(task: str, cells: pd.Series, values: np.ndarray, text_rows: Sequence[int]) -> None:
    """Raises `BadInput` where the cells that cannot be read are all larger, or all smaller, than those that can."""
    numbers = [float(match[0]) for row in text_rows if (match := re.search(r"\d+(?:\.\d+)?", str(cells.iloc[row])))]
    measured = values[~np.isnan(values)]
    if len(numbers) < MIN_UNREADABLE or len(numbers) < len(text_rows) or len(measured) < MIN_UNREADABLE:
        return
    larger, smaller = min(numbers) > measured.max(), max(numbers) < measured.min()
    if larger or smaller:
        first = str(cells.iloc[text_rows[0]])
        raise BadInput(
            f"the {len(numbers)} cells of {task!r} that are no number (row {text_rows[0] + 1}: {first[:40]!r}) are all "
            f"{'larger' if larger else 'smaller'} than those that are; without them the labels would be cut off. "
            "Correct them, or list them in `missing`"
        )


def _refuse_vanishing_rows(names: list[str], labels: np.ndarray, tasks: tuple[str, ...]) -> None:
    """Raises `BadInput` where most rows would be merged although the labels of one molecule differ like all labels."""
    frame = pd.DataFrame({"name": names}).assign(**{str(k): column for k, column in enumerate(labels.T)})
    frame = frame[frame["name"] != ""]
    molecules = frame["name"].nunique()
    if len(frame) < MIN_ROWS_TO_VANISH or molecules > MAX_VANISHING_SHARE * len(frame):
        return
    for column, task in enumerate(tasks):
        measured = frame[["name", str(column)]].dropna()
        within = measured.groupby("name")[str(column)].transform("std").pow(2).mean()
        total = measured[str(column)].var()
        if total > 0 and within > MIN_WITHIN_VARIANCE * total:
            raise BadInput(
                f"{len(frame):,} rows have only {molecules:,} molecules, and values of {task!r} of one molecule differ "
                f"as much as all values ({within**0.5:.3g} and {total**0.5:.3g}, standard deviations): they depend on "
                "something else, such as a second structure, a dose or an assay. Choose another column of SMILES, "
                "keep one condition in the file, or set `merge_all`"
            )


def _replicate_statistics(names: list[str], labels: np.ndarray, tasks: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """For each task with repeat measurements: how many there are, and how much labels of one molecule differ.

    `sd`: pooled standard deviation within molecules; `widest`: the largest range, of the molecule of `widest_row`.
    """
    frame = pd.DataFrame({"name": names, "row": np.arange(len(names))})[np.array(names, object) != ""]
    frame, statistics = frame[frame["name"].duplicated(keep=False)], {}
    for column, task in enumerate(tasks if len(frame) else ()):
        measured = frame.assign(label=labels[frame["row"], column]).dropna()
        groups = measured[measured["name"].duplicated(keep=False)].groupby("name", sort=False)
        if not len(groups) or is_binary(labels[:, column]):
            continue
        replicates = groups["label"].agg(["count", "var", np.ptp]).assign(row=groups["row"].min())
        freedom = replicates["count"] - 1
        widest = replicates.sort_values("ptp", kind="stable").iloc[-1]
        statistics[task] = {
            "molecules": len(replicates),
            "labels": int(replicates["count"].sum()),
            "sd": float(np.sqrt((freedom * replicates["var"]).sum() / freedom.sum())),
            "widest": float(widest["ptp"]),
            "widest_row": int(widest["row"]) + 1,
        }
    return statistics


def _merge_duplicates(
    names: list[str],
    labels: np.ndarray,
    raw: list[str],
    dropped: list,
    tasks: tuple[str, ...],
    rules: CleaningRules,
) -> list[int]:
    """Merge the rows of each molecule into its first, in place (`labels`, `dropped`); returns the remaining rows."""
    rule, limit = rules.duplicates, rules.spread
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        if name:
            groups.setdefault(name, []).append(row)
    is_class = [is_binary(column) for column in labels.T]
    rule_name = (
        "majority" if is_class and all(is_class) and rule != "first" else rule.replace("drop-if-spread", "median")
    )
    remaining = []
    for rows in groups.values():
        first, *duplicates = rows
        remaining.append(first)
        if not duplicates:
            continue
        measured = [column[~np.isnan(column)] for column in labels[rows].T]
        spread = max((float(np.ptp(values)) for values in measured if len(values)), default=0.0)
        if rule == "drop-if-spread" and spread > limit:
            row_numbers = ", ".join(str(row + 1) for row in rows)
            dropped += [
                (row, raw[row], "molecule", f"labels differ by {spread:.3g} in rows {row_numbers}") for row in rows
            ]
            remaining.pop()
            continue
        labels[first] = [
            _combine_labels(v, rule, b) if len(v) else np.nan for v, b in zip(measured, is_class, strict=True)
        ]
        detail = f"; {rule_name} of {max(map(len, measured))} labels, spread {spread:.3g}" if measured else ""
        dropped += [(row, raw[row], "merged", f"same molecule as row {first + 1}{detail}") for row in duplicates]
        tied_tasks = [t for t, v, y in zip(tasks, measured, labels[first], strict=True) if len(v) and np.isnan(y)]
        if tied_tasks:
            what = "molecule" if np.isnan(labels[first]).all() else "label"
            reason = f"no label of {', '.join(tied_tasks)}: rows of this molecule have 0 and 1 equally often"
            dropped.append((first, raw[first], what, reason))
            remaining[-1:] = [first] * (what == "label")
    return remaining


def _combine_labels(values: np.ndarray, rule: DuplicateRule, is_class: bool) -> float:
    if rule == "first":
        return float(values[0])
    middle = float(np.mean(values) if rule == "mean" or is_class else np.median(values))
    return middle if not is_class else np.nan if middle == 0.5 else round(middle)
